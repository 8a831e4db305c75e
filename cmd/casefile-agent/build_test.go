//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

const largest = 12_000_000 // bytes of the agent, stripped

// buildFor builds the agent as the Makefile does.
func buildFor(t *testing.T, arch string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "agent-"+arch)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", name, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", arch, err, out)
	}
	return name
}

func TestSize(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		info, err := os.Stat(buildFor(t, arch))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.2f MB", arch, float64(info.Size())/1e6)
		if info.Size() > largest {
			t.Errorf("the agent for %s has %d bytes, more than %d", arch, info.Size(), largest)
		}
	}
}

// TestArm64 runs the agent for arm64 as far as an emulator of the processor
// goes: what the emulator does not pass on to the kernel, the results say.
func TestArm64(t *testing.T) {
	emulator, err := exec.LookPath("qemu-aarch64-static")
	if runtime.GOARCH == "arm64" {
		emulator, err = "/usr/bin/env", nil
	}
	if err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("qemu-aarch64-static is missing: install qemu-user-static")
		}
		t.Skip("needs qemu-aarch64-static")
	}
	binary := buildFor(t, "arm64")
	if out, err := exec.Command(emulator, binary, "version").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != version {
		t.Fatalf("version: %v\n%s", err, out)
	}
	a := startAs(t, func(args ...string) *exec.Cmd {
		cmd := exec.Command(emulator, append([]string{binary}, args...)...)
		cmd.Stderr = os.Stderr
		return cmd
	})
	plan := testPlan()
	plan.IntervalMS = 200
	var file bytes.Buffer
	w := newWriter(t, &file, plan.Top, plan.Time)
	out := collector.NewOutput(writerSink{w}, collector.Options{})
	end, err := agent.Converse(t.Context(), a.call(t, nil), plan, out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(bundle.Info{Producer: "test"}, nil); err != nil {
		t.Fatal(err)
	}
	r, err := bundle.OpenUnverified(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	whole, silent := 0, 0
	for _, res := range out.Results() {
		if res.Status == collector.StatusOK {
			whole++
		} else if res.Reason == "" {
			silent++
			t.Errorf("%s %s is %s and does not say why", res.Source, res.Path, res.Status)
		}
	}
	t.Logf("%d files, %d results, %d of them whole", len(r.Files()), end.Results, whole)
	for _, name := range []string{"nodes/n1/node.json", "nodes/n1/1/proc/net/snmp", "nodes/n1/processes.ndjson"} {
		f, err := r.Open(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n, err := io.Copy(io.Discard, f); n == 0 || err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		f.Close()
	}
	if whole < 20 {
		t.Errorf("only %d whole results", whole)
	}
}
