package encrypt

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/casefile-io/casefile/bundle"
)

// BenchmarkOneOfMany opens a bundle of 100,000 entries, verifies the seal and
// reads one of them: through age, and plain as the peer.
func BenchmarkOneOfMany(b *testing.B) {
	ids, a := newKey(b, false)
	var plain bytes.Buffer
	v := smallBundle(b, &plain, 100_000)
	file := seal(b, plain.Bytes(), parse(b, a))
	one := func(b *testing.B, src io.ReaderAt, size int64) {
		r, err := bundle.Open(src, size, v)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := fs.ReadFile(r, "nodes/n77/0/proc/net/snmp54377"); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("age", func(b *testing.B) {
		for b.Loop() {
			r, n, err := Open(bytes.NewReader(file), int64(len(file)), ids)
			if err != nil {
				b.Fatal(err)
			}
			one(b, r, n)
		}
	})
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			one(b, bytes.NewReader(plain.Bytes()), int64(plain.Len()))
		}
	})
}

// BenchmarkWrite compresses logs with and without encryption behind it.
func BenchmarkWrite(b *testing.B) {
	_, a := newKey(b, false)
	to := parse(b, a)
	var text bytes.Buffer
	for i := 0; text.Len() < 64<<20; i++ {
		fmt.Fprintf(&text, "2026-11-21T09:%02d:%02d.%06dZ node-%03d kubelet: probe of pod %08x failed: connection refused\n", i/60%60, i%60, i*7919%1e6, i%200, i*2654435761)
	}
	compress := func(b *testing.B, w io.Writer) {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(1<<20))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := z.Write(text.Bytes()); err != nil {
			b.Fatal(err)
		}
		if err := z.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("zstd+age", func(b *testing.B) {
		b.SetBytes(int64(text.Len()))
		for b.Loop() {
			w, err := NewWriter(io.Discard, to)
			if err != nil {
				b.Fatal(err)
			}
			compress(b, w)
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("zstd", func(b *testing.B) {
		b.SetBytes(int64(text.Len()))
		for b.Loop() {
			compress(b, io.Discard)
		}
	})
	b.Run("age", func(b *testing.B) {
		b.SetBytes(int64(text.Len()))
		for b.Loop() {
			w, err := NewWriter(io.Discard, to)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := w.Write(text.Bytes()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
