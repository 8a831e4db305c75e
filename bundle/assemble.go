package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/casefile-io/casefile/bundle/redact"
)

// Options of a [Writer] and of a [Fragment].
type Options struct {
	Top      string           // the folder that all members lie in, as Manifest.Top
	Time     time.Time        // of all members, cut to seconds
	Redactor *redact.Redactor // required: everything passes it
	SpoolDir string           // for entries that outgrow memory; empty: the system's
	Random   io.Reader        // salts and the bundle's id; nil: crypto/rand. For tests.
}

// batch is a run of whole members: frames and the entries in them, offsets
// counted from the first frame.
type batch struct {
	class  Class
	frames []*frame
	files  []file
	spool  *spool // owns some of the frames; may be nil
}

func (b batch) size() (n int64) {
	for _, f := range b.frames {
		n += int64(f.size)
	}
	return n
}

// assembler turns entries into batches. Writer and Fragment differ in what
// they do with a batch.
type assembler struct {
	top      string
	mtime    int64
	redact   func(path string, r io.Reader) io.Reader
	rename   func(path string) string // names in paths are redacted as well
	spoolDir string
	partSize int64 // content after which an entry is cut; 0: never
	packer   *packer
	emit     func(batch) error // called with mu held, in the order of the output

	failed  atomic.Pointer[error] // of the output: nothing more can be written
	mu      sync.Mutex
	closed  bool
	names   names
	packing map[Class]*packing
	count   int
	bytes   int64 // of the tar stream
	index   int64 // of the index
}

// packing gathers small members of one class into a frame.
type packing struct {
	raw   []byte
	files []file
}

// newAssembler checks the options. What is put passes the redactor.
func newAssembler(o Options) (*assembler, error) {
	if o.Redactor == nil {
		return nil, errors.New("bundle: Options.Redactor is required")
	}
	a, err := newCopier(o)
	if err != nil {
		return nil, err
	}
	a.redact, a.rename = o.Redactor.Reader, o.Redactor.Path
	return a, nil
}

// newCopier makes an assembler that has no redactor, for content that was
// taken out of a bundle and so was redacted when it went in.
func newCopier(o Options) (*assembler, error) {
	if err := checkTop(o.Top); err != nil {
		return nil, err
	}
	mtime := o.Time.Unix()
	if mtime < 0 || mtime > maxTime {
		return nil, fmt.Errorf("bundle: the time %s cannot be written", o.Time)
	}
	p, err := newPacker()
	if err != nil {
		return nil, err
	}
	return &assembler{top: o.Top, mtime: mtime, spoolDir: o.SpoolDir, packer: p, names: names{}, packing: map[Class]*packing{}}, nil
}

func (a *assembler) header(path string, size int64) []byte {
	return tarHeader(a.top+"/"+path, size, a.mtime)
}

// put stores what r yields, redacted, at path.
func (a *assembler) put(path string, class Class, r io.Reader) (int64, error) {
	path, err := escapePath(path)
	if err != nil {
		return 0, err
	}
	to, err := escapePath(a.rename(path))
	if err != nil {
		return 0, err
	}
	return a.store(to, class, a.redact(path, r))
}

// store stores what r yields at path, as they are.
func (a *assembler) store(path string, class Class, r io.Reader) (int64, error) {
	if !class.known() {
		return 0, fmt.Errorf("%s: unknown class %q", path, class)
	}
	was, err := a.claim(path)
	if err != nil {
		return 0, err
	}
	m := &member{a: a, path: path, class: class, hash: sha256.New()}
	if err := m.read(r); err != nil {
		m.spool.close()
		a.mu.Lock()
		if m.parts == 0 {
			a.names.release(path, was)
		}
		a.mu.Unlock()
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return m.total, nil
}

// claim takes path and gives what stood in its place.
func (a *assembler) claim(path string) (was name, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.usable(); err != nil {
		return name{}, err
	}
	was = a.names[nameKey(path)]
	return was, a.names.claim(path)
}

func (a *assembler) usable() error {
	if a.closed {
		return fmt.Errorf("bundle: %w", fs.ErrClosed)
	}
	if err := a.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// admit counts an entry of size bytes against the limits of the format.
func (a *assembler) admit(path string, size int64, header int) error {
	room := int64(header) + size + int64(padding(size))
	line := int64(len(path)) + 160
	if a.count+1 > MaxFiles || a.bytes+room > MaxTotal || a.index+line > MaxIndex-(32<<20) {
		return fmt.Errorf("%w: %d entries, %d bytes", ErrTooLarge, a.count, a.bytes)
	}
	a.count, a.bytes, a.index = a.count+1, a.bytes+room, a.index+line
	return nil
}

// pack stores a small member.
func (a *assembler) pack(path string, class Class, content []byte) error {
	header := a.header(path, int64(len(content)))
	room := len(header) + len(content) + padding(int64(len(content)))
	sum := sha256.Sum256(content)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.usable(); err != nil {
		return err
	}
	if err := a.admit(path, int64(len(content)), len(header)); err != nil {
		return err
	}
	p := a.packing[class]
	if p != nil && len(p.raw)+room > MaxFrame {
		if err := a.flush(class); err != nil {
			return err
		}
		p = nil
	}
	if p == nil {
		p = &packing{raw: a.packer.buffer()[:0]}
		a.packing[class] = p
	}
	p.raw = append(p.raw, header...)
	p.files = append(p.files, file{path: path, off: int64(len(p.raw)), size: int64(len(content)), sum: sum})
	p.raw = append(p.raw, content...)
	p.raw = append(p.raw, make([]byte, padding(int64(len(content))))...)
	return nil
}

// flush sends off the open frame of a class.
func (a *assembler) flush(class Class) error {
	p := a.packing[class]
	if p == nil {
		return nil
	}
	delete(a.packing, class)
	return a.emit(batch{class: class, frames: []*frame{a.packer.start(p.raw)}, files: p.files})
}

// flushAll sends off every open frame; last refuses what comes later.
func (a *assembler) flushAll(last bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.usable(); err != nil {
		return err
	}
	a.closed = last
	for _, c := range classes() {
		if err := a.flush(c); err != nil {
			return err
		}
	}
	return nil
}

// fail makes every later call fail. It takes no lock, since whoever holds mu
// may wait for the output.
func (a *assembler) fail(err error) error {
	err = fmt.Errorf("bundle: cannot be written: %w", err)
	a.failed.CompareAndSwap(nil, &err)
	return err
}

// member is one entry while it is read.
type member struct {
	a     *assembler
	path  string
	class Class
	spool *spool
	hash  hash.Hash // of the content since the last cut
	size  int64     // of the content since the last cut
	total int64
	parts int // cut off so far
}

// read takes the whole entry: small ones are packed together with others,
// larger ones wait as compressed frames until their size is known.
func (m *member) read(src io.Reader) error {
	for {
		buf := m.a.packer.buffer()
		n, last, err := fill(src, buf)
		if err != nil {
			m.a.packer.recycle(buf)
			return err
		}
		if m.total += int64(n); m.total > MaxFile {
			m.a.packer.recycle(buf)
			return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, int64(MaxFile))
		}
		if last && m.spool == nil && m.parts == 0 && n+4*block+MaxPath <= MaxFrame {
			err := m.a.pack(m.path, m.class, buf[:n])
			m.a.packer.recycle(buf)
			return err
		}
		if err := m.add(buf, n, last); err != nil {
			return err
		}
		if last {
			return m.flush(true)
		}
	}
}

// fill reads until buf is full or src has ended. Only io.EOF itself is an end:
// a source that was cut off says io.ErrUnexpectedEOF, as io.ReadFull does of a
// short read, and the two must not be taken for each other.
func fill(src io.Reader, buf []byte) (n int, last bool, err error) {
	for idle := 0; n < len(buf); idle++ {
		k, err := src.Read(buf[n:])
		n += k
		switch {
		case err == io.EOF: // itself: a wrapped one is a failure of something else
			return n, true, nil
		case err != nil:
			return n, false, err
		case k > 0:
			idle = 0
		case idle > maxIdleReads:
			return n, false, io.ErrNoProgress
		}
	}
	return n, false, nil
}

const maxIdleReads = 100

// add puts one block of content behind the others, with the padding after the
// last one.
func (m *member) add(buf []byte, n int, last bool) error {
	if m.a.partSize > 0 && n > 0 && m.size >= m.a.partSize {
		if err := m.flush(false); err != nil {
			m.a.packer.recycle(buf)
			return err
		}
	}
	if m.spool == nil {
		m.spool = &spool{dir: m.a.spoolDir}
	}
	m.hash.Write(buf[:n])
	m.size += int64(n)
	if last {
		pad := padding(m.size)
		clear(buf[n : n+pad])
		n += pad
	}
	if n == 0 {
		m.a.packer.recycle(buf)
		return nil
	}
	return m.spool.add(m.a.packer.start(buf[:n]))
}

// flush sends off what was read since the last cut, header first.
func (m *member) flush(end bool) error {
	path := m.path
	if m.parts > 0 || !end {
		m.parts++
		path = part{base: m.path, n: m.parts, end: end}.String()
	}
	header := m.a.header(path, m.size)
	f := file{path: path, off: int64(len(header)), size: m.size}
	m.hash.Sum(f.sum[:0])
	m.a.mu.Lock()
	defer m.a.mu.Unlock()
	if err := m.a.usable(); err != nil {
		return err
	}
	if err := m.a.admit(path, m.size, len(header)); err != nil {
		return err
	}
	frames := append([]*frame{m.a.packer.start(header)}, m.spool.frames...)
	err := m.a.emit(batch{class: m.class, frames: frames, files: []file{f}, spool: m.spool})
	if err != nil {
		return err
	}
	m.spool, m.size = nil, 0
	m.hash.Reset()
	return nil
}
