package redact

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

var errDeep = errors.New("JSON is nested too deeply")

func (w *walker) syntax(what string) error {
	return fmt.Errorf("not JSON: %s at byte %d", what, w.i)
}

// space copies white space.
func (w *walker) space() {
	start := w.i
	for w.i < len(w.in) {
		switch w.in[w.i] {
		case ' ', '\t', '\n', '\r':
			w.i++
			continue
		}
		break
	}
	w.out = append(w.out, w.in[start:w.i]...)
}

// peek returns the next byte, 0 at the end.
func (w *walker) peek() byte {
	if w.i < len(w.in) {
		return w.in[w.i]
	}
	return 0
}

// lexString steps over a string and returns what stands between its quotes.
func (w *walker) lexString() ([]byte, error) {
	start := w.i + 1
	for i := start; i < len(w.in); i++ {
		switch c := w.in[i]; {
		case c == '"':
			w.i = i + 1
			return w.in[start:i], nil
		case c < ' ':
			w.i = i
			return nil, w.syntax("control character in a string")
		case c == '\\':
			n := escapeLength(w.in[i:])
			if n == 0 {
				w.i = i
				return nil, w.syntax("bad escape")
			}
			i += n - 1
		}
	}
	return nil, w.syntax("string without end")
}

func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hex4(b[2:6]) >= 0 {
			return 6
		}
	}
	return 0
}

func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// lexScalar steps over a number or a literal.
func (w *walker) lexScalar() ([]byte, error) {
	start := w.i
	for w.i < len(w.in) && (isWordByte(w.in[w.i]) || w.in[w.i] == '+') {
		w.i++
	}
	s := w.in[start:w.i]
	if string(s) == "true" || string(s) == "false" || string(s) == "null" || isNumber(s) {
		return s, nil
	}
	w.i = start
	return nil, w.syntax("unexpected character")
}

func isNumber(s []byte) bool {
	digits := func() bool {
		n := len(s) - len(trimDigits(s))
		s = s[n:]
		return n > 0
	}
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	if len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' || !digits() {
		return false
	}
	if len(s) > 0 && s[0] == '.' {
		s = s[1:]
		if !digits() {
			return false
		}
	}
	if len(s) > 0 && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(s) == 0
}

func trimDigits(s []byte) []byte {
	for len(s) > 0 && s[0] >= '0' && s[0] <= '9' {
		s = s[1:]
	}
	return s
}

// unescape appends the meaning of a string's inside, which lexString checked.
func unescape(out, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(s[i+1:])
			i += 4
			if utf16.IsSurrogate(r) && i+6 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
				if pair := utf16.DecodeRune(r, hex4(s[i+3:])); pair != utf8.RuneError {
					r = pair
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, s[i])
		}
	}
	return out
}

// appendQuoted appends s as a JSON string, with no more escapes than needed.
func appendQuoted(out, s []byte) []byte {
	const hexDigits = "0123456789abcdef"
	out = append(out, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, '\\', 'n')
		case c == '\t':
			out = append(out, '\\', 't')
		case c == '\r':
			out = append(out, '\\', 'r')
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
