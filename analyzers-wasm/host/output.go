package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// Bounds of what analyze prints. A few bytes of JSON can become a hundred in
// memory, so what is small counts too.
const (
	maxOutputLine  = 256 << 10
	maxFindings    = 10_000
	maxOutcomes    = 10_000
	maxEvidence    = 64      // of one finding
	maxAllEvidence = 100_000 // of one module
	maxAffected    = 1000
	maxAllAffected = 100_000
	maxParams      = 64
	maxParamItems  = 1000
	maxAllParams   = 200_000 // and items of them
	maxString      = 4096
	maxIdentity    = 512 // kinds, names, owners, times
	maxMissing     = 64
	maxFacts       = 10_000 // of one run
	maxFactValue   = 64 << 10
)

// printed is what a module printed, checked but for its evidence.
type printed struct {
	findings []printedFinding
	outcomes []abi.Outcome
}

// printedFinding is a finding, or a fact, which has nothing but evidence.
type printedFinding struct {
	abi.Finding
	line  int
	fact  string
	value json.RawMessage
}

func newOutputParser(d abi.Declaration) *outputParser {
	p := &outputParser{rules: map[string]bool{}, declared: map[string]bool{}, node: d.Scope == abi.ScopeNode}
	for _, f := range d.Facts {
		p.declared[f.Fact] = true
	}
	for _, r := range d.Rules {
		p.rules[r.ID] = true
	}
	return p
}

type outputParser struct {
	rules    map[string]bool
	declared map[string]bool // facts
	node     bool            // of scope node
	out      printed
	found    int // so far, of each
	outcomes int
	evidence int
	affected int
	params   int
	facts    int
}

func (p *outputParser) line(line []byte, nr int) error {
	if !utf8.Valid(line) {
		return errors.New("not UTF-8")
	}
	var kind struct {
		Outcome *json.RawMessage `json:"outcome"`
		Fact    *json.RawMessage `json:"fact"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("not a JSON object: %w", err)
		}
		return errors.New("not a JSON object")
	}
	switch {
	case kind.Outcome != nil:
		return p.outcome(line)
	case kind.Fact != nil:
		return p.fact(line, nr)
	}
	return p.finding(line, nr)
}

func (p *outputParser) outcome(line []byte) error {
	if p.outcomes++; p.outcomes > maxOutcomes {
		return fmt.Errorf("more than %d outcomes", maxOutcomes)
	}
	var o abi.Outcome
	if err := json.Unmarshal(line, &o); err != nil {
		return err
	}
	if !p.rules[o.Rule] {
		return fmt.Errorf("rule %q is not declared by this module", shortReason(input.Clean(o.Rule)))
	}
	if o.Outcome != abi.OutcomeFound && o.Outcome != abi.OutcomeClear && o.Outcome != abi.OutcomeUnknown {
		return fmt.Errorf("outcome %q: want found, clear or unknown", shortReason(input.Clean(o.Outcome)))
	}
	if len(o.Missing) > maxMissing {
		return fmt.Errorf("more than %d missing", maxMissing)
	}
	c := cleaner{}
	c.text(&o.Reason, maxString)
	for i := range o.Missing {
		c.text(&o.Missing[i], maxIdentity)
	}
	p.out.say(o)
	return c.err
}

// say keeps one outcome of each rule: the last, but unknown before any other.
func (p *printed) say(o abi.Outcome) {
	i := slices.IndexFunc(p.outcomes, func(was abi.Outcome) bool { return was.Rule == o.Rule })
	switch {
	case i < 0:
		p.outcomes = append(p.outcomes, o)
	case p.outcomes[i].Outcome != abi.OutcomeUnknown:
		p.outcomes[i] = o
	}
}

func (p *outputParser) finding(line []byte, nr int) error {
	limit := maxFindings
	if p.node {
		limit = maxNodeFindings
	}
	if p.found++; p.found > limit {
		return fmt.Errorf("more than %d findings", limit)
	}
	var f abi.Finding
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&f); err != nil {
		return err
	}
	if err := p.check(&f); err != nil {
		return err
	}
	p.evidence += len(f.Evidence)
	p.affected += len(f.Affected)
	p.params += paramItems(f.Params)
	switch {
	case p.evidence > maxAllEvidence:
		return fmt.Errorf("more than %d pieces of evidence in all", maxAllEvidence)
	case p.affected > maxAllAffected:
		return fmt.Errorf("more than %d affected in all", maxAllAffected)
	case p.params > maxAllParams:
		return fmt.Errorf("more than %d params and items of them in all", maxAllParams)
	}
	p.out.findings = append(p.out.findings, printedFinding{Finding: f, line: nr})
	return nil
}

// fact takes what a module of scope node says of its node, for modules of
// scope cluster.
func (p *outputParser) fact(line []byte, nr int) error {
	if !p.node {
		return errors.New("a fact, which only modules of scope node print")
	}
	var f struct {
		Fact     string          `json:"fact"`
		Value    json.RawMessage `json:"value"`
		Evidence []abi.Evidence  `json:"evidence"`
	}
	if err := json.Unmarshal(line, &f); err != nil {
		return err
	}
	switch p.facts++; {
	case !p.declared[f.Fact]:
		return fmt.Errorf("fact %q is not declared by this module", shortReason(input.Clean(f.Fact)))
	case p.facts > maxFacts:
		return fmt.Errorf("more than %d facts", maxFacts)
	case len(f.Value) == 0 || string(f.Value) == "null":
		return fmt.Errorf("fact %s has no value", f.Fact)
	case len(f.Value) > maxFactValue:
		return fmt.Errorf("fact %s: a value of %d bytes, more than %d", f.Fact, len(f.Value), maxFactValue)
	case len(f.Evidence) > maxEvidence:
		return fmt.Errorf("more than %d pieces of evidence", maxEvidence)
	}
	if p.evidence += len(f.Evidence); p.evidence > maxAllEvidence {
		return fmt.Errorf("more than %d pieces of evidence in all", maxAllEvidence)
	}
	c := cleaner{}
	for i := range f.Evidence {
		c.evidence(&f.Evidence[i])
	}
	p.out.findings = append(p.out.findings, printedFinding{Finding: abi.Finding{Evidence: f.Evidence}, line: nr, fact: f.Fact, value: f.Value})
	return c.err
}

func (p *outputParser) check(f *abi.Finding) error {
	switch {
	case !p.rules[f.Rule]:
		return fmt.Errorf("rule %q is not declared by this module", shortReason(input.Clean(f.Rule)))
	case f.Severity != "" && !input.ValidSeverity(f.Severity):
		return fmt.Errorf("severity %q", shortReason(input.Clean(f.Severity)))
	case f.Confidence != "" && f.Confidence != "high" && f.Confidence != "medium" && f.Confidence != "low":
		return fmt.Errorf("confidence %q: want high, medium or low", shortReason(input.Clean(f.Confidence)))
	case f.Subject.Kind == "" || f.Subject.Name == "":
		return errors.New("the subject needs a kind and a name")
	case len(f.Affected) > maxAffected:
		return fmt.Errorf("more than %d affected", maxAffected)
	case len(f.Evidence) > maxEvidence:
		return fmt.Errorf("more than %d pieces of evidence", maxEvidence)
	case len(f.Params) > maxParams:
		return fmt.Errorf("more than %d params", maxParams)
	}
	c := cleaner{}
	c.text(&f.Owner, maxIdentity)
	c.subject(&f.Subject)
	if f.Peer != nil {
		c.subject(f.Peer)
	}
	for i := range f.Affected {
		c.subject(&f.Affected[i])
	}
	c.time("firstSeen", f.FirstSeen)
	c.time("lastSeen", f.LastSeen)
	c.params(f.Params)
	for i := range f.Evidence {
		c.evidence(&f.Evidence[i])
	}
	return c.err
}

// cleaner drops what a terminal would act on from every string, and refuses
// what is too long; the first error stands.
type cleaner struct{ err error }

func (c *cleaner) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *cleaner) text(s *string, limit int) {
	if len(*s) > limit {
		c.fail("a text of %d bytes, more than %d", len(*s), limit)
		return
	}
	*s = input.Clean(*s)
}

func (c *cleaner) subject(s *abi.Subject) {
	for _, t := range []*string{&s.Kind, &s.Namespace, &s.Name, &s.Node, &s.UID} {
		c.text(t, maxIdentity)
	}
}

func (c *cleaner) time(what, s string) {
	if s == "" {
		return
	}
	if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
		c.fail("%s is no RFC 3339 time", what)
	}
}

func (c *cleaner) params(params map[string]any) {
	for k, v := range params {
		if k == "" || len(k) > 64 || strings.ContainsAny(k, "{} \n\t") || input.Clean(k) != k {
			c.fail("param %q: not a name", shortReason(input.Clean(k)))
			return
		}
		params[k] = c.param(k, v, true)
	}
}

// paramItems counts params and what is in their lists.
func paramItems(params map[string]any) int {
	n := len(params)
	for _, v := range params {
		if list, ok := v.([]any); ok {
			n += len(list)
		}
	}
	return n
}

// param takes scalars and flat lists of them; whole numbers stay exact.
func (c *cleaner) param(k string, v any, lists bool) any {
	switch v := v.(type) {
	case nil, bool:
		return v
	case string:
		c.text(&v, maxString)
		return v
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, err := v.Float64()
		if err != nil || math.IsInf(n, 0) {
			c.fail("param %s: a number out of range", k)
		}
		return n
	case []any:
		if lists && len(v) <= maxParamItems {
			for i := range v {
				v[i] = c.param(k, v[i], false)
			}
			return v
		}
	}
	c.fail("param %s: want a text, number, truth value or a list of up to %d of them", k, maxParamItems)
	return nil
}

func (c *cleaner) evidence(e *abi.Evidence) {
	c.text(&e.Value, maxString)
	c.text(&e.Pointer, maxString)
	switch {
	case e.At != 0 && (e.Path != "" || e.Line != 0 || e.Packet != 0):
		c.fail("evidence has either at or path")
	case e.At == 0 && e.Path == "":
		c.fail("evidence without at or path")
	case e.At < 0 || e.Line < 0 || e.Packet < 0:
		c.fail("evidence with a negative number")
	case e.Line > 0 && e.Packet > 0:
		c.fail("evidence has either line or packet")
	case len(e.Path) > maxString:
		c.fail("evidence with a path of %d bytes", len(e.Path))
	case math.IsNaN(e.Seconds) || e.Seconds < 0:
		c.fail("evidence with negative seconds")
	}
}

// outcomes gives every declared rule one result: found if there is a finding;
// else, of a module that went well, what it said; else unknown with the reason.
func outcomes(d abi.Declaration, found []abi.ResolvedFinding, said []abi.Outcome, r abi.ModuleResult) []abi.RuleResult {
	has := map[string]bool{}
	for _, f := range found {
		has[f.Rule] = true
	}
	word := map[string]abi.Outcome{}
	for _, o := range said {
		word[o.Rule] = o
	}
	results := make([]abi.RuleResult, 0, len(d.Rules))
	for _, rule := range d.Rules {
		res := abi.RuleResult{Rule: rule.ID, Outcome: abi.OutcomeUnknown}
		o, spoke := word[rule.ID]
		switch {
		case has[rule.ID]:
			res.Outcome = abi.OutcomeFound
			if o.Outcome == abi.OutcomeFound {
				res.Reason = o.Reason // what it could not look at
			}
		case r.Status != "" && r.Status != abi.ModuleOK:
			res.Reason = fmt.Sprintf("module %s: %s: %s", r.Name, r.Status, r.Reason)
		case !spoke:
			res.Reason = "the module said nothing about it"
		case o.Outcome == abi.OutcomeFound:
			res.Reason = "the module said found, but of what it did not say"
		default:
			res.Outcome, res.Reason, res.Missing = o.Outcome, o.Reason, o.Missing
		}
		results = append(results, res)
	}
	return results
}
