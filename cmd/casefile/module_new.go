package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/cmd/casefile/scaffold"
)

const moduleNewHelp = `Writes a folder NAME with a module that works: a rule, its test cases, a Makefile and a CI
file. The SDK comes out of this binary (into vendor/, for Go): nothing is fetched, now or
when it is built. Nothing that is there is overwritten.

NAME is also the topic of its rules, NAME/rule: take one that is yours, such as acme-queues.`

func moduleNewCommand() *cli.Command {
	return &cli.Command{Name: "new", Usage: "write a new module that builds and has a test", ArgsUsage: "NAME", Description: moduleNewHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "lang", Value: "go", Usage: "in `LANGUAGE`: " + strings.Join(scaffold.Languages(), ", ")},
			&cli.StringFlag{Name: "C", Value: ".", Usage: "make the module's folder in `DIR`"},
		},
		Action: moduleNew,
	}
}

func moduleNew(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("module new needs a name: casefile module new acme-queues")
	}
	name, lang := c.Args().First(), c.String("lang")
	files, err := scaffold.Files(lang, name, version)
	if err != nil {
		return usagef("module new: %v", err)
	}
	dir := filepath.Join(c.String("C"), name)
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return usagef("%s is there already, and not empty: choose another name, or another folder with -C DIR", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usagef("module new: %v", err)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		full := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil { //nolint:gosec // sources, for all to read
			return err
		}
		if err := writeNew(full, files[file], 0o644); err != nil {
			return err
		}
	}
	fmt.Println(dir)
	fmt.Fprintf(os.Stderr, "Next:\n  cd %s\n  make test                 %s\n  make check                builds %s.wasm and holds it against the ABI\n  casefile analyze BUNDLE --module %[3]s.wasm\n",
		dir, "runs each case as WebAssembly", name)
	return nil
}
