package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/conform"
	"github.com/casefile-io/casefile/sdk/analyzertest/cases"
)

const moduleCheckHelp = `Holds modules against the ABI (sdk/ABI.md), one sentence after the other, in the sandbox: what
it says of itself, what it prints for empty, incomplete and odd inputs, whether two runs print
the same. The cases of testdata/*.txtar beside it, and each --bundle, serve as inputs too.

It goes for modules in any language. What a module MUST do and does not ends it with 1; what
it SHOULD do is only told.`

func moduleCheckCommand() *cli.Command {
	return &cli.Command{Name: "check", Usage: "hold modules against the ABI", ArgsUsage: "FILE.wasm…", Description: moduleCheckHelp,
		Flags: append(append([]cli.Flag{
			&cli.StringSliceFlag{Name: "bundle", Usage: "also try it over the bundle in `FILE`, may be repeated"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`FORMAT`: text, or json (one object a line for each module)"},
			&cli.BoolFlag{Name: "v", Usage: "also tell what is as it must be"},
		}, readFlags()...), registryFlags()...),
		Action: moduleCheck,
	}
}

func moduleCheck(c *cli.Context) error {
	if f := c.String("format"); f != "text" && f != "json" {
		return usagef("--format is text or json, not %q", f)
	}
	if !c.Args().Present() {
		return usagef("module check needs a module: casefile module check FILE.wasm")
	}
	o, err := sandboxOptions()
	if err != nil {
		return err
	}
	var bundles []fs.FS
	for _, name := range c.StringSlice("bundle") {
		b, err := openBundle(c, name)
		if err != nil {
			return err
		}
		defer b.Close()
		bundles = append(bundles, b)
	}
	bad := 0
	for _, name := range c.Args().Slice() {
		m, err := readModule(c, name)
		if err != nil {
			return err
		}
		if err := checkWasm(m); err != nil {
			return err
		}
		beside, err := casesBeside(m.from)
		if err != nil {
			return err
		}
		v := checked{File: m.from, Checks: conform.Check(c.Context, m.wasm, conform.Options{Host: o, Bundles: append(beside, bundles...)})}
		if err := c.Context.Err(); err != nil {
			return err
		}
		if v.OK = !conform.Violated(v.Checks); !v.OK {
			bad++
		}
		if err := v.write(os.Stdout, c.String("format") == "json", c.Bool("v")); err != nil {
			return err
		}
	}
	if bad > 0 {
		return &exitError{exitFailed, fmt.Errorf("%d of %d modules break the ABI; sdk/ABI.md says what it asks for", bad, c.NArg())}
	}
	return nil
}

// casesBeside are the test cases of a module in a file, as bundles.
func casesBeside(from string) ([]fs.FS, error) {
	if isReference(from) {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(from), "testdata", "*.txtar"))
	if err != nil {
		return nil, nil //nolint:nilerr // a folder with the signs of a pattern in its name has no cases to be found
	}
	var bundles []fs.FS
	for _, file := range files {
		archive, err := readCapped(file, maxCaseBytes)
		if err != nil {
			return nil, err
		}
		one, err := cases.Parse(archive)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		bundles = append(bundles, one.Bundle)
	}
	return bundles, nil
}

// checked is what came of one module.
type checked struct {
	File   string           `json:"file"`
	OK     bool             `json:"ok"`
	Checks []conform.Result `json:"checks"`
}

func (v checked) write(w io.Writer, asJSON, all bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	state, kept, skipped := "OK", 0, 0
	if !v.OK {
		state = "FAIL"
	}
	var b strings.Builder
	for _, r := range v.Checks {
		switch r.Status {
		case conform.OK:
			kept++
		case conform.Skipped:
			skipped++
		}
		if r.Status == conform.OK && !all {
			continue
		}
		fmt.Fprintf(&b, "    %-7s  %-4s %-6s  %s\n", r.Status, r.ID, r.Level, flat(r.Says))
		if r.Detail != "" {
			fmt.Fprintf(&b, "                           %s\n", flat(r.Detail))
		}
	}
	_, err := fmt.Fprintf(w, "%-4s  %s  %d of %d checks kept, %d could not be tried\n%s", state, flat(v.File), kept, len(v.Checks), skipped, &b)
	return err
}
