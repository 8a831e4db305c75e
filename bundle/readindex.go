package bundle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"
)

// readIndex reads the index that the manifest commits to.
func (r *Reader) readIndex(t *tailFrames) error {
	first, err := t.checkFrames(r.manifest)
	if err != nil {
		return err
	}
	texts, err := r.decodeIndex(t, first)
	if err != nil {
		return inPart("index", err)
	}
	if err := r.parseParts(texts, first); err != nil {
		return &DamageError{Part: "index", Err: err}
	}
	r.offsets, r.starts = t.offsets[:first+1], make([]int64, 1, first+1)
	for i, c := range r.chunks {
		if c.extent != t.frames[i] {
			return damaged("seek table", "frame %d is not what the index says", i)
		}
		r.starts = append(r.starts, r.starts[i]+int64(c.size))
	}
	if err := r.checkEntries(); err != nil {
		return &DamageError{Part: "index", Err: err}
	}
	return nil
}

// checkFrames holds the seek table against the manifest and gives the number
// of data frames.
func (t *tailFrames) checkFrames(m *Manifest) (int, error) {
	proofs := []struct {
		name, part string
		proof      *Proof
	}{{nameProvenance, "provenance", m.Provenance}, {nameTree, "tree proof", m.TreeProof}}
	at := t.manifestAt
	for _, p := range proofs {
		if p.proof != nil {
			at--
		}
	}
	first := at - m.Index.Frames
	if first < 0 || m.Index.Offset != t.offsets[first] || m.Index.Length != t.offsets[first+m.Index.Frames]-t.offsets[first] {
		return 0, damaged("seek table", "the index does not lie where the manifest says")
	}
	for _, p := range proofs {
		if p.proof == nil {
			continue
		}
		body, _, err := t.member(at, maxProof)
		if err != nil {
			return 0, &DamageError{Part: p.part, Err: err}
		}
		if sum := sha256.Sum256(body); !bytes.Equal(sum[:], p.proof.SHA256) {
			return 0, damaged(p.part, "not the one that the manifest stands for")
		}
		if err := t.rebuild(at, p.part, memberStream(m, p.name, body)); err != nil {
			return 0, err
		}
		t.proofs[p.name] = body
		at++
	}
	return first, nil
}

// decodeIndex compares the hash of the index, then decodes its frames side by
// side. It gives their lines.
func (r *Reader) decodeIndex(t *tailFrames, first int) ([]string, error) {
	ix := r.manifest.Index
	if ix.Length > int64(ix.Frames)*maxPacked || ix.Length > MaxIndex {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, ix.Length)
	}
	packed, err := readFull(t.src, make([]byte, ix.Length), ix.Offset)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(packed); !bytes.Equal(sum[:], ix.SHA256) {
		return nil, fmt.Errorf("%w: its hash is not the one in the manifest", ErrDamaged)
	}
	texts := make([]string, ix.Frames)
	return texts, sideBySide(ix.Frames, func(i int) (err error) {
		from, to := t.offsets[first+i]-ix.Offset, t.offsets[first+i+1]-ix.Offset
		texts[i], err = r.decodePart(packed[from:to], t.frames[first+i], i == 0, i == ix.Frames-1)
		return err
	})
}

// sideBySide calls f for 0 to n-1 on all processors and gives the first error
// in the order of the numbers.
func sideBySide(n int, f func(int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = f(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// decodePart decodes one frame of the index: the first has the tar header
// before its lines, the last the padding behind them.
func (r *Reader) decodePart(packed []byte, e extent, first, last bool) (string, error) {
	if err := checkFrame(packed, int(e.size)); err != nil || e.size > MaxFrame { // its hash holds
		return "", damaged("seek table", "it gives a frame of the index %d bytes", e.size)
	}
	text, err := decodeFrame(r.dec, packed, int(e.size), nil)
	if err != nil {
		return "", err
	}
	size := r.manifest.Index.Size
	if first {
		var ok bool
		if text, ok = bytes.CutPrefix(text, tarHeader(r.manifest.Top+"/"+nameIndex, size, r.manifest.Created.Unix())); !ok {
			return "", fmt.Errorf("%w: tar header", ErrDamaged)
		}
	}
	if last {
		lines := len(text) - padding(size)
		if lines < 0 || !isZero(text[lines:]) {
			return "", fmt.Errorf("%w: padding", ErrDamaged)
		}
		text = text[:lines]
	}
	return unsafe.String(unsafe.SliceData(text), len(text)), nil // nobody else has text, and nobody writes to it again
}

// parseParts reads the lines of the index, which come in several texts, into
// chunks, entries and nodes: each text on its own, then what lies at the
// borders between them.
func (r *Reader) parseParts(texts []string, chunks int) error {
	begin := make([]int, len(texts)+1) // number of the first line of each
	for i, t := range texts {
		begin[i+1] = begin[i] + strings.Count(t, "\n")
	}
	ix := r.manifest.Index
	if chunks != ix.Chunks || begin[len(texts)] != chunks+ix.Files {
		return fmt.Errorf("%w: %d lines for %d chunks, expected %d and %d", ErrDamaged, begin[len(texts)], chunks, ix.Chunks, ix.Files)
	}
	r.chunks, r.entries, r.nodes = make([]chunk, chunks), make([]entry, ix.Files), make([]node, ix.Files)
	parts := make([]indexPart, len(texts))
	err := sideBySide(len(texts), func(i int) (err error) {
		parts[i], err = r.parsePart(texts[i], begin[i], begin[i+1])
		return err
	})
	if err != nil {
		return err
	}
	foreign, joined := false, false
	for _, p := range parts {
		foreign, joined = foreign || p.foreign, joined || p.parts
	}
	if err := r.checkBorders(parts); err != nil {
		return err
	}
	if joined {
		if err := r.join(); err != nil {
			return err
		}
	}
	if foreign {
		return r.checkFold()
	}
	return nil
}

// indexPart is what the borders of one text of the index need.
type indexPart struct {
	from, to       int // its entries
	end            order
	foreign, parts bool // some of its paths are
}

// parsePart reads one text: lines from to to of the whole index.
func (r *Reader) parsePart(text string, from, to int) (p indexPart, err error) {
	n := from
	for ; n < len(r.chunks) && text != ""; n++ {
		var ok bool
		if r.chunks[n], text, ok = cutChunk(text); !ok {
			return p, fmt.Errorf("%w: line %d of the index is no chunk", ErrDamaged, n+1)
		}
	}
	p.from, p.to = n-len(r.chunks), to-len(r.chunks)
	var paths pathCheck
	for ; text != ""; n++ {
		if n == to {
			return p, fmt.Errorf("%w: line %d of the index does not end", ErrDamaged, n+1)
		}
		i := n - len(r.chunks)
		e, ok := &r.entries[i], false
		if text, ok = e.cut(text); !ok {
			return p, fmt.Errorf("%w: line %d of the index is no entry", ErrDamaged, n+1)
		}
		shared, err := paths.check(e)
		if err != nil {
			return p, err
		}
		if _, err := p.end.next(e.path, shared); err != nil {
			return p, err
		}
		p.foreign, p.parts = p.foreign || e.foreign, p.parts || e.part
		r.nodes[i] = node{path: e.path, size: e.size, parts: r.entries[i : i+1 : i+1]}
	}
	if n != to {
		return p, fmt.Errorf("%w: a line break within line %d of the index", ErrDamaged, n)
	}
	return p, nil
}

// checkBorders holds the order of paths across the texts of the index. Within
// each it holds already, but paths of earlier ones may still be open there.
func (r *Reader) checkBorders(parts []indexPart) error {
	var o order
	for _, p := range parts {
		open := len(o.open)
		for i := p.from; i < p.to && open > 0; i++ {
			path := r.entries[i].path
			still, err := o.next(path, common(o.prev, path))
			if err != nil {
				return err
			}
			open = min(open, still)
		}
		if open == 0 && p.from < p.to {
			o = p.end
		}
	}
	return nil
}

// checkEntries holds what only entries and chunks together can tell.
func (r *Reader) checkEntries() error {
	end, total := r.starts[len(r.starts)-1], int64(0)
	for i := range r.entries {
		e := &r.entries[i]
		if e.off > end-e.size {
			return fmt.Errorf("%w: %q lies beyond the tar stream", ErrDamaged, e.path)
		}
		if total += e.size; total > end {
			return fmt.Errorf("%w: entries overlap", ErrDamaged)
		}
	}
	return nil
}

// join makes one node of the parts of one entry.
func (r *Reader) join() error {
	r.nodes = r.nodes[:0]
	chains := map[string]int{} // base → index in nodes
	for i, e := range r.entries {
		if !e.part {
			r.nodes = append(r.nodes, node{path: e.path, size: e.size, parts: r.entries[i : i+1 : i+1]})
			continue
		}
		p, _ := partOf(e.path)
		at, ok := chains[p.base]
		if !ok {
			at, chains[p.base] = len(r.nodes), len(r.nodes)
			r.nodes = append(r.nodes, node{path: p.base, truncated: true})
		}
		n := &r.nodes[at]
		if p.n != len(n.parts)+1 || !n.truncated {
			return fmt.Errorf("%w: %q is out of turn", ErrDamaged, e.path)
		}
		n.parts, n.size, n.truncated = append(n.parts, e), n.size+e.size, !p.end
	}
	slices.SortStableFunc(r.nodes, func(a, b node) int { return foldCompare(a.path, b.path) })
	var o order
	for _, n := range r.nodes {
		if _, err := o.next(n.path, common(o.prev, n.path)); err != nil {
			return err
		}
	}
	return nil
}

// checkFold does for letters beyond ASCII what checkOrder does for ASCII: no
// two paths or folders that a file system may take for one.
func (r *Reader) checkFold() error {
	seen := map[string]string{}
	for _, n := range r.nodes {
		if !n.parts[0].foreign {
			continue
		}
		for end := len(n.path); end > 0; end = strings.LastIndexByte(n.path[:end], '/') {
			p := n.path[:end]
			if isASCII(p) {
				break
			}
			key := foldKey(p)
			other, ok := seen[key]
			if !ok {
				seen[key] = p
				other = p
			}
			if i := r.search(key); other == p && isASCII(key) && i < len(r.nodes) && (foldCompare(r.nodes[i].path, key) == 0 || foldCommon(r.nodes[i].path, key+"/") == len(key)+1) {
				other = r.nodes[i].path
			}
			if other != p {
				return fmt.Errorf("%w: %q and %q are one name on some file systems", ErrDamaged, other, p)
			}
		}
	}
	return nil
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
