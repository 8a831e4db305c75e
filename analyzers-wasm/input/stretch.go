package input

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sort"
	"strconv"

	"github.com/casefile-io/casefile/sdk/abi"
)

// stretch is a run of rows with numbers and bytes side by side. How far each
// row's line or packet is from the one before it stands in Projection.marks.
type stretch struct {
	at     int64 // number of the first row
	off    int64 // of the first row in its virtual file
	out    *output
	path   string
	first  int // line or packet of the first row
	last   int
	mark   int // where the rest of them stand
	rows   int32
	packet bool
	full   *abi.ReportedEvidence // the place of the only row
}

// A stretch is cut here, so that finding a row in it stays cheap.
const (
	stretchRows  = 64
	stretchBytes = 32 << 10
)

// mark notes where the row of the next number is from.
func (p *Projection) mark(o *output, path string, at spot, off int64) {
	number, packet := at.line, at.packet > 0
	if packet {
		number = at.packet
	}
	if n := len(p.stretches); n > 0 && at.full == nil {
		s := &p.stretches[n-1]
		if s.full == nil && s.out == o && s.path == path && s.packet == packet && s.rows < stretchRows && off-s.off < stretchBytes {
			p.marks = binary.AppendVarint(p.marks, int64(number-s.last))
			s.last = number
			s.rows++
			p.next++
			return
		}
	}
	p.stretches = append(p.stretches, stretch{at: p.next, off: off, out: o, path: path, first: number, last: number,
		mark: len(p.marks), rows: 1, packet: packet, full: at.full})
	p.next++
}

// Resolve turns a row number into its place in the bundle. ok is false for a
// number that no row has; an error is the spool's.
func (p *Projection) Resolve(at int64) (place abi.ReportedEvidence, ok bool, err error) {
	i := sort.Search(len(p.stretches), func(i int) bool { return p.stretches[i].at > at }) - 1
	if i < 0 || at >= p.stretches[i].at+int64(p.stretches[i].rows) {
		return place, false, nil
	}
	s := p.stretches[i]
	if s.full != nil {
		place = *s.full
	} else {
		place = abi.ReportedEvidence{Path: s.path}
		number := s.number(p.marks, int(at-s.at))
		if s.packet {
			place.Packet = number
		} else {
			place.Line = number
		}
	}
	if place.Value == "" {
		if place.Value, err = s.value(p.w.spool, int(at-s.at)); err != nil {
			return place, false, fmt.Errorf("read row %d back: %w", at, err)
		}
	}
	return place, true, nil
}

// number gives the line or packet of the nth row.
func (s *stretch) number(marks []byte, nth int) int {
	number, marks := s.first, marks[s.mark:]
	for range nth {
		delta, n := binary.Varint(marks)
		number, marks = number+int(delta), marks[n:]
	}
	return number
}

// value shows the nth row, which is read back; of a log its line.
func (s *stretch) value(spool io.ReaderAt, nth int) (string, error) {
	var row []byte
	var err error
	if o := s.out; o.ndjson == nil {
		row, err = o.enc.shown(io.NewSectionReader(o.binary.file.ReaderAt(spool), s.off, o.binary.file.Size-s.off), nth)
	} else {
		row, err = nthLine(io.NewSectionReader(o.ndjson.file.ReaderAt(spool), s.off, o.ndjson.file.Size-s.off), nth)
	}
	if err != nil {
		return "", err
	}
	if s.out.log != nil {
		if _, line, ok := bytes.Cut(row, []byte(`,"line":"`)); ok {
			return shorten(unquoted(line)), nil
		}
	}
	return summary(row), nil
}

// unquoted reads a JSON text up to its end, or to where it breaks off.
func unquoted(text []byte) string {
	sc := &scanner{b: append([]byte{'"'}, text...)}
	if raw, _, err := sc.str(); err == nil {
		return string(unquote(raw))
	}
	for len(text) > 0 { // an escape may be cut in two
		if s, err := strconv.Unquote(`"` + string(text) + `"`); err == nil {
			return s
		}
		text = text[:len(text)-1]
	}
	return ""
}

// nthLine reads how a line begins.
func nthLine(r io.Reader, nth int) ([]byte, error) {
	var row []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			i := bytes.IndexByte(rest, '\n')
			if nth == 0 && len(row) < 4*maxSummary {
				row = append(row, rest[:max(i, 0)]...)
				if i < 0 {
					row = append(row, rest...)
				}
			}
			if i < 0 {
				break
			}
			if nth--; nth < 0 {
				return row, nil
			}
			rest = rest[i+1:]
		}
		if err != nil {
			return nil, err
		}
	}
}
