package redact

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// How much of a line is unescaped at a time, and how much of it once more.
const (
	escapeAfter  = 4 << 10
	escapeBefore = 1 << 10
)

// escapes looks through escapes: %3D of URLs, \u003d, \n and \/ of JSON and
// other strings, &quot; of markup. The part of the line around one is scanned
// with their meanings in their places.
func (s *scanner) escapes(b []byte, spans []span, e effort) []span {
	if e.depth >= maxDecode {
		return spans
	}
	var (
		next  = nextEscape{-1, -1, -1, -1}
		inner []span
		u     unescaped
	)
	if e.depth++; e.inflated == nil && next.after(b, 0) < len(b) {
		e.inflated = new(int)
	}
	done := 0
	for i := 0; ; {
		at := next.after(b, i)
		if at == len(b) {
			return spans
		}
		low := max(done, at-escapeBefore)
		low += bytes.LastIndexByte(b[low:at], '\n') + 1
		high := min(lineEnd(b, at), at+escapeAfter)
		u.read(b[low:high])
		if len(u.plain) < high-low {
			inner = s.scanInto(u.plain, inner[:0], e)
			spans = u.original(b, low, high, inner, spans)
		}
		if min(next.percent, next.query) < high && bytes.IndexByte(u.plain, '+') >= 0 { // in URLs, a blank
			inner = s.scanInto(bytes.ReplaceAll(u.plain, []byte{'+'}, []byte{' '}), inner[:0], e)
			spans = u.original(b, low, high, inner, spans)
		}
		i = high
		if done = high - escapeBefore; high < len(b) && b[high] == '\n' {
			done = high
		}
		done = max(done, 0)
	}
}

// nextEscape knows where the next candidate of each kind is.
type nextEscape struct{ percent, slash, amp, query int }

// after returns where the next escape from b[i] on is, len(b) if nowhere.
func (n *nextEscape) after(b []byte, i int) int {
	find := func(at *int, c byte) {
		for *at < i || *at < len(b) && escapeLengthAt(b, *at) == 0 && !isQuery(b, *at) {
			from := max(i, *at+1)
			if from > len(b) {
				from = len(b)
			}
			k := bytes.IndexByte(b[from:], c)
			if k < 0 {
				*at = math.MaxInt
				return
			}
			*at = from + k
		}
	}
	find(&n.percent, '%')
	find(&n.slash, '\\')
	find(&n.amp, '&')
	find(&n.query, '?')
	return min(n.percent, n.slash, n.amp, n.query, len(b))
}

// escapeLengthAt gives the length of the escape that begins at b[i] and that is
// worth a look, 0 if there is none.
func escapeLengthAt(b []byte, i int) int {
	if i < 0 || i+2 >= len(b) {
		return 0
	}
	switch {
	case b[i] == '%' && hex2(b[i+1:]) >= 0:
		return 3
	case b[i] == '\\' && (b[i+1] == 'n' || b[i+1] == '/' || b[i+1] == 't' || b[i+1] == 'r'):
		return 2
	case b[i] == '\\' && b[i+1] == 'x' && i+3 < len(b) && hex2(b[i+2:]) >= 0:
		return 4
	case b[i] == '\\' && b[i+1] == 'u' && i+5 < len(b) && hex4(b[i+2:]) >= 0:
		return 6
	case b[i] == '&':
		n, _ := entity(b[i:])
		return n
	}
	return 0
}

// isQuery says whether the query of a URL begins at b[i] that has plus signs
// for blanks.
func isQuery(b []byte, i int) bool {
	if i < 0 || b[i] != '?' {
		return false
	}
	n := bytes.IndexByte(b[i:min(len(b), i+escapeBefore)], '+')
	return n > 0 && skip(b[:i+n], i, isLoose) == i+n
}

func hex2(b []byte) int {
	if len(b) < 2 {
		return -1
	}
	return int(hex4([]byte{'0', '0', b[0], b[1]}))
}

// entity reads &quot; and its like, and &#34; &#x22;.
func entity(b []byte) (length int, c byte) {
	const longest = 8
	end := bytes.IndexByte(b[:min(len(b), longest)], ';')
	if end < 3 {
		return 0, 0
	}
	switch name := string(b[1:end]); name {
	case "quot":
		return end + 1, '"'
	case "apos":
		return end + 1, '\''
	case "amp":
		return end + 1, '&'
	case "lt":
		return end + 1, '<'
	case "gt":
		return end + 1, '>'
	}
	if b[1] != '#' {
		return 0, 0
	}
	digits, base := b[2:end], 10
	if digits[0] == 'x' || digits[0] == 'X' {
		digits, base = digits[1:], 16
	}
	v := 0
	for _, d := range digits {
		n := int(hex4([]byte{'0', '0', '0', d}))
		if n < 0 || n >= base {
			return 0, 0
		}
		v = v*base + n
	}
	if len(digits) == 0 || v == 0 || v >= utf8.RuneSelf {
		return 0, 0
	}
	return end + 1, byte(v)
}

// unescaped is text with the meanings of its escapes; at says for each byte
// where it was, and for the end.
type unescaped struct {
	plain []byte
	at    []int32
}

func (u *unescaped) read(b []byte) {
	u.plain, u.at = u.plain[:0], u.at[:0]
	for i := 0; i < len(b); {
		n := escapeLengthAt(b, i)
		if n == 0 && b[i] == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\' || b[i+1] == '\'') {
			n = 2
		}
		before := len(u.plain)
		switch {
		case n == 0:
			u.plain = append(u.plain, b[i])
			n = 1
		case b[i] == '%':
			u.plain = append(u.plain, byte(hex2(b[i+1:])))
		case b[i] == '&':
			_, c := entity(b[i:])
			u.plain = append(u.plain, c)
		case b[i+1] == 'x':
			u.plain = append(u.plain, byte(hex2(b[i+2:])))
		default:
			u.plain = unescape(u.plain, b[i:i+n])
		}
		for range u.plain[before:] {
			u.at = append(u.at, int32(i))
		}
		i += n
	}
	u.at = append(u.at, int32(len(b)))
}

// original appends spans of the plain text as spans of b[low:high].
func (u *unescaped) original(b []byte, low, high int, inner, spans []span) []span {
	for _, sp := range inner {
		m := span{key: low + int(u.at[sp.key]), from: low + int(u.at[sp.from]), to: low + int(u.at[sp.to]), rule: sp.rule}
		if m.to == high && high < len(b) && b[high] != '\n' {
			m.to = skip(b, high, isLoose) // it goes on behind what was looked at
		}
		m.pem = sp.pem && m.to == len(b)
		spans = append(spans, m)
	}
	return spans
}
