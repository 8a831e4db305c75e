//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

// TestFullDisk: an agent without any room on its disk does with its memory what
// fits, over connections that break, and what it says is there is there.
func TestFullDisk(t *testing.T) {
	dir := shortDir(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal(err)
		}
		t.Skip("needs root:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	a := startIn(t, dir, agentCommand)
	plan := testPlan()
	plan.IntervalMS = 200
	var file bytes.Buffer
	w := newWriter(t, &file, plan.Top, plan.Time)
	out := collector.NewOutput(writerSink{w}, collector.Options{})
	if _, err := agent.Converse(t.Context(), a.call(t, func() time.Duration { return 200 * time.Millisecond }), plan, out); err != nil {
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
	whole := 0
	for _, res := range out.Results() {
		if res.Status != collector.StatusOK {
			continue
		}
		whole++
		if _, err := r.Stat(res.Path); err != nil && strings.HasSuffix(res.Path, "json") {
			t.Errorf("%s is said to be there: %v", res.Path, err)
		}
	}
	if whole < 20 {
		t.Errorf("only %d whole results", whole)
	}
}
