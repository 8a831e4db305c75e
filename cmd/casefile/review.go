package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
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
		}, readFlags()...),
		Action: func(c *cli.Context) error {
			switch f := c.String("format"); f {
			case "text", "html", "json":
			default:
				return usagef("--format is text, html or json, not %q", f)
			}
			return withBundle(c, func(_ string, b *opened) error { return reviewBundle(c, b) })
		},
	}
}

func reviewBundle(c *cli.Context, b *opened) error {
	status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
	rv, err := reviewOf(c.Context, b.Reader, status)
	status.done()
	if err != nil {
		return err
	}
	return writeReview(rv, c.String("format"), c.String("o"))
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
