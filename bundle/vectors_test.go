package bundle

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vector is what FORMAT.md says about one file of testdata/vectors.
type vector struct {
	File        string            `json:"file"`
	Fingerprint string            `json:"fingerprint,omitempty"` // of the seal
	ID          string            `json:"id"`
	Index       string            `json:"index"` // hex of SHA-256 of its compressed frames
	Root        string            `json:"root"`  // hex
	Frames      []string          `json:"frames"`
	Leaves      map[string]string `json:"leaves"` // path → hex of its leaf
	Files       map[string]string `json:"files"`  // path → hex of SHA-256; parts joined
}

const vectorDir = "testdata/vectors"

// TestVectors holds the reader to bundles that are kept as files, and the text
// of the format to them. CASEFILE_UPDATE_VECTORS=1 makes them anew.
func TestVectors(t *testing.T) {
	if os.Getenv("CASEFILE_UPDATE_VECTORS") == "1" {
		makeVectors(t)
	}
	want := readVectors(t)
	for _, w := range want {
		if d := cmp.Diff(w, measure(t, w.File)); d != "" {
			t.Errorf("%s:\n%s", w.File, d)
		}
	}
	if len(want) != 3 {
		t.Errorf("%d vectors", len(want))
	}
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range vectorParts(t) {
		if !strings.Contains(strings.Join(strings.Fields(string(text)), ""), part) {
			t.Errorf("FORMAT.md lacks the vector %s", part)
		}
	}
	for _, w := range want[:1] {
		for _, s := range []string{w.Root, w.Index, w.Fingerprint} {
			if !strings.Contains(string(text), s) {
				t.Errorf("FORMAT.md lacks %s of %s", s, w.File)
			}
		}
	}
}

func readVectors(t *testing.T) (list []vector) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorDir, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// vectorParts are the vectors of single parts, as FORMAT.md gives them.
func vectorParts(t *testing.T) []string {
	t.Helper()
	leaf := merkleLeaf([16]byte([]byte("0123456789abcdef")), "a/b", 5, sha256.Sum256([]byte("hello")))
	two := merkleRoot([]digest{leaf, merkleLeaf([16]byte{}, "c", 0, sha256.Sum256(nil))})
	return []string{
		hex.EncodeToString(storedFrame([]byte("hello"))),
		hex.EncodeToString(seekTable([]extent{{10, 20}, {300, 1 << 20}})),
		hex.EncodeToString(leaf[:]),
		hex.EncodeToString(two[:]),
	}
}

// measure opens a vector and says what is in it.
func measure(t *testing.T, name string) vector {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(filepath.Join(vectorDir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := LoadVerifier(pub)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(bytes.NewReader(b), int64(len(b)), v)
	if strings.HasPrefix(name, "unsigned") {
		r, err = OpenUnverified(bytes.NewReader(b), int64(len(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	m := r.Manifest()
	got := vector{File: name, ID: m.ID, Index: hex.EncodeToString(m.Index.SHA256), Root: hex.EncodeToString(m.Tree.Root),
		Leaves: map[string]string{}, Files: map[string]string{}}
	if m.Signer != nil {
		got.Fingerprint = m.Signer.Fingerprint
	}
	for i := range r.tail.frames {
		sum := sha256.Sum256(b[r.tail.offsets[i]:r.tail.offsets[i+1]])
		got.Frames = append(got.Frames, hex.EncodeToString(sum[:]))
	}
	leaves, err := leavesOf(r.entries)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range r.entries {
		got.Leaves[e.path] = hex.EncodeToString(leaves[i][:])
	}
	for _, f := range r.Files() {
		content, err := r.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		got.Files[f.Path] = hex.EncodeToString(sum[:])
	}
	return got
}

// makeVectors writes the files anew: a signed bundle, an unsigned one, and one
// with parts and names that need a PAX header.
func makeVectors(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(vectorDir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, _ := testSigner(t)
	der, err := x509.MarshalPKIXPublicKey(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	pub := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	writeFile(t, filepath.Join(vectorDir, "key.pub"), pub)
	small := map[string]string{"cluster/version.json": `{"gitVersion":"v1.36.2"}` + "\n", "nodes/n1/empty.txt": "", "nodes/n1/node.json": `{"name":"n1"}` + "\n"}
	writeFile(t, filepath.Join(vectorDir, "signed.tar.zst"), makeBundle(t, small, s))
	writeFile(t, filepath.Join(vectorDir, "unsigned.tar.zst"), makeBundle(t, small, nil))
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	small["nodes/grüße/"+strings.Repeat("x", 120)+".log"] = "long and not ASCII\n"
	for _, p := range sortedKeys(small) {
		put(t, w, p, classOf(p), small[p])
	}
	for _, p := range []string{"nodes/n1/logs/k.log.part0001", "nodes/n1/logs/k.log.part0002.end"} {
		if _, err := w.store(p, ClassLogs, strings.NewReader(p)); err != nil {
			t.Fatal(err)
		}
	}
	closeWriter(t, w, s)
	writeFile(t, filepath.Join(vectorDir, "names.tar.zst"), out.Bytes())
	var list []vector
	for _, name := range []string{"signed.tar.zst", "unsigned.tar.zst", "names.tar.zst"} {
		list = append(list, measure(t, name))
	}
	b, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(vectorDir, "vectors.json"), append(b, '\n'))
	for _, p := range vectorParts(t) {
		t.Log(p)
	}
	if !slices.ContainsFunc(list, func(v vector) bool { return v.Fingerprint != "" }) {
		t.Error("nothing is signed")
	}
}
