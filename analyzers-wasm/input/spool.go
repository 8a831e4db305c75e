package input

import (
	"errors"
	"fmt"
	"io"
	"sort"
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

const maxSummary = 160

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
