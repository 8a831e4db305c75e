package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
)

// checkFlags belong to bundle redact --check.
func checkFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "check", Usage: "make nothing: look for secrets that are still in the bundle; exit status 1 when there are any"},
		&cli.StringFlag{Name: "canary", Usage: "with --check: also look for each line of `FILE` (- is stdin), plain or encoded"},
		&cli.StringSliceFlag{Name: "canary-value", Usage: "with --check: also look for `VALUE`, may be repeated; a shell keeps it in its history"},
	}
}

// checkBundle is bundle redact --check FILE: it looks for canaries, in all
// encodings, and for what the rules of today would mask. It prints where, and
// never what.
func checkBundle(c *cli.Context) error {
	for _, f := range []string{"drop", "policy", "o", "sign-key", "no-sign", "encrypt-to"} {
		if c.IsSet(f) {
			return usagef("--check makes no bundle: it does not go with --%s", f)
		}
	}
	canaries, err := canariesFrom(c)
	if err != nil {
		return err
	}
	return withBundle(c, func(name string, b *opened) error {
		options, err := ownRules(c, b)
		if err != nil {
			return err
		}
		options.Payload = payloadOf(b.Manifest())
		k := &checker{canaries: canaries, bundle: b, out: bufio.NewWriter(os.Stdout)}
		if k.redactor, err = redact.New(redact.PolicyStandard, options); err != nil {
			return err
		}
		return k.run(c, name)
	})
}

func payloadOf(m *bundle.Manifest) string {
	if m.Redaction != nil && m.Redaction.Payload == redact.PayloadFull {
		return redact.PayloadFull
	}
	return redact.PayloadDefault
}

// canariesFrom reads --canary and --canary-value; nil without.
func canariesFrom(c *cli.Context) (*redact.Canaries, error) {
	secrets := c.StringSlice("canary-value")
	if c.IsSet("canary") {
		lines, err := canaryLines(c.String("canary"))
		if err != nil {
			return nil, usagef("--canary: %v", err)
		}
		secrets = append(secrets, lines...)
	}
	if len(secrets) == 0 {
		if c.IsSet("canary") || c.IsSet("canary-value") {
			return nil, usagef("there is no canary to look for")
		}
		return nil, nil //nolint:nilnil // none are wanted
	}
	canaries, err := redact.NewCanaries(secrets)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return canaries, nil
}

func canaryLines(name string) ([]string, error) {
	const longest = 4 << 20
	in := io.Reader(os.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	all, err := io.ReadAll(io.LimitReader(in, longest+1)) //nolint:forbidigo // bounded by the LimitReader
	if err == nil && len(all) > longest {
		err = fmt.Errorf("longer than %d bytes", longest)
	}
	var lines []string
	for line := range strings.Lines(string(all)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, err
}

// checker looks through one bundle.
type checker struct {
	bundle   *opened
	canaries *redact.Canaries // may be nil
	redactor *redact.Redactor
	out      *bufio.Writer
	found    int // places
	counted  map[string]int
}

// perFile bounds the places that are printed of one file.
const perFile = 20

func (k *checker) run(c *cli.Context, name string) error {
	status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
	defer status.done()
	files := k.bundle.Files()
	if err := k.frame(); err != nil {
		return err
	}
	for i, f := range files {
		if err := c.Context.Err(); err != nil {
			return err
		}
		status.progress(collector.Progress{Phase: "check", Done: i, Total: len(files), Note: f.Path})
		if err := k.file(f.Path); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	status.done()
	if err := k.out.Flush(); err != nil {
		return err
	}
	if k.found > 0 {
		return fmt.Errorf("%s: secrets, or what looks like them, in %d places", name, k.found)
	}
	fmt.Fprintf(os.Stderr, "%d files: nothing found\n", len(files))
	return nil
}

// frame looks into what is around the files: the manifest and their names.
func (k *checker) frame() error {
	manifest, err := json.Marshal(k.bundle.Manifest())
	if err != nil {
		return err
	}
	var names bytes.Buffer
	for _, f := range k.bundle.Files() {
		fmt.Fprintln(&names, f.Path)
	}
	if err := k.search("manifest.json", bytes.NewReader(manifest)); err != nil {
		return err
	}
	return k.search("the names of the files", &names)
}

func (k *checker) file(name string) error {
	if err := k.with(name, func(f io.Reader) error { return k.search(name, f) }); err != nil {
		return err
	}
	return k.with(name, func(was io.Reader) error {
		return k.with(name, func(again io.Reader) error { return k.compare(name, was, k.redactor.Reader(name, again)) })
	})
}

func (k *checker) with(name string, do func(io.Reader) error) error {
	f, err := k.bundle.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}

// search looks for canaries.
func (k *checker) search(name string, r io.Reader) error {
	if k.canaries == nil {
		return nil
	}
	printed := map[redact.Hit]bool{}
	return k.canaries.Find(r, func(h redact.Hit) {
		if printed[h] {
			return
		}
		printed[h] = true
		what := "a canary in base64 or compressed data"
		if h.Canary >= 0 {
			what = fmt.Sprintf("canary %d", h.Canary+1)
		}
		k.tell(name, h.Line, len(printed), what)
	})
}

// tell prints a place.
func (k *checker) tell(name string, line, nth int, what string) {
	k.found++
	switch {
	case nth > perFile:
	case nth == perFile:
		fmt.Fprintf(k.out, "%s: and more\n", oneLine(name))
	default:
		fmt.Fprintf(k.out, "%s:%d: %s\n", oneLine(name), line, what)
	}
}

// compare tells where redacting once more would change a file. The lines of
// both run side by side, as far as masks keep them so.
func (k *checker) compare(name string, was, again io.Reader) error {
	a, b := bufio.NewReaderSize(was, 64<<10), bufio.NewReaderSize(again, 64<<10)
	nth, binary := 0, path.Ext(name) == ".pcapng"
	for line := 1; ; line++ {
		same, ended, err := compareLine(a, b)
		if errors.Is(err, redact.ErrRedaction) {
			k.tell(name, line, 1, "cannot be looked into: "+oneLine(err.Error()))
			return nil
		}
		if err != nil {
			return err
		}
		if !same {
			if nth++; nth == 1 || !binary {
				k.tell(name, line, nth, "the rules would mask something")
			}
		}
		if ended {
			break
		}
	}
	k.rules(name, nth)
	return nil
}

// compareLine reads a line of each; ended when one of them has ended.
func compareLine(a, b *bufio.Reader) (same, ended bool, err error) {
	same = true
	for {
		x, errX := a.ReadSlice('\n')
		y, errY := nextPart(b, len(x))
		same = same && bytes.Equal(x, y)
		for _, e := range []error{errX, errY} {
			if e != nil && !errors.Is(e, io.EOF) && !errors.Is(e, bufio.ErrBufferFull) {
				return same, true, e
			}
		}
		if !same {
			return false, restOfLine(a, x, errX) || restOfLine(b, y, errY), nil
		}
		if errX == nil {
			return true, false, nil
		}
		if errors.Is(errX, io.EOF) {
			if _, errY = b.Peek(1); errY != nil && !errors.Is(errY, io.EOF) {
				return true, true, errY
			}
			return errY != nil, true, nil
		}
	}
}

// nextPart reads as much as the other side had, at most to the end of a line.
func nextPart(b *bufio.Reader, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	y, err := b.Peek(n)
	if i := bytes.IndexByte(y, '\n'); i >= 0 {
		y, err = y[:i+1], nil
	}
	if _, e := b.Discard(len(y)); e != nil {
		return y, e
	}
	return y, err
}

// restOfLine steps over what is left of a line, and says whether that was all.
func restOfLine(r *bufio.Reader, part []byte, err error) bool {
	for err == nil || errors.Is(err, bufio.ErrBufferFull) {
		if bytes.HasSuffix(part, []byte("\n")) {
			return false
		}
		part, err = r.ReadSlice('\n')
	}
	return true
}

// rules tells which rules would mask in a file.
func (k *checker) rules(name string, places int) {
	counts := k.redactor.Counts()
	if places > 0 {
		var list []string
		for rule, n := range counts {
			if more := n - k.counted[rule]; more > 0 {
				list = append(list, fmt.Sprintf("%s %d", rule, more))
			}
		}
		slices.Sort(list)
		fmt.Fprintf(k.out, "%s: by rule: %s\n", oneLine(name), strings.Join(list, ", "))
	}
	k.counted = counts
}
