package redact

import (
	"bytes"
	"errors"
	"strings"
)

// fieldRule says what happens to one field of objects of a kind.
type fieldRule struct {
	rule  string
	group string // API group; * is any
	kind  string // * is any
	path  []string
	keep  bool
}

// anyNames in a path stands for any number of names, none as well.
const (
	anyNames = "**"
	maxPath  = 32 // names
)

func (p *packField) compile() ([]fieldRule, error) {
	if !ruleName(p.Name) {
		return nil, errors.New("a name is 1 to 40 of a-z, 0-9 and -")
	}
	if p.Group == "" {
		return nil, errors.New("group is missing: an API group, core, or *")
	}
	if len(p.Paths)+len(p.Keep) == 0 {
		return nil, errors.New("paths are missing")
	}
	kinds := p.Kinds
	if len(kinds) == 0 {
		kinds = []string{"*"}
	}
	var rules []fieldRule
	for _, kind := range kinds {
		for i, path := range append(append([]string(nil), p.Paths...), p.Keep...) {
			names := strings.Split(path, ".")
			if len(names) > maxPath || strings.Count(path, anyNames) > 1 {
				return nil, errors.New("path " + path + " has more than 32 names or more than one ** in it")
			}
			for _, n := range names {
				if n == "" {
					return nil, errors.New("path " + path + " has an empty name in it")
				}
			}
			rules = append(rules, fieldRule{rule: p.Name, group: p.Group, kind: kind, path: names, keep: i >= len(p.Paths)})
		}
	}
	return rules, nil
}

// fieldTable is the field rules by kind.
type fieldTable struct {
	byKind map[string][]*fieldRule
	any    []*fieldRule
}

func newFieldTable(rules []fieldRule) *fieldTable {
	t := &fieldTable{byKind: map[string][]*fieldRule{}}
	for i, r := range rules {
		if r.kind == "*" {
			t.any = append(t.any, &rules[i])
		} else {
			t.byKind[r.kind] = append(t.byKind[r.kind], &rules[i])
		}
	}
	return t
}

// fieldState is a rule and how much of its path lies above.
type fieldState struct {
	rule *fieldRule
	at   int
}

// begin gives the rules for an object of a type, at its top.
func (t *fieldTable) begin(api, kind []byte) []fieldState {
	var states []fieldState
	group, _, found := bytes.Cut(api, []byte("/"))
	if !found {
		group = []byte("core")
	}
	for _, rules := range [][]*fieldRule{t.byKind[string(kind)], t.any} {
		for _, r := range rules {
			if r.group == "*" || r.group == string(group) {
				states = append(states, fieldState{r, 0})
			}
		}
	}
	return states
}

// descend goes down to a member. It returns the rules that go on below, and the
// one that ends there, nil if none does; one that masks comes before one that
// keeps.
func descend(states []fieldState, name []byte) (below []fieldState, hit *fieldRule) {
	for _, s := range states {
		path := s.rule.path[s.at:]
		if path[0] == anyNames {
			below = append(below, s)
			path = path[1:]
			s.at++
		}
		switch {
		case len(path) > 0 && path[0] != "*" && path[0] != string(name):
		case len(path) > 1:
			below = append(below, fieldState{s.rule, s.at + 1})
		case hit == nil || hit.keep:
			hit = s.rule
		}
	}
	return below, hit
}

// typeMeta is what an object says about its type, as it stands there.
type typeMeta struct{ api, kind []byte }

// fields adds the field rules for an object's own type to those from above, as
// soon as it has said what it is. A type that is said only after other
// members is known on the next walk.
func (o *objectWalk) fields() {
	if o.begun {
		return
	}
	meta := o.meta
	if len(o.late) > 0 {
		if late, ok := o.late[o.start]; ok {
			meta = late
		}
	}
	if meta.api == nil || meta.kind == nil {
		o.passed = true
		return
	}
	o.begun = true
	if own := o.scanner.table.begin(meta.api, meta.kind); len(own) > 0 {
		if o.passed {
			o.late[o.start] = typeMeta{bytes.Clone(meta.api), bytes.Clone(meta.kind)}
			o.again = true
		}
		o.active = append(own, o.active...)
	}
}
