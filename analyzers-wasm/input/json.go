package input

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// maxDepth bounds nesting in a source line.
const maxDepth = 256

var (
	errJSON = errors.New("is not a JSON object")
	errText = errors.New("is not UTF-8")
	errDeep = fmt.Errorf("is nested deeper than %d", maxDepth)
)

// scanner walks one JSON text, strictly, without building anything.
type scanner struct {
	b []byte
	i int
}

// next skips space and returns the byte there without taking it; 0 at the end.
func (s *scanner) next() byte {
	if s.i < len(s.b) && s.b[s.i] > ' ' {
		return s.b[s.i]
	}
	return s.afterSpace()
}

func (s *scanner) afterSpace() byte {
	for ; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case ' ', '\t', '\r', '\n':
		default:
			return s.b[s.i]
		}
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.i++
	return true
}

// skip passes over one value.
func (s *scanner) skip(depth int) error {
	switch c := s.next(); {
	case c == '"':
		_, _, err := s.str()
		return err
	case c == '{' || c == '[':
		return s.skipContainer(c, depth)
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	default:
		return errJSON
	}
}

func (s *scanner) skipContainer(open byte, depth int) error {
	if depth >= maxDepth {
		return errDeep
	}
	s.i++
	shut := byte(']')
	if open == '{' {
		shut = '}'
	}
	if s.take(shut) {
		return nil
	}
	for {
		if open == '{' {
			if _, _, err := s.key(); err != nil {
				return err
			}
		}
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		if more, err := s.more(shut); !more {
			return err
		}
	}
}

// more takes the comma before another member, or the closing bracket.
func (s *scanner) more(shut byte) (bool, error) {
	if s.take(',') {
		return true, nil
	}
	if s.take(shut) {
		return false, nil
	}
	return false, errJSON
}

// key takes an object's key and its colon and returns the raw bytes between
// the quotes, and whether they hold an escape.
func (s *scanner) key() (raw []byte, escaped bool, err error) {
	if s.next() != '"' {
		return nil, false, errJSON
	}
	if raw, escaped, err = s.str(); err != nil {
		return nil, false, err
	}
	if !s.take(':') {
		return nil, false, errJSON
	}
	return raw, escaped, nil
}

func (s *scanner) str() (raw []byte, escaped bool, err error) {
	s.i++
	start := s.i
	for {
		s.i += plain(s.b[s.i:])
		if s.i == len(s.b) {
			return nil, false, errJSON
		}
		switch s.b[s.i] {
		case '"':
			raw = s.b[start:s.i]
			s.i++
			return raw, escaped, nil
		case '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return nil, false, err
			}
		default:
			return nil, false, errJSON
		}
	}
}

// plain counts the bytes before the first quote, backslash or control
// character. It looks at eight at a time: half of JSON is inside of quotes.
func plain(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, escape := w^ones*'"', w^ones*'\\'
		// The lowest top bit is right; one above may be a borrow.
		if hit := ((quote-ones)&^quote | (escape-ones)&^escape | (w-ones*' ')&^w) & tops; hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			break
		}
	}
	return i
}

func (s *scanner) escape() error {
	if s.i+1 >= len(s.b) {
		return errJSON
	}
	switch s.b[s.i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i += 2
		return nil
	case 'u':
		if s.i+6 > len(s.b) {
			return errJSON
		}
		for _, c := range s.b[s.i+2 : s.i+6] {
			if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
				return errJSON
			}
		}
		s.i += 6
		return nil
	}
	return errJSON
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		return errJSON
	}
	s.i += len(word)
	return nil
}

func (s *scanner) number() error {
	if s.b[s.i] == '-' {
		s.i++
	}
	start := s.i
	if n := s.digits(); n == 0 || n > 1 && s.b[start] == '0' {
		return errJSON
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if s.digits() == 0 {
			return errJSON
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if s.digits() == 0 {
			return errJSON
		}
	}
	return nil
}

func (s *scanner) digits() int {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i - start
}

// unquote gives the text of a key that holds escapes.
func unquote(raw []byte) []byte {
	var text string
	if json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &text) != nil {
		return raw
	}
	return []byte(text)
}

// isZero says whether a scanned value is left out of a row.
func isZero(raw []byte) bool {
	switch raw[0] {
	case '"':
		return len(raw) == 2
	case 'n', 'f':
		return true
	case '[':
		return len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
	case '-', '0':
		for _, c := range raw {
			if c|0x20 == 'e' {
				break
			}
			if c >= '1' && c <= '9' {
				return false
			}
		}
		return true
	}
	return false
}

// validText says whether the bytes may stand in a row: JSON texts are UTF-8.
func validText(raw []byte) bool { return utf8.Valid(raw) }
