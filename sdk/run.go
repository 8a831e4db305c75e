package sdk

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Main is a module's main: it does what argv[1] says and exits.
func Main(a Analyzer) {
	verb := ""
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	if err := a.serve(verb, os.DirFS("/"), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, a.Name+":", err)
		os.Exit(1)
	}
}

func (a Analyzer) serve(verb string, fsys fs.FS, stdout, stderr io.Writer) error {
	switch verb {
	case abi.VerbDescribe:
		return a.Describe(stdout)
	case abi.VerbAnalyze:
		return a.Analyze(fsys, stdout, stderr)
	}
	return fmt.Errorf("argument %q: want %s or %s", verb, abi.VerbDescribe, abi.VerbAnalyze)
}

// Describe prints the declaration.
func (a Analyzer) Describe(w io.Writer) error {
	d, err := a.Declaration()
	if err != nil {
		return err
	}
	return newEncoder(w).Encode(d)
}

// Analyze runs the rules one after the other over the files that the host
// laid out (config.json, in/…, bundle/…) and prints findings and outcomes. The
// error is that of reading the configuration or of printing; a rule's own
// failure is its outcome.
func (a Analyzer) Analyze(fsys fs.FS, stdout, stderr io.Writer) error {
	s, err := newShared(fsys)
	if err != nil {
		return err
	}
	buf := bufio.NewWriterSize(stdout, 64<<10)
	for _, r := range a.Rules {
		out := &Reporter{rule: r.ID, enc: newEncoder(buf), log: stderr}
		o := r.evaluate(&Input{shared: s}, out)
		if out.err == nil {
			out.err = out.enc.Encode(o)
		}
		if err := buf.Flush(); err != nil {
			return err // what came before a rule that kills the module is printed
		}
		if out.err != nil {
			return out.err
		}
	}
	return nil
}

// evaluate runs a rule and tells its outcome.
func (r Rule) evaluate(in *Input, out *Reporter) abi.Outcome {
	o := abi.Outcome{Rule: r.ID, Outcome: abi.OutcomeFound}
	err := r.protected(in, out)
	if err == nil {
		err = in.err
	}
	if err != nil {
		o.Reason = err.Error()
	}
	if out.found > 0 {
		return o
	}
	o.Outcome = abi.OutcomeClear
	if err != nil || out.unknown != nil {
		o.Outcome = abi.OutcomeUnknown
	}
	var reasons []string
	if out.unknown != nil {
		reasons, o.Missing = []string{out.unknown.Reason}, out.unknown.Missing
	}
	for _, s := range r.Inputs {
		reason, missing := in.Missing(s)
		if d, _ := s.declare(); missing && !s.optional() {
			o.Outcome, o.Missing = abi.OutcomeUnknown, appendNew(o.Missing, d.Name)
			reasons = append(reasons, d.Name+": "+reason)
		}
	}
	if o.Reason == "" {
		o.Reason = strings.Join(reasons, "; ")
	}
	return o
}

func (r Rule) protected(in *Input, out *Reporter) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the rule panicked: %v", p)
			fmt.Fprintf(out.log, "%s: panic: %v\n%s", r.ID, p, debug.Stack())
		}
	}()
	return r.Run(in, out)
}

// Reporter takes what a rule finds.
type Reporter struct {
	rule    string
	enc     *json.Encoder
	log     io.Writer
	found   int
	unknown *abi.Outcome
	err     error // of printing
}

// Find reports a finding; Rule is filled in.
func (o *Reporter) Find(f Finding) {
	o.found++
	f.Rule = o.rule
	if o.err == nil {
		o.err = o.enc.Encode(f)
	}
}

// Found is the number of findings so far.
func (o *Reporter) Found() int { return o.found }

// Unknown says that the rule could not tell, and which inputs were lacking;
// it counts only if the rule found nothing. The first reason stands.
func (o *Reporter) Unknown(reason string, lacking ...Source) {
	if o.unknown != nil {
		return
	}
	o.unknown = &abi.Outcome{Reason: reason}
	for _, s := range lacking {
		d, _ := s.declare()
		o.unknown.Missing = appendNew(o.unknown.Missing, d.Name)
	}
}

// Logf writes to the module's log, which the host caps.
func (o *Reporter) Logf(format string, args ...any) {
	fmt.Fprintf(o.log, o.rule+": "+format+"\n", args...)
}

// At cites a row by its number.
func At(n int64) Evidence { return Evidence{At: n} }

// AtPacket cites a packet of a declared capture file, counted from 1.
func AtPacket(path string, packet int) Evidence { return Evidence{Path: path, Packet: packet} }

// AtLine cites a line of a declared file, counted from 1.
func AtLine(path string, line int) Evidence { return Evidence{Path: path, Line: line} }

func newEncoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

func appendNew(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}
