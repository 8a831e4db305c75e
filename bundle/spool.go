package bundle

import (
	"crypto/sha256"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	workers     = 2       // frames compressed at a time
	queueLength = 4       // batches that wait to be written
	spoolMemory = 8 << 20 // compressed bytes of one waiting entry that stay in memory
)

// frame is a data frame on its way: packed by a worker, then in memory or in
// the file of a spool.
type frame struct {
	size   int    // uncompressed
	packed []byte // nil when it lies in file
	sum    digest
	ready  chan struct{} // closed when packed and sum are there

	file   *spoolFile
	at     int64
	length int
}

// bytes waits for the frame and returns it.
func (f *frame) bytes() ([]byte, error) {
	<-f.ready
	if f.file == nil {
		return f.packed, nil
	}
	return f.file.read(f.at, f.length)
}

// packer compresses frames in a small pool of workers.
type packer struct {
	enc     *zstd.Encoder
	slots   chan struct{}
	buffers sync.Pool // of *[]byte, MaxFrame long
}

func newPacker() (*packer, error) {
	// A frame is all that a worker has to look back on; the default history is 16 MB each.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(workers), zstd.WithWindowSize(MaxFrame), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	p := &packer{enc: enc, slots: make(chan struct{}, workers)}
	p.buffers.New = func() any { b := make([]byte, MaxFrame); return &b }
	return p, nil
}

func (p *packer) buffer() []byte { return *p.buffers.Get().(*[]byte) }

// recycle takes back what buffer gave, in whatever length.
func (p *packer) recycle(b []byte) {
	b = b[:cap(b)]
	if len(b) == MaxFrame {
		p.buffers.Put(&b)
	}
}

// start compresses raw, which it takes over, beside the caller.
func (p *packer) start(raw []byte) *frame {
	f := &frame{size: len(raw), ready: make(chan struct{})}
	p.slots <- struct{}{}
	go func() {
		f.packed = p.enc.EncodeAll(raw, make([]byte, 0, len(raw)/4+128))
		f.sum = sha256.Sum256(f.packed)
		f.length = len(f.packed)
		p.recycle(raw)
		<-p.slots
		close(f.ready)
	}()
	return f
}

// spool keeps the frames of one entry until its size is known: some in memory,
// the rest in an unlinked, encrypted file. It holds redacted, compressed bytes
// only.
type spool struct {
	dir    string
	frames []*frame
	placed int   // frames that have been counted
	memory int   // bytes of them in memory
	end    int64 // of the file
	file   *spoolFile
}

// add appends a frame and finds a place for the one before it, which had time
// to be compressed meanwhile.
func (s *spool) add(f *frame) error {
	s.frames = append(s.frames, f)
	if len(s.frames)-s.placed > 1 {
		return s.place()
	}
	return nil
}

// place counts the oldest frame not yet counted, and writes it to the file
// when the memory is used up.
func (s *spool) place() error {
	f := s.frames[s.placed]
	<-f.ready
	s.placed++
	if s.memory+f.length <= spoolMemory {
		s.memory += f.length
		return nil
	}
	if s.file == nil {
		var err error
		if s.file, err = newSpoolFile(s.dir); err != nil {
			return err
		}
	}
	next, err := s.file.write(f.packed, s.end)
	if err != nil {
		return err
	}
	f.file, f.at, f.packed = s.file, s.end, nil
	s.end = next
	return nil
}

// close gives everything back; a nil spool has nothing.
func (s *spool) close() {
	if s == nil || s.file == nil {
		return
	}
	_ = s.file.close() // what was in it is written or given up
	s.file = nil
}

// countWriter knows how much went through it.
type countWriter struct {
	w io.Writer
	n int64
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
