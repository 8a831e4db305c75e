package bundle

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
)

// realBundle is a signed bundle with provenance of what a real cluster's API
// server said: the objects of the demo, up to limit bytes.
func realBundle(t testing.TB, limit int64) []byte {
	t.Helper()
	recorded, err := os.ReadFile("../samples/bundles/demo/cluster.tar.zst")
	if err != nil {
		t.Fatal(err)
	}
	src := openUnverified(t, recorded)
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	w.redact = asIs // it was redacted when it was recorded
	sum := int64(0)
	for i, f := range src.Files() {
		if sum+f.Size > limit {
			continue
		}
		b, err := fs.ReadFile(src, f.Path)
		if err != nil {
			t.Fatal(err)
		}
		put(t, w, f.Path, classOf(f.Path), string(b))
		if sum += f.Size; i%20 == 19 { // several frames of each class
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if sum < limit/2 {
		t.Fatalf("only %d bytes", sum)
	}
	s, _ := testSigner(t)
	info := testInfo()
	info.Provenance = func(sum [32]byte) ([]byte, error) {
		st, err := NewStatement("index.jsonl", sum, "https://casefile.dev/test/v1", map[string]string{"plan": "none"})
		if err != nil {
			return nil, err
		}
		return Attest(s, st)
	}
	if _, err := w.Close(info, s); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestMutations changes a single byte of a real bundle, or cuts it, ten
// thousand times: not one is accepted, and nothing crashes.
func TestMutations(t *testing.T) {
	mutations := 10_000
	if testing.Short() {
		mutations = 500
	}
	_, v := testSigner(t)
	good := realBundle(t, 200_000)
	if err := check(good, v); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(99, uint64(worker)))
			b := bytes.Clone(good)
			for range mutations / runtime.GOMAXPROCS(0) {
				if rnd.IntN(4) == 0 {
					n := rnd.IntN(len(good))
					if err := check(b[:n], v); err == nil {
						t.Errorf("cut to %d of %d bytes it passed", n, len(good))
					}
					continue
				}
				at := rnd.IntN(len(good))
				flip := byte(1 + rnd.IntN(255))
				b[at] ^= flip
				if err := check(b, v); err == nil {
					t.Errorf("byte %d changed by %#x: it passed", at, flip)
				}
				b[at] ^= flip
			}
		})
	}
	wg.Wait()
}

// TestReal holds that what the mutations start from is what it is said to be.
func TestReal(t *testing.T) {
	_, v := testSigner(t)
	r := openBytes(t, realBundle(t, 200_000), v)
	if len(r.Files()) < 20 || len(r.chunks) < 3 || r.Provenance() == nil {
		t.Errorf("%d files in %d chunks", len(r.Files()), len(r.chunks))
	}
	if _, err := fs.Stat(r, "cluster/resources"); err != nil {
		t.Error(err)
	}
}
