package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	chunkSize  = 1 << 20
	inMemory   = 4        // chunks; a longer ring waits in a file
	minRing    = 2 << 20  // bytes
	flushChunk = 64 << 10 // bytes gathered before they go into a ring
)

// recorder keeps the last of a capture: a ring of chunks of whole blocks, of
// which a full one takes the place of the oldest. What describes the packets
// is kept apart, so that what is written in the end is a whole file.
type recorder struct {
	head  blocks // section, interfaces, names
	dir   string
	store store
	slots []int // bytes in each
	limit int   // slots
	next  int   // the slot to be written next: the oldest, when all are in use
	cur   []byte
	note  string // why the ring is shorter than asked for
}

// store is where chunks are, chunk i at i*chunkSize.
type store interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
}

// newRecorder makes one that keeps about so many bytes; dir is for its file.
func newRecorder(size int64, dir string) *recorder {
	return &recorder{dir: dir, limit: max(int(size/chunkSize)-1, 1), cur: make([]byte, 0, chunkSize)}
}

// Write takes whole blocks.
func (r *recorder) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := fitting(rest, cap(r.cur)-len(r.cur))
		if n == 0 {
			if err := r.seal(); err != nil {
				return len(p) - len(rest), err
			}
			if n = fitting(rest, cap(r.cur)); n == 0 {
				return len(p) - len(rest), errors.New("a block is longer than a chunk of the ring")
			}
		}
		r.cur = append(r.cur, rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

// fitting is the length of the blocks at the beginning of p that fit into room.
func fitting(p []byte, room int) int {
	if len(p) <= room {
		return len(p)
	}
	n := 0
	for n+8 <= len(p) {
		size := int(binary.LittleEndian.Uint32(p[n+4:]))
		if size < 12 || n+size > room {
			break
		}
		n += size
	}
	return n
}

// seal puts the current chunk into the ring. When the disk is full the ring
// gets no longer: what it has goes round.
func (r *recorder) seal() error {
	if err := r.open(); err != nil {
		return err
	}
	_, err := r.store.WriteAt(r.cur, int64(r.next)*chunkSize)
	if err != nil && r.next == len(r.slots) && len(r.slots) > 0 {
		r.note = fmt.Sprintf("the ring holds %d MiB only: %v", len(r.slots)+1, err)
		r.limit, r.next = len(r.slots), 0
		_, err = r.store.WriteAt(r.cur, 0)
	}
	if err != nil {
		return fmt.Errorf("spool of the ring: %w", err)
	}
	if r.next == len(r.slots) {
		r.slots = append(r.slots, 0)
	}
	r.slots[r.next] = len(r.cur)
	r.next = (r.next + 1) % r.limit
	r.cur = r.cur[:0]
	return nil
}

func (r *recorder) open() (err error) {
	if r.store != nil {
		return nil
	}
	if r.limit < inMemory {
		r.store = inRAM(make([]byte, r.limit*chunkSize))
		return nil
	}
	f, err := os.CreateTemp(r.dir, "ring-*")
	if err != nil {
		return fmt.Errorf("spool of the ring: %w", err)
	}
	r.store = f
	return os.Remove(f.Name())
}

func (r *recorder) close() {
	if r.store != nil {
		r.store.Close()
	}
}

// copyTo writes the file so far, oldest packets first, and shows each packet
// block to each.
func (r *recorder) copyTo(w io.Writer, each func(block []byte)) error {
	if _, err := w.Write(r.head.buf); err != nil {
		return err
	}
	buf := make([]byte, chunkSize)
	for i := range r.slots {
		slot := i
		if len(r.slots) == r.limit {
			slot = (r.next + i) % r.limit
		}
		chunk := buf[:r.slots[slot]]
		if _, err := r.store.ReadAt(chunk, int64(slot)*chunkSize); err != nil {
			return fmt.Errorf("spool of the ring: %w", err)
		}
		if err := copyBlocks(w, chunk, each); err != nil {
			return err
		}
	}
	return copyBlocks(w, r.cur, each)
}

func copyBlocks(w io.Writer, chunk []byte, each func([]byte)) error {
	for rest := chunk; len(rest) > 0; {
		size := int(binary.LittleEndian.Uint32(rest[4:]))
		each(rest[:size])
		rest = rest[size:]
	}
	_, err := w.Write(chunk)
	return err
}

// inRAM is a store of a fixed length.
type inRAM []byte

func (m inRAM) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m).ReadAt(p, off)
}

func (m inRAM) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

func (m inRAM) Close() error { return nil }

// record makes f keep the last of its packets in a ring.
func (f *file) record() *recorder {
	r := newRecorder(f.spec.Ring, f.spec.SpoolDir)
	r.head.buf, f.out.buf = f.out.buf, nil
	f.ring, f.late = r, &r.head
	return r
}

// replay ends the recording: what the ring holds goes to w, and the
// statistics are of that.
func (f *file) replay(w io.Writer) error {
	if err := f.flush(); err != nil {
		return err
	}
	seen := f.stats.Packets
	places := make([]int, f.known)
	for place, number := range f.blocks {
		if number >= 0 {
			places[number] = place
		}
	}
	f.seen = make([]int64, len(f.stats.Interfaces))
	for i := range f.stats.Interfaces {
		f.seen[i], f.stats.Interfaces[i].Packets = f.stats.Interfaces[i].Packets, 0
	}
	f.stats.Packets, f.first, f.final = 0, 0, 0
	f.w, f.stats.Bytes = w, 0
	counted := writerFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		f.stats.Bytes += int64(n)
		return n, err
	})
	err := f.ring.copyTo(counted, func(b []byte) {
		le := binary.LittleEndian
		f.took(places[le.Uint32(b[8:])], int64(uint64(le.Uint32(b[12:]))<<32|uint64(le.Uint32(b[16:]))))
	})
	f.stats.Evicted = seen - f.stats.Packets
	if f.ring.note != "" {
		f.stats.Notes = append(f.stats.Notes, f.ring.note)
	}
	return err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// tooShort says by how much a ring that was to hold the moment of its trigger
// began after it.
func (s Stats) tooShort() (time.Duration, bool) {
	if s.fired.IsZero() || s.Evicted == 0 || s.FirstPacket == nil {
		return 0, false
	}
	late := s.FirstPacket.Sub(s.fired)
	return late, late > 0
}
