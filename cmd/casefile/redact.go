package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
)

const redactHelp = `Writes a smaller bundle, NAME.redacted.tar.zst. The files that stay are bit by bit as they
were, and verify shows that the first signer sealed them, though not the rest: that is
neither named nor to be guessed. Lines of collection/ that name what is left out go too.

   casefile bundle redact b.tar.zst --drop 'nodes/*/logs/**' --drop 'captures/**'
   casefile bundle redact b.tar.zst --policy strict
   casefile bundle redact b.tar.zst --check

A glob is matched element by element; ** stands for any number of elements, and a / at the
end for all below a folder.

--key, --trust and --unverified say whom to believe when FILE is read. The new bundle is
sealed by your own identity, by --sign-key FILE, or by nobody with --no-sign. A bundle that
somebody sealed is only redacted when that seal was checked.`

func redactCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringSliceFlag{Name: "drop", Usage: "leave out the files that match `GLOB`, may be repeated"},
		&cli.StringFlag{Name: "policy", Usage: "redact what is kept once more, by the policy `NAME`: standard or strict"},
		&cli.StringFlag{Name: "o", Usage: "write the new bundle to `FILE`, - is stdout (default: NAME.redacted.tar.zst)"},
		&cli.StringFlag{Name: "sign-key", Usage: "seal with the private key in `FILE` (default: your own identity)"},
		&cli.BoolFlag{Name: "no-sign", Usage: "do not seal the new bundle"},
		encryptFlag(), redactKeyFlag(), rulesFlag(),
	}
	return &cli.Command{
		Name: "redact", Usage: "leave files out, so that the rest still verifies", ArgsUsage: "FILE", Description: redactHelp,
		Flags: append(append(flags, checkFlags()...), readFlags()...),
		Action: func(c *cli.Context) error {
			if c.Bool("check") {
				return checkBundle(c)
			}
			return withBundle(c, func(name string, b *opened) error { return redactBundle(c, name, b) })
		},
	}
}

func redactBundle(c *cli.Context, name string, b *opened) error {
	o, err := deriveOptions(c, b)
	if err != nil {
		return err
	}
	status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
	err = b.Verify(c.Context, func(done, total int64) {
		status.progress(collector.Progress{Phase: "verify", Bytes: done, Note: "of " + byteSize(total)})
	})
	status.done()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	strict, err := strictDerive(c, b, &o)
	if err != nil {
		return err
	}
	if strict != nil {
		name = o.Top // the old name may hold that of the cluster
	}
	out, err := (&job{output: redactedName(c, name, b)}).create()
	if err != nil {
		return err
	}
	defer out.abandon()
	reveal, err := strict.createReveal(out.name, o.Top)
	if err != nil {
		return err
	}
	defer reveal.abandon()
	e, err := encryptTo(c, out, b.encrypted)
	if err != nil {
		return err
	}
	d, err := bundle.Derive(c.Context, b.Reader, e, o)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := e.Close(); err != nil {
		return err
	}
	if err := out.keep(); err != nil {
		return err
	}
	if err := strict.writeReveal(reveal, o.Redactor, o.Top); err != nil {
		return fmt.Errorf("%s is whole, but its map of names could not be written: %w", out.name, err)
	}
	tellDerived(d, b)
	if out.name != "-" {
		fmt.Println(out.name)
	}
	if n := len(d.Unredacted); n > 0 {
		return incompletef("done, but %d files could not be redacted and were left out", n)
	}
	return nil
}

// redactedName is where the new bundle goes.
func redactedName(c *cli.Context, name string, b *opened) string {
	if c.IsSet("o") {
		return c.String("o")
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".age"), ".tar.zst") + ".redacted.tar.zst"
	if b.encrypted || c.IsSet("encrypt-to") {
		name += ".age"
	}
	return name
}

// deriveOptions is what the flags ask for.
func deriveOptions(c *cli.Context, b *opened) (o bundle.DeriveOptions, err error) {
	switch {
	case !b.verified && b.signer() != "":
		return o, usagef("%s sealed it: check that seal with --key or --trust; --unverified is only for a bundle that nobody sealed", b.signer())
	case !c.IsSet("drop") && !c.IsSet("policy") && !c.IsSet("redact-rules"):
		return o, usagef("bundle redact needs to know what to leave out: --drop GLOB, or --policy strict; or look for secrets with --check")
	case c.IsSet("canary") || c.IsSet("canary-value"):
		return o, usagef("--canary and --canary-value go with --check")
	case c.Bool("no-sign") && c.IsSet("sign-key"):
		return o, usagef("give --sign-key or --no-sign, not both")
	case c.IsSet("o") && c.String("o") == "":
		return o, usagef("-o is empty: name the new file")
	}
	if o.Keep, err = keeper(c.StringSlice("drop"), b); err != nil {
		return o, err
	}
	o.By = "casefile bundle redact --drop"
	if err := policyOptions(c, b, &o); err != nil {
		return o, err
	}
	if !c.Bool("no-sign") {
		o.Signer, err = resealer(c)
	}
	return o, err
}

// policyOptions sets what the policy that the flags name asks for.
func policyOptions(c *cli.Context, b *opened, o *bundle.DeriveOptions) (err error) {
	switch p := c.String("policy"); {
	case !c.IsSet("policy") && !c.IsSet("redact-rules"):
		return nil
	case p == "" || p == string(redact.PolicyStandard):
		options, err := ownRules(c, b)
		if err != nil {
			return err
		}
		o.Redactor, err = redact.New(redact.PolicyStandard, options)
		return err
	case p == string(redact.PolicyStrict):
		return nil // see strictDerive
	default:
		return usagef("unknown --policy %q: use standard or strict", p)
	}
}

// keeper says what none of the globs matches; each must match something.
func keeper(globs []string, b *opened) (func(string) bool, error) {
	var list []glob
	var paths []string
	for _, f := range b.Files() {
		if b.Manifest().Origin == nil || !strings.HasPrefix(f.Path, "origin/") { // the proof always goes along
			paths = append(paths, f.Path)
		}
	}
	for _, text := range globs {
		g, err := newGlob(text)
		if err != nil {
			return nil, usagef("--drop: %v", err)
		}
		found := false
		for _, p := range paths {
			if found = g.match(p); found {
				break
			}
		}
		if !found {
			return nil, usagef("--drop %q matches no file; near it: %s; a folder is dropped with %q", text, strings.Join(g.near(paths), ", "), strings.TrimRight(text, "/*")+"/**")
		}
		list = append(list, g)
	}
	return func(p string) bool {
		for _, g := range list {
			if g.match(p) {
				return false
			}
		}
		return true
	}, nil
}

// tellDerived says on stderr what became of the files.
func tellDerived(d *bundle.Derived, b *opened) {
	say := func(format string, a ...any) { fmt.Fprintln(os.Stderr, flat(fmt.Sprintf(format, a...))) }
	say("%d files are as they were, %d altered, %d added, %d of %d left out", d.Kept, len(d.Altered), len(d.Added),
		len(d.Dropped)+len(d.Unredacted), len(b.Files()))
	list := func(what string, paths []string) {
		for i, p := range paths {
			if i == 10 {
				say("%s: and %d more", what, len(paths)-i)
				break
			}
			say("%s: %s", what, p)
		}
	}
	list("altered", d.Altered)
	list("added", d.Added)
	list("left out", d.Dropped)
	for _, u := range d.Unredacted {
		say("left out, since it cannot be redacted: %s: %v", u.Path, u.Err)
	}
	if d.NoOrigin != "" {
		say("nothing shows where the files come from: %s", d.NoOrigin)
	}
	if d.Manifest.Signer != nil {
		say("sealed by %s", d.Manifest.Signer.Fingerprint)
	} else {
		say("not signed (--no-sign): readers need --unverified")
	}
}
