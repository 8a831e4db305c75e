package redact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// Rules is a rule pack: what to mask beside what this package knows. The zero
// value has no rules. [LoadRules] reads one.
type Rules struct {
	rules  []rule
	fields []fieldRule
	sum    string
}

// SHA256 is the hash of the pack's file in hex, empty without a pack.
func (r Rules) SHA256() string { return r.sum }

// Bounds of a pack.
const (
	MaxRules = 512 << 10 // bytes of its file

	maxPackRules    = 256
	maxPackPaths    = 1024
	maxPattern      = 1 << 10 // bytes
	maxRuleKeywords = 16
	minKeyword      = 3
	maxKeyword      = 64
)

// packFile is the form of a pack: rules for text, and fields of objects.
type packFile struct {
	Rules  []packRule  `json:"rules"`
	Fields []packField `json:"fields"`
}

// packRule masks in text, wherever a keyword stands (in any case). Without a
// pattern it masks the value given to a name that has the keyword in it.
// A pattern that begins with ^ begins at the keyword, and takes what follows of
// the same token with it; any other is searched on the keyword's line. Its
// first group that matched is masked, or all of it.
type packRule struct {
	Name     string   `json:"name"`
	Keywords []string `json:"keywords"`
	Pattern  string   `json:"pattern"`
	Group    int      `json:"group"` // masked if given
}

// packField masks fields of objects, by where they stand.
type packField struct {
	Name  string   `json:"name"`
	Group string   `json:"group"` // API group; * is any
	Kinds []string `json:"kinds"` // none is any
	Paths []string `json:"paths"` // spec.a.b; * is any name, ** any names; lists are stepped through
	Keep  []string `json:"keep"`  // what stays as it is; only in the pack of this package
}

// LoadRules reads a rule pack, a JSON document as POLICY.md describes it. An
// error names the rule that is wrong.
func LoadRules(data []byte) (Rules, error) {
	pack, err := parsePack(data)
	if err != nil {
		return Rules{}, fmt.Errorf("redaction rules: %w", err)
	}
	for _, f := range pack.Fields {
		if len(f.Keep) > 0 {
			return Rules{}, fmt.Errorf("redaction rules: fields %q: keep is not for packs of your own", f.Name)
		}
	}
	own := ownNames()
	for _, r := range pack.Rules {
		if own[r.Name] {
			return Rules{}, fmt.Errorf("redaction rules: rule %q is built in: choose another name", r.Name)
		}
	}
	r, err := pack.compile()
	if err != nil {
		return Rules{}, fmt.Errorf("redaction rules: %w", err)
	}
	sum := sha256.Sum256(data)
	r.sum = hex.EncodeToString(sum[:])
	return r, nil
}

func parsePack(data []byte) (*packFile, error) {
	if len(data) > MaxRules {
		return nil, fmt.Errorf("%d bytes; at most %d", len(data), MaxRules)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var pack packFile
	if err := dec.Decode(&pack); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	if len(pack.Rules) > maxPackRules || len(pack.Fields) > maxPackRules {
		return nil, fmt.Errorf("%d rules and %d fields; at most %d each", len(pack.Rules), len(pack.Fields), maxPackRules)
	}
	return &pack, nil
}

func (p *packFile) compile() (Rules, error) {
	var r Rules
	for i, raw := range p.Rules {
		compiled, err := raw.compile()
		if err != nil {
			return r, fmt.Errorf("rule %d %q: %w", i+1, raw.Name, err)
		}
		r.rules = append(r.rules, compiled)
	}
	for i, raw := range p.Fields {
		compiled, err := raw.compile()
		if err != nil {
			return r, fmt.Errorf("fields %d %q: %w", i+1, raw.Name, err)
		}
		r.fields = append(r.fields, compiled...)
	}
	if len(r.fields) > maxPackPaths {
		return r, fmt.Errorf("%d paths of fields; at most %d", len(r.fields), maxPackPaths)
	}
	return r, nil
}

func (p *packRule) compile() (rule, error) {
	if !ruleName(p.Name) {
		return rule{}, errors.New("a name is 1 to 40 of a-z, 0-9 and -")
	}
	if len(p.Keywords) == 0 || len(p.Keywords) > maxRuleKeywords {
		return rule{}, fmt.Errorf("%d keywords; 1 to %d are needed to know where to look", len(p.Keywords), maxRuleKeywords)
	}
	words := make([]string, 0, len(p.Keywords))
	for _, k := range p.Keywords {
		word, err := keyword(k)
		if err != nil {
			return rule{}, err
		}
		words = append(words, word)
	}
	if p.Pattern == "" {
		return rule{name: p.Name, words: words, find: assigned, named: partOfName}, nil
	}
	if len(p.Pattern) > maxPattern {
		return rule{}, fmt.Errorf("the pattern has %d bytes; at most %d", len(p.Pattern), maxPattern)
	}
	re, err := regexp.Compile(p.Pattern)
	if err != nil {
		return rule{}, err
	}
	if p.Group < 0 || p.Group > re.NumSubexp() {
		return rule{}, fmt.Errorf("the pattern has %d groups, not %d", re.NumSubexp(), p.Group)
	}
	if re.MatchString("") {
		return rule{}, errors.New("the pattern matches nothing at all, and so everywhere")
	}
	if p.Pattern[0] == '^' {
		return rule{name: p.Name, words: words, find: prefixed(re, p.Group)}, nil
	}
	return rule{name: p.Name, words: words, find: searched(re, p.Group)}, nil
}

// keyword checks a keyword and returns it in lower case.
func keyword(k string) (string, error) {
	if len(k) < minKeyword || len(k) > maxKeyword {
		return "", fmt.Errorf("keyword %.70q: %d to %d characters", k, minKeyword, maxKeyword)
	}
	lower := []byte(k)
	for i, c := range lower {
		if c < ' ' || c > '~' {
			return "", fmt.Errorf("keyword %q: printable ASCII only", k)
		}
		if c >= 'A' && c <= 'Z' {
			lower[i] = c - 'A' + 'a'
		}
	}
	return string(lower), nil
}

// How far a pattern looks: the token itself may be longer.
const (
	maxToken  = 512
	maxBefore = 256
)

// prefixed makes a finder from a pattern that begins with ^ at the keyword.
func prefixed(re *regexp.Regexp, group int) finder {
	return func(b []byte, at, _ int) (int, int) {
		m := re.FindSubmatchIndex(b[at:min(len(b), at+maxToken)])
		from, to := masked(m, group)
		if from < 0 {
			return -1, at
		}
		return at + from, skip(b, at+to, isTokenByte)
	}
}

// masked gives the stretch of a match that is masked, -1 if there is none.
func masked(m []int, group int) (from, to int) {
	if m == nil {
		return -1, 0
	}
	if group > 0 {
		return m[2*group], m[2*group+1]
	}
	for g := 1; g < len(m)/2; g++ {
		if m[2*g] >= 0 {
			return m[2*g], m[2*g+1]
		}
	}
	return m[0], m[1]
}

// searched makes a finder from a pattern that may begin before the keyword, on
// its line.
func searched(re *regexp.Regexp, group int) finder {
	return func(b []byte, at, end int) (int, int) {
		low := max(0, at-maxBefore)
		low += bytes.LastIndexByte(b[low:at], '\n') + 1
		high := min(len(b), at+maxToken)
		if n := bytes.IndexByte(b[at:high], '\n'); n >= 0 {
			high = at + n
		}
		for low < high {
			m := re.FindSubmatchIndex(b[low:high])
			if m == nil {
				break
			}
			if from, to := masked(m, group); low+m[1] > at && from >= 0 {
				return low + from, low + to
			}
			low += max(1, m[1])
		}
		return -1, max(end, min(high, at+maxBefore))
	}
}
