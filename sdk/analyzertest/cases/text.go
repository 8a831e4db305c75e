package cases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Resolve turns the number of a row into its place in the bundle.
type Resolve func(at int64) (abi.ReportedEvidence, error)

// Run turns what a module printed into what the host would make of it: one
// result for every declared rule, and findings with their places.
func Run(d abi.Declaration, printed []byte, resolve Resolve) (abi.ModuleRun, error) {
	run := abi.ModuleRun{Declaration: d, Result: abi.ModuleResult{Name: d.Name, Version: d.Version, Status: abi.ModuleOK}}
	said := map[string]abi.Outcome{}
	found := map[string]bool{}
	for line := range bytes.Lines(printed) {
		var kind struct {
			Rule, Outcome, Fact string
		}
		if err := json.Unmarshal(line, &kind); err != nil {
			return run, fmt.Errorf("printed %q: %w", line, err)
		}
		if kind.Fact != "" {
			continue // it is another module's input, not a result
		}
		if !slices.ContainsFunc(d.Rules, func(r abi.Rule) bool { return r.ID == kind.Rule }) {
			return run, fmt.Errorf("printed a line of the undeclared rule %q", kind.Rule)
		}
		var err error
		if kind.Outcome == "" {
			found[kind.Rule] = true
			err = addFinding(&run, line, resolve)
		} else {
			err = addOutcome(said, line)
		}
		if err != nil {
			return run, fmt.Errorf("%s: %w", kind.Rule, err)
		}
	}
	for _, r := range d.Rules {
		o, ok := said[r.ID]
		switch {
		case found[r.ID] && o.Outcome == abi.OutcomeFound:
			o.Missing = nil
		case found[r.ID]:
			o = abi.Outcome{Outcome: abi.OutcomeFound}
		case !ok:
			o = abi.Outcome{Outcome: abi.OutcomeUnknown, Reason: "the module said nothing about it"}
		}
		run.Outcomes = append(run.Outcomes, abi.RuleResult{Rule: r.ID, Outcome: o.Outcome, Reason: o.Reason, Missing: o.Missing})
	}
	return run, nil
}

// addOutcome keeps the last word on a rule, unknown before any other.
func addOutcome(said map[string]abi.Outcome, line []byte) error {
	var o abi.Outcome
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("printed %q: %w", line, err)
	}
	if said[o.Rule].Outcome != abi.OutcomeUnknown {
		said[o.Rule] = o
	}
	return nil
}

func addFinding(run *abi.ModuleRun, line []byte, resolve Resolve) error {
	f := abi.ResolvedFinding{}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber() // whole numbers stay whole
	if err := dec.Decode(&f.Finding); err != nil {
		return fmt.Errorf("printed %q: %w", line, err)
	}
	for k, v := range f.Params {
		f.Params[k] = number(v)
	}
	for _, e := range f.Evidence {
		place := abi.ReportedEvidence{Path: e.Path, Line: e.Line, Packet: e.Packet}
		if e.At != 0 {
			var err error
			if place, err = resolve(e.At); err != nil {
				return fmt.Errorf("evidence %d: %w", e.At, err)
			}
		}
		f.Places = append(f.Places, place)
	}
	run.Findings = append(run.Findings, f)
	return nil
}

// number is v with its numbers as the host has them.
func number(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, _ := v.Float64()
		return n
	case []any:
		for i := range v {
			v[i] = number(v[i])
		}
	}
	return v
}

// Text is the section want that fits a run. It fails on what a report could
// not show: a placeholder without its param, a finding without evidence.
func Text(run abi.ModuleRun) (string, error) {
	var b strings.Builder
	for _, o := range run.Outcomes {
		fmt.Fprintf(&b, "%s %s", o.Outcome, o.Rule)
		if o.Reason != "" {
			fmt.Fprintf(&b, ": %s", o.Reason)
		}
		if o.Missing != nil {
			fmt.Fprintf(&b, " (lacks %s)", strings.Join(o.Missing, ", "))
		}
		b.WriteByte('\n')
		i := slices.IndexFunc(run.Declaration.Rules, func(r abi.Rule) bool { return r.ID == o.Rule })
		if i < 0 {
			return "", fmt.Errorf("an outcome of the undeclared rule %q", o.Rule)
		}
		for _, f := range run.Findings {
			if f.Rule != o.Rule {
				continue
			}
			if err := writeFinding(&b, run.Declaration.Rules[i], f); err != nil {
				return "", fmt.Errorf("%s: %w", o.Rule, err)
			}
		}
	}
	return b.String(), nil
}

func writeFinding(b *strings.Builder, r abi.Rule, f abi.ResolvedFinding) error {
	severity := f.Severity
	if severity == "" {
		severity = r.Severity
	}
	if f.Confidence != "" && f.Confidence != "high" {
		severity += "/" + f.Confidence
	}
	fmt.Fprintf(b, "  %s %s", severity, subject(f.Subject))
	if f.Variant != "" {
		fmt.Fprintf(b, " [%s]", f.Variant)
	}
	message, err := message(r, f.Finding)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, ": %s\n", message)
	if len(f.Places) == 0 || len(f.Places) != len(f.Evidence) {
		return errors.New("a finding without evidence")
	}
	if f.Owner != "" {
		fmt.Fprintf(b, "    owner %s\n", f.Owner)
	}
	if f.Peer != nil {
		fmt.Fprintf(b, "    peer %s\n", subject(*f.Peer))
	}
	for _, a := range f.Affected {
		fmt.Fprintf(b, "    affected %s\n", subject(a))
	}
	for i, p := range f.Places {
		writePlace(b, p, f.Evidence[i].Delta)
	}
	return nil
}

// writePlace shows a place, and how far it moved by the word of the module.
func writePlace(b *strings.Builder, p abi.ReportedEvidence, delta *int64) {
	fmt.Fprintf(b, "    %s", p.Path)
	if p.Line > 0 {
		fmt.Fprintf(b, ":%d", p.Line)
	}
	if p.Packet > 0 {
		fmt.Fprintf(b, " packet %d", p.Packet)
	}
	if delta != nil {
		fmt.Fprintf(b, " %+d", *delta)
	}
	b.WriteByte('\n')
}

// message is the finding's English message; every text of every language must
// render.
func message(r abi.Rule, f abi.Finding) (string, error) {
	english := ""
	for lang, text := range r.Text {
		if f.Variant != "" && text.Variants[f.Variant].Message == "" {
			return "", fmt.Errorf("no variant %q in language %s", f.Variant, lang)
		}
		text = text.Variant(f.Variant)
		for _, s := range append([]string{text.Title, text.Message}, text.Remediation...) {
			rendered, err := render(s, f.Params)
			if err != nil {
				return "", fmt.Errorf("language %s: %w", lang, err)
			}
			if lang == "en" && s == text.Message {
				english = rendered
			}
		}
	}
	return english, nil
}

func subject(s abi.Subject) string {
	if s.Namespace != "" {
		return s.Kind + " " + s.Namespace + "/" + s.Name
	}
	return s.Kind + " " + s.Name
}

// Placeholders lists the params that a template names, in order.
func Placeholders(template string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`\{([A-Za-z][A-Za-z0-9_]*)\}`).FindAllStringSubmatch(template, -1) {
		names = append(names, m[1])
	}
	return names
}

// render fills {param}s in and fails on one that is not given.
func render(template string, params map[string]any) (string, error) {
	var missing []string
	for _, name := range Placeholders(template) {
		v, ok := params[name]
		if !ok {
			missing = append(missing, "{"+name+"}")
		}
		template = strings.ReplaceAll(template, "{"+name+"}", fmt.Sprint(v))
	}
	if missing != nil {
		return "", fmt.Errorf("template %q names %v, which the finding does not give", template, missing)
	}
	return template, nil
}
