package redact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"slices"
)

// SummaryPath is where a bundle keeps its [Summary].
const SummaryPath = "collection/redaction.json"

// maxSummaryPaths bounds the paths that a summary names.
const maxSummaryPaths = 20_000

// Summary says how often each rule masked something; it holds no values. It
// is stored at [SummaryPath].
type Summary struct {
	Policy       string                    `json:"policy"`
	Payload      string                    `json:"payload"`
	Key          string                    `json:"key,omitempty"`      // which key the pseudonyms of strict hang on: its [pseudonym.Key.ID]
	Pack         string                    `json:"rulePack,omitempty"` // sha256, in hex, of the rules that came on top of ours
	Rules        map[string]int            `json:"rules"`
	Paths        map[string]map[string]int `json:"paths,omitempty"`        // only paths with redactions
	PathsOmitted int                       `json:"pathsOmitted,omitempty"` // beyond the first 20,000
}

// Summary returns what was counted so far.
func (r *Redactor) Summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Summary{
		Policy: string(r.policy), Payload: r.payload, Key: r.key, Pack: r.pack, Rules: maps.Clone(r.rules),
		Paths: make(map[string]map[string]int, len(r.paths)), PathsOmitted: r.omitted,
	}
	for path, rules := range r.paths {
		s.Paths[path] = maps.Clone(rules)
	}
	return s
}

// Counts returns the redactions so far, by rule.
func (r *Redactor) Counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.rules)
}

// Add counts redactions that were made elsewhere, by a node's agent. Names
// that are not of the form of a rule, and negative counts, are ignored.
func (r *Redactor) Add(rules map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for rule, n := range rules {
		if n > 0 && ruleName(rule) && (len(r.rules) < maxRules || r.rules[rule] > 0) {
			r.rules[rule] += n
		}
	}
}

// maxRules bounds the names that agents may add.
const maxRules = 1024

// maxRuleName bounds the name of a rule, in bytes.
const maxRuleName = 40

func ruleName(s string) bool {
	if s == "" || len(s) > maxRuleName {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func (r *Redactor) commit(path string, c counts) {
	if len(c) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for rule, n := range c {
		r.rules[rule] += n
	}
	if r.paths[path] == nil && len(r.paths) >= maxSummaryPaths {
		r.omitted++
		return
	}
	if r.paths[path] == nil {
		r.paths[path] = make(map[string]int, len(c))
	}
	for rule, n := range c {
		r.paths[path][rule] += n
	}
}

// ownSummary passes a Summary on and nothing else: the names of rules in it
// would look like those of secrets.
type ownSummary struct{ src io.Reader }

func (o *ownSummary) next(out []byte) ([]byte, error) {
	all, err := readDocument(o.src)
	if err != nil {
		return out, err
	}
	dec := json.NewDecoder(bytes.NewReader(all))
	dec.DisallowUnknownFields()
	var s Summary
	if err := dec.Decode(&s); err != nil {
		return out, failf("not a summary of redactions: %v", err)
	}
	if _, err := ParsePolicy(s.Policy); err != nil || !isPayload(s.Payload) {
		return out, failf("not a summary of redactions: policy %.20q, payload %.20q", s.Policy, s.Payload)
	}
	if sum, err := hex.DecodeString(s.Pack); err != nil || len(sum) != 0 && len(sum) != sha256.Size {
		return out, failf("not a summary of redactions: rule pack %.80q", s.Pack)
	}
	if id, err := hex.DecodeString(s.Key); err != nil || len(id) != 0 && len(id) != 8 {
		return out, failf("not a summary of redactions: key %.80q", s.Key)
	}
	for _, rules := range append(slices.Collect(maps.Values(s.Paths)), s.Rules) {
		for rule := range rules {
			if !ruleName(rule) {
				return out, failf("%q is not the name of a rule", rule)
			}
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		return out, failf("%w", err)
	}
	return append(append(out, b...), '\n'), io.EOF
}
