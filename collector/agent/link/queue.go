package link

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// Sizes of what a queue holds.
const (
	memorySegment  = 256 << 10
	memorySegments = 16
	diskSegment    = 8 << 20
	diskSegments   = 64
)

// queue keeps what was written until the peer has it: some of it in memory,
// and, where there is a folder, more in files, which are encrypted with a key
// that nobody else has and that ends with the process. A disk that is full only
// makes the queue shorter.
type queue struct {
	dir        string
	block      cipher.Block // of the files; made with the first
	start, end int64        // offsets in the stream: of the first byte that is kept, and behind the last
	segments   []*segment
	memory     int    // segments in memory
	spare      []byte // of a segment that is done with
}

// segment holds a part of the stream, in memory or in a file.
type segment struct {
	start int64
	n     int
	room  int
	buf   []byte
	file  *os.File
}

func (g *segment) end() int64 { return g.start + int64(g.n) }

// append takes as much of p as there is room for; 0 means that bytes must be
// discarded first.
func (q *queue) append(p []byte) int {
	done := 0
	for done < len(p) {
		g := q.last()
		if g == nil {
			return done
		}
		n := min(len(p)-done, g.room-g.n)
		if g.file == nil {
			copy(g.buf[g.n:], p[done:done+n])
		} else if wrote, err := g.file.WriteAt(q.crypt(p[done:done+n], q.end), int64(g.n)); err != nil {
			n, g.room = wrote, g.n+wrote // the disk is full: no more of it
		}
		g.n += n
		q.end += int64(n)
		done += n
		if g.n == 0 {
			q.drop(len(q.segments) - 1)
			return done
		}
	}
	return done
}

// last gives a segment with room, or nil.
func (q *queue) last() *segment {
	if n := len(q.segments); n > 0 && q.segments[n-1].n < q.segments[n-1].room {
		return q.segments[n-1]
	}
	g := &segment{start: q.end}
	switch {
	case q.memory < memorySegments:
		g.buf, g.room, q.spare = q.spare, memorySegment, nil
		if g.buf == nil {
			g.buf = make([]byte, memorySegment)
		}
		q.memory++
	case q.dir != "" && len(q.segments)-q.memory < diskSegments:
		f, err := os.CreateTemp(q.dir, "unsent-")
		if err != nil {
			return nil
		}
		q.keyed()
		g.file, g.room = f, diskSegment
	default:
		return nil
	}
	q.segments = append(q.segments, g)
	return g
}

// readAt copies bytes from an offset that is kept into p.
func (q *queue) readAt(p []byte, at int64) (int, error) {
	for _, g := range q.segments {
		if at < g.start || at >= g.end() {
			continue
		}
		from := int(at - g.start)
		p = p[:min(len(p), g.n-from)]
		if g.file == nil {
			return copy(p, g.buf[from:]), nil
		}
		n, err := g.file.ReadAt(p, int64(from))
		if n == len(p) || errors.Is(err, io.EOF) && n > 0 {
			err = nil
		}
		copy(p, q.crypt(p[:n], at))
		return n, err
	}
	return 0, io.ErrUnexpectedEOF
}

// discard forgets what lies before an offset.
func (q *queue) discard(before int64) {
	q.start = max(q.start, before)
	for len(q.segments) > 0 && q.segments[0].end() <= q.start {
		q.drop(0)
	}
}

func (q *queue) drop(i int) {
	g := q.segments[i]
	if g.file != nil {
		_ = g.file.Close()
		_ = os.Remove(g.file.Name())
	} else {
		q.memory--
		q.spare = g.buf
	}
	q.segments = append(q.segments[:i], q.segments[i+1:]...)
}

// close removes the files.
func (q *queue) close() {
	for len(q.segments) > 0 {
		q.drop(0)
	}
}

// keyed makes the key of the files.
func (q *queue) keyed() {
	if q.block == nil {
		var key [16]byte
		_, _ = rand.Read(key[:])           // never fails
		q.block, _ = aes.NewCipher(key[:]) // nor does this with 16 bytes
	}
}

// crypt turns p, which stands at an offset of the stream, into what the file
// has there, and back. No offset is ever written twice.
func (q *queue) crypt(p []byte, at int64) []byte {
	var counter [aes.BlockSize]byte
	binary.BigEndian.PutUint64(counter[8:], uint64(at/aes.BlockSize))
	skip := int(at % aes.BlockSize)
	buf := make([]byte, skip+len(p))
	copy(buf[skip:], p)
	cipher.NewCTR(q.block, counter[:]).XORKeyStream(buf, buf)
	return buf[skip:]
}
