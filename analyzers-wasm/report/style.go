package report

import (
	"strings"
	"unicode"

	"github.com/casefile-io/casefile/sdk/abi"
)

// paint puts colours on a terminal; false paints nothing.
type paint bool

func (p paint) with(code, s string) string {
	if !p {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p paint) bold(s string) string  { return p.with("1", s) }
func (p paint) faint(s string) string { return p.with("2", s) }
func (p paint) alarm(s string) string { return p.with("1;31", s) }

func (p *printer) severityWord(s string) string {
	if w, ok := p.w.severities[s]; ok {
		return w
	}
	return s
}

func (p *printer) severity(s string) string {
	code := map[string]string{abi.SeverityCritical: "1;37;41", abi.SeverityHigh: "1;31", abi.SeverityMedium: "1;33", abi.SeverityLow: "36"}[s]
	return p.with(code, strings.ToUpper(p.severityWord(s)))
}

// wrapped prints s in lines of at most the width, the first behind first, the
// others behind then. It breaks at spaces, and between wide characters.
func (p *printer) wrapped(first, then, s string) {
	room := max(p.width-columns(strip(first)), 20)
	lead := first
	for {
		head, tail := split(s, room)
		p.line("%s%s", lead, head)
		if tail == "" {
			return
		}
		s, lead = tail, then
		room = max(p.width-columns(then), 20)
	}
}

// split cuts s after at most room columns.
func split(s string, room int) (head, tail string) {
	used, cut := 0, -1
	for i, r := range s {
		w := width(r)
		if used+w > room {
			if cut <= 0 {
				cut = i // one long word: a path, which stays whole if it can
				if j := strings.IndexByte(s[i:], ' '); j >= 0 {
					cut = i + j
				} else if w == 1 {
					return s, ""
				}
			}
			return strings.TrimRight(s[:cut], " "), strings.TrimLeft(s[cut:], " ")
		}
		used += w
		if r == ' ' {
			cut = i
		} else if w == 2 {
			cut = i + len(string(r))
		}
	}
	return s, ""
}

// columns is how wide s is on a terminal.
func columns(s string) (n int) {
	for _, r := range s {
		n += width(r)
	}
	return n
}

func width(r rune) int {
	if unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana) || r >= 0x3000 && r <= 0x303f || r >= 0xff00 && r <= 0xff60 {
		return 2
	}
	return 1
}

// strip takes our own colours out, to measure.
func strip(s string) string {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return s
		}
		j := strings.IndexByte(s[i:], 'm')
		if j < 0 {
			return s[:i]
		}
		s = s[:i] + s[i+j+1:]
	}
}
