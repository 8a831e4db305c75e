package bundle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
)

// problem is something wrong with one entry.
type problem struct {
	path string // empty: with the stream as a whole
	what string
}

func (p problem) Error() string {
	if p.path == "" {
		return p.what
	}
	return p.path + ": " + p.what
}

// layout holds a tar stream, piece by piece, against the files that an index
// says are in it: each one's header, content and padding must follow the one
// before without a gap, so that the stream can show nothing else.
type layout struct {
	header func(path string, size int64) []byte
	files  []file // in the order of the stream
	report func(problem)

	pos  int64 // in the stream
	next int   // the file after the current one

	head []byte // what is left of the current header
	left int64  // of the content
	pad  int    // of the padding
	hash hash.Hash
	bad  bool // the current file was reported
}

func newLayout(header func(string, int64) []byte, files []file, report func(problem)) *layout {
	return &layout{header: header, files: files, report: report, hash: sha256.New()}
}

func (l *layout) current() *file { return &l.files[l.next-1] }

func (l *layout) complain(what string) {
	if !l.bad {
		l.bad = true
		l.report(problem{l.current().path, what})
	}
}

// feed takes the next piece of the stream. It returns an error only when the
// index itself makes no sense of the stream.
func (l *layout) feed(data []byte) error { return l.walk(data, int64(len(data))) }

// skip goes over n bytes that are lost and already reported.
func (l *layout) skip(n int64) error { return l.walk(nil, n) }

// walk goes over n bytes; data is nil when they are lost.
func (l *layout) walk(data []byte, n int64) error {
	for n > 0 {
		if len(l.head) == 0 && l.left == 0 && l.pad == 0 {
			if err := l.begin(); err != nil {
				return err
			}
		}
		took := l.step(data, n)
		if data != nil {
			data = data[took:]
		}
		l.pos += took
		n -= took
		l.end()
	}
	return nil
}

// begin goes on to the next file.
func (l *layout) begin() error {
	if l.next == len(l.files) {
		return problem{"", fmt.Sprintf("bytes from %d on belong to no entry", l.pos)}
	}
	f := &l.files[l.next]
	l.next++
	l.head = l.header(f.path, f.size)
	if f.off != l.pos+int64(len(l.head)) {
		return problem{f.path, fmt.Sprintf("lies at %d and not at %d", f.off, l.pos+int64(len(l.head)))}
	}
	l.left, l.pad, l.bad = f.size, padding(f.size), false
	l.hash.Reset()
	return nil
}

// step checks what lies in one field of the current file.
func (l *layout) step(data []byte, n int64) int64 {
	if data == nil {
		l.bad = true
	}
	switch {
	case len(l.head) > 0:
		n = min(n, int64(len(l.head)))
		if data != nil && !bytes.Equal(data[:n], l.head[:n]) {
			l.complain("its tar header is not the one that the index stands for")
		}
		l.head = l.head[n:]
	case l.left > 0:
		n = min(n, l.left)
		if !l.bad {
			l.hash.Write(data[:n])
		}
		l.left -= n
	default:
		n = min(n, int64(l.pad))
		if data != nil && !isZero(data[:n]) {
			l.complain("padding that is not zero")
		}
		l.pad -= int(n)
	}
	return n
}

// end compares the hash when a file is complete.
func (l *layout) end() {
	if len(l.head) > 0 || l.left > 0 || l.pad > 0 || l.bad {
		return
	}
	if sum := l.current().sum; !bytes.Equal(l.hash.Sum(nil), sum[:]) {
		l.complain("its content is not what the index says")
	}
}

// done says whether the stream ended where the index ends.
func (l *layout) done() error {
	if l.next != len(l.files) || len(l.head) > 0 || l.left > 0 || l.pad > 0 {
		return problem{"", fmt.Sprintf("the stream ends after %d bytes, before its last entry", l.pos)}
	}
	return nil
}
