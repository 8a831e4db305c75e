package input

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of a glob; they keep matching cheap.
const (
	maxGlob       = 512
	maxSegments   = 32
	maxDoubleStar = 3
)

// Glob is a pattern over bundle paths: * stands for any characters within a
// segment, ? for one, and a segment ** for any number of folders.
type Glob []string

// ParseGlob refuses what could not name a file of a bundle.
func ParseGlob(s string) (Glob, error) {
	if s == "" || len(s) > maxGlob {
		return nil, fmt.Errorf("a glob has 1 to %d bytes", maxGlob)
	}
	g := Glob(strings.Split(s, "/"))
	if len(g) > maxSegments {
		return nil, fmt.Errorf("more than %d segments", maxSegments)
	}
	double := 0
	for _, seg := range g {
		switch {
		case seg == "" || seg == "." || seg == "..":
			return nil, fmt.Errorf("segment %q: paths are relative and clean", seg)
		case strings.ContainsFunc(seg, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`[]{}\`, r) }):
			return nil, fmt.Errorf("segment %q: only * and ? and ** are special; no brackets, no escapes", seg)
		case seg == "**":
			double++
		case strings.Contains(seg, "**"):
			return nil, fmt.Errorf("segment %q: ** stands alone", seg)
		}
	}
	if double > maxDoubleStar {
		return nil, fmt.Errorf("more than %d segments **", maxDoubleStar)
	}
	if g[0] == "**" && len(g) == 1 {
		return nil, errors.New("** alone would be the whole bundle; name a folder")
	}
	return g, nil
}

// Match says whether the pattern stands for the path.
func (g Glob) Match(path string) bool { return match(g, strings.Split(path, "/"), false) }

// MatchAbove says whether the pattern stands for something at or below path.
func (g Glob) MatchAbove(path string) bool { return match(g, strings.Split(path, "/"), true) }

func match(g, segs []string, above bool) bool {
	for len(g) > 0 {
		if g[0] == "**" {
			if len(g) == 1 {
				return above || len(segs) > 0
			}
			for i := 0; i <= len(segs); i++ {
				if match(g[1:], segs[i:], above) {
					return true
				}
			}
			return false
		}
		if len(segs) == 0 {
			return above
		}
		if !matchSegment(g[0], segs[0]) {
			return false
		}
		g, segs = g[1:], segs[1:]
	}
	return len(segs) == 0
}

// matchSegment is the linear two-pointer match of * and ?.
func matchSegment(pat, s string) bool {
	p, i, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pat) && pat[p] == '*':
			star, from = p, i
			p++
		case p < len(pat) && (pat[p] == '?' || pat[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pat[p:], "*") == ""
}
