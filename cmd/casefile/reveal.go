package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

const revealHelp = `Turns the pseudonyms of strict redaction back into what they stand for: those given as
arguments, one a line, or a whole report on stdin.

   casefile bundle reveal node-6q5vldxr --map b.tar.zst.reveal.age
   casefile analyze b.tar.zst | casefile bundle reveal --map b.tar.zst.reveal.age

Names, hosts, users and hardware addresses come from the map that collect wrote beside the
bundle, encrypted for your own age identity. IP addresses come from the key alone: every IP
address in the text is taken for a pseudonym, also one that was never in the bundle.`

func revealCommand() *cli.Command {
	return &cli.Command{
		Name: "reveal", Usage: "turn pseudonyms back into names and addresses", ArgsUsage: "[PSEUDONYM…]", Description: revealHelp,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "map", Usage: "the map of names in `FILE` (*.reveal.age), may be repeated"},
			&cli.BoolFlag{Name: "addresses", Value: true, Usage: "turn IP addresses back, too"},
			redactKeyFlag(), identityFlag(),
		},
		Action: reveal,
	}
}

func reveal(c *cli.Context) error {
	r, err := revealerFrom(c)
	if err != nil {
		return err
	}
	if c.Args().Present() {
		return r.words(os.Stdout, c.Args().Slice())
	}
	if isTerminal(os.Stdin) {
		return usagef("bundle reveal needs pseudonyms as arguments, or a text on stdin: casefile analyze FILE | casefile bundle reveal --map …")
	}
	if r.mapper != nil {
		fmt.Fprintln(os.Stderr, "every IP address in the text is turned back, also one that is no pseudonym; --addresses=false leaves them")
	}
	if err := r.stream(os.Stdout, os.Stdin); err != nil {
		return err
	}
	if r.unknown > 0 {
		fmt.Fprintf(os.Stderr, "%d pseudonyms in the text are in no map that was given\n", r.unknown)
	}
	return nil
}

// revealer turns pseudonyms back.
type revealer struct {
	values  map[string]string // token → value
	mapper  *pseudonym.Mapper // turns addresses back; nil leaves them
	unknown int               // tokens that are in no map
}

func revealerFrom(c *cli.Context) (*revealer, error) {
	files := c.StringSlice("map")
	if len(files) == 0 {
		return nil, usagef("bundle reveal needs the map of names: --map FILE%s, which collect --redact strict wrote beside the bundle", revealSuffix)
	}
	ids, err := identities(c)
	if err != nil {
		return nil, err
	}
	r := &revealer{values: map[string]string{}}
	keys := map[string]bool{}
	for _, name := range files {
		m, err := readReveal(name, ids)
		if err != nil {
			return nil, fmt.Errorf("--map %s: %w", name, explainIdentity(err, c, ids))
		}
		keys[m.KeyID] = true
		maps.Copy(r.values, m.Pseudonyms)
		if len(r.values) > maxReveal {
			return nil, fmt.Errorf("more than %d pseudonyms: give fewer maps", maxReveal)
		}
	}
	if !c.Bool("addresses") {
		if c.IsSet("redact-key") {
			return nil, usagef("--redact-key is for addresses: it does not go with --addresses=false")
		}
		return r, nil
	}
	key, err := revealKey(c)
	if err != nil {
		return nil, err
	}
	if len(keys) > 1 || !keys[key.ID()] {
		return nil, errors.New("this key of the pseudonyms is not the one that the maps were made with: give that one with --redact-key FILE, or --addresses=false for the names alone")
	}
	if r.mapper, err = pseudonym.New(key, nil); err != nil {
		return nil, err
	}
	r.mapper.Learn(r.values)
	return r, nil
}

// revealKey is the key of the pseudonyms; none is made here.
func revealKey(c *cli.Context) (pseudonym.Key, error) {
	name := c.String("redact-key")
	if !c.IsSet("redact-key") {
		own, err := engagementKeyFile()
		if err != nil || !exists(own) {
			return pseudonym.Key{}, usagef("no key of the pseudonyms here: give --redact-key FILE to turn addresses back, or --addresses=false for the names alone")
		}
		name = own
	}
	key, err := readRedactKey(name)
	if err != nil {
		return key, usagef("--redact-key: %v", err)
	}
	return key, nil
}

// tokens finds the pseudonyms that need a map.
var tokens = regexp.MustCompile(`\b(?:node|ns|host|user|obj|id)-[a-z2-7]{8}\b|\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b`)

// text appends src with its pseudonyms turned back.
func (r *revealer) text(dst, src []byte) []byte {
	if r.mapper != nil {
		src = r.mapper.Reveal(nil, src)
	}
	end := 0
	for _, at := range tokens.FindAllIndex(src, -1) {
		dst = append(dst, src[end:at[0]]...)
		end = at[1]
		token := string(src[at[0]:at[1]])
		value, ok := r.values[token]
		switch {
		case ok:
			dst = append(dst, value...)
			continue
		case strings.Contains(token, "-") && r.mapper == nil: // with the mapper it may be a name that looks like a token
			r.unknown++
		}
		dst = append(dst, token...)
	}
	return append(dst, src[end:]...)
}

// words reveals each word on a line of its own.
func (r *revealer) words(w io.Writer, list []string) error {
	var lost []string
	for _, word := range list {
		out := r.text(nil, []byte(word))
		if string(out) == word {
			lost = append(lost, word)
			continue
		}
		if _, err := fmt.Fprintf(w, "%s\n", out); err != nil {
			return err
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("not a pseudonym of these maps and this key: %s", oneLine(strings.Join(lost, ", ")))
	}
	return nil
}

// maxRevealWord bounds what stays in memory of a text without spaces.
const maxRevealWord = 1 << 20

// stream reveals a text in bounded memory.
func (r *revealer) stream(w io.Writer, src io.Reader) error {
	in, out := bufio.NewReaderSize(src, maxRevealWord), bufio.NewWriter(w)
	var piece, revealed []byte
	for {
		line, err := in.ReadSlice('\n')
		piece = append(piece, line...)
		whole := len(piece)
		if errors.Is(err, bufio.ErrBufferFull) {
			if whole = bytes.LastIndexAny(piece, " \t\",{}[]()<>") + 1; whole == 0 {
				return fmt.Errorf("a word of more than %d bytes is no text that reveal can read", maxRevealWord)
			}
		} else if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		revealed = r.text(revealed[:0], piece[:whole])
		if _, err := out.Write(revealed); err != nil {
			return err
		}
		piece = append(piece[:0], piece[whole:]...)
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
	}
}
