//go:build linux

package redact

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// perCPU reports what b gets through in a second of CPU time, which other work
// on the machine changes less than the time on the wall.
func perCPU(b *testing.B, size int) {
	b.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b.SetBytes(int64(size))
	start := used()
	b.ResetTimer()
	b.Cleanup(func() { b.ReportMetric(float64(size)*float64(b.N)/1e6/(used()-start).Seconds(), "MB/cpu-s") })
}

// manyNames is the dictionary of a large cluster.
func manyNames(n int) []pseudonym.Name {
	var names []pseudonym.Name
	for i := range 200 {
		names = append(names, pseudonym.Name{Kind: pseudonym.KindNamespace, Value: fmt.Sprintf("ns-%d", i)})
	}
	for i := range n - len(names) {
		names = append(names, pseudonym.Name{Kind: pseudonym.KindObject, Value: fmt.Sprintf("%s-service-%d", []string{"payments", "orders", "catalog", "mailer"}[i%4], i)})
	}
	return names
}

// naiveStrict is what redactors usually do: a pattern for each kind of value,
// every match hashed.
func naiveStrict() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`\b(?:\d{1,3}\.){3}\d{1,3}\b`),
		regexp.MustCompile(`(?i)\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b`),
		regexp.MustCompile(`(?i)(?:[0-9a-f]{1,4}:){2,7}[0-9a-f]{1,4}`),
		regexp.MustCompile(`[\w.+-]+@[\w-]+\.[\w.-]+`),
		regexp.MustCompile(`(?i)\b(?:[a-z0-9-]+\.)+(?:com|net|org|io|local|internal|example)\b`),
		regexp.MustCompile(`\bns-\d+\b`),
	}
}

func BenchmarkStrict(b *testing.B) {
	log := benchLog()
	run := func(b *testing.B, p Policy, names int) {
		r, err := New(p, Options{Key: pseudonym.Key{1}, Names: manyNames(names)})
		if err != nil {
			b.Fatal(err)
		}
		perCPU(b, len(log))
		for range b.N {
			if _, err := io.Copy(io.Discard, r.Reader("a.log", bytes.NewReader(log))); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("standard", func(b *testing.B) { run(b, PolicyStandard, 50_000) })
	b.Run("strict", func(b *testing.B) { run(b, PolicyStrict, 50_000) })
	b.Run("second stage", func(b *testing.B) {
		m, err := pseudonym.New(pseudonym.Key{1}, manyNames(50_000))
		if err != nil {
			b.Fatal(err)
		}
		perCPU(b, len(log))
		var out []byte
		found := map[string]int{}
		for range b.N {
			for i := 0; i < len(log); i += 64 << 10 {
				out = m.Text(out[:0], log[i:min(len(log), i+64<<10)], found)
			}
		}
	})
	b.Run("regexp chain", func(b *testing.B) {
		chain, part := append(naive(), naiveStrict()...), log[:len(log)/16]
		perCPU(b, len(part))
		for range b.N {
			for line := range bytes.Lines(part) {
				for _, p := range chain {
					if p.Match(line) {
						line = p.ReplaceAll(line, []byte("${1}***"))
					}
				}
			}
		}
	})
}

func BenchmarkStrictPods(b *testing.B) {
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"payments-service-%d-7d9c6b8f5-bcdfg","namespace":"ns-7","uid":"2f6f5b0c-8a3e-4d0e-9b7c-000000000000","labels":{"app":"payments-service-%d","pod-template-hash":"7d9c6b8f5"}},"spec":{"containers":[{"name":"c","image":"registry.example/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","args":["--listen=:8080"]}],"nodeName":"n1","serviceAccountName":"default"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-11-21T09:00:00Z"}],"podIP":"10.244.1.7"}}` + "\n"
	var in strings.Builder
	for i := 0; in.Len() < 8<<20; i++ {
		fmt.Fprintf(&in, pod, i%50000, i%50000)
	}
	for _, p := range []Policy{PolicyStandard, PolicyStrict} {
		b.Run(string(p), func(b *testing.B) {
			r, err := New(p, Options{Key: pseudonym.Key{1}, Names: manyNames(50_000)})
			if err != nil {
				b.Fatal(err)
			}
			perCPU(b, in.Len())
			for range b.N {
				if _, err := io.Copy(io.Discard, r.Reader(podsPath, strings.NewReader(in.String()))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStrictNames measures what a dictionary costs to build.
func BenchmarkStrictNames(b *testing.B) {
	names := manyNames(50_000)
	b.ReportAllocs()
	for range b.N {
		if _, err := pseudonym.New(pseudonym.Key{1}, names); err != nil {
			b.Fatal(err)
		}
	}
}
