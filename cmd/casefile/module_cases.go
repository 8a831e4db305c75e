package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/sdk/abi"
	"github.com/casefile-io/casefile/sdk/analyzertest/cases"
)

const moduleTestHelp = `Runs a module, in the sandbox, over test cases, and compares what it says with what each case
wants. A case is a text file: files of a bundle, and a section "want".

   Two pods wait.
   -- cluster/resources/core/v1/pods/shop.ndjson --
   {"metadata":{"namespace":"shop","name":"web-1"},"status":{"phase":"Pending"}}
   -- want --
   found acme-queues/stuck
     low Pod shop/web-1: web-1 waits for a node
       cluster/resources/core/v1/pods/shop.ndjson:1

Leave the section empty and give --update: it is filled in with what came out. Read it before
you keep it. config.json holds {"captureTime":"RFC 3339","settings":{…}}, and a section whose
name ends in .base64 a binary file. Without CASES they are testdata/*.txtar beside the module.

With --bundle it runs over a bundle instead, and prints what a case would want. Exit status 1:
a case differs.`

func moduleTestCommand() *cli.Command {
	return &cli.Command{Name: "test", Usage: "run a module over test cases", ArgsUsage: "FILE.wasm [CASE.txtar…]", Description: moduleTestHelp,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "update", Usage: "write what came out into the cases"},
			&cli.StringFlag{Name: "bundle", Usage: "run over the bundle in `FILE`, and print what came out"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`FORMAT`: text, or json (one object a line for each case)"},
			&cli.StringFlag{Name: "project", Usage: "run no module: print, as JSON, what one with the declaration in `FILE` would see of each case", Hidden: true},
		}, readFlags()...),
		Action: moduleTest,
	}
}

func moduleTest(c *cli.Context) error {
	asJSON := c.String("format") == "json"
	switch {
	case !asJSON && c.String("format") != "text":
		return usagef("--format is text or json, not %q", c.String("format"))
	case c.IsSet("project"):
		return projectCases(c.Context, os.Stdout, c.String("project"), c.Args().Slice())
	case !c.Args().Present():
		return usagef("module test needs a module: casefile module test FILE.wasm [CASE.txtar…]")
	}
	m, err := readModule(c, c.Args().First())
	if err != nil {
		return err
	}
	if err := checkWasm(m); err != nil {
		return err
	}
	o, err := sandboxOptions()
	if err != nil {
		return err
	}
	t := &caseTest{module: host.Module{Name: m.name, Wasm: m.wasm}, options: o, update: c.Bool("update"), asJSON: asJSON, out: os.Stdout}
	if c.IsSet("bundle") {
		if c.NArg() > 1 || t.update || asJSON {
			return usagef("--bundle goes with no cases, --update or --format")
		}
		return t.overBundle(c)
	}
	files := c.Args().Tail()
	if len(files) == 0 {
		pattern := filepath.Join(filepath.Dir(m.from), "testdata", "*.txtar")
		if files, err = filepath.Glob(pattern); err != nil || len(files) == 0 {
			return usagef("no case matches %s: name them, casefile module test %s CASE.txtar…", pattern, m.from)
		}
	}
	return t.run(c.Context, files)
}

// caseTest runs one module over cases.
type caseTest struct {
	module  host.Module
	options host.Options
	set     *host.Set
	update  bool
	asJSON  bool
	out     io.Writer
}

// caseResult is how one case ended, a line of --format json.
type caseResult struct {
	Case   string `json:"case"`
	OK     bool   `json:"ok"`
	Got    string `json:"got"`
	Want   string `json:"want"`
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	Log    string `json:"log,omitempty"`
}

func (t *caseTest) run(ctx context.Context, files []string) error {
	t.set = host.Load(ctx, []host.Module{t.module}, t.options) // compiled once for all cases
	defer t.set.Close()
	differ := 0
	for _, file := range files {
		r, err := t.file(ctx, file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if !r.OK {
			differ++
		}
		if err := t.tell(r); err != nil {
			return err
		}
	}
	if differ > 0 {
		return &exitError{exitFailed, fmt.Errorf("%d of %d cases differ", differ, len(files))}
	}
	return nil
}

func (t *caseTest) file(ctx context.Context, file string) (caseResult, error) {
	archive, err := readCapped(file, maxCaseBytes)
	if err != nil {
		return caseResult{}, err
	}
	one, err := cases.Parse(archive)
	if err != nil {
		return caseResult{}, err
	}
	r := caseResult{Case: file, Want: one.Want}
	if err := t.one(ctx, one, &r); err != nil {
		return r, err
	}
	r.OK = r.Status == abi.ModuleOK && r.Got == r.Want
	if t.update && r.Status == abi.ModuleOK && !r.OK {
		if err := os.WriteFile(file, one.Update(r.Got), 0o644); err != nil { //nolint:gosec // a test case is no secret
			return r, err
		}
		r.OK, r.Reason = true, "written anew"
	}
	return r, nil
}

// maxCaseBytes bounds a case.
const maxCaseBytes = 64 << 20

// one fills in what the module says about a case.
func (t *caseTest) one(ctx context.Context, one *cases.Case, r *caseResult) error {
	o := t.options
	config, err := configOf(one.Config)
	if err != nil {
		return err
	}
	o.Bundle, o.BundleID, o.Settings = one.Bundle, "case", config.Settings
	if o.CaptureTime, err = time.Parse(time.RFC3339, config.CaptureTime); err != nil {
		return fmt.Errorf("config.json: captureTime: %w", err)
	}
	run := t.set.Run(ctx, o)[0]
	if err := ctx.Err(); err != nil {
		return err
	}
	r.Status, r.Reason, r.Log = run.Result.Status, run.Result.Reason, run.Result.Log
	if r.Status != abi.ModuleOK {
		return nil
	}
	if r.Got, err = cases.Text(run); err != nil {
		r.Status, r.Reason = abi.ModuleFailed, err.Error()
	}
	return nil
}

// defaultCaptureTime is that of a case which names none.
const defaultCaptureTime = "2026-01-01T00:00:00Z"

// configOf reads a case's config.json.
func configOf(text []byte) (abi.Config, error) {
	var config abi.Config
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&config); err != nil {
		return config, fmt.Errorf("config.json: %w; it has captureTime and settings", err)
	}
	config.CaptureTime = cmp.Or(config.CaptureTime, defaultCaptureTime)
	config.ABI = abi.VersionMax
	return config, nil
}

// tell prints how a case ended.
func (t *caseTest) tell(r caseResult) error {
	if t.asJSON {
		enc := json.NewEncoder(t.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	}
	state, what := "ok", r.Reason
	if !r.OK {
		state = "FAIL"
		if r.Status != abi.ModuleOK {
			what = "the module ended as " + r.Status + ": " + r.Reason
		}
	}
	if what != "" {
		what = "  " + flat(what)
	}
	_, err := fmt.Fprintf(t.out, "%-4s  %s%s\n", state, r.Case, what)
	if r.OK || err != nil {
		return err
	}
	var b strings.Builder
	if r.Status == abi.ModuleOK {
		writeDiff(&b, r.Want, r.Got)
	}
	for l := range strings.Lines(r.Log) {
		fmt.Fprintf(&b, "    log: %s\n", oneLine(l))
	}
	_, err = io.WriteString(t.out, b.String())
	return err
}

// writeDiff shows how got differs from want, line by line.
func writeDiff(w io.Writer, want, got string) {
	a, b := slices.Collect(strings.Lines(want)), slices.Collect(strings.Lines(got))
	common := commonLines(a, b)
	show := func(mark byte, line string) {
		fmt.Fprintf(w, "    %c %s\n", mark, visible(strings.TrimSuffix(line, "\n")))
	}
	for len(a)+len(b) > 0 {
		switch {
		case len(common) > 0 && len(a) > 0 && len(b) > 0 && a[0] == common[0] && b[0] == common[0]:
			show(' ', a[0])
			a, b, common = a[1:], b[1:], common[1:]
		case len(a) > 0 && (len(common) == 0 || a[0] != common[0]):
			show('-', a[0])
			a = a[1:]
		default:
			show('+', b[0])
			b = b[1:]
		}
	}
}

// commonLines is the longest sequence of lines that both have.
func commonLines(a, b []string) []string {
	const most = 2000 // of a text: beyond it nothing counts as common
	if len(a) > most || len(b) > most {
		return nil
	}
	best := make([][]int, len(a)+1) // of a[i:] and b[j:]
	for i := range best {
		best[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if best[i][j] = max(best[i+1][j], best[i][j+1]); a[i] == b[j] {
				best[i][j] = best[i+1][j+1] + 1
			}
		}
	}
	var common []string
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			common = append(common, a[i])
			i, j = i+1, j+1
		case best[i+1][j] >= best[i][j+1]:
			i++
		default:
			j++
		}
	}
	return common
}

// overBundle prints what the module says about a bundle.
func (t *caseTest) overBundle(c *cli.Context) error {
	b, err := openBundle(c, c.String("bundle"))
	if err != nil {
		return err
	}
	defer b.Close()
	o := t.options
	o.Bundle, o.CaptureTime, o.BundleID = b, b.Manifest().Created, b.Manifest().ID
	run := host.Run(c.Context, []host.Module{t.module}, o)[0]
	if err := c.Context.Err(); err != nil {
		return err
	}
	if log := oneLine(run.Result.Log); log != "" {
		fmt.Fprintln(os.Stderr, log)
	}
	if run.Result.Status != abi.ModuleOK {
		return fmt.Errorf("the module ended as %s: %s", run.Result.Status, run.Result.Reason)
	}
	text, err := cases.Text(run)
	if err != nil {
		return errors.Join(errors.New("a report could not show it"), err)
	}
	_, err = io.WriteString(t.out, visible(text))
	return err
}
