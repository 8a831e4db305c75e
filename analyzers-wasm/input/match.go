package input

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
)

// Bounds of a match.
const (
	maxMatch        = 1024
	maxMatchProgram = 2000 // instructions
	maxMatchGroups  = 16
)

// compileMatch reads an RE2 expression of bounded size.
func compileMatch(expr string) (*regexp.Regexp, error) {
	if len(expr) > maxMatch {
		return nil, fmt.Errorf("match has more than %d bytes", maxMatch)
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	if tree.MaxCap() > maxMatchGroups {
		return nil, fmt.Errorf("match has more than %d groups", maxMatchGroups)
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	if len(prog.Inst) > maxMatchProgram {
		return nil, errors.New("match is too large; its counted repetitions multiply")
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	return re, nil
}
