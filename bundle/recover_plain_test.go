package bundle

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/casefile-io/casefile/bundle/redact"
)

// plainMembers gives the members of whole frames that a plain reader of zstd
// and tar finds before the file breaks off.
func plainMembers(t testing.TB, b []byte) map[string]bool {
	t.Helper()
	var stream bytes.Buffer
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for len(b) > 0 {
		if err := dec.Reset(bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		n, _, err := frameLength(b[:min(len(b), scanWindow)], len(b) <= scanWindow)
		if err != nil {
			break
		}
		content, err := dec.DecodeAll(b[:n], nil)
		if err != nil {
			break
		}
		stream.Write(content)
		b = b[n:]
	}
	found := map[string]bool{}
	for r := tar.NewReader(&stream); ; {
		h, err := r.Next()
		if err != nil {
			return found
		}
		if n, err := io.Copy(io.Discard, r); err == nil && n == h.Size {
			if _, path, _ := strings.Cut(h.Name, "/"); !reserved(path) {
				found[path] = true
			}
		}
	}
}

// writeOptions are options outside of a test.
func writeOptions(dir string) Options {
	r, err := redact.New(redact.PolicyStandard, redact.Options{})
	if err != nil {
		panic(err)
	}
	return Options{Top: "casefile-test-20261121T090000Z", Time: testTime, Redactor: r, SpoolDir: dir, Random: seeded(1)}
}
