package bundle

import (
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
)

// Writer writes one bundle. Safe for concurrent use, but for Close.
type Writer struct {
	*assembler
	out    countWriter
	random io.Reader
	salted func(*file) bool // gives a file the salt that it had elsewhere; may be nil
	queue  chan batch
	done   sync.WaitGroup

	files   []file // with mu held
	at      int64  // end of the tar stream, with mu held
	frames  int    // with mu held
	chunks  []chunk
	written atomic.Int64
}

// NewWriter begins a bundle on w, which it only ever appends to.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	a, err := newAssembler(o)
	if err != nil {
		return nil, err
	}
	return a.writer(w, o.Random), nil
}

// writer begins a bundle on w.
func (a *assembler) writer(w io.Writer, random io.Reader) *Writer {
	b := &Writer{assembler: a, out: countWriter{w: w}, random: random, queue: make(chan batch, queueLength)}
	if b.random == nil {
		b.random = rand.Reader
	}
	a.emit = b.enqueue
	b.done.Go(b.run)
	return b
}

// Put stores what r yields, redacted, at path and returns the bytes stored.
// Elements of path that the format refuses are escaped as [EscapePath] does.
// On an error nothing of the entry is in the bundle. Put waits when the output
// is slower than its callers. Safe for concurrent use.
func (w *Writer) Put(path string, class Class, r io.Reader) (int64, error) {
	return w.put(path, class, r)
}

// Flush sends all that Put has returned for on its way to the output, so that
// it survives a crash: [Recover] reads every complete frame. It ends the open
// frame of each class early and so costs some compression: call it every few
// seconds, not after each Put. It is part of the sequence of calls that the
// bytes of a bundle depend on. Safe for concurrent use.
func (w *Writer) Flush() error { return w.flushAll(false) }

// Written is the size of the file so far. Safe for concurrent use.
func (w *Writer) Written() int64 { return w.written.Load() }

// enqueue fixes the place of a batch in the tar stream. mu is held.
func (w *Writer) enqueue(b batch) error {
	for i := range b.files {
		f := &b.files[i]
		f.off += w.at
		if w.salted != nil && w.salted(f) {
			continue
		}
		if _, err := io.ReadFull(w.random, f.salt[:]); err != nil {
			return w.fail(fmt.Errorf("salt: %w", err))
		}
	}
	w.files = append(w.files, b.files...)
	w.at += b.size()
	w.frames += len(b.frames)
	w.queue <- b
	return nil
}

// run writes batches in their order until the queue is closed. After an error
// it only empties the queue.
func (w *Writer) run() {
	var failed error
	for b := range w.queue {
		for _, f := range b.frames {
			packed, err := f.bytes()
			if failed == nil && err == nil {
				_, err = w.out.Write(packed)
			}
			if err != nil && failed == nil {
				failed = w.fail(err)
			}
			w.chunks = append(w.chunks, chunk{class: b.class, extent: extent{uint32(f.length), uint32(f.size)}, sum: f.sum})
			w.written.Store(w.out.n)
		}
		b.spool.close()
	}
}

// drain waits until all is written and ends run.
func (w *Writer) drain() {
	if w.queue != nil {
		close(w.queue)
		w.done.Wait()
		w.queue = nil
	}
}

// abandon ends a writer that will not be closed.
func (w *Writer) abandon() {
	_ = w.fail(fs.ErrClosed)
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.drain()
}

// Close writes index, manifest, seal and seek table; s nil leaves the bundle
// unsigned. It must not run beside Put or Frames. When info is too large for
// the manifest nothing is closed, and Close may be called again.
func (w *Writer) Close(info Info, s Signer) (*Manifest, error) {
	m, err := info.manifest()
	if err != nil {
		return nil, err
	}
	err = w.flushAll(true)
	w.drain()
	if fail := w.failed.Load(); fail != nil {
		err = *fail
	}
	if err != nil {
		return nil, err
	}
	t := tail{w: w, m: m}
	if err := t.write(info, s); err != nil {
		return nil, fmt.Errorf("seal the bundle: %w", err)
	}
	return m, nil
}
