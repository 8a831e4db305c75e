package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/encrypt"
)

const recoverHelp = `Makes a whole bundle of what is left of one: the .partial of a run that was killed or had no
space left, a download that was cut short, a file with damaged places. Every file that is
complete in it is kept bit by bit; what is missing is printed, and is in the new bundle's
collection/results.ndjson. The new bundle says that it was recovered, and your own identity,
--key or nobody (--no-sign) seals it: that seal vouches for what was recovered, not for
who made the damaged file. Exit status 4: something is missing.`

func recoverCommand() *cli.Command {
	return &cli.Command{
		Name: "recover", Usage: "make a whole bundle of an unfinished or damaged one", ArgsUsage: "FILE", Description: recoverHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "o", Usage: "write the new bundle to `FILE`, - is stdout (default: NAME.recovered.tar.zst)"},
			&cli.StringFlag{Name: "key", Aliases: []string{"sign-key"}, Usage: "seal with the private key in `FILE` (default: your own identity)"},
			&cli.BoolFlag{Name: "no-sign", Usage: "do not seal the new bundle"},
			encryptFlag(), identityFlag(),
		},
		Action: recoverBundle,
	}
}

func recoverBundle(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("bundle recover needs one file: casefile bundle recover FILE.partial")
	}
	if c.IsSet("o") && c.String("o") == "" {
		return usagef("-o is empty: name the new file")
	}
	name := c.Args().First()
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	src, err := openRemains(c, f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	signer, err := signerOf(c)
	if err != nil {
		return err
	}
	out, err := (&job{output: recoveredName(c, name, src.encrypted)}).create()
	if err != nil {
		return err
	}
	defer out.abandon()
	e, err := encryptTo(c, out, src.encrypted)
	if err != nil {
		return err
	}
	rec, err := bundle.Recover(c.Context, src, src.size, e, bundle.RecoverOptions{Signer: signer, Producer: "casefile " + version, Info: infoFromPlan})
	if err != nil {
		return fmt.Errorf("%s: %w", name, explainRecover(err))
	}
	if err := e.Close(); err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	if err := out.keep(); err != nil {
		return err
	}
	tellRecovered(os.Stderr, rec, src.cause)
	if out.name != "-" {
		fmt.Println(out.name)
	}
	if !rec.Whole() {
		return incompletef("recovered, but incomplete: see above, and collection/results.ndjson in the new bundle")
	}
	return nil
}

// remains is what is left of a bundle, decrypted.
type remains struct {
	io.ReaderAt
	size      int64
	encrypted bool
	cause     error // why an encrypted file can be read only so far
}

func openRemains(c *cli.Context, f *os.File) (remains, error) {
	info, err := f.Stat()
	if err != nil {
		return remains{}, err
	}
	if !info.Mode().IsRegular() {
		return remains{}, fmt.Errorf("%w: not a regular file", bundle.ErrNotBundle)
	}
	if !encrypt.Encrypted(f) {
		return remains{ReaderAt: f, size: info.Size()}, nil
	}
	ids, err := identities(c)
	if err != nil {
		return remains{}, err
	}
	r, n, cause := encrypt.OpenTruncated(f, info.Size(), ids)
	if r == nil {
		return remains{}, explainIdentity(cause, c, ids)
	}
	return remains{r, n, true, cause}, nil
}

// recoveredName is where the new bundle goes.
func recoveredName(c *cli.Context, name string, encrypted bool) string {
	if c.IsSet("o") {
		return c.String("o")
	}
	for _, end := range []string{".partial", ".age", ".tar.zst"} {
		name = strings.TrimSuffix(name, end)
	}
	name += ".recovered.tar.zst"
	if encrypted || c.IsSet("encrypt-to") {
		name += ".age"
	}
	return name
}

// infoFromPlan takes out of collection/plan.json what the lost manifest would say.
func infoFromPlan(b []byte) bundle.Info {
	var p plan
	if json.Unmarshal(b, &p) != nil {
		return bundle.Info{Note: "recovered; the plan of the run is lost"}
	}
	return bundle.Info{Labels: p.Labels, Note: p.Note, Redaction: &bundle.Redaction{Policy: p.Redaction, Payload: p.Payload}}
}

func explainRecover(err error) error {
	if errors.Is(err, bundle.ErrWhole) {
		return fmt.Errorf("%w; casefile verify says by whom it is sealed", err)
	}
	return err
}

// tellRecovered says what was kept and what is missing.
func tellRecovered(w io.Writer, rec *bundle.Recovery, cause error) {
	const shown = 20
	say := func(format string, a ...any) { fmt.Fprintln(w, flat(fmt.Sprintf(format, a...))) }
	say("kept %d files, %s, bit by bit as they were", rec.Entries, byteSize(rec.Bytes))
	if rec.SealedBy != "" {
		say("their hashes are those that %s sealed", rec.SealedBy)
	} else {
		say("no seal of the damaged file holds: who made it, and whether it was changed, nobody can say")
	}
	if cause != nil {
		say("encryption: %v", cause)
	}
	for i, m := range rec.Missing {
		if i == shown {
			say("  … and %d more: casefile bundle cat FILE collection/results.ndjson", len(rec.Missing)-i)
			break
		}
		if m.Size >= 0 {
			say("  missing: %s: %s; %d of %d bytes were there", m.Path, m.Reason, m.Have, m.Size)
		} else {
			say("  missing: %s: %s", m.Path, m.Reason)
		}
	}
	for i, d := range rec.Damaged {
		if i == shown {
			say("  … and %d more damaged ranges", len(rec.Damaged)-i)
			break
		}
		say("  damaged: %v", d)
	}
	if len(rec.Damaged) > 0 && !rec.Named {
		say("  the index is lost: files that lay wholly in the damaged ranges cannot be named")
	}
	if !rec.Ended {
		say("  the collection did not come to its end")
	}
	if len(rec.Tail) > 0 {
		say("  lost and made anew: %s", strings.Join(rec.Tail, ", "))
	}
}
