package bundle

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Frames takes the finished frames of a [Fragment], whose maker is not
// trusted: every frame is decoded once under the limits of the format, hashes
// are computed again, tar headers must be those that the index lines stand
// for, and paths must lie below one of the prefixes: a folder, or, when it ends
// in __, the beginning of a file's name. Frames are then stored as they came.
//
// Each group is taken as a whole or not at all. The first bad one ends the
// call, and so does a stream without its end mark (ErrTruncated); good groups
// before it stay. Safe for concurrent use.
func (w *Writer) Frames(prefixes []string, r io.Reader) error {
	dec, err := newDecoder()
	if err != nil {
		return err
	}
	defer dec.Close()
	magic := make([]byte, len(fragmentMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return fmt.Errorf("fragment: %w", cutShort(err))
	}
	if string(magic) != fragmentMagic {
		return fmt.Errorf("fragment: %w: it is none of this version", ErrDamaged)
	}
	scratch := make([]byte, 0, MaxFrame)
	for n := 1; ; n++ {
		g, err := readGroup(r)
		if err != nil {
			return fmt.Errorf("fragment: group %d: %w", n, err)
		}
		if g == nil {
			return nil
		}
		if err := g.check(dec, w.header, prefixes, scratch); err != nil {
			return fmt.Errorf("fragment: group %d: %w", n, err)
		}
		if err := w.accept(g); err != nil {
			return fmt.Errorf("fragment: group %d: %w", n, err)
		}
	}
}

// cutShort tells a stream that ends early from one that fails.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the stream ends without its end mark", ErrTruncated)
	}
	return err
}

// group is one group of a fragment, not yet trusted.
type group struct {
	chunks []chunk
	files  []file
	frames [][]byte
}

// readGroup reads a group within the limits; nil is the end mark.
func readGroup(r io.Reader) (*group, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, cutShort(err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 {
		return nil, nil
	}
	if n > maxGroupLines {
		return nil, fmt.Errorf("%w: %d bytes of index lines", ErrTooLarge, n)
	}
	lines, err := readN(r, int(n))
	if err != nil {
		return nil, err
	}
	g, err := parseGroup(string(lines))
	if err != nil {
		return nil, err
	}
	for _, c := range g.chunks {
		f, err := readN(r, int(c.packed))
		if err != nil {
			return nil, err
		}
		g.frames = append(g.frames, f)
	}
	return g, nil
}

// readN reads n bytes without believing that they will come.
func readN(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, 0, min(n, MaxFrame))
	for len(b) < n {
		at, more := len(b), min(n-len(b), MaxFrame)
		b = append(b, make([]byte, more)...)
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return nil, cutShort(err)
		}
	}
	return b, nil
}

// parseGroup reads the index lines of a group.
func parseGroup(lines string) (*group, error) {
	p, err := parseIndex(lines)
	if err != nil {
		return nil, err
	}
	g := &group{chunks: p.chunks}
	var total, packed int64
	for _, c := range p.chunks {
		if c.class != p.chunks[0].class {
			return nil, fmt.Errorf("%w: classes %q and %q in one group", ErrDamaged, p.chunks[0].class, c.class)
		}
		total, packed = total+int64(c.size), packed+int64(c.packed)
	}
	if len(p.chunks) == 0 || len(p.entries) == 0 {
		return nil, fmt.Errorf("%w: an empty group", ErrDamaged)
	}
	if total > MaxGroup || packed > MaxGroup+maxPacked || len(p.chunks) > maxGroupFrames {
		return nil, fmt.Errorf("%w: a group of %d bytes in %d frames", ErrTooLarge, total, len(p.chunks))
	}
	for _, e := range p.entries {
		sum, err := e.sum()
		if err != nil {
			return nil, err
		}
		if _, err := e.salt(); err != nil {
			return nil, err
		}
		g.files = append(g.files, file{path: e.path, off: e.off, size: e.size, sum: sum})
	}
	return g, nil
}

// check decodes the group and holds it against its own lines and the prefixes.
func (g *group) check(dec *zstd.Decoder, header func(string, int64) []byte, prefixes []string, scratch []byte) error {
	for _, f := range g.files {
		if !below(prefixes, f.path) {
			return fmt.Errorf("%w: %q lies outside of what this agent may write", ErrPath, f.path)
		}
		base := f.path
		if p, ok := partOf(f.path); ok {
			base = p.base
		}
		if same, err := escapePath(base); err != nil || same != base {
			return fmt.Errorf("%w: %q is not escaped", ErrPath, f.path)
		}
	}
	var wrong error
	l := newLayout(header, g.files, func(p problem) {
		if wrong == nil {
			wrong = fmt.Errorf("%w: %w", ErrDamaged, p)
		}
	})
	for i, c := range g.chunks {
		if sha256.Sum256(g.frames[i]) != c.sum {
			return fmt.Errorf("%w: frame %d has another hash than its line", ErrDamaged, i)
		}
		data, err := decodeFrame(dec, g.frames[i], int(c.size), scratch)
		if err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
		if err := l.feed(data); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if wrong != nil {
			return wrong
		}
	}
	if err := l.done(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// below says whether path lies below one of the prefixes.
func below(prefixes []string, path string) bool {
	for _, p := range prefixes {
		if strings.HasSuffix(p, "__") {
			if name, ok := strings.CutPrefix(path, p); ok && !strings.Contains(name, "/") {
				return true
			}
			continue
		}
		if p = strings.TrimSuffix(p, "/"); p != "" && strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}

// accept puts a checked group into the bundle.
func (w *Writer) accept(g *group) error {
	paths := make([]string, len(g.files))
	for i, f := range g.files {
		paths[i] = f.path
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	if w.frames+len(g.chunks) > maxFrames/2 {
		return fmt.Errorf("%w: %d frames", ErrTooLarge, w.frames)
	}
	count, bytes, index := w.count, w.bytes, w.index
	for _, f := range g.files {
		if err := w.admit(f.path, f.size, len(w.header(f.path, f.size))); err != nil {
			w.count, w.bytes, w.index = count, bytes, index
			return err
		}
	}
	if err := w.names.claimAll(paths); err != nil {
		w.count, w.bytes, w.index = count, bytes, index
		return err
	}
	b := batch{class: g.chunks[0].class, files: g.files}
	ready := make(chan struct{})
	close(ready)
	for i, c := range g.chunks {
		b.frames = append(b.frames, &frame{size: int(c.size), length: int(c.packed), packed: g.frames[i], sum: c.sum, ready: ready})
	}
	return w.enqueue(b)
}
