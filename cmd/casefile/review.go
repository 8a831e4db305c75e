package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/encrypt"
	"github.com/casefile-io/casefile/bundle/review"
	"github.com/casefile-io/casefile/collector"
)

const reviewHelp = `For whoever must approve what leaves a site. Shows every class of data with its size and
what was masked or left out; nodes, namespaces, hosts and addresses that can be seen;
ConfigMap keys; who talked in the captures and how much payload is left; strings that
look like keys all the same; and lines picked at random.

   casefile bundle review FILE                              on the terminal
   casefile bundle review FILE --format html -o review.html
   casefile bundle review FILE --approve --sign-key me.key --note 'ticket 4711'

An approval is a signature over the manifest, put behind the seal, which stays as it is;
verify shows it.`

func reviewCommand() *cli.Command {
	return &cli.Command{
		Name: "review", Usage: "what is in it, for the people who must approve what leaves", ArgsUsage: "FILE", Description: reviewHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "text, html or json, as `NAME`"},
			&cli.StringFlag{Name: "o", Usage: "write the review to `FILE` instead of stdout"},
			&cli.BoolFlag{Name: "approve", Usage: "countersign: it may leave"},
			&cli.BoolFlag{Name: "reject", Usage: "countersign: it may not leave"},
			&cli.StringFlag{Name: "sign-key", Usage: "countersign with the private key in `FILE` (default: your own identity)"},
			&cli.StringFlag{Name: "note", Usage: "why, as `TEXT`, into the countersignature"},
			encryptFlag(),
		}, readFlags()...),
		Action: func(c *cli.Context) error {
			if err := checkReviewFlags(c); err != nil {
				return err
			}
			return withBundle(c, func(name string, b *opened) error { return reviewBundle(c, name, b) })
		},
	}
}

func checkReviewFlags(c *cli.Context) error {
	switch f := c.String("format"); f {
	case "text", "html", "json":
	default:
		return usagef("--format is text, html or json, not %q", f)
	}
	decided := c.Bool("approve") || c.Bool("reject")
	switch {
	case c.Bool("approve") && c.Bool("reject"):
		return usagef("give --approve or --reject, not both")
	case !decided && (c.IsSet("sign-key") || c.IsSet("note") || c.IsSet("encrypt-to")):
		return usagef("--sign-key, --note and --encrypt-to go with --approve or --reject")
	case decided && c.Bool("unverified"):
		return usagef("--approve and --reject are for a bundle whose signature was checked: leave out --unverified")
	case len(c.String("note")) > bundle.MaxApprovalNote:
		return usagef("--note is at most %d bytes long", bundle.MaxApprovalNote)
	}
	return nil
}

func reviewBundle(c *cli.Context, name string, b *opened) error {
	status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
	rv, err := reviewOf(c.Context, b.Reader, status)
	status.done()
	if err != nil {
		return err
	}
	if err := writeReview(rv, c.String("format"), c.String("o")); err != nil {
		return err
	}
	decision := bundle.Approved
	switch {
	case c.Bool("reject"):
		decision = bundle.Rejected
	case !c.Bool("approve"):
		return nil
	}
	return countersign(c, name, b, rv, decision)
}

// countersign puts a decision about the review into the bundle, which is
// replaced in one step.
func countersign(c *cli.Context, name string, b *opened, rv *review.Review, decision string) error {
	signer, err := resealer(c)
	if err != nil {
		return err
	}
	if err := b.Verify(c.Context, nil); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	shown := sha256.New()
	if err := rv.Text(shown); err != nil {
		return err
	}
	a := bundle.Approval{Decision: decision, Note: c.String("note"), Time: time.Now(), Review: shown.Sum(nil)}
	if err := replaceFile(name, func(w io.Writer) error {
		e, err := encryptTo(c, w, b.encrypted)
		if err != nil {
			return err
		}
		if err := bundle.Approve(c.Context, b.Reader, e, signer, a); err != nil {
			return err
		}
		return e.Close()
	}); err != nil {
		return err
	}
	fingerprint, err := bundle.Fingerprint(signer.Public())
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s by %s: %s\n", decision, fingerprint, name)
	return nil
}

// reviewOf reads the whole bundle.
func reviewOf(ctx context.Context, r *bundle.Reader, status *statusLine) (*review.Review, error) {
	m := r.Manifest()
	o := review.Options{Head: review.Head{Top: m.Top, ID: m.ID, Created: m.Created, Producer: m.Producer, Note: m.Note, Labels: m.Labels},
		Progress: func(path string, done, total int64) {
			status.progress(collector.Progress{Phase: "review", Bytes: done, Note: "of " + byteSize(total)})
		}}
	if m.Cluster != nil {
		o.Head.Cluster = m.Cluster.Name
	}
	if m.Signer != nil {
		o.Head.Signer = m.Signer.Fingerprint
	}
	if m.Redaction != nil {
		o.Head.Policy, o.Head.Payload = m.Redaction.Policy, m.Redaction.Payload
	}
	for _, f := range r.Files() {
		o.Files = append(o.Files, review.File{Path: f.Path, Size: f.Size})
	}
	return review.Scan(ctx, r, o)
}

func writeReview(rv *review.Review, format, name string) error {
	var w io.Writer = os.Stdout
	if name != "" {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("cannot write the review: %w", err)
		}
		defer f.Close()
		w = f
	}
	switch format {
	case "html":
		return rv.HTML(w)
	case "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(rv)
	}
	return rv.Text(w)
}

// replaceFile writes name anew beside it and then puts the new one in its
// place, so that it is whole at any time.
func replaceFile(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.partial") // 0600
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is of no use; the error to report is the first
	}
	return err
}

const reviewSuffix = ".review.html"

// writeReview reads the bundle that was just written, as whoever gets it will,
// and writes a page beside it.
func (j *job) writeReview(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	src, size := io.ReaderAt(f), info.Size()
	if j.readers != nil {
		own, err := ownIdentityFile()
		if err != nil {
			return err
		}
		ids, err := identitiesIn(own)
		if err != nil {
			return fmt.Errorf("your own identity: %w", err)
		}
		if src, size, err = encrypt.Open(f, size, ids); err != nil {
			return err
		}
	}
	r, err := bundle.OpenUnverified(src, size) // this process has just sealed it
	if err != nil {
		return err
	}
	rv, err := reviewOf(ctx, r, j.status)
	if err != nil {
		return err
	}
	if err := writeReview(rv, "html", name+reviewSuffix); err != nil {
		return err
	}
	j.status.say("what is in it: %s; approve it with casefile bundle review %s --approve", name+reviewSuffix, name)
	return nil
}
