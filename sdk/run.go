package sdk

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// softMemory is where the garbage collector begins to work harder: below the
// 256 MiB that a host gives a module by default, which Go cannot see.
const softMemory = 160 << 20

// Main is a module's main: it does what argv[1] says and exits.
func Main(a Analyzer) {
	debug.SetMemoryLimit(softMemory)
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
	left := &room{findings: maxFindings, evidence: maxAllEvidence, facts: maxFacts}
	for _, r := range a.Rules {
		out := &Reporter{rule: r.ID, facts: a.Facts, enc: newEncoder(buf), log: stderr, left: left}
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
		o.Reason = joinReasons(err.Error())
	}
	if out.found > 0 {
		if out.dropped > 0 {
			o.Reason = joinReasons(o.Reason, fmt.Sprintf("%d more findings were left out: a module may report %d", out.dropped, maxFindings))
		}
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
			reasons = appendNew(reasons, reason)
		}
	}
	if o.Reason == "" {
		o.Reason = joinReasons(reasons...)
	}
	return o
}

// joinReasons keeps to the length that the host takes.
func joinReasons(reasons ...string) string {
	reasons = slices.DeleteFunc(reasons, func(r string) bool { return r == "" })
	s := strings.Join(reasons, "; ")
	return strings.ToValidUTF8(s[:min(len(s), maxReason)], "")
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

// What a host takes of a module; what is more is left out, and said.
const (
	maxFindings    = 10_000
	maxAllEvidence = 100_000
	maxFacts       = 10_000
	maxEvidence    = 64   // of one finding
	maxAffected    = 1000 // of one finding
	maxReason      = 4000
)

// room is what the rules of a run may still print.
type room struct{ findings, evidence, facts int }

// Reporter takes what a rule finds.
type Reporter struct {
	rule    string
	facts   []FactDecl
	enc     *json.Encoder
	log     io.Writer
	left    *room
	found   int
	dropped int
	unknown *abi.Outcome
	err     error // of printing
}

// Find reports a finding; Rule is filled in. Of evidence and affected objects
// the first 64 and 1000 are kept.
func (o *Reporter) Find(f Finding) {
	o.found++
	f.Rule = o.rule
	f.Evidence, f.Affected = f.Evidence[:min(len(f.Evidence), maxEvidence)], f.Affected[:min(len(f.Affected), maxAffected)]
	if o.left.findings == 0 || o.left.evidence < len(f.Evidence) {
		o.dropped++
		return
	}
	o.left.findings--
	o.left.evidence -= len(f.Evidence)
	if o.err == nil {
		o.err = o.enc.Encode(f)
	}
}

// Tell says something of the node to the modules that read the fact: a row of
// the keys of value, which is a struct or a map, or of the key "value". The
// analyzer is of [ScopeNode] and declares the fact.
func (o *Reporter) Tell(fact string, value any, evidence ...Evidence) {
	evidence = evidence[:min(len(evidence), maxEvidence)]
	declared := slices.ContainsFunc(o.facts, func(f FactDecl) bool { return f.Fact == fact })
	switch {
	case o.err != nil:
	case !declared:
		o.err = fmt.Errorf("rule %s tells the fact %q, which the analyzer does not declare", o.rule, fact)
	case o.left.facts == 0 || o.left.evidence < len(evidence):
		o.err = fmt.Errorf("rule %s: more than %d facts, or %d pieces of evidence", o.rule, maxFacts, maxAllEvidence)
	default:
		o.left.facts--
		o.left.evidence -= len(evidence)
		o.err = o.enc.Encode(abi.Fact{Fact: fact, Value: value, Evidence: evidence})
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
