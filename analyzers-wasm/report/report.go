// Package report turns what modules found into what people and programs read.
//
// [Build] joins the runs of all modules into one [abi.Report]: it renders the
// texts of the rules in a language, gives every finding an id that is the same
// over re-runs, and puts everything in one order. [Text] and [JSON] print a
// report, [Explain] prints a rule.
//
// Modules and bundles are not trusted: all strings that come from them lose
// their control characters, escape sequences and changes of writing direction
// before they go anywhere (see clean.go). The same input gives the same bytes,
// apart from the milliseconds of the modules.
package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Build makes the report of one bundle. Lang is "en" or "zh"; a text that a
// rule lacks in it is taken from "en".
func Build(info abi.BundleInfo, runs []abi.ModuleRun, lang string) abi.Report {
	r := abi.Report{
		Schema:   abi.SchemaReport,
		Bundle:   cleanInfo(info),
		Findings: []abi.ReportedFind{},
		Rules:    []abi.RuleResult{},
		Modules:  []abi.ModuleResult{},
	}
	for _, run := range runs {
		rules := make(map[string]abi.Rule, len(run.Declaration.Rules))
		for _, rule := range run.Declaration.Rules {
			rules[rule.ID] = rule
		}
		for _, f := range run.Findings {
			r.Findings = append(r.Findings, finding(f, rules[f.Rule], moduleName(run.Result), lang))
		}
		r.Rules = append(r.Rules, outcomes(run)...)
		r.Modules = append(r.Modules, cleanModule(run.Result))
	}
	order(&r)
	number(r.Findings)
	return r
}

func moduleName(m abi.ModuleResult) string {
	return clean(m.Name + "@" + m.Version + " " + m.Digest)
}

func finding(f abi.ResolvedFinding, rule abi.Rule, module, lang string) abi.ReportedFind {
	t := textOf(rule, f.Variant, lang)
	return abi.ReportedFind{
		Schema:      abi.SchemaFinding,
		ID:          identity(f.Finding),
		Rule:        clean(f.Rule),
		Severity:    severity(f.Severity, rule.Severity),
		Confidence:  cmp.Or(clean(f.Confidence), "high"),
		Layer:       clean(rule.Layer),
		Subject:     cleanSubject(f.Subject),
		Peer:        cleanPeer(f.Peer),
		Affected:    each(f.Affected, cleanSubject),
		FirstSeen:   clean(f.FirstSeen),
		LastSeen:    clean(f.LastSeen),
		Params:      cleanParams(f.Params),
		Title:       cmp.Or(render(t.Title, f.Params), clean(f.Rule)),
		Message:     render(t.Message, f.Params),
		Remediation: each(t.Remediation, func(s string) string { return render(s, f.Params) }),
		References:  each(t.References, clean),
		Evidence:    evidence(f.Places),
		Module:      module,
	}
}

// identity is the same in every bundle in which the same rule finds the same
// workload broken; pods come and go, so their owner stands for them.
func identity(f abi.Finding) string {
	const digits = 12
	owner := f.Owner
	if owner == "" {
		owner = strings.Join([]string{f.Subject.Kind, f.Subject.Namespace, f.Subject.Name}, "/")
	}
	sum := sha256.Sum256([]byte(f.Rule + "\x00" + owner))
	return hex.EncodeToString(sum[:])[:digits]
}

// number tells findings apart that share an id: the second gets -2.
func number(findings []abi.ReportedFind) {
	seen := map[string]int{}
	for i := range findings {
		id := findings[i].ID
		if seen[id]++; seen[id] > 1 {
			findings[i].ID = fmt.Sprintf("%s-%d", id, seen[id])
		}
	}
}

// severity is the first of the given ones that there is.
func severity(choices ...string) string {
	for _, s := range choices {
		if slices.Contains(abi.Severities(), s) {
			return s
		}
	}
	return abi.SeverityMedium
}

// rank is the place of s in the list, its end for what is not in it.
func rank(list []string, s string) int {
	if i := slices.Index(list, s); i >= 0 {
		return i
	}
	return len(list)
}

func order(r *abi.Report) {
	bySeverity, byLayer := abi.Severities(), abi.Layers()
	slices.SortStableFunc(r.Findings, func(a, b abi.ReportedFind) int {
		return cmp.Or(
			cmp.Compare(rank(bySeverity, a.Severity), rank(bySeverity, b.Severity)),
			cmp.Compare(rank(byLayer, a.Layer), rank(byLayer, b.Layer)),
			cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Subject.Namespace, b.Subject.Namespace),
			cmp.Compare(a.Subject.Name, b.Subject.Name),
			cmp.Compare(a.Subject.Kind, b.Subject.Kind),
			cmp.Compare(a.Subject.Node, b.Subject.Node),
			cmp.Compare(a.Message, b.Message),
			cmp.Compare(a.Module, b.Module),
		)
	})
	slices.SortStableFunc(r.Rules, func(a, b abi.RuleResult) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason))
	})
	slices.SortStableFunc(r.Modules, func(a, b abi.ModuleResult) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Digest, b.Digest))
	})
}

// outcomes are those of all declared rules; one that the run lacks is unknown.
func outcomes(run abi.ModuleRun) []abi.RuleResult {
	sources := map[string]string{}
	for _, in := range run.Declaration.Inputs {
		sources[in.Name] = sourceOf(in)
	}
	var results []abi.RuleResult
	known := map[string]bool{}
	for _, o := range run.Outcomes {
		known[o.Rule] = true
		results = append(results, abi.RuleResult{
			Rule: clean(o.Rule), Outcome: clean(o.Outcome), Reason: clean(o.Reason),
			Missing: each(o.Missing, func(s string) string { return clean(cmp.Or(sources[s], s)) }),
		})
	}
	for _, rule := range run.Declaration.Rules {
		if !known[rule.ID] {
			reason := "the module said nothing about it"
			if run.Result.Status != abi.ModuleOK {
				reason = "module " + run.Result.Name + ": " + run.Result.Status
			}
			results = append(results, abi.RuleResult{Rule: clean(rule.ID), Outcome: abi.OutcomeUnknown, Reason: clean(reason)})
		}
	}
	return results
}

// sourceOf names an input by what it is made of, since the name that a module
// gives it says nothing to others.
func sourceOf(in abi.Input) string {
	switch {
	case in.Resource != "":
		return "resource " + in.Resource
	case len(in.Counters) > 0:
		return "counters " + strings.Join(in.Counters, ",")
	case in.Logs != "":
		return "logs " + in.Logs
	}
	return cmp.Or(in.Table, in.Files, in.Flows, in.DNS)
}

// JSON prints a report as one line.
func JSON(w io.Writer, r abi.Report) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// each maps a list; an empty one stays nil.
func each[T, U any](list []T, f func(T) U) []U {
	var out []U
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}

func evidence(places []abi.ReportedEvidence) []abi.ReportedEvidence {
	out := []abi.ReportedEvidence{}
	for _, e := range places {
		e.Path, e.Pointer, e.Value = clean(e.Path), clean(e.Pointer), clean(e.Value)
		out = append(out, e)
	}
	return out
}

func cleanInfo(i abi.BundleInfo) abi.BundleInfo {
	for _, s := range []*string{&i.Name, &i.ID, &i.Cluster, &i.Created, &i.Signer, &i.Note, &i.Redaction} {
		*s = clean(*s)
	}
	labels := make(map[string]string, len(i.Labels))
	for _, k := range slices.Sorted(maps.Keys(i.Labels)) {
		labels[clean(k)] = clean(i.Labels[k])
	}
	i.Labels = labels
	return i
}

func cleanModule(m abi.ModuleResult) abi.ModuleResult {
	for _, s := range []*string{&m.Name, &m.Version, &m.Digest, &m.Status, &m.Reason} {
		*s = clean(*s)
	}
	m.Log = cleanLines(m.Log)
	return m
}

func cleanSubject(s abi.Subject) abi.Subject {
	return abi.Subject{Kind: clean(s.Kind), Namespace: clean(s.Namespace), Name: clean(s.Name), Node: clean(s.Node), UID: clean(s.UID)}
}

func cleanPeer(s *abi.Subject) *abi.Subject {
	if s == nil {
		return nil
	}
	c := cleanSubject(*s)
	return &c
}
