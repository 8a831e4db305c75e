package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func testLeaves(n int) []digest {
	leaves := make([]digest, n)
	for i := range leaves {
		leaves[i] = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	return leaves
}

// reread encodes a proof and reads it as somebody does who has only the kept leaves.
func reread(t *testing.T, p *proof, kept []digest) (digest, error) {
	t.Helper()
	text := p.encode()
	q, err := parseProof(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if err := q.fill(kept); err != nil {
		return digest{}, err
	}
	return q.root()
}

func TestProof(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 70 {
		leaves := testLeaves(n)
		root := merkleRoot(leaves)
		for _, share := range []float64{0, 0.1, 0.5, 0.9, 1} {
			p := newProof(leaves)
			for round := range 3 { // each prunes what the one before left
				var kept []digest
				wanted := map[digest]bool{}
				for _, node := range p.nodes {
					if node.kept && r.Float64() < share {
						wanted[node.sum] = true
						kept = append(kept, node.sum)
					}
				}
				var err error
				if p, err = p.prune(func(d digest) bool { return wanted[d] }); err != nil {
					t.Fatal(err)
				}
				r.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
				got, err := reread(t, p, kept)
				if err != nil || got != root {
					t.Fatalf("%d leaves, %d kept, round %d: %x, %v", n, len(kept), round, got, err)
				}
				if len(kept) == 0 {
					break
				}
				kept[0][0] ^= 1
				if got, err := reread(t, p, kept); err == nil && got == root {
					t.Fatalf("%d leaves: a leaf of another tree passes", n)
				}
				if _, err := reread(t, p, kept[1:]); !errors.Is(err, ErrDamaged) {
					t.Fatalf("a leaf too few: %v", err)
				}
			}
		}
	}
}

// All hidden, a proof is one line however large the tree.
func TestProofIsShort(t *testing.T) {
	leaves := testLeaves(1000)
	p, err := newProof(leaves).prune(func(digest) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	root := merkleRoot(leaves)
	want := fmt.Sprintf("casefile-proof/1\nleaves 1000\nhidden 1000 %s\n", encoding().EncodeToString(root[:]))
	if got := string(p.encode()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestProofRefused(t *testing.T) {
	h := strings.Repeat("A", hashText)
	for name, body := range map[string]string{
		"no leaves":          "leaves \n",
		"a sign":             "leaves +2\nkept 2\n",
		"a leading zero":     "leaves 02\nkept 2\n",
		"too many":           "leaves 1000001\nkept 1000001\n",
		"negative":           "leaves -1\n",
		"kept nothing":       "leaves 2\nkept 0\nkept 2\n",
		"runs apart":         "leaves 2\nkept 1\nkept 1\n",
		"too few":            "leaves 3\nkept 2\n",
		"more than all":      "leaves 3\nkept 4\n",
		"hidden nothing":     "leaves 2\nkept 2\nhidden 0 " + h + "\n",
		"a short hash":       "leaves 1\nhidden 1 " + h[1:] + "\n",
		"loose bits":         "leaves 1\nhidden 1 " + h[1:] + "B\n",
		"no end":             "leaves 2\nkept 2",
		"an empty line":      "leaves 2\n\nkept 2\n",
		"another word":       "leaves 2\nlost 2\n",
		"paths in disorder":  "leaves 2\nkept 2\naltered b\naltered a\n",
		"a path twice":       "leaves 2\nkept 2\nadded a\nadded a\n",
		"added before":       "leaves 2\nkept 2\nadded a\naltered b\n",
		"leaves behind":      "leaves 2\nkept 1\naltered b\nkept 1\n",
		"a path to nowhere":  "leaves 2\nkept 2\naltered ../b\n",
		"an empty path":      "leaves 2\nkept 2\naltered \n",
		"not of that tree":   "leaves 3\nkept 1\nhidden 2 " + h + "\n",
		"neighbours apart":   "leaves 4\nkept 2\nhidden 1 " + h + "\nhidden 1 " + h + "\n",
		"larger than a part": "leaves 5\nhidden 1 " + h + "\nhidden 4 " + h + "\n",
	} {
		p, err := parseProof([]byte(proofHead + body))
		if err == nil {
			_, err = p.root()
		}
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzProof(f *testing.F) {
	h := strings.Repeat("A", hashText)
	f.Add([]byte(proofHead+"leaves 7\nkept 2\nhidden 2 "+h+"\nhidden 1 "+h+"\nkept 2\naltered a\nadded b/c\n"), 3)
	f.Add([]byte(proofHead+"leaves 0\n"), 0)
	p, _ := newProof(testLeaves(30)).prune(func(d digest) bool { return d[0] < 100 })
	f.Add(p.encode(), 12)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		p, err := parseProof(text)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if !bytes.Equal(p.encode(), text) {
			t.Error("two spellings of one proof")
		}
		if p.fill(testLeaves(max(0, min(n, 100)))) == nil {
			if _, err := p.root(); err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("an error of no kind: %v", err)
			}
		}
	})
}

// The peer is what a reader does anyway: the root of a whole tree.
func BenchmarkProof(b *testing.B) {
	leaves := testLeaves(100_000)
	want := merkleRoot(leaves)
	keep := func(d digest) bool { return d[5] >= 26 } // nine of ten, here and there
	var kept []digest
	for _, l := range leaves {
		if keep(l) {
			kept = append(kept, l)
		}
	}
	p, err := newProof(leaves).prune(keep)
	if err != nil {
		b.Fatal(err)
	}
	text := p.encode()
	b.Run("check", func(b *testing.B) {
		for b.Loop() {
			q, err := parseProof(text)
			if err != nil {
				b.Fatal(err)
			}
			if err := q.fill(kept); err != nil {
				b.Fatal(err)
			}
			if root, err := q.root(); err != nil || root != want {
				b.Fatal("another root", err)
			}
		}
		b.ReportMetric(float64(len(text)), "bytes")
	})
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			q, err := newProof(leaves).prune(keep)
			if err != nil {
				b.Fatal(err)
			}
			q.encode()
		}
	})
	b.Run("whole-root", func(b *testing.B) {
		for b.Loop() {
			if merkleRoot(leaves) != want {
				b.Fatal("another root")
			}
		}
	})
}
