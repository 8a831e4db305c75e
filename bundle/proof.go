package bundle

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// A proof shows that entries belong to a tree of which most may be hidden. It
// is text, and there is one spelling only:
//
//	casefile-proof/1
//	leaves 815
//	kept 12                      twelve leaves that the reader computes
//	hidden 4 <base64 of 32 bytes>    a subtree of four, by its root
//	…
//	altered collection/log.ndjson    entries that are not in the tree, sorted
//	added collection/results.ndjson
//
// The number of leaves gives the tree its shape, so that the lines from left
// to right are all that it takes. Kept leaves are those of the entries that no
// line names, sorted.
type proof struct {
	leaves  int
	nodes   []proofNode
	altered []string
	added   []string
}

// proofNode is a leaf that is kept or a subtree that is hidden.
type proofNode struct {
	sum    digest
	leaves int
	kept   bool
}

const (
	proofHead    = "casefile-proof/1\n"
	maxProofText = 256 << 20
)

// newProof begins with all leaves kept.
func newProof(leaves []digest) *proof {
	p := &proof{leaves: len(leaves), nodes: make([]proofNode, len(leaves))}
	for i, l := range leaves {
		p.nodes[i] = proofNode{l, 1, true}
	}
	slices.SortFunc(p.nodes, func(a, b proofNode) int { return bytes.Compare(a.sum[:], b.sum[:]) })
	return p
}

// prune hides all leaves but those that keep wants, and joins what is hidden.
func (p *proof) prune(keep func(digest) bool) (*proof, error) {
	w := proofWalk{nodes: p.nodes, keep: keep}
	if _, err := w.root(p.leaves); err != nil {
		return nil, err
	}
	return &proof{leaves: p.leaves, nodes: w.out}, nil
}

// fill gives the kept leaves to a proof that was read.
func (p *proof) fill(kept []digest) error {
	kept = slices.Clone(kept)
	slices.SortFunc(kept, func(a, b digest) int { return bytes.Compare(a[:], b[:]) })
	n := 0
	for i := range p.nodes {
		if !p.nodes[i].kept {
			continue
		}
		if n == len(kept) {
			return fmt.Errorf("%w: the proof keeps more leaves than there are", ErrDamaged)
		}
		p.nodes[i].sum = kept[n]
		n++
	}
	if n != len(kept) {
		return fmt.Errorf("%w: the proof keeps %d leaves of %d", ErrDamaged, n, len(kept))
	}
	return nil
}

// root is what the tree comes to. A proof of another shape, or one that hides
// two neighbours apart, is an error.
func (p *proof) root() (digest, error) {
	w := proofWalk{nodes: p.nodes}
	sum, err := w.root(p.leaves)
	if err == nil && len(w.out) != len(p.nodes) {
		err = fmt.Errorf("%w: the proof hides neighbours apart", ErrDamaged)
	}
	return sum, err
}

// proofWalk goes over a tree from left to right.
type proofWalk struct {
	nodes []proofNode
	keep  func(digest) bool // nil: what is kept stays so
	out   []proofNode
}

func (w *proofWalk) root(leaves int) (digest, error) {
	if leaves == 0 {
		return merkleRoot(nil), nil
	}
	sum, err := w.walk(leaves)
	if err == nil && len(w.nodes) > 0 {
		err = errShape()
	}
	return sum, err
}

func errShape() error { return fmt.Errorf("%w: the proof is not of that tree", ErrDamaged) }

// walk takes the subtree of the next n leaves.
func (w *proofWalk) walk(n int) (digest, error) {
	if len(w.nodes) == 0 || w.nodes[0].leaves > n {
		return digest{}, errShape()
	}
	if node := w.nodes[0]; node.leaves == n {
		w.nodes = w.nodes[1:]
		node.kept = node.kept && (w.keep == nil || w.keep(node.sum))
		w.out = append(w.out, node)
		return node.sum, nil
	}
	at := len(w.out)
	left := 1 << (bits.Len(uint(n-1)) - 1) // the largest power of two below n
	a, err := w.walk(left)
	if err != nil {
		return digest{}, err
	}
	b, err := w.walk(n - left)
	if err != nil {
		return digest{}, err
	}
	sum := merkleJoin(a, b)
	if len(w.out) == at+2 && !w.out[at].kept && !w.out[at+1].kept {
		w.out = append(w.out[:at], proofNode{sum, n, false})
	}
	return sum, nil
}

// encode gives the one spelling of a proof.
func (p *proof) encode() []byte {
	b := strconv.AppendInt([]byte(proofHead+"leaves "), int64(p.leaves), 10)
	b = append(b, '\n')
	for i := 0; i < len(p.nodes); {
		run := 0
		for i+run < len(p.nodes) && p.nodes[i+run].kept {
			run++
		}
		if run > 0 {
			b = append(strconv.AppendInt(append(b, "kept "...), int64(run), 10), '\n')
			i += run
			continue
		}
		n := p.nodes[i]
		b = append(strconv.AppendInt(append(b, "hidden "...), int64(n.leaves), 10), ' ')
		b = append(encoding().AppendEncode(b, n.sum[:]), '\n')
		i++
	}
	for _, path := range p.altered {
		b = append(append(append(b, "altered "...), path...), '\n')
	}
	for _, path := range p.added {
		b = append(append(append(b, "added "...), path...), '\n')
	}
	return b
}

// parseProof reads a proof. Its kept leaves are still to be filled in.
func parseProof(text []byte) (*proof, error) {
	if len(text) > maxProofText {
		return nil, fmt.Errorf("%w: proof of %d bytes", ErrTooLarge, len(text))
	}
	p := &proof{}
	rest, ok := strings.CutPrefix(string(text), proofHead+"leaves ")
	first, rest, found := strings.Cut(rest, "\n")
	if p.leaves, ok = proofCount(first, ok && found, MaxFiles); !ok {
		return nil, fmt.Errorf("%w: not a proof of version 1", ErrDamaged)
	}
	total := 0
	for n := 3; rest != ""; n++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if !p.line(line, &total) {
			return nil, fmt.Errorf("%w: line %d of the proof", ErrDamaged, n)
		}
	}
	switch {
	case total != p.leaves:
		return nil, fmt.Errorf("%w: the proof has %d leaves of %d", ErrDamaged, total, p.leaves)
	case !sorted(p.altered) || !sorted(p.added):
		return nil, fmt.Errorf("%w: the paths in the proof are not in order", ErrDamaged)
	case !bytes.Equal(p.encode(), text):
		return nil, fmt.Errorf("%w: the proof is not spelt as it must be", ErrDamaged)
	}
	return p, nil
}

// line reads one line; total counts the leaves.
func (p *proof) line(line string, total *int) bool {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "kept":
		n, ok := proofCount(rest, true, p.leaves-*total)
		for range n {
			p.nodes = append(p.nodes, proofNode{leaves: 1, kept: true})
		}
		*total += n
		return ok
	case "hidden":
		count, hash, _ := strings.Cut(rest, " ")
		n, ok := proofCount(count, len(hash) == hashText, p.leaves-*total)
		node := proofNode{leaves: n}
		*total += n
		p.nodes = append(p.nodes, node)
		return ok && n > 0 && decodeText(p.nodes[len(p.nodes)-1].sum[:], hash) == nil
	case "altered", "added":
		if len(p.altered)+len(p.added) == MaxFiles || checkPath(rest) != nil {
			return false
		}
		if word == "altered" {
			p.altered = append(p.altered, rest)
		} else {
			p.added = append(p.added, rest)
		}
		return true
	}
	return false
}

// proofCount reads a number of leaves, at most limit.
func proofCount(s string, ok bool, limit int) (int, bool) {
	n, err := strconv.Atoi(s)
	if !ok || err != nil || n < 0 || n > limit {
		return 0, false
	}
	return n, true
}

// sorted says whether the paths ascend, none twice.
func sorted(paths []string) bool {
	for i := 1; i < len(paths); i++ {
		if paths[i-1] >= paths[i] {
			return false
		}
	}
	return true
}
