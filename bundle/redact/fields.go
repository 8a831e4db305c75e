package redact

import (
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
const anyNames = "**"

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
