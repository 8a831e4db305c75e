package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
)

func bundleCommand() *cli.Command {
	return &cli.Command{
		Name:  "bundle",
		Usage: "look into a bundle",
		Description: `A bundle is a .tar.zst: tar --zstd -tf FILE lists it without Casefile, but checks nothing.
These verbs check the signature first, and the hash of what they read.`,
		HideHelpCommand: true,
		Action:          noSubVerb,
		Subcommands: []*cli.Command{
			{Name: "info", Usage: "who made it, when, where, and what is missing", ArgsUsage: "FILE",
				Flags:  append([]cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print the manifest as it was signed"}}, readFlags()...),
				Action: bundleShow},
			{Name: "ls", Usage: "list the files, all or those that match a glob", ArgsUsage: "FILE [GLOB]",
				Flags:  append([]cli.Flag{&cli.BoolFlag{Name: "l", Usage: "with sizes"}}, readFlags()...),
				Action: bundleList},
			timestampCommand(),
			{Name: "cat", Usage: "print files", ArgsUsage: "FILE PATH…", Flags: readFlags(), Action: bundleCat},
			reviewCommand(),
			pushCommand(),
			pullCommand(),
			redactCommand(),
			recoverCommand(),
			revealCommand(),
			mergeCommand(),
			{Name: "extract", Usage: "write all files below a new folder", ArgsUsage: "FILE",
				Flags:  append([]cli.Flag{&cli.StringFlag{Name: "C", Value: ".", Usage: "make the bundle's folder in `DIR`"}}, readFlags()...),
				Action: bundleExtract},
		},
	}
}

// noSubVerb is the action of a verb that only has verbs below it.
func noSubVerb(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("no verb %q; see %s --help", c.Args().First(), c.Command.HelpName)
	}
	return cli.ShowSubcommandHelp(c)
}

func bundleShow(c *cli.Context) error {
	return withBundle(c, func(_ string, b *opened) error { return showBundle(c, b) })
}

func showBundle(c *cli.Context, b *opened) error {
	if c.Bool("json") {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(b.Manifest())
	}
	var v verdict
	if err := v.read(c, b); err != nil {
		return err
	}
	fmt.Println(v.Manifest.Top)
	say, state := sayer(os.Stdout), "UNVERIFIED"
	if v.Verified {
		state = v.Signer.String()
	}
	say("signed by", "%s", state)
	say("files", "%d", len(b.Files()))
	v.printAbout(os.Stdout)
	return nil
}

func bundleList(c *cli.Context) error {
	if c.NArg() < 1 || c.NArg() > 2 {
		return usagef("bundle ls needs a bundle and perhaps a glob: casefile bundle ls FILE 'nodes/*/node.json'")
	}
	glob := c.Args().Get(1)
	if _, err := path.Match(glob, ""); err != nil {
		return usagef("bundle ls: %q is no glob: %v", glob, err)
	}
	b, err := openBundle(c, c.Args().First())
	if err != nil {
		return err
	}
	defer b.Close()
	var origin *bundle.OriginReport
	if c.Bool("l") {
		if origin, err = b.Origin(nil); err != nil {
			return err
		}
	}
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range b.Files() {
		if ok, _ := path.Match(glob, f.Path); glob != "" && !ok && !strings.HasPrefix(f.Path, strings.TrimSuffix(glob, "/")+"/") {
			continue
		}
		if c.Bool("l") {
			fmt.Fprintf(w, "%d\t  %s%s\n", f.Size, f.Path, originMark(origin, f.Path))
		} else {
			fmt.Fprintln(w, f.Path) // without a tab it goes through as it is
		}
	}
	return errors.Join(w.Flush(), out.Flush())
}

func bundleCat(c *cli.Context) error {
	if c.NArg() < 2 {
		return usagef("bundle cat needs a bundle and a path in it; casefile bundle ls FILE lists them")
	}
	b, err := openBundle(c, c.Args().First())
	if err != nil {
		return err
	}
	defer b.Close()
	for _, p := range c.Args().Tail() {
		if err := copyOut(b, p); err != nil {
			return err
		}
	}
	return nil
}

func copyOut(b *opened, name string) error {
	f, err := b.Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("no file %s in the bundle; casefile bundle ls FILE lists them", name)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder; casefile bundle ls FILE '%s/*' lists it", name, name)
	}
	_, err = io.Copy(os.Stdout, f)
	return err
}

func bundleExtract(c *cli.Context) error {
	return withBundle(c, func(_ string, b *opened) error {
		n, err := b.Extract(c.Context, c.String("C"))
		if err != nil {
			return err
		}
		fmt.Println(path.Join(c.String("C"), b.Manifest().Top))
		fmt.Fprintf(os.Stderr, "%d files\n", n)
		return nil
	})
}
