package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// corpus is what a cluster looks like: many small members of a few classes and
// some long logs. Redaction has its own benchmarks and is left out here.
func corpus() (paths, contents []string, size int64) {
	for i := range 4000 {
		paths = append(paths, fmt.Sprintf("nodes/n%03d/0/proc/net/table%04d", i%100, i))
		contents = append(contents, lines(i%50, 2000+i%7000))
	}
	for i := range 40 {
		paths = append(paths, fmt.Sprintf("cluster/logs/ns%d/pod/main.log", i))
		contents = append(contents, lines(i, 3<<20))
	}
	for _, c := range contents {
		size += int64(len(c))
	}
	return paths, contents, size
}

func BenchmarkWrite(b *testing.B) {
	paths, contents, size := corpus()
	b.Run("bundle", func(b *testing.B) {
		s, _ := testSigner(b)
		b.SetBytes(size)
		defer reportCPU(b)()
		for b.Loop() {
			out := countWriter{w: io.Discard}
			w := newTestWriter(b, &out)
			w.redact = func(_ string, r io.Reader) io.Reader { return r }
			for i, p := range paths {
				put(b, w, p, classOf(p), contents[i])
			}
			closeWriter(b, w, s)
			b.ReportMetric(float64(size)/float64(out.n), "ratio")
		}
	})
	b.Run("stdlib-gzip", func(b *testing.B) {
		b.SetBytes(size)
		defer reportCPU(b)()
		for b.Loop() {
			out := countWriter{w: io.Discard}
			z := gzip.NewWriter(&out)
			for _, c := range contents {
				if _, err := io.Copy(z, strings.NewReader(c)); err != nil {
					b.Fatal(err)
				}
			}
			if err := z.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(size)/float64(out.n), "ratio")
		}
	})
}

// BenchmarkOneOfMany opens a bundle of 100,000 entries, verifies the seal and
// reads one of them.
func BenchmarkOneOfMany(b *testing.B) {
	s, v := testSigner(b)
	var out bytes.Buffer
	w := newTestWriter(b, &out)
	w.redact = func(_ string, r io.Reader) io.Reader { return r }
	text := lines(1, 1<<20)
	path := func(i int) string {
		return fmt.Sprintf("nodes/worker-%03d.example.internal/netns/40265%05d/0/proc/sys/net/ipv4/conf/eth%d/value", i%200, i/10, i%10)
	}
	const n = 100_000
	for i := range n {
		put(b, w, path(i), ClassNodes, text[i%1000*900:i%1000*900+100+i%1500])
	}
	closeWriter(b, w, s)
	b.Run("bundle", func(b *testing.B) {
		defer reportCPU(b)()
		for i := 0; b.Loop(); i++ {
			r := openBytes(b, out.Bytes(), v)
			if _, err := r.ReadFile(path(i * 7919 % n)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(out.Len())/1e6, "MB")
	})
	b.Run("tar-zstd-scan", func(b *testing.B) { // what any reader without an index does, unverified
		defer reportCPU(b)()
		for i := 0; b.Loop(); i++ {
			if err := scanTar(out.Bytes(), w.top+"/"+path(i*7919%n)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// scanTar looks for one member from the beginning.
func scanTar(b []byte, name string) error {
	dec, err := zstd.NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	defer dec.Close()
	for r := tar.NewReader(dec); ; {
		h, err := r.Next()
		if err != nil {
			return err
		}
		if h.Name == name {
			_, err := io.Copy(io.Discard, r)
			return err
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	s, v := testSigner(b)
	paths, contents, size := corpus()
	var out bytes.Buffer
	w := newTestWriter(b, &out)
	w.redact = func(_ string, r io.Reader) io.Reader { return r }
	for i, p := range paths {
		put(b, w, p, classOf(p), contents[i])
	}
	closeWriter(b, w, s)
	b.SetBytes(size)
	defer reportCPU(b)()
	for b.Loop() {
		if err := check(out.Bytes(), v); err != nil {
			b.Fatal(err)
		}
	}
}
