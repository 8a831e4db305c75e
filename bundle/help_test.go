package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/bundle/redact"
)

var testTime = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// options are the same on every call: the random source is seeded.
func options(t testing.TB) Options {
	t.Helper()
	r, err := redact.New(redact.PolicyStandard, redact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Top: "casefile-test-20261121T090000Z", Time: testTime, Redactor: r, SpoolDir: t.TempDir(), Random: seeded(1)}
}

func seeded(n uint64) io.Reader {
	var seed [32]byte
	seed[0] = byte(n)
	return rand.NewChaCha8(seed)
}

func testSigner(t testing.TB) (Signer, Verifier) {
	t.Helper()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}, v
}

func newTestWriter(t testing.TB, out io.Writer) *Writer {
	t.Helper()
	w, err := NewWriter(out, options(t))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func put(t testing.TB, w interface {
	Put(string, Class, io.Reader) (int64, error)
}, path string, class Class, content string) {
	t.Helper()
	n, err := w.Put(path, class, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(len(content)) {
		t.Fatalf("%s: %d bytes stored of %d", path, n, len(content))
	}
}

// lines makes text of about n bytes that zstd cannot shrink to nothing.
func lines(seed, n int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "packet %d of flow %d took %d us on queue %d\n", r.IntN(1e6), r.IntN(1e5), r.IntN(1e5), r.IntN(64))
	}
	return b.String()
}

// noise makes text of about n bytes that zstd hardly shortens.
func noise(seed, n int) string {
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	b := make([]byte, 0, n+100)
	for len(b) < n {
		for range 12 {
			b = append(strconv.AppendUint(b, r.Uint64(), 36), ' ')
		}
		b = append(b, '\n')
	}
	return string(b)
}

func closeWriter(t testing.TB, w *Writer, s Signer) *Manifest {
	t.Helper()
	m, err := w.Close(testInfo(), s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func testInfo() Info {
	return Info{
		Producer:     "casefile test",
		Cluster:      &Cluster{Name: "prod <eu>", UID: "2b1f", Version: "v1.36.2"},
		Labels:       map[string]string{"ticket": "4711", "a&b": "c"},
		Note:         "pods cannot \"resolve\" names",
		Incident:     &Window{From: testTime.Add(-time.Hour), To: testTime},
		Redaction:    &Redaction{Policy: "standard", Payload: "default"},
		Completeness: &Completeness{Complete: true, Results: map[string]int{"ok": 3}},
	}
}

// contents are the entries of a small bundle, by path.
func contents() map[string]string {
	return map[string]string{
		"cluster/version.json":                             `{"gitVersion":"v1.36.2"}`,
		"cluster/resources/core/v1/pods/default.ndjson":    `{"kind":"Pod"}` + "\n",
		"cluster/logs/default/web/nginx.log":               lines(1, 900),
		"nodes/n1/0/proc/net/netstat":                      "TcpExt: ListenOverflows\nTcpExt: 24\n",
		"nodes/n1/node.json":                               `{"name":"n1"}`,
		"nodes/n1/empty.txt":                               "",
		"nodes/grüße/" + strings.Repeat("x", 120) + ".log": "long and not ASCII\n",
		"collection/plan.json":                             `{}`,
	}
}

func classOf(path string) Class {
	first, _, _ := strings.Cut(path, "/")
	switch {
	case strings.Contains(path, "/logs/"):
		return ClassLogs
	case first == "nodes":
		return ClassNodes
	case first == "cluster":
		return ClassCluster
	default:
		return ClassMeta
	}
}

// makeBundle writes contents and more, in the order of the paths.
func makeBundle(t testing.TB, files map[string]string, s Signer) []byte {
	t.Helper()
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	for _, p := range sortedKeys(files) {
		put(t, w, p, classOf(p), files[p])
	}
	closeWriter(t, w, s)
	return out.Bytes()
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	for i := range keys {
		for j := i; j > 0 && keys[j] < keys[j-1]; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	return keys
}

func openBytes(t testing.TB, b []byte, v Verifier) *Reader {
	t.Helper()
	r, err := Open(bytes.NewReader(b), int64(len(b)), v)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func writeFile(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
