package redact

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
)

// benchLog is a log as nodes have it: mostly plain, a credential now and then.
func benchLog() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 8<<20; i++ {
		fmt.Fprintf(&b, "2026-11-21T09:%02d:%02d.%06dZ I1121 server.go:%d] \"HTTP\" verb=\"GET\" URI=\"/api/v1/namespaces/ns-%d/pods?limit=500\" latency=\"%d.%dms\" userAgent=\"kubelet/v1.37\" audit-ID=\"%08x-0000-4000-8000-%012x\" srcIP=\"10.244.%d.%d:4%04d\" resp=200\n",
			i/60%60, i%60, i, i%900, i%50, i%30, i%10, i*2654435761, i*40503, i%250, i%251, i%10000)
		if i%100 == 0 {
			fmt.Fprintf(&b, "connecting to postgres://app:%x@db:5432/x with token=%x\n", i*7919, i*104729)
		}
	}
	return b.Bytes()
}

// naive is what redactors usually do: every pattern over every line.
func naive() []*regexp.Regexp {
	var all []*regexp.Regexp
	for _, p := range []string{
		`(?i)(pass(?:word|wd|phrase)["']?\s*[:=]\s*["']?)[^\s"',;]+`, `(?i)((?:secret|token|api[_-]?key|access[_-]?key)["']?\s*[:=]\s*["']?)[^\s"',;]+`,
		`(://[^:/\s]+:)[^@\s]+@`, `(?i)(authorization["']?\s*[:=]\s*).+`, `(?i)(bearer\s+)[\w.~+/=-]{16,}`, `eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*`,
		`(?:AKIA|ASIA)[A-Z0-9]{16}`, `gh[pousr]_[A-Za-z0-9]{30,}`, `glpat-[\w-]{16,}`, `xox[a-z]-[\w-]{10,}`, `AIza[\w-]{35}`, `(?i)((?:set-)?cookie:\s*).+`,
	} {
		all = append(all, regexp.MustCompile(p))
	}
	return all
}

func BenchmarkText(b *testing.B) {
	log := benchLog()
	b.Run("redact", func(b *testing.B) {
		r := newRedactor(b, "")
		b.SetBytes(int64(len(log)))
		for range b.N {
			if _, err := io.Copy(io.Discard, r.Reader("a.log", bytes.NewReader(log))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("regexp chain", func(b *testing.B) {
		patterns, part := naive(), log[:len(log)/8]
		b.SetBytes(int64(len(part)))
		for range b.N {
			for line := range bytes.Lines(part) {
				for _, p := range patterns {
					if p.Match(line) {
						line = p.ReplaceAll(line, []byte("${1}***"))
					}
				}
			}
		}
	})
}

func BenchmarkPods(b *testing.B) {
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-7d9c6b8f5-%05d","namespace":"shop","uid":"2f6f5b0c-8a3e-4d0e-9b7c-000000000000","resourceVersion":"%d","labels":{"app":"web","pod-template-hash":"7d9c6b8f5"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d9c6b8f5","controller":true}]},"spec":{"containers":[{"name":"web","image":"registry.example/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","args":["--listen=:8080","--db=postgres://app@db/x"],"env":[{"name":"DB_PASSWORD","value":"hunter2"},{"name":"POD_IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}}],"resources":{"limits":{"cpu":"500m","memory":"256Mi"}},"volumeMounts":[{"name":"kube-api-access","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","readOnly":true}]}],"nodeName":"n1","serviceAccountName":"default","tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-11-21T09:00:00Z"}],"podIP":"10.244.1.7","containerStatuses":[{"name":"web","ready":true,"restartCount":0,"containerID":"containerd://9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]}}` + "\n"
	var in strings.Builder
	for i := 0; in.Len() < 8<<20; i++ {
		fmt.Fprintf(&in, pod, i, i)
	}
	r := newRedactor(b, "")
	b.SetBytes(int64(in.Len()))
	for range b.N {
		if _, err := io.Copy(io.Discard, r.Reader(podsPath, strings.NewReader(in.String()))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCapture(b *testing.B) {
	var frames [][]byte
	for range 4000 {
		frames = append(frames, eth(0x0800, ip4(6, 0, tcp(80, strings.Repeat("x", 1200)))), eth(0x0800, ip4(17, 0, udp(53, []byte(query)))))
	}
	in := capture(1, frames...)
	r := newRedactor(b, "")
	b.SetBytes(int64(len(in)))
	for range b.N {
		if _, err := io.Copy(io.Discard, r.Reader("captures/a/b.pcapng", bytes.NewReader(in))); err != nil {
			b.Fatal(err)
		}
	}
}
