package casefile

import (
	"errors"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	errCut  = errors.New("a row that is cut off")
	errJSON = errors.New("no JSON")
)

const maxDepth = 100

// Parse reads one JSON value and nothing after it.
func Parse(text []byte) (Value, error) {
	r := reader{b: text}
	v := r.json(0)
	if r.err == nil && r.peek() != 0 {
		r.fail(errJSON)
	}
	return v, r.err
}

// reader reads JSON and rows; the first error stands, and ends it.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// peek is the next byte that is no space; 0 at the end.
func (r *reader) peek() byte {
	for len(r.b) > 0 {
		switch r.b[0] {
		case ' ', '\t', '\r', '\n':
			r.b = r.b[1:]
			continue
		}
		return r.b[0]
	}
	return 0
}

func (r *reader) json(depth int) Value {
	switch c := r.peek(); {
	case depth > maxDepth:
		r.fail(errJSON)
	case c == '{' || c == '[':
		return r.members(c == '{', depth+1)
	case c == '"':
		return Text(r.text())
	case r.word("true"):
		return Bool(true)
	case r.word("false"):
		return Bool(false)
	case r.word("null"):
	default:
		return r.number()
	}
	return Value{}
}

func (r *reader) word(word string) bool {
	if len(r.b) < len(word) || string(r.b[:len(word)]) != word {
		return false
	}
	r.b = r.b[len(word):]
	return true
}

// members reads what stands in brackets or, with keys, in braces.
func (r *reader) members(object bool, depth int) Value {
	v, end := Value{Kind: List}, byte(']')
	if object {
		v.Kind, end = Object, '}'
	}
	r.b = r.b[1:]
	for r.err == nil && (r.peek() != end || len(v.items) > 0) {
		if object {
			if r.peek() != '"' {
				break
			}
			v.keys = append(v.keys, r.text())
			if r.peek() != ':' {
				break
			}
			r.b = r.b[1:]
		}
		v.items = append(v.items, r.json(depth))
		if r.peek() != ',' {
			break
		}
		r.b = r.b[1:]
	}
	if r.err != nil || r.peek() != end {
		r.fail(errJSON)
		return Value{}
	}
	r.b = r.b[1:]
	return v
}

func (r *reader) number() Value {
	n := 0
	for n < len(r.b) && (r.b[n] >= '0' && r.b[n] <= '9' || r.b[n] == '-' || r.b[n] == '+' || r.b[n] == '.' || r.b[n]|32 == 'e') {
		n++
	}
	text := string(r.b[:n])
	r.b = r.b[n:]
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		return Int(whole)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		r.fail(errJSON)
	}
	return Float(f)
}

func (r *reader) text() string {
	var out []byte // only if there are escapes
	for i := 1; i < len(r.b); {
		switch c := r.b[i]; c {
		case '"':
			s := string(r.b[1:i])
			if out != nil {
				s = string(out)
			}
			r.b = r.b[i+1:]
			return s
		case '\\':
			if out == nil {
				out = append(make([]byte, 0, 2*i+16), r.b[1:i]...)
			}
			var n int
			if out, n = escape(out, r.b[i:]); n == 0 {
				r.fail(errJSON)
				return ""
			}
			i += n
		default:
			if out != nil {
				out = append(out, c)
			}
			i++
		}
	}
	r.fail(errJSON)
	return ""
}

// escape appends what an escape stands for; n is its length, 0 if it is none.
func escape(out, b []byte) (_ []byte, n int) {
	if len(b) < 2 {
		return out, 0
	}
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	for i := range len(from) {
		if b[1] == from[i] {
			return append(out, to[i]), 2
		}
	}
	high, ok := hex(b)
	if !ok {
		return out, 0
	}
	if low, ok := hex(b[6:]); ok {
		if c := utf16.DecodeRune(high, low); c != utf8.RuneError {
			return utf8.AppendRune(out, c), 12
		}
	}
	return utf8.AppendRune(out, high), 6 // half a pair becomes U+FFFD
}

// hex reads \uXXXX.
func hex(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}

// shape is what the objects and arrays of a row are made of.
type shape struct {
	keys []string
	of   []*shape
	elem *shape
}

func newShape(v Value) (*shape, error) {
	s := &shape{}
	keys, of := v.List("keys"), v.List("of")
	if len(keys) != len(of) {
		return nil, errors.New("a schema that is damaged")
	}
	for i, k := range keys {
		sub, err := newShape(of[i])
		if err != nil {
			return nil, err
		}
		s.keys, s.of = append(s.keys, k.text), append(s.of, sub)
	}
	if elem := v.Key("elem"); elem.Kind == Object {
		var err error
		if s.elem, err = newShape(elem); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (r *reader) uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64 && len(r.b) > 0; shift += 7 {
		b := r.b[0]
		r.b = r.b[1:]
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.fail(errCut)
	return 0
}

// length reads how many bytes, or items of a byte at least, follow.
func (r *reader) length() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail(errCut)
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.fail(errCut)
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// Tags of the binary form.
const (
	tagNull = iota
	tagFalse
	tagTrue
	tagInt
	tagFloat
	tagText
	tagJSON
	tagObject
	tagArray
)

func (r *reader) binary(s *shape) Value {
	tag := byte(0xff)
	if b := r.bytes(1); b != nil {
		tag = b[0]
	}
	switch tag {
	case tagNull:
		return Value{}
	case tagFalse, tagTrue:
		return Bool(tag == tagTrue)
	case tagInt:
		u := r.uvarint()
		return Int(int64(u>>1) ^ -int64(u&1))
	case tagFloat:
		var bits uint64
		for i, b := range r.bytes(8) {
			bits |= uint64(b) << (8 * i)
		}
		return Float(math.Float64frombits(bits))
	case tagText:
		return Text(string(r.bytes(r.length())))
	case tagJSON:
		v, err := Parse(r.bytes(r.length()))
		if err != nil {
			r.fail(err)
		}
		return v
	case tagObject:
		return r.object(s)
	case tagArray:
		n := r.length()
		if s.elem == nil {
			break
		}
		v := Value{Kind: List}
		for range n {
			if r.err == nil {
				v.items = append(v.items, r.binary(s.elem))
			}
		}
		return v
	}
	r.fail(errors.New("a value that is cut off or of an unknown kind"))
	return Value{}
}

func (r *reader) object(s *shape) Value {
	v := Value{Kind: Object}
	bits := r.bytes((len(s.keys) + 7) / 8)
	for k := range s.keys {
		if r.err == nil && bits[k/8]>>(k%8)&1 == 1 {
			v.keys = append(v.keys, s.keys[k])
			v.items = append(v.items, r.binary(s.of[k]))
		}
	}
	return v
}
