package redact

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
)

// members passes text on, with a mask in the place of every gzip member in it:
// logs have them when a program wrote a compressed file to its output.
type members struct {
	src    *bufio.Reader
	counts counts
	mask   []byte // not yet given out
	gzip   *gzip.Reader
	spent  int64 // bytes that were decompressed
	inside func(plain io.Reader)
}

const (
	gzipMagic = "\x1f\x8b\x08"
	// maxMember bounds what is decompressed to find the ends of members; what
	// follows is text like any other.
	maxMember = 256 << 20
)

func newMembers(src io.Reader, c counts) *members {
	return &members{src: bufio.NewReaderSize(src, textWindow), counts: c, inside: func(plain io.Reader) {
		_, _ = io.Copy(io.Discard, plain) // damaged data is dropped as far as it goes
	}}
}

func (m *members) Read(p []byte) (int, error) {
	for {
		if len(m.mask) > 0 {
			n := copy(p, m.mask)
			m.mask = m.mask[n:]
			return n, nil
		}
		b, err := m.src.Peek(max(1, m.src.Buffered()))
		if len(b) == 0 {
			return 0, err
		}
		n := bytes.Index(b, []byte(gzipMagic))
		switch {
		case n < 0:
			n = len(b)
			for n > 0 && n > len(b)-len(gzipMagic)+1 && bytes.HasPrefix([]byte(gzipMagic), b[n-1:]) {
				n--
			}
			if n == 0 { // the beginning of a magic, perhaps
				if b, _ = m.src.Peek(len(gzipMagic)); string(b) == gzipMagic {
					continue
				}
				n = 1
			}
		case n == 0:
			if err := m.member(); err != nil {
				return 0, err
			}
			continue
		}
		return m.src.Read(p[:min(n, len(p))])
	}
}

// skipLine steps to the end of a line: what is left of it may have lost the
// name of a secret.
func (m *members) skipLine(src *sourceError) {
	for {
		b, err := m.src.Peek(max(1, m.src.Buffered()))
		if n := bytes.IndexByte(b, '\n'); n >= 0 || err != nil {
			_, _ = m.src.Discard(max(0, n)) // is in the buffer
			_ = src.keep(err)
			return
		}
		_, _ = m.src.Discard(len(b)) // is in the buffer
	}
}

// member steps over the member that begins here. What is damaged, or only looks
// like one, ends with its line.
func (m *members) member() error {
	src := &sourceError{src: m.src}
	if m.gzip == nil {
		m.gzip = new(gzip.Reader)
	}
	if m.gzip.Reset(src) == nil {
		m.gzip.Multistream(false)
		plain := &io.LimitedReader{R: m.gzip, N: maxMember - m.spent}
		m.inside(plain)
		m.spent = maxMember - plain.N
		if _, err := m.gzip.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			m.skipLine(src)
		}
	} else {
		m.skipLine(src)
	}
	m.counts[ruleCompressed]++
	m.mask = appendMask(nil, ruleCompressed)
	return src.err
}

// sourceError keeps an error of the source apart from those of what it holds.
type sourceError struct {
	src *bufio.Reader
	err error
}

func (s *sourceError) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	return n, s.keep(err)
}

func (s *sourceError) ReadByte() (byte, error) {
	c, err := s.src.ReadByte()
	return c, s.keep(err)
}

func (s *sourceError) keep(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return err
}
