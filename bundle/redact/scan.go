package redact

import (
	"bytes"
	"slices"
)

// mask is what a redacted value becomes: maskOpen, the name of the rule, "]".
const maskOpen = "[REDACTED:"

func appendMask(out []byte, rule string) []byte {
	out = append(out, maskOpen...)
	out = append(out, rule...)
	return append(out, ']')
}

// isMask says whether b is a mask as this package writes it, so that redacting
// twice changes nothing, while a text that only looks like one gets no favour.
func (s *scanner) isMask(b []byte) bool {
	rest, ok := bytes.CutPrefix(b, []byte(maskOpen))
	if !ok || len(rest) < 2 || rest[len(rest)-1] != ']' {
		return false
	}
	return s.names[string(rest[:len(rest)-1])]
}

// span is a stretch of text to be masked. The match that gave it starts at
// key, at or before from.
type span struct {
	key, from, to int
	rule          string
	pem           bool // a private key is in it, which goes on over lines
}

// finder looks at a keyword b[at:end] and returns the stretch to be masked.
// Without one, from is negative, and the rule need not be asked about keywords
// that start before to: this keeps the cost of a window linear.
type finder func(b []byte, at, end int) (from, to int)

type rule struct {
	name  string
	words []string
	find  finder
	named func(name []byte, at, end int) bool // whether a name with the keyword in it is that of a secret; may be nil
}

// scanner finds credentials in text. It never changes after newScanner.
type scanner struct {
	words  *words
	rules  []rule
	fields []fieldRule
	table  *fieldTable
	owner  []uint16 // keyword → rule
	names  map[string]bool
	blind  bool // to shapes of tokens
}

// newScanner knows the rules of this package and those of extra, and takes the
// masks of others for masks.
func newScanner(extra Rules, masks ...string) *scanner {
	own := ownRules()
	s := &scanner{
		rules:  slices.Concat(textRules(), own.rules, extra.rules),
		fields: slices.Concat(own.fields, extra.fields),
		names:  map[string]bool{},
	}
	var keys []string
	for i, r := range s.rules {
		s.names[r.name] = true
		for _, w := range r.words {
			keys = append(keys, w)
			s.owner = append(s.owner, uint16(i))
		}
	}
	for _, name := range masks {
		s.names[name] = ruleName(name)
	}
	for _, f := range s.fields {
		s.names[f.rule] = true
	}
	for _, name := range structuralRules() {
		s.names[name] = true
	}
	s.words = newWords(keys)
	s.table = newFieldTable(s.fields)
	return s
}

// scan returns the stretches of b to be masked, ordered and apart from each
// other. spans is reused.
func (s *scanner) scan(b []byte, spans []span) []span {
	return s.scanInto(b, spans[:0], effort{})
}

// scanInto is scan for what was decoded on the way to b, too.
func (s *scanner) scanInto(b []byte, spans []span, e effort) []span {
	spans = s.keywords(b, spans)
	if !s.blind {
		spans = shapes(b, spans)
	}
	spans = s.runs(b, spans, e)
	spans = s.escapes(b, spans, e)
	return merge(spans)
}

// keywords asks the rules about every keyword in b.
func (s *scanner) keywords(b []byte, spans []span) []span {
	end, state := s.words.find(b, 0, 0)
	if end < 0 {
		return spans
	}
	tried := make([]int, len(s.rules)) // by rule: keywords that start before this are done
	for ; end >= 0; end, state = s.words.find(b, end, state) {
		for _, w := range s.words.ending(state) {
			at, r := end-int(s.words.lengths[w]), s.owner[w]
			if at < tried[r] || s.inMask(b, at) {
				continue
			}
			from, to := s.rules[r].find(b, at, end)
			tried[r] = max(tried[r], to)
			if from < 0 || from >= to || s.isMask(b[from:to]) {
				continue
			}
			spans = append(spans, span{key: min(at, from), from: from, to: to, rule: s.rules[r].name, pem: s.rules[r].name == rulePEM})
		}
	}
	return spans
}

// inMask says whether b[at] lies within a mask.
func (s *scanner) inMask(b []byte, at int) bool {
	const longest = len(maskOpen) + maxRuleName + 1
	low := max(0, at-longest)
	open := bytes.LastIndex(b[low:at], []byte(maskOpen))
	if open < 0 {
		return false
	}
	open += low
	shut := bytes.IndexByte(b[open:min(len(b), open+longest)], ']')
	return shut >= 0 && open+shut > at && s.isMask(b[open:open+shut+1])
}

// merge orders spans and joins those that overlap; the leftmost gives the name.
func merge(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	slices.SortStableFunc(spans, func(a, b span) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return b.to - a.to
	})
	kept := spans[:1]
	for _, next := range spans[1:] {
		last := &kept[len(kept)-1]
		if next.from < last.to {
			last.to, last.key, last.pem = max(last.to, next.to), min(last.key, next.key), last.pem || next.pem
			continue
		}
		kept = append(kept, next)
	}
	return kept
}

// appendText appends b with its credentials masked. spans is scratch space.
func (s *scanner) appendText(out, b []byte, spans []span, c counts) ([]byte, []span) {
	spans = s.scan(b, spans)
	done := 0
	for _, sp := range spans {
		out = appendMask(append(out, b[done:sp.from]...), sp.rule)
		c[sp.rule]++
		done = sp.to
	}
	return append(out, b[done:]...), spans
}
