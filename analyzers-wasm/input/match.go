package input

import (
	"bytes"
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

// matcher picks lines of a log.
type matcher struct {
	re    *regexp.Regexp
	size  int    // of its program
	named bool   // has groups with names
	part  []byte // stands in every line that matches; nil if that is not known
	keys  [][]byte
}

// compileMatch reads an RE2 expression of bounded size.
func compileMatch(expr string) (*matcher, error) {
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
	tree = tree.Simplify()
	prog, err := syntax.Compile(tree)
	if err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	if len(prog.Inst) > maxMatchProgram {
		return nil, errors.New("match is too large; its counted repetitions multiply")
	}
	m := &matcher{size: len(prog.Inst), part: literal(tree)}
	if m.re, err = regexp.Compile(expr); err != nil {
		return nil, fmt.Errorf("match: %w", err)
	}
	seen := map[string]bool{"": true}
	for _, name := range m.re.SubexpNames() {
		var key []byte
		if !seen[name] {
			key = append(appendQuoted(nil, []byte(name)), ':')
			seen[name], m.named = true, true
		}
		m.keys = append(m.keys, key)
	}
	return m, nil
}

// literal gives the longest text that stands in whatever matches, if any.
func literal(re *syntax.Regexp) []byte {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return []byte(string(re.Rune))
		}
	case syntax.OpCapture, syntax.OpPlus:
		return literal(re.Sub[0])
	case syntax.OpConcat:
		var best []byte
		for _, sub := range re.Sub {
			if part := literal(sub); len(part) > len(best) {
				best = part
			}
		}
		return best
	}
	return nil
}

// cost is how many steps it may take to look at so many bytes.
func (m *matcher) cost(bytes int) uint64 { return uint64(bytes*m.size) / stepsOfMatch }

// find gives where the expression and its groups stand in a line, or nil.
func (m *matcher) find(line []byte) []int {
	if m.part != nil && !bytes.Contains(line, m.part) {
		return nil
	}
	if !m.named {
		return m.re.FindIndex(line)
	}
	return m.re.FindSubmatchIndex(line)
}

// groups writes the groups that took part.
func (m *matcher) groups(dst, line []byte, at []int) []byte {
	mark := len(dst)
	for i, key := range m.keys {
		if key == nil || at[2*i] < 0 {
			continue
		}
		if len(dst) > mark {
			dst = append(dst, ',')
		}
		dst = appendQuoted(append(dst, key...), line[at[2*i]:at[2*i+1]])
	}
	return dst
}
