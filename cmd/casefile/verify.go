package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/collector"
)

const verifyHelp = `Checks the signature, the index, every frame and every file, and that what tar shows is
what was signed. Exit status 0: every byte is as it was sealed, by a key you trust.
5: tampered with, or the key is not one of yours; the damaged part is named.`

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:        "verify",
		Usage:       "check a bundle's signature and every byte of it",
		ArgsUsage:   "FILE",
		Description: verifyHelp,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "quick", Usage: "only the signature, the manifest and the index, not the data"},
		}, readFlags()...),
		Action: verify,
	}
}

func verify(c *cli.Context) error {
	return withBundle(c, func(name string, b *opened) error { return verifyBundle(c, name, b) })
}

func verifyBundle(c *cli.Context, name string, b *opened) error {
	scope := "signature and index"
	if !c.Bool("quick") {
		scope = "every byte"
		status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
		err := b.Verify(c.Context, func(done, total int64) {
			status.progress(collector.Progress{Phase: "verify", Bytes: done, Note: "of " + byteSize(total)})
		})
		status.done()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if !b.verified {
		fmt.Printf("UNVERIFIED  %s: %s as written, but nobody's signature was checked\n", name, scope)
		return nil
	}
	who := b.signer()
	if b.own {
		who += " (your own identity)"
	}
	fmt.Printf("OK  %s\n    signed by  %s\n", name, who)
	printOrigin(b)
	fmt.Printf("    checked    %s\n", scope)
	return nil
}

// printOrigin says when and where a bundle was made, and how complete it is.
func printOrigin(b *opened) {
	m := b.Manifest()
	line := func(key, format string, a ...any) {
		fmt.Printf("    %-10s %s\n", key, oneLine(fmt.Sprintf(format, a...)))
	}
	line("made", "%s by %s", m.Created.UTC().Format("2006-01-02 15:04:05 UTC"), m.Producer)
	if m.Cluster != nil {
		line("cluster", "%s", strings.TrimSpace(m.Cluster.Name+" "+m.Cluster.UID))
	}
	for _, k := range sortedKeys(m.Labels) {
		line("label", "%s=%s", k, m.Labels[k])
	}
	if m.Note != "" {
		line("note", "%s", strings.ReplaceAll(m.Note, "\n", " "))
	}
	if m.Completeness != nil {
		state := "complete"
		if !m.Completeness.Complete {
			state = "INCOMPLETE"
		}
		var counts []string
		for _, k := range sortedKeys(m.Completeness.Results) {
			counts = append(counts, fmt.Sprintf("%d %s", m.Completeness.Results[k], k))
		}
		line("contents", "%s: %s", state, strings.Join(counts, ", "))
	}
	if m.Redaction != nil {
		line("redaction", "%s, payload of packets: %s", m.Redaction.Policy, m.Redaction.Payload)
	}
}
