package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Extent is a piece of the spool.
type Extent struct {
	Off int64 `json:"off"`
	Len int64 `json:"len"`
}

// File is a virtual file: pieces of the spool, one after the other. Path has
// no leading slash.
type File struct {
	Path    string   `json:"path"`
	Size    int64    `json:"size"`
	Extents []Extent `json:"extents"`
}

// ReaderAt reads a virtual file out of its spool.
func (f *File) ReaderAt(spool io.ReaderAt) io.ReaderAt {
	starts := make([]int64, len(f.Extents))
	at := int64(0)
	for i, e := range f.Extents {
		starts[i] = at
		at += e.Len
	}
	return &extentReader{spool: spool, extents: f.Extents, starts: starts, size: at}
}

type extentReader struct {
	spool   io.ReaderAt
	extents []Extent
	starts  []int64
	size    int64
}

func (r *extentReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := 0
	for n < len(p) {
		if off >= r.size {
			return n, io.EOF
		}
		i := sort.Search(len(r.starts), func(i int) bool { return r.starts[i] > off }) - 1
		e, in := r.extents[i], off-r.starts[i]
		want := min(int64(len(p)-n), e.Len-in)
		m, err := r.spool.ReadAt(p[n:n+int(want)], e.Off+in)
		n += m
		off += int64(m)
		if int64(m) < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	return n, nil
}

// spoolWriter appends to a spool and keeps the first error for good.
type spoolWriter struct {
	spool Spool
	off   int64
	err   error
}

func (w *spoolWriter) write(p []byte) Extent {
	if w.err != nil {
		return Extent{}
	}
	n, err := w.spool.Write(p)
	if err != nil {
		w.err = fmt.Errorf("write the inputs of the module: %w", err)
	}
	e := Extent{Off: w.off, Len: int64(n)}
	w.off += int64(n)
	return e
}

// stream is a virtual file that is being written, in pieces of chunkSize.
type stream struct {
	w    *spoolWriter
	file File
	buf  []byte
}

const chunkSize = 128 << 10

func (s *stream) append(p []byte) {
	s.file.Size += int64(len(p))
	s.buf = append(s.buf, p...)
	if len(s.buf) >= chunkSize {
		s.flush()
	}
}

func (s *stream) flush() {
	if len(s.buf) == 0 {
		return
	}
	e := s.w.write(s.buf)
	s.buf = s.buf[:0]
	if last := len(s.file.Extents) - 1; last >= 0 && s.file.Extents[last].Off+s.file.Extents[last].Len == e.Off {
		s.file.Extents[last].Len += e.Len
		return
	}
	s.file.Extents = append(s.file.Extents, e)
}

// stretch is a run of rows with numbers, lines and bytes side by side.
type stretch struct {
	at    int64 // number of the first row
	rows  int
	out   *output
	path  string
	line  int   // of the first row
	off   int64 // of the first row in its virtual file
	place *abi.ReportedEvidence
}

// A stretch is cut here, so that finding a row in it stays cheap.
const (
	stretchRows  = 64
	stretchBytes = 32 << 10
	maxSummary   = 160
)

// Resolve turns a row number into its place in the bundle. ok is false for a
// number that no row has; an error is the spool's.
func (p *Projection) Resolve(at int64) (place abi.ReportedEvidence, ok bool, err error) {
	i := sort.Search(len(p.stretches), func(i int) bool { return p.stretches[i].at > at }) - 1
	if i < 0 || at >= p.stretches[i].at+int64(p.stretches[i].rows) {
		return place, false, nil
	}
	s := p.stretches[i]
	if s.place != nil {
		return *s.place, true, nil
	}
	nth := int(at - s.at)
	row, err := s.row(p.w.spool, nth)
	if err != nil {
		return place, false, fmt.Errorf("read row %d back: %w", at, err)
	}
	return abi.ReportedEvidence{Path: s.path, Line: s.line + nth, Value: summary(row)}, true, nil
}

// row reads the nth row of the stretch back.
func (s *stretch) row(spool io.ReaderAt, nth int) ([]byte, error) {
	f := s.out.rows.file
	r := io.NewSectionReader(f.ReaderAt(spool), s.off, f.Size-s.off)
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

// summary shows a row without what the host added to it.
func summary(row []byte) string {
	sc := &scanner{b: row, i: 1}
	for sc.next() == '"' {
		start := sc.i
		key, _, err := sc.key()
		if err != nil || !reserved(string(key)) || sc.skip(0) != nil {
			return shorten("{" + string(row[start:]))
		}
		sc.take(',')
	}
	return "{}"
}

func shorten(s string) string {
	if len(s) <= maxSummary {
		return s
	}
	cut := maxSummary
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

// rowHead begins a row: its number and, below nodes/, whose it is.
func rowHead(dst []byte, at int64, o origin) []byte {
	dst = strconv.AppendInt(append(dst, `{"`+abi.KeyAt+`":`...), at, 10)
	if o.node == "" {
		return dst
	}
	dst = append(append(dst, `,"`+abi.KeyNode+`":`...), o.quoted...)
	if o.netns != 0 {
		dst = strconv.AppendUint(append(dst, `,"`+abi.KeyNetns+`":`...), o.netns, 10)
	}
	if o.sampled {
		dst = strconv.AppendInt(append(dst, `,"`+abi.KeySample+`":`...), int64(o.sample), 10)
	}
	return dst
}

// origin is what a path below nodes/ says of its rows.
type origin struct {
	node    string
	quoted  []byte // node as JSON
	netns   uint64
	sample  int
	sampled bool
}

func originOf(path string) origin {
	segs := strings.SplitN(path, "/", 6)
	if len(segs) < 3 || segs[0] != "nodes" {
		return origin{}
	}
	o := origin{node: segs[1]}
	o.quoted, _ = json.Marshal(o.node) // a string always marshals
	rest := segs[2:]
	if rest[0] == "netns" && len(rest) > 2 {
		if n, err := strconv.ParseUint(rest[1], 10, 64); err == nil {
			o.netns, rest = n, rest[2:]
		}
	}
	if k, err := strconv.ParseUint(rest[0], 10, 16); err == nil && len(rest) > 1 {
		o.sample, o.sampled = int(k), true
	}
	return o
}
