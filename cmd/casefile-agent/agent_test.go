//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

// The test binary is also the agent.
const agentEnv = "CASEFILE_AGENT_ARGS"

func TestMain(m *testing.M) {
	if args := os.Getenv(agentEnv); args != "" {
		os.Exit(run(strings.Fields(args), os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// pipes is a started agent as a connection.
type pipes struct {
	io.Reader
	io.WriteCloser
	cmd *exec.Cmd
}

func (p *pipes) Close() error { return p.WriteCloser.Close() }

func start(t *testing.T, args string) *pipes {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	if bin := os.Getenv("CASEFILE_AGENT_BIN"); bin != "" {
		cmd = exec.Command(bin, strings.Fields(args)...)
	}
	cmd.Env = append(os.Environ(), agentEnv+"="+args)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &pipes{Reader: out, WriteCloser: in, cmd: cmd}
}

type writerSink struct{ w *bundle.Writer }

func (s writerSink) Put(path string, class collector.Class, r io.Reader) (int64, error) {
	return s.w.Put(path, bundle.Class(class), r)
}
func (s writerSink) Frames(prefixes []string, r io.Reader) error { return s.w.Frames(prefixes, r) }

func newWriter(t *testing.T, w io.Writer, top string, at time.Time) *bundle.Writer {
	t.Helper()
	policy, err := redact.ParsePolicy("standard")
	if err != nil {
		t.Fatal(err)
	}
	r, err := redact.New(policy, redact.Options{Payload: "default"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.NewWriter(w, bundle.Options{Top: top, Time: at, Redactor: r})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testPlan() agent.Plan {
	return agent.Plan{Node: "n1", Top: "casefile-test-20261121T090000Z", Time: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC),
		Policy: "standard", Payload: "default", Samples: 2, IntervalMS: 1000, TimeoutMS: 60_000, MaxBytes: 512 << 20,
		Prefixes: []string{"nodes/n1/"}, HostProcess: true}
}

// The whole way: the agent as a process, its stream taken by the command
// line's side into a bundle, the bundle verified and read.
func TestFromAgentToBundle(t *testing.T) {
	plan := testPlan()
	if os.Geteuid() == 0 {
		plan.Captures = []agent.Capture{{Name: "node_n1", Target: "node/n1", Filter: "icmp", Snaplen: 128, DurationMS: 500, MaxBytes: 1 << 20},
			{Name: "pod_a_b", Target: "pod/a/b", PodUID: "no-such-pod", Snaplen: 128, DurationMS: 500}}
		plan.Prefixes = append(plan.Prefixes, "captures/node_n1/", "captures/pod_a_b/")
	}
	beat := filepath.Join(t.TempDir(), "heartbeat")
	conn := start(t, "collect --heartbeat "+beat)
	file, err := os.Create(filepath.Join(t.TempDir(), "b.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := newWriter(t, file, plan.Top, plan.Time)
	out := collector.NewOutput(writerSink{w}, collector.Options{})
	began := time.Now()
	end, err := agent.Converse(t.Context(), conn, plan, out)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if err := conn.cmd.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	usage := conn.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if _, err := os.Stat(beat); err != nil {
		t.Errorf("no heartbeat: %v", err)
	}
	if _, err := w.Close(bundle.Info{Producer: "test"}, nil); err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := bundle.OpenUnverified(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	results := out.Results()
	if end.Results != len(results) || len(results) < 20 {
		t.Errorf("%d results, the end says %d", len(results), end.Results)
	}
	t.Logf("%d files, %d bytes, %s, agent: max RSS %d KiB, cpu %v user %v system", len(r.Files()), info.Size(), took, usage.Maxrss,
		time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano()))
	checkContent(t, r)
	if os.Geteuid() == 0 {
		checkCaptures(t, r, results)
	}
}

func checkContent(t *testing.T, r *bundle.Reader) {
	t.Helper()
	text, err := fs.ReadFile(r, "nodes/n1/node.json")
	if err != nil {
		t.Fatal(err)
	}
	var n struct {
		Kernel  string
		Samples []struct{ Monotonic float64 }
		Netns   []struct{ Host bool }
	}
	if err := json.Unmarshal(text, &n); err != nil || len(n.Samples) != 2 || n.Kernel == "" || len(n.Netns) == 0 || !n.Netns[0].Host {
		t.Errorf("node.json: %s %v", text, err)
	}
	for path, word := range map[string]string{"nodes/n1/0/proc/net/netstat": "TcpExt:", "nodes/n1/1/proc/net/snmp": "Tcp:", "nodes/n1/1/net/links.ndjson": `"name":"lo"`,
		"nodes/n1/0/proc/sys/net/ipv4/ip_forward": "", "nodes/n1/processes.ndjson": `"comm"`} {
		if text, err := fs.ReadFile(r, path); err != nil || !strings.Contains(string(text), word) {
			t.Errorf("%s: %v, lacks %q in %.100s", path, err, word, text)
		}
	}
}

func checkCaptures(t *testing.T, r *bundle.Reader, results []collector.Result) {
	t.Helper()
	names, err := fs.Glob(r, "captures/node_n1/*.pcapng")
	if err != nil || len(names) != 1 {
		t.Errorf("captures: %v %v", names, err)
	}
	missing := false
	for _, res := range results {
		missing = missing || res.Source == "capture/pod/a/b" && res.Status == collector.StatusFailed && strings.Contains(res.Reason, "no process of pod/a/b")
	}
	if !missing {
		t.Error("no result says that the pod to capture in is not here")
	}
}

func TestAgentEndsWithItsCaller(t *testing.T) {
	conn := start(t, "collect --heartbeat "+filepath.Join(t.TempDir(), "h"))
	plan := testPlan()
	plan.Version, plan.IntervalMS = agent.Version, 3600_000
	if err := agent.WriteJSON(conn, agent.KindPlan, plan); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	time.Sleep(500 * time.Millisecond) // in the middle of the work, or waiting for the second sample
	conn.Close()
	ended := make(chan error, 1)
	go func() { ended <- conn.cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still running")
	}
}

func TestAgentRefusesAPolicyItLacks(t *testing.T) {
	conn := start(t, "collect --heartbeat "+filepath.Join(t.TempDir(), "h"))
	plan := testPlan()
	plan.Policy = "strict"
	out := collector.NewOutput(writerSink{newWriter(t, io.Discard, plan.Top, plan.Time)}, collector.Options{})
	_, err := agent.Converse(t.Context(), conn, plan, out)
	if !errors.Is(err, agent.ErrAgent) || !strings.Contains(err.Error(), "strict") {
		t.Errorf("got %v", err)
	}
}

func TestWait(t *testing.T) {
	quick := waitTiming{look: 5 * time.Millisecond, patience: 200 * time.Millisecond}
	file := filepath.Join(t.TempDir(), "heartbeat")
	began := time.Now()
	wait(t.Context(), file, quick)
	if d := time.Since(began); d < quick.patience {
		t.Errorf("never touched: gave up after %s", d)
	}
	// Touched for a while by a caller that then dies. The file's time is far in
	// the past: only that it changes counts.
	began = time.Now()
	go func() {
		for i := range 10 {
			_ = os.WriteFile(file, nil, 0o600)
			old := time.Unix(int64(1000+i), 0)
			_ = os.Chtimes(file, old, old)
			time.Sleep(40 * time.Millisecond)
		}
	}()
	wait(t.Context(), file, quick)
	if d := time.Since(began); d < 360*time.Millisecond+quick.patience || d > 5*time.Second {
		t.Errorf("ended %s after the start", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began = time.Now()
	wait(ctx, file, waitTiming{look: time.Minute, patience: time.Minute})
	if time.Since(began) > time.Second {
		t.Error("did not end when told to")
	}
}

func TestPulse(t *testing.T) {
	p := &pulse{file: filepath.Join(t.TempDir(), "h")}
	p.beat()
	before, err := os.Stat(p.file)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	p.beat() // too soon
	after, _ := os.Stat(p.file)
	if !before.ModTime().Equal(after.ModTime()) {
		t.Error("touched again at once")
	}
	p.last = p.last.Add(-beatEvery)
	p.beat()
	if after, _ = os.Stat(p.file); before.ModTime().Equal(after.ModTime()) {
		t.Error("not touched again")
	}
	(&pulse{file: "/no/such/folder/h"}).beat() // by hand there is none
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"fly"}, {"wait", "x"}, {"collect", "--nope"}} {
		var stderr bytes.Buffer
		if code := run(args, strings.NewReader(""), io.Discard, &stderr); code != 2 || stderr.Len() == 0 {
			t.Errorf("%v: exit %d, %q", args, code, &stderr)
		}
	}
	var stdout bytes.Buffer
	if code := run([]string{"version"}, nil, &stdout, io.Discard); code != 0 || stdout.String() != version+"\n" {
		t.Errorf("version: %d %q", code, &stdout)
	}
}
