package input

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"

	"github.com/casefile-io/casefile/sdk/abi"
)

// The binary form of rows; sdk/ABI.md is its specification.
const rowsMagic = "CFROWS1\n"

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

// hostKeys stand first in the shape of every row.
func hostKeys() []string { return []string{abi.KeyAt, abi.KeyNode, abi.KeyNetns, abi.KeySample} }

const hostKeyCount = 4

// encoder writes the rows of one input.
type encoder struct {
	want *fields
	keys int // of a row
	body []byte
	text []byte
}

func newEncoder(want *fields) *encoder {
	e := &encoder{want: want, keys: hostKeyCount + len(want.keys)}
	if want.whole {
		e.keys = hostKeyCount + 1
	}
	return e
}

// header is how the file begins.
func (e *encoder) header() []byte {
	row := schema{Keys: hostKeys(), Of: make([]schema, hostKeyCount)}
	if e.want.whole {
		row.Keys, row.Of = append(row.Keys, ""), append(row.Of, schema{})
	} else {
		s := schemaOf(e.want)
		row.Keys, row.Of = append(row.Keys, s.Keys...), append(row.Of, s.Of...)
	}
	text, _ := json.Marshal(row) // texts and lists always marshal
	return append(binary.AppendUvarint([]byte(rowsMagic), uint64(len(text))), text...)
}

// schema is the shape of a value, as the header has it.
type schema struct {
	Keys []string `json:"keys,omitempty"`
	Of   []schema `json:"of,omitempty"`
	Elem *schema  `json:"elem,omitempty"`
}

func schemaOf(f *fields) schema {
	if f.whole {
		return schema{}
	}
	s := schema{Keys: f.keys}
	for _, sub := range f.subs {
		s.Of = append(s.Of, schemaOf(sub))
	}
	if f.elem != nil {
		elem := schemaOf(f.elem)
		s.Elem = &elem
	}
	return s
}

// row appends one row with its length.
func (e *encoder) row(dst []byte, pick *picker, d *document, at int64, org origin) []byte {
	b := append(e.body[:0], tagObject)
	bits := len(b)
	for range (e.keys + 7) / 8 {
		b = append(b, 0)
	}
	b[bits] = 1
	b = binary.AppendVarint(append(b, tagInt), at)
	if org.node != "" {
		b[bits] |= 2
		b = appendText(b, org.node)
		if org.netns != 0 {
			b[bits] |= 4
			b = appendNumber(b, strconv.AppendUint(e.text[:0], org.netns, 10))
		}
		if org.sampled {
			b[bits] |= 8
			b = binary.AppendVarint(append(b, tagInt), int64(org.sample))
		}
	}
	if pick.whole {
		e.text = wholeRow(append(e.text[:0], '{'), d.raw(d.root))
		if len(e.text) > 1 { // the first comma gives way
			e.text = append(e.text[:1], e.text[2:]...)
		}
		e.text = append(e.text, '}')
		b[bits] |= 1 << hostKeyCount
		b = appendTagged(b, tagJSON, e.text)
	} else {
		b, _ = pick.members(b, d, d.vals[d.root], bits, hostKeyCount)
	}
	e.body = b
	if cap(e.body) > 2*blockBytes {
		e.body, e.text = nil, nil
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// members appends the kept members of an object and sets their bits, the first
// of which is the bit first behind the byte at bits.
func (p *picker) members(dst []byte, d *document, v value, bits, first int) (_ []byte, kept bool) {
	for i, sub := range p.subs {
		child := v.first + p.slots[i]
		if d.vals[child].kind == 0 {
			continue
		}
		mark := len(dst)
		var has bool
		if dst, has = sub.binary(dst, d, child); !has {
			dst = dst[:mark]
			continue
		}
		kept = true
		bit := first + i
		dst[bits+bit/8] |= 1 << (bit % 8)
	}
	return dst, kept
}

// binary appends a value and says whether anything of it is kept, as append does.
func (p *picker) binary(dst []byte, d *document, at int32) ([]byte, bool) {
	v := d.vals[at]
	switch {
	case p.whole:
		raw := d.text[v.start:v.end]
		return appendValue(dst, raw), !isZero(raw)
	case v.kind == '{':
		dst = append(dst, tagObject)
		bits := len(dst)
		for range (len(p.keys) + 7) / 8 {
			dst = append(dst, 0)
		}
		return p.members(dst, d, v, bits, 0)
	case v.kind == '[' && p.elem != nil && v.first != 0:
		return p.elements(dst, d, v), true
	}
	return dst, false
}

func (p *picker) elements(dst []byte, d *document, v value) []byte {
	n := uint64(0)
	for at := v.first; at != 0; at = d.vals[at].next {
		n++
	}
	dst = binary.AppendUvarint(append(dst, tagArray), n)
	for at := v.first; at != 0; at = d.vals[at].next {
		mark := len(dst)
		var kept bool
		if dst, kept = p.elem.binary(dst, d, at); kept || p.elem.whole {
			continue
		}
		dst = dst[:mark]
		if d.text[d.vals[at].start] == '{' {
			dst = appendTagged(dst, tagJSON, []byte("{}"))
		} else {
			dst = append(dst, tagNull)
		}
	}
	return dst
}

func appendTagged(dst []byte, tag byte, text []byte) []byte {
	return append(binary.AppendUvarint(append(dst, tag), uint64(len(text))), text...)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(append(dst, tagText), uint64(len(s))), s...)
}

// appendValue appends a value that stands as JSON in a scanned line.
func appendValue(dst, raw []byte) []byte {
	switch raw[0] {
	case 'n':
		return append(dst, tagNull)
	case 'f':
		return append(dst, tagFalse)
	case 't':
		return append(dst, tagTrue)
	case '"':
		raw = raw[1 : len(raw)-1]
		if bytes.IndexByte(raw, '\\') >= 0 {
			raw = unquote(raw)
		}
		return appendTagged(dst, tagText, raw)
	case '{', '[':
		return appendTagged(dst, tagJSON, raw)
	}
	return appendNumber(dst, raw)
}

// Any double of so many significant digits, and not nearer to 0, gives them back.
const (
	exactDigits = 15
	minExact    = 0x1p-1022
)

// appendNumber appends a number: as an integer or a double if that is the same
// number, else as it stands.
func appendNumber(dst, raw []byte) []byte {
	digits, fraction := 0, false
	for _, c := range raw {
		switch {
		case c == '.':
			fraction = true
		case c|0x20 == 'e':
			return appendTagged(dst, tagJSON, raw) // rare
		case c != '-' && (c != '0' || digits > 0):
			digits++
		}
	}
	switch {
	case !fraction:
		if n, ok := parseInt(raw); ok {
			return binary.AppendVarint(append(dst, tagInt), n)
		}
	case digits <= exactDigits:
		f, err := strconv.ParseFloat(string(raw), 64)
		if exact := math.Abs(f) >= minExact || digits == 0 && raw[0] != '-'; exact && err == nil {
			return binary.LittleEndian.AppendUint64(append(dst, tagFloat), math.Float64bits(f))
		}
	}
	return appendTagged(dst, tagJSON, raw)
}

// parseInt reads an integer of 64 bits; -0 is none.
func parseInt(raw []byte) (int64, bool) {
	neg := raw[0] == '-'
	digits := raw
	if neg {
		digits = raw[1:]
	}
	if len(digits) > 19 || neg && digits[0] == '0' {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		u = u*10 + uint64(c-'0')
	}
	switch {
	case neg && u <= 1<<63:
		return int64(-u), true
	case !neg && u <= math.MaxInt64:
		return int64(u), true
	}
	return 0, false
}
