package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// withProvenance writes a bundle of so many files; 9000 take several frames of
// index.
func withProvenance(t *testing.T, files int, s Signer, provenance func([32]byte) ([]byte, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	for i := range files { // lines of some 220 bytes
		put(t, w, fmt.Sprintf("nodes/%s/%d", strings.Repeat("x", 100), i), ClassNodes, "a")
	}
	info := testInfo()
	info.Provenance = provenance
	if _, err := w.Close(info, s); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// extracted gives the member that any tar would.
func extracted(t *testing.T, b []byte, name string) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatal(name, err)
		}
		if strings.HasSuffix(h.Name, "/"+name) {
			content, err := io.ReadAll(io.LimitReader(r, MaxIndex))
			if err != nil {
				t.Fatal(err)
			}
			return content
		}
	}
}

func TestProvenanceStatement(t *testing.T) {
	s, v := testSigner(t)
	thief, thiefKey := otherSigner(t)
	claim := func(s Signer, predicate string) func([32]byte) ([]byte, error) {
		return func(index [32]byte) ([]byte, error) {
			st, err := NewStatement(nameIndex, index, predicate, map[string]string{"producer": "test"})
			if err != nil {
				return nil, err
			}
			return Attest(s, st)
		}
	}
	b := withProvenance(t, 9000, s, claim(s, ProvenancePredicate))
	if err := check(b, v); err != nil {
		t.Fatal(err)
	}
	r := openBytes(t, b, v)
	if n := r.Manifest().Index.Frames; n < 2 {
		t.Errorf("the index has %d frames, so that the test shows nothing", n)
	}
	sum, err := r.IndexDigest()
	if text := extracted(t, b, nameIndex); err != nil || sum != sha256.Sum256(text) {
		t.Errorf("not the digest of what tar extracts: %v", err)
	}
	if st, err := r.ProvenanceStatement(v); err != nil || string(st.Predicate) != `{"producer":"test"}` {
		t.Errorf("%v: %v", st, err)
	}
	if st, err := r.ProvenanceStatement(thiefKey); !errors.Is(err, ErrUnknownSigner) || st == nil {
		t.Errorf("unknown signer: %v", err)
	}
	if st, err := openBytes(t, makeBundle(t, contents(), s), v).ProvenanceStatement(v); st != nil || err != nil {
		t.Errorf("none: %v %v", st, err)
	}
	for name, forged := range map[string]func([32]byte) ([]byte, error){
		"by another key":   claim(thief, ProvenancePredicate),
		"of another kind":  claim(s, treePredicate),
		"of another index": func(index [32]byte) ([]byte, error) { index[0] ^= 1; return claim(s, ProvenancePredicate)(index) },
		"no attestation":   func([32]byte) ([]byte, error) { return []byte("{}"), nil },
	} {
		r := openBytes(t, withProvenance(t, 1, s, forged), v)
		var d *DamageError
		if _, err := r.ProvenanceStatement(Keyring{v, thiefKey}); !errors.As(err, &d) || d.Part != "provenance" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
