package sdk

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// The shapes that cross the border to the host; see package abi.
type (
	Text     = abi.Text
	Finding  = abi.Finding
	Subject  = abi.Subject
	Evidence = abi.Evidence
	Counter  = abi.Counter
	Flow     = abi.Flow
	Query    = abi.DNS
	LogLine  = abi.Log
	FactDecl = abi.FactDecl
	Limits   = abi.Limits
)

// Severities and layers of rules.
const (
	Critical = abi.SeverityCritical
	High     = abi.SeverityHigh
	Medium   = abi.SeverityMedium
	Low      = abi.SeverityLow
	Info     = abi.SeverityInfo

	LayerUnderlay     = abi.LayerUnderlay
	LayerCNI          = abi.LayerCNI
	LayerService      = abi.LayerService
	LayerDNS          = abi.LayerDNS
	LayerApp          = abi.LayerApp
	LayerControlPlane = abi.LayerControlPlane
	LayerNode         = abi.LayerNode
	LayerWorkload     = abi.LayerWorkload

	ScopeCluster = abi.ScopeCluster
	ScopeNode    = abi.ScopeNode
)

// Analyzer is a module. One of [ScopeNode] runs once for each node and sees
// what lies below it; what its rules tell under the names of Facts, see
// [Reporter.Tell], other modules read as [FactRows].
type Analyzer struct {
	Name    string
	Version string
	Doc     string
	Rules   []Rule
	Scope   string // ScopeCluster when empty
	Facts   []FactDecl
	Limits  Limits
}

// Rule is one thing that a module looks for. Severity is the default of its
// findings; Text holds "en" at least, and its templates name params as {param}.
type Rule struct {
	ID       string
	Severity string
	Layer    string
	Text     map[string]Text
	Inputs   []Source
	Run      func(in *Input, out *Reporter) error
}

// Declaration is what describe prints: the rules and the union of their
// inputs, in order of first use. It fails where Validate does.
func (a Analyzer) Declaration() (abi.Declaration, error) {
	d := abi.Declaration{ABI: [2]int{abi.VersionMin, abi.VersionMax}, Name: a.Name, Version: a.Version, Doc: a.Doc,
		Rules: make([]abi.Rule, 0, len(a.Rules)), Scope: a.Scope, Facts: a.Facts, Limits: a.Limits}
	errs := []error{checkName("analyzer name", a.Name), a.checkFacts()}
	if a.Version == "" {
		errs = append(errs, errors.New("analyzer without a version"))
	}
	inputs := map[string]abi.Input{}
	for i, r := range a.Rules {
		if slices.ContainsFunc(a.Rules[:i], func(o Rule) bool { return o.ID == r.ID }) {
			errs = append(errs, fmt.Errorf("rule %s stands twice", r.ID))
		}
		errs = append(errs, r.check())
		d.Rules = append(d.Rules, abi.Rule{ID: r.ID, Severity: r.Severity, Layer: r.Layer, Text: r.Text})
		for _, s := range r.Inputs {
			in, err := s.declare()
			if err != nil {
				errs = append(errs, fmt.Errorf("rule %s, input %s: %w", r.ID, in.Name, err))
				continue
			}
			if old, ok := inputs[in.Name]; !ok {
				inputs[in.Name] = in
				d.Inputs = append(d.Inputs, in)
			} else if !reflect.DeepEqual(old, in) {
				errs = append(errs, fmt.Errorf("rule %s declares input %q unlike another rule; give it another name", r.ID, in.Name))
			}
		}
	}
	if len(a.Rules) == 0 {
		errs = append(errs, errors.New("analyzer without rules"))
	}
	return d, errors.Join(errs...)
}

func (a Analyzer) checkFacts() error {
	switch {
	case a.Scope != "" && a.Scope != ScopeCluster && a.Scope != ScopeNode:
		return fmt.Errorf("scope %q is neither %s nor %s", a.Scope, ScopeCluster, ScopeNode)
	case len(a.Facts) > 0 && a.Scope != ScopeNode:
		return fmt.Errorf("only an analyzer of scope %s has facts", ScopeNode)
	}
	for i, f := range a.Facts {
		if !isID(f.Fact) {
			return fmt.Errorf("fact %q: want topic/name in lower case", f.Fact)
		}
		if slices.ContainsFunc(a.Facts[:i], func(o FactDecl) bool { return o.Fact == f.Fact }) {
			return fmt.Errorf("fact %s stands twice", f.Fact)
		}
	}
	return nil
}

// Validate says what is wrong with an analyzer before anything runs.
func (a Analyzer) Validate() error {
	_, err := a.Declaration()
	return err
}

func (r Rule) check() error {
	severities, layers := abi.Severities(), abi.Layers()
	switch en := r.Text["en"]; {
	case !isID(r.ID):
		return fmt.Errorf("rule id %q: want topic/name in lower case", r.ID)
	case !slices.Contains(severities, r.Severity):
		return fmt.Errorf("rule %s: severity %q is none of %v", r.ID, r.Severity, severities)
	case !slices.Contains(layers, r.Layer):
		return fmt.Errorf("rule %s: layer %q is none of %v", r.ID, r.Layer, layers)
	case en.Title == "" || en.Message == "":
		return fmt.Errorf("rule %s: no English title and message", r.ID)
	case r.Run == nil:
		return fmt.Errorf("rule %s: no Run", r.ID)
	}
	return nil
}

const lower = "abcdefghijklmnopqrstuvwxyz0123456789"

// isID says whether s is topic/name of [a-z0-9-].
func isID(s string) bool {
	parts := strings.Split(s, "/")
	return len(parts) == 2 && !slices.ContainsFunc(parts, func(p string) bool { return p == "" || strings.Trim(p, lower+"-") != "" })
}

func checkName(what, name string) error {
	if name == "" || strings.Trim(name, lower+"._-") != "" || strings.ContainsAny(name[:1], "._-") {
		return fmt.Errorf("%s %q: want lower-case letters, digits, dot, dash, underscore", what, name)
	}
	return nil
}
