package input

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"
	"strconv"
)

// maxShownRow is what is looked at of a row to show it.
const maxShownRow = 16 << 10

// shown reads the nth row of a .rows file from there on, as JSON or the start of it.
func (e *encoder) shown(r io.Reader, nth int) ([]byte, error) {
	br := bufio.NewReader(r)
	for {
		size, err := binary.ReadUvarint(br)
		if err != nil {
			return nil, err
		}
		if nth == 0 {
			row := make([]byte, min(size, maxShownRow))
			if _, err := io.ReadFull(br, row); err != nil {
				return nil, err
			}
			return e.show(row), nil
		}
		if _, err := br.Discard(int(size)); err != nil {
			return nil, err
		}
		nth--
	}
}

// show turns a row of ours, or the start of one, into JSON for the eye.
func (e *encoder) show(row []byte) []byte {
	s := &shower{in: row}
	want := &fields{keys: hostKeys(), subs: make([]*fields, hostKeyCount)}
	if e.want.whole {
		want.keys, want.subs = append(want.keys, ""), append(want.subs, nil)
	} else {
		want.keys, want.subs = append(want.keys, e.want.keys...), append(want.subs, e.want.subs...)
	}
	s.value(want)
	return s.out
}

// shower walks rows that were written here; what is cut off ends it.
type shower struct {
	in  []byte
	out []byte
	end bool
}

func (s *shower) done() bool { return s.end || len(s.out) > 8*maxSummary }

func (s *shower) take(n int) []byte {
	if n < 0 || n > len(s.in) {
		n, s.end = len(s.in), true
	}
	p := s.in[:n]
	s.in = s.in[n:]
	return p
}

func (s *shower) uvarint() int {
	v, n := binary.Uvarint(s.in)
	if n <= 0 || v > math.MaxInt32 {
		s.end = true
		return 0
	}
	s.take(n)
	return int(v)
}

func (s *shower) value(want *fields) {
	tag := s.take(1)
	if s.done() {
		return
	}
	switch tag[0] {
	case tagNull:
		s.out = append(s.out, "null"...)
	case tagFalse:
		s.out = append(s.out, "false"...)
	case tagTrue:
		s.out = append(s.out, "true"...)
	case tagInt:
		v, n := binary.Varint(s.in)
		s.take(max(n, 1))
		s.out = strconv.AppendInt(s.out, v, 10)
	case tagFloat:
		if b := s.take(8); !s.end {
			s.out = strconv.AppendFloat(s.out, math.Float64frombits(binary.LittleEndian.Uint64(b)), 'g', -1, 64)
		}
	case tagText:
		s.out = appendQuoted(s.out, s.take(s.uvarint()))
	case tagJSON:
		s.out = append(s.out, s.take(s.uvarint())...)
	case tagObject:
		s.object(want)
	case tagArray:
		s.array(want)
	}
}

func (s *shower) object(want *fields) {
	bits := s.take((len(want.keys) + 7) / 8)
	if s.end {
		return
	}
	s.out = append(s.out, '{')
	mark := len(s.out)
	for i, key := range want.keys {
		if bits[i/8]>>(i%8)&1 == 0 || s.done() {
			continue
		}
		if len(s.out) > mark {
			s.out = append(s.out, ',')
		}
		if key == "" { // a whole row: its own members
			if text := s.take(s.uvarintAfterTag()); len(text) > 2 {
				s.out = append(s.out, text[1:]...)
				return
			}
			s.out = append(s.out, '}')
			return
		}
		s.out = append(appendQuoted(s.out, []byte(key)), ':')
		s.value(want.subs[i])
	}
	s.out = append(s.out, '}')
}

func (s *shower) uvarintAfterTag() int {
	s.take(1)
	return s.uvarint()
}

func (s *shower) array(want *fields) {
	n := s.uvarint()
	s.out = append(s.out, '[')
	for i := range n {
		if s.done() {
			return
		}
		if i > 0 {
			s.out = append(s.out, ',')
		}
		s.value(want.elem)
	}
	s.out = append(s.out, ']')
}
