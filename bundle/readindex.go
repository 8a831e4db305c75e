package bundle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"
)

// readIndex reads the index that the manifest commits to.
func (r *Reader) readIndex(t *tailFrames) error {
	first, err := t.checkFrames(r.manifest)
	if err != nil {
		return err
	}
	parts, err := r.decodeIndex(t, first)
	if err != nil {
		return inPart("index", err)
	}
	n := 0
	for _, p := range parts {
		n += len(p.entries)
	}
	r.entries = make([]entry, 0, n)
	for _, p := range parts {
		if len(p.chunks) > 0 && len(r.entries) > 0 {
			return damaged("index", "chunks after entries")
		}
		r.chunks = append(r.chunks, p.chunks...)
		r.entries = append(r.entries, p.entries...)
	}
	if len(r.chunks) != first || len(r.chunks) != r.manifest.Index.Chunks || len(r.entries) != r.manifest.Index.Files {
		return damaged("index", "%d chunks and %d entries, expected %d and %d", len(r.chunks), len(r.entries), first, r.manifest.Index.Files)
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

// decodeIndex compares the hash of the index, then decodes and parses its
// frames side by side.
func (r *Reader) decodeIndex(t *tailFrames, first int) ([]indexPart, error) {
	ix := r.manifest.Index
	if ix.Length > int64(ix.Frames)*maxPacked || ix.Length > MaxIndex {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, ix.Length)
	}
	packed := make([][]byte, ix.Frames)
	sum := sha256.New()
	for i := range packed {
		f, err := t.frame(first+i, maxPacked)
		if err != nil {
			return nil, err
		}
		sum.Write(f)
		packed[i] = f
	}
	if !bytes.Equal(sum.Sum(nil), ix.SHA256) {
		return nil, fmt.Errorf("%w: its hash is not the one in the manifest", ErrDamaged)
	}
	parts, errs := make([]indexPart, len(packed)), make([]error, len(packed))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range packed {
		slots <- struct{}{}
		wg.Go(func() {
			parts[i], errs[i] = r.decodePart(packed[i], t.frames[first+i], i == 0, i == len(packed)-1)
			<-slots
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// decodePart decodes one frame of the index: the first has the tar header
// before its lines, the last the padding behind them.
func (r *Reader) decodePart(packed []byte, e extent, first, last bool) (indexPart, error) {
	if err := checkFrame(packed, int(e.size)); err != nil || e.size > MaxFrame { // its hash holds
		return indexPart{}, damaged("seek table", "it gives a frame of the index %d bytes", e.size)
	}
	text, err := decodeFrame(r.dec, packed, int(e.size), nil)
	if err != nil {
		return indexPart{}, err
	}
	size := r.manifest.Index.Size
	if first {
		var ok bool
		if text, ok = bytes.CutPrefix(text, tarHeader(r.manifest.Top+"/"+nameIndex, size, r.manifest.Created.Unix())); !ok {
			return indexPart{}, fmt.Errorf("%w: tar header", ErrDamaged)
		}
	}
	if last {
		lines := len(text) - padding(size)
		if lines < 0 || !isZero(text[lines:]) {
			return indexPart{}, fmt.Errorf("%w: padding", ErrDamaged)
		}
		text = text[:lines]
	}
	if len(text) == 0 {
		return indexPart{}, nil
	}
	return parseIndex(unsafe.String(&text[0], len(text))) // nobody else has text, and nobody writes to it again
}

// checkEntries holds what only all entries together can tell.
func (r *Reader) checkEntries() error {
	end, total := r.starts[len(r.starts)-1], int64(0)
	for _, e := range r.entries {
		if e.off > end-e.size {
			return fmt.Errorf("%w: %q lies beyond the tar stream", ErrDamaged, e.path)
		}
		if total += e.size; total > end {
			return fmt.Errorf("%w: entries overlap", ErrDamaged)
		}
	}
	if err := r.join(); err != nil {
		return err
	}
	if err := checkOrder(len(r.nodes), func(i int) string { return r.nodes[i].path }); err != nil {
		return err
	}
	return r.checkFold()
}

// join makes nodes of the entries: parts of one entry become one.
func (r *Reader) join() error {
	r.nodes = make([]node, 0, len(r.entries))
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
	if len(chains) > 0 {
		if err := checkOrder(len(r.entries), func(i int) string { return r.entries[i].path }); err != nil {
			return err
		}
		slices.SortStableFunc(r.nodes, func(a, b node) int { return foldCompare(a.path, b.path) })
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
