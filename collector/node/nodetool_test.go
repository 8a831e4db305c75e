//go:build linux

package node

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// runNodeTool has one program run, in this namespace.
func runNodeTool(t *testing.T, sink collector.Sink, root string, wait time.Duration, programs ...string) collector.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	results := collector.Run(t.Context(), sink, []collector.Collector{toolCollector(func(out *collector.Output) {
		g := &gatherer{o: Options{Node: "n1", Root: root, ProcRoot: "/proc"}, out: out}
		collector.OnOwnThread(func() { g.nodeTool(ctx, "out.txt", programs) })
	})}, collector.Options{})
	if len(results) != 1 {
		t.Fatalf("%+v", results)
	}
	return results[0]
}

type toolCollector func(*collector.Output)

func (toolCollector) Name() string { return "tool" }

func (c toolCollector) Collect(_ context.Context, out *collector.Output) error {
	c(out)
	return nil
}

func TestNodeTool(t *testing.T) {
	needRoot(t, "env", "yes", "sleep", "false")
	t.Setenv("CASEFILE_SECRET", "xyz")
	for _, root := range []string{"/", "/proc/self/root"} { // the second by chroot
		sink := newMemSink()
		r := runNodeTool(t, sink, root, time.Minute, "casefile-none", "env")
		if got := string(sink.files["out.txt"]); r.Status != collector.StatusOK || got != "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\n" {
			t.Errorf("%s: %+v, %q", root, r, got)
		}
	}
	for name, c := range map[string]struct {
		root, program, reason string
		wait                  time.Duration
		status                collector.Status
	}{
		"none":          {"/", "casefile-none -x", "the node has none of casefile-none -x", time.Minute, collector.StatusSkipped},
		"no root":       {t.TempDir() + "/gone", "env", "out of reach", time.Minute, collector.StatusSkipped},
		"empty root":    {t.TempDir(), "env", "the node has none of env", time.Minute, collector.StatusSkipped},
		"too much":      {"/", "yes", "cut at", time.Minute, collector.StatusPartial},
		"too long":      {"/", "sleep 1000", "was killed: context deadline", 200 * time.Millisecond, collector.StatusPartial},
		"fails":         {"/", "false", "exit status 1", time.Minute, collector.StatusPartial},
		"says why":      {"/", "env --no-such-option", "unrecognized option", time.Minute, collector.StatusPartial},
		"already ended": {"/", "env", "deadline", 0, collector.StatusOverBudget},
	} {
		sink := &heapSink{}
		if r := runNodeTool(t, sink, c.root, c.wait, c.program); r.Status != c.status || !strings.Contains(r.Reason, c.reason) || sink.bytes > maxToolOut+1 {
			t.Errorf("%s: %+v, %d bytes", name, r, sink.bytes)
		}
	}
	if r := runNodeTool(t, &failingSink{}, "/", time.Minute, "yes"); r.Status != collector.StatusFailed || !strings.Contains(r.Reason, "disk full") {
		t.Errorf("%+v", r)
	}
}

type failingSink struct{ memSink }

func (*failingSink) Put(string, collector.Class, io.Reader) (int64, error) {
	return 0, errors.New("disk full")
}
