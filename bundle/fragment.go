package bundle

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// A fragment is what an agent sends of a bundle: fragmentMagic, groups, and an
// end mark. A group is whole members:
//
//	length of the index lines, four bytes, big endian; 0 is the end mark
//	index lines as in index.jsonl, entries in the order of the stream
//	the frames
const (
	fragmentMagic  = "casefile-fragment/1\n"
	fragmentPart   = 4 << 20 // content of one part of a large entry
	maxGroupLines  = 8 << 20
	maxGroupFrames = 64
)

// Fragment writes the part of a bundle that an agent makes. Safe for
// concurrent use, but for Close.
type Fragment struct {
	*assembler
	w     io.Writer
	queue chan batch
	done  sync.WaitGroup
}

// NewFragment begins a fragment on w. Top, Time and the redaction must be
// those of the bundle that it is for.
func NewFragment(w io.Writer, o Options) (*Fragment, error) {
	a, err := newAssembler(o)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, fragmentMagic); err != nil {
		return nil, fmt.Errorf("bundle: cannot be written: %w", err)
	}
	f := &Fragment{assembler: a, w: w, queue: make(chan batch, queueLength)}
	a.partSize = fragmentPart
	a.emit = func(b batch) error { f.queue <- b; return nil }
	f.done.Go(f.run)
	return f, nil
}

// Put stores what r yields, redacted, at path, as [Writer.Put] does. It needs
// no disk: an entry of more than 4 MiB goes out in parts. When such a one
// fails, parts that already went out stay, and readers find it truncated.
func (f *Fragment) Put(path string, class Class, r io.Reader) (int64, error) {
	return f.put(path, class, r)
}

// Close sends what is left and the end mark. It must not run beside Put.
func (f *Fragment) Close() error {
	err := f.flushAll(true)
	if f.queue != nil {
		close(f.queue)
		f.done.Wait()
		f.queue = nil
	}
	if fail := f.failed.Load(); fail != nil {
		return *fail
	}
	if err != nil {
		return err
	}
	_, err = f.w.Write(make([]byte, 4))
	return err
}

func (f *Fragment) run() {
	for b := range f.queue {
		if f.failed.Load() == nil {
			if err := f.send(b); err != nil {
				_ = f.fail(err)
			}
		}
		b.spool.close()
	}
}

// send writes one group.
func (f *Fragment) send(b batch) error {
	lines := make([]byte, 4)
	frames := make([][]byte, len(b.frames))
	for i, fr := range b.frames {
		packed, err := fr.bytes()
		if err != nil {
			return err
		}
		frames[i] = packed
		lines = appendChunk(lines, chunk{class: b.class, extent: extent{uint32(fr.length), uint32(fr.size)}, sum: fr.sum})
	}
	for _, e := range b.files {
		lines = appendFile(lines, e)
	}
	binary.BigEndian.PutUint32(lines, uint32(len(lines)-4))
	for _, piece := range append([][]byte{lines}, frames...) {
		if _, err := f.w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}
