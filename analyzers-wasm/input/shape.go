package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// A shape is what all consumers of a file keep of it, ready for matching; a
// picker is one consumer's part of that. A line is scanned once, by the shape,
// into a document of spans, from which every picker writes its row.
type shape struct {
	keys []string
	subs []*shape
	slot map[string]int // for objects with many keys
	elem *shape
}

const fewKeys = 8

func newShape(f *fields) *shape {
	s := &shape{keys: f.keys}
	for _, sub := range f.subs {
		s.subs = append(s.subs, newShape(sub))
	}
	if len(f.keys) > fewKeys {
		s.slot = make(map[string]int, len(f.keys))
		for i, k := range f.keys {
			s.slot[k] = i
		}
	}
	if f.elem != nil {
		s.elem = newShape(f.elem)
	}
	return s
}

// find gives the slot of a raw key, or -1.
func (s *shape) find(raw []byte, escaped bool) int {
	if escaped {
		raw = unquote(raw)
	}
	if s.slot != nil {
		if i, ok := s.slot[string(raw)]; ok {
			return i
		}
		return -1
	}
	for i, k := range s.keys {
		if len(k) == len(raw) && k == string(raw) {
			return i
		}
	}
	return -1
}

// value is a span of the text and, where the shape goes on, its parts: the
// slots of an object lie side by side from first, the elements of an array
// are chained.
type value struct {
	start, end  int32
	first, next int32
	kind        byte // '{' and '[' only where parts were taken; 0 is absent
}

// maxValues bounds what the slots of one line may take: a line of empty
// objects would otherwise cost a hundred times its size.
const maxValues = 2_000_000

var errParts = errors.New("has too many parts")

// document is the scanned form of one line. Documents of a block have their
// values in one slice; index 0 there is nobody's.
type document struct {
	text []byte
	vals []value
	root int32
	most int // values of the line
}

// parse scans text, which must be one JSON object, behind the values that are
// there; what it adds is taken back on an error.
func (d *document) parse(text []byte, s *shape) error {
	if len(d.vals) == 0 {
		d.vals = append(d.vals, value{})
	}
	if d.most == 0 {
		d.most = maxValues
	}
	d.text, d.root = text, int32(len(d.vals))
	d.vals = append(d.vals, value{})
	if err := d.scan(s); err != nil {
		d.vals = d.vals[:d.root]
		return err
	}
	return nil
}

func (d *document) scan(s *shape) error {
	if !validText(d.text) {
		return errText
	}
	sc := &scanner{b: d.text}
	if sc.next() != '{' {
		return errJSON
	}
	if err := d.value(sc, s, d.root, 0); err != nil {
		return err
	}
	if sc.next() != 0 || sc.i != len(d.text) {
		return errJSON
	}
	return nil
}

// raw is the text of a value.
func (d *document) raw(at int32) []byte { return d.text[d.vals[at].start:d.vals[at].end] }

func (d *document) value(sc *scanner, s *shape, at int32, depth int) error {
	c := sc.next()
	start := int32(sc.i)
	kind, first := c, int32(0)
	var err error
	switch {
	case c == '{' && len(s.keys) > 0:
		first, err = d.object(sc, s, depth)
	case c == '[' && s.elem != nil:
		first, err = d.array(sc, s, depth)
	default:
		if kind == '{' || kind == '[' {
			kind = 'v'
		}
		err = sc.skip(depth)
	}
	v := &d.vals[at]
	v.start, v.end, v.kind, v.first = start, int32(sc.i), kind, first
	return err
}

func (d *document) object(sc *scanner, s *shape, depth int) (int32, error) {
	if depth >= maxDepth {
		return 0, errDeep
	}
	first := int32(len(d.vals))
	if len(d.vals)-int(d.root)+len(s.keys) > d.most {
		return 0, errParts
	}
	for range s.keys {
		d.vals = append(d.vals, value{})
	}
	sc.i++
	if sc.take('}') {
		return first, nil
	}
	for {
		raw, escaped, err := sc.key()
		if err != nil {
			return 0, err
		}
		if i := s.find(raw, escaped); i >= 0 {
			err = d.value(sc, s.subs[i], first+int32(i), depth+1)
		} else {
			err = sc.skip(depth + 1)
		}
		if err != nil {
			return 0, err
		}
		if more, err := sc.more('}'); !more {
			return first, err
		}
	}
}

func (d *document) array(sc *scanner, s *shape, depth int) (int32, error) {
	if depth >= maxDepth {
		return 0, errDeep
	}
	sc.i++
	if sc.take(']') {
		return 0, nil
	}
	var first, last int32
	for {
		at := int32(len(d.vals))
		if int(at-d.root) >= d.most {
			return 0, errParts
		}
		d.vals = append(d.vals, value{})
		if err := d.value(sc, s.elem, at, depth+1); err != nil {
			return 0, err
		}
		if last == 0 {
			first = at
		} else {
			d.vals[last].next = at
		}
		last = at
		if more, err := sc.more(']'); !more {
			return first, err
		}
	}
}

// picker writes one consumer's part of a document.
type picker struct {
	whole bool
	keys  [][]byte // `"key":`
	slots []int32
	subs  []*picker
	elem  *picker
}

func newPicker(f *fields, s *shape) *picker {
	p := &picker{whole: f.whole}
	for i, k := range f.keys {
		quoted, _ := json.Marshal(k) // a string always marshals
		slot := s.find([]byte(k), false)
		p.keys = append(p.keys, append(quoted, ':'))
		p.slots = append(p.slots, int32(slot))
		p.subs = append(p.subs, newPicker(f.subs[i], s.subs[slot]))
	}
	if f.elem != nil {
		p.elem = newPicker(f.elem, s.elem)
	}
	return p
}

// row appends the members of a row, each behind a comma; a whole row loses
// the keys that are the host's own.
func (p *picker) row(dst []byte, d *document) []byte {
	if p.whole {
		return wholeRow(dst, d.raw(d.root))
	}
	v := d.vals[d.root]
	for i, sub := range p.subs {
		if child := v.first + p.slots[i]; d.vals[child].kind != 0 {
			dst = sub.member(dst, p.keys[i], d, child)
		}
	}
	return dst
}

// member appends ,"key":value unless nothing of the value is kept.
func (p *picker) member(dst, key []byte, d *document, at int32) []byte {
	mark := len(dst)
	dst = append(append(dst, ','), key...)
	dst, kept := p.append(dst, d, at)
	if !kept {
		return dst[:mark]
	}
	return dst
}

func (p *picker) append(dst []byte, d *document, at int32) ([]byte, bool) {
	v := d.vals[at]
	if p.whole {
		raw := d.text[v.start:v.end]
		return append(dst, raw...), !isZero(raw)
	}
	switch v.kind {
	case '{':
		return p.object(dst, d, v)
	case '[':
		if p.elem == nil || v.first == 0 {
			return dst, false
		}
		return p.array(dst, d, v), true
	}
	return dst, false
}

func (p *picker) object(dst []byte, d *document, v value) ([]byte, bool) {
	mark := len(dst)
	for i, sub := range p.subs {
		if child := v.first + p.slots[i]; d.vals[child].kind != 0 {
			dst = sub.member(dst, p.keys[i], d, child)
		}
	}
	if len(dst) == mark {
		return append(dst, '{', '}'), false
	}
	dst[mark] = '{' // for the first comma
	return append(dst, '}'), true
}

func (p *picker) array(dst []byte, d *document, v value) []byte {
	dst = append(dst, '[')
	for at := v.first; at != 0; at = d.vals[at].next {
		if at != v.first {
			dst = append(dst, ',')
		}
		mark := len(dst)
		var kept bool
		if dst, kept = p.elem.append(dst, d, at); kept || p.elem.whole {
			continue
		}
		if e := d.vals[at]; d.text[e.start] == '{' {
			dst = append(dst[:mark], '{', '}')
		} else {
			dst = append(dst[:mark], "null"...)
		}
	}
	return append(dst, ']')
}

// wholeRow appends every member of an object but those that the host sets.
func wholeRow(dst, raw []byte) []byte {
	sc := &scanner{b: raw, i: 1}
	for sc.next() == '"' {
		start := sc.i
		key, escaped, err := sc.key()
		if err != nil || sc.skip(0) != nil {
			return dst // cannot be: raw was scanned before
		}
		if escaped {
			key = unquote(key)
		}
		if !reserved(string(key)) {
			dst = append(append(dst, ','), bytes.TrimSpace(raw[start:sc.i])...)
		}
		sc.take(',')
	}
	return dst
}

// reserved keys are set by the host on the top level of a row. The reader of
// a guest may match keys without regard to case, so neither does this.
func reserved(key string) bool {
	for _, k := range []string{abi.KeyAt, abi.KeyNode, abi.KeyNetns, abi.KeySample} {
		if strings.EqualFold(key, k) {
			return true
		}
	}
	return false
}
