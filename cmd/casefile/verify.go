package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/collector"
)

const verifyHelp = `Checks the signature, the index, every frame and every file, and that what tar shows is
what was signed. Exit status 0: every byte is as it was sealed, by a key you trust.
5: tampered with, or the key is not one of yours; the damaged part is named.

It prints who sealed the bundle and when, where it comes from, how complete it is, what
was redacted, which program made it, and who approved it.`

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:        "verify",
		Usage:       "check a bundle's signature and every byte of it",
		ArgsUsage:   "FILE",
		Description: verifyHelp,
		Flags: append([]cli.Flag{
			tsaFlag(),
			&cli.BoolFlag{Name: "quick", Usage: "only the signature, the manifest and the index, not the data"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`FORMAT`: text or json (one object, also when it fails)"},
		}, readFlags()...),
		Action: verify,
	}
}

func verify(c *cli.Context) error {
	asJSON := c.String("format") == "json"
	if !asJSON && c.String("format") != "text" {
		return usagef("--format is text or json, not %q", c.String("format"))
	}
	v := &verdict{File: c.Args().First()}
	err := withBundle(c, func(name string, b *opened) error {
		if err := v.check(c, b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if exitCode(err) == exitUsage {
		return err
	}
	if asJSON {
		if v.OK = err == nil; !v.OK {
			v = &verdict{File: v.File, Error: oneLine(err.Error())}
		}
		enc := json.NewEncoder(os.Stdout)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return err
		}
	} else if err == nil {
		v.print(os.Stdout)
	}
	return err
}

// check reads the bundle and finds out what there is to say about it.
func (v *verdict) check(c *cli.Context, b *opened) error {
	v.Checked = "signature and index"
	if !c.Bool("quick") {
		v.Checked = "every byte"
		status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
		err := b.Verify(c.Context, func(done, total int64) {
			status.progress(collector.Progress{Phase: "verify", Bytes: done, Note: "of " + byteSize(total)})
		})
		status.done()
		if err != nil {
			return err
		}
	}
	return v.read(c, b)
}
