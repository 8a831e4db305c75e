package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/analyzers-wasm/report"
	"github.com/casefile-io/casefile/sdk/abi"
)

const analyzeHelp = `Runs the built-in rules, and any module you add, over verified bundles. Modules are
WebAssembly: each runs in a process of its own that sees nothing but the inputs it
declares, with a bound on memory, time and output.

   casefile analyze bundle.tar.zst
   casefile analyze bundle.tar.zst --lang zh
   casefile analyze bundle.tar.zst --module vendor.wasm --format json
   casefile analyze *.tar.zst --format json --fail-on high     one report a line

A module may be signed (FILE.wasm.sigstore.json beside it). With a module policy, only what
it lets in is run; see casefile module --help.

` + sandboxHelp + `

A rule is found, clear, or unknown: it lacked an input, and the report says which
and how to get it.`

func analyzeCommand() *cli.Command {
	return &cli.Command{
		Name:        "analyze",
		Usage:       "say what is wrong in a bundle",
		ArgsUsage:   "FILE…",
		Description: analyzeHelp,
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "module", Usage: "also run the analyzer in `FILE.wasm`, or at oci://HOST/REPO:TAG, may be repeated"},
			&cli.BoolFlag{Name: "no-builtin", Usage: "leave the built-in rules out"},
			&cli.StringSliceFlag{Name: "only", Usage: "report only this `RULE`, or all of topic/*, may be repeated"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`FORMAT`: text or json"},
			&cli.StringFlag{Name: "o", Aliases: []string{"output"}, Usage: "write the report to `FILE`"},
			langFlag(),
			&cli.StringFlag{Name: "fail-on", Usage: "exit 3 if a finding has this `SEVERITY` or worse: critical, high, medium, low, info"},
		}, append(append(sandboxFlags(), moduleFlags()...), readFlags()...)...),
		Action: analyze,
	}
}

func analyze(c *cli.Context) (err error) {
	if !c.Args().Present() {
		return usagef("analyze needs a bundle: casefile analyze FILE")
	}
	a, err := newAnalysis(c)
	if err != nil {
		return err
	}
	defer a.set.Close()
	out := io.Writer(os.Stdout)
	if name := c.String("o"); name != "" && name != "-" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	return a.files(c, out)
}

// analysis is what one run of analyze does to each bundle.
type analysis struct {
	modules []host.Module
	outside []*signedModule
	options host.Options
	set     *host.Set // of the modules, once loaded
	only    []string
	format  string
	lang    string
	failOn  int // rank; -1 is off
	color   bool
}

func newAnalysis(c *cli.Context) (*analysis, error) {
	lang, err := checkLang(c)
	if err != nil {
		return nil, err
	}
	a := &analysis{only: c.StringSlice("only"), format: c.String("format"), lang: lang, failOn: -1, color: c.String("o") == "" && isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == ""}
	if a.format != "text" && a.format != "json" {
		return nil, usagef("--format is text or json, not %q", a.format)
	}
	if s := c.String("fail-on"); s != "" {
		if a.failOn = severityRank(s); a.failOn < 0 {
			return nil, usagef("--fail-on is critical, high, medium, low or info, not %q", s)
		}
	}
	if a.modules, a.outside, err = modulesOf(c); err != nil {
		return nil, err
	}
	if a.options, err = sandboxOptionsOf(c); err != nil {
		return nil, err
	}
	a.load(c.Context)
	return a, nil
}

// load starts to make the modules ready, beside whatever comes before the
// analysis.
func (a *analysis) load(ctx context.Context) { a.set = host.Load(ctx, a.modules, a.options) }

// files analyses every bundle; a bad one does not stop the rest.
func (a *analysis) files(c *cli.Context, out io.Writer) error {
	code := exitOK
	for i, name := range c.Args().Slice() {
		r, err := a.file(c, name)
		if err != nil {
			if c.NArg() == 1 {
				return err
			}
			code = worst(code, printError(c.Context, os.Stderr, err))
			continue
		}
		if i > 0 && a.format == "text" {
			fmt.Fprintln(out)
		}
		if err := a.write(out, r); err != nil {
			return err
		}
		code = worst(code, a.verdict(r))
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}

func (a *analysis) file(c *cli.Context, name string) (abi.Report, error) {
	b, err := openBundle(c, name)
	if err != nil {
		return abi.Report{}, err
	}
	defer b.Close()
	return a.bundle(c.Context, b)
}

func (a *analysis) bundle(ctx context.Context, b *opened) (abi.Report, error) {
	m := b.Manifest()
	o := a.options
	o.Bundle, o.CaptureTime, o.BundleID = b, m.Created, m.ID
	runs := a.set.Run(ctx, o)
	if err := ctx.Err(); err != nil {
		return abi.Report{}, fmt.Errorf("analysis stopped: %w", err)
	}
	r := report.Build(bundleInfo(b), runs, a.lang)
	if len(a.only) > 0 {
		r.Findings = slices.DeleteFunc(r.Findings, func(f abi.ReportedFind) bool { return !a.wanted(f.Rule) })
		r.Rules = slices.DeleteFunc(r.Rules, func(x abi.RuleResult) bool { return !a.wanted(x.Rule) })
		if len(r.Rules) == 0 {
			return r, usagef("--only %s: no module has such a rule; casefile explain lists them", strings.Join(a.only, ", "))
		}
	}
	return r, nil
}

func (a *analysis) wanted(rule string) bool {
	return slices.ContainsFunc(a.only, func(p string) bool {
		topic, all := strings.CutSuffix(p, "/*")
		return p == rule || all && strings.HasPrefix(rule, topic+"/")
	})
}

func (a *analysis) write(w io.Writer, r abi.Report) error {
	if a.format == "json" {
		return report.JSON(w, r)
	}
	return report.Text(w, r, report.TextOptions{Color: a.color, Lang: a.lang})
}

// verdict is the exit code that a report stands for.
func (a *analysis) verdict(r abi.Report) int {
	code := exitOK
	for _, m := range r.Modules {
		if m.Status != abi.ModuleOK {
			code = worst(code, exitIncomplete)
		}
	}
	for _, m := range a.outside {
		if m.denied != nil {
			code = worst(code, exitForged)
		}
	}
	for _, f := range r.Findings {
		if a.failOn >= 0 && severityRank(f.Severity) <= a.failOn {
			code = worst(code, exitFinding)
		}
	}
	return code
}

// severityRank is 0 for the worst severity and -1 for none at all.
func severityRank(s string) int {
	return slices.Index([]string{abi.SeverityCritical, abi.SeverityHigh, abi.SeverityMedium, abi.SeverityLow, abi.SeverityInfo}, s)
}

// modulesOf gathers the built-in module and those of --module, which are from
// outside.
func modulesOf(c *cli.Context) ([]host.Module, []*signedModule, error) {
	var modules []host.Module
	if !c.Bool("no-builtin") {
		b, err := builtinModule()
		if err != nil {
			return nil, nil, err
		}
		modules = append(modules, host.Module{Name: "builtin", Wasm: b, OwnsTopics: true})
	}
	guests, outside, err := outsideModules(c, "module")
	if err != nil {
		return nil, nil, err
	}
	modules = append(modules, guests...)
	if len(modules) == 0 {
		return nil, nil, usagef("--no-builtin leaves nothing to run: add --module FILE")
	}
	return modules, outside, nil
}

// bundleInfo is what a report says about the bundle.
func bundleInfo(b *opened) abi.BundleInfo {
	m := b.Manifest()
	info := abi.BundleInfo{Name: m.Top, ID: m.ID, Created: m.Created.UTC().Format(time.RFC3339), Verified: b.verified, Labels: m.Labels, Note: m.Note}
	if m.Cluster != nil {
		info.Cluster = m.Cluster.Name
	}
	if m.Completeness != nil {
		info.Complete = m.Completeness.Complete
	}
	if m.Redaction != nil {
		info.Redaction = m.Redaction.Policy
	}
	if b.verified {
		info.Signer = b.signer()
	}
	return info
}
