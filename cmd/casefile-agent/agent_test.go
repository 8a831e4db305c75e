//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/agent/link"
)

// The test binary is also the agent.
const agentEnv = "CASEFILE_AGENT_ARGS"

func TestMain(m *testing.M) {
	if role := os.Getenv(snapshotRole); role != "" {
		if err := playSnapshot(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if args := os.Getenv(agentEnv); args != "" {
		os.Exit(run(strings.Fields(args), os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// started is an agent that runs and can be called.
type started struct {
	dir     string
	cmd     *exec.Cmd
	command func(...string) *exec.Cmd
}

// agentCommand runs the test binary, or the one that the environment names, as
// the agent.
func agentCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	if bin := os.Getenv("CASEFILE_AGENT_BIN"); bin != "" {
		cmd = exec.Command(bin, args...)
	}
	cmd.Env = append(os.Environ(), agentEnv+"="+strings.Join(args, " "))
	cmd.Stderr = os.Stderr
	return cmd
}

func start(t *testing.T, args ...string) *started { return startAs(t, agentCommand, args...) }

func startAs(t *testing.T, command func(...string) *exec.Cmd, args ...string) *started {
	t.Helper()
	return startIn(t, shortDir(t), command, args...)
}

func startIn(t *testing.T, dir string, command func(...string) *exec.Cmd, args ...string) *started {
	t.Helper()
	a := &started{dir: dir, command: command, cmd: command(append([]string{"wait", "--dir", dir}, args...)...)}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.cmd.Process.Kill()
		_ = a.cmd.Wait()
	})
	return a
}

// shortDir is a folder for sockets, whose names must be short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// call holds a conversation's stream over as many connections as it takes.
// life says how long each may live; 0 is as long as it likes.
func (a *started) call(t *testing.T, life func() time.Duration) *link.Stream {
	t.Helper()
	return link.Call(t.Context(), link.Options{Backoff: 10 * time.Millisecond}, func(context.Context) (io.ReadWriteCloser, error) {
		p, err := bridge(a.command("collect", "--dir", a.dir))
		if err == nil && life != nil {
			time.AfterFunc(life(), func() { _ = p.cmd.Process.Kill() })
		}
		return p, err
	})
}

// pipes is one connection: a process, as exec makes it.
type pipes struct {
	io.Reader
	io.WriteCloser
	cmd *exec.Cmd
}

func bridge(cmd *exec.Cmd) (*pipes, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait() }()
	return &pipes{Reader: r, WriteCloser: in, cmd: cmd}, nil
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
	a := start(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "b.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := newWriter(t, file, plan.Top, plan.Time)
	out := collector.NewOutput(writerSink{w}, collector.Options{})
	began := time.Now()
	end, err := agent.Converse(t.Context(), a.call(t, nil), plan, out)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	usage := a.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if left, _ := os.ReadDir(a.dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
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

// TestCutStreams kills the connections while the agent works and while it
// sends: the bundle is as whole as without.
func TestCutStreams(t *testing.T) {
	plan := testPlan()
	a := start(t)
	var file bytes.Buffer
	w := newWriter(t, &file, plan.Top, plan.Time)
	out := collector.NewOutput(writerSink{w}, collector.Options{})
	var cuts atomic.Int64
	conn := a.call(t, func() time.Duration {
		cuts.Add(1)
		return 30*time.Millisecond + time.Duration(rand.Int64N(int64(200*time.Millisecond)))
	})
	if _, err := agent.Converse(t.Context(), conn, plan, out); err != nil {
		t.Fatalf("after %d cuts: %v", cuts.Load(), err)
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
	checkContent(t, r)
	t.Logf("%d connections, %d files", cuts.Load(), len(r.Files()))
	if cuts.Load() < 5 {
		t.Error("hardly anything was cut")
	}
}

func TestAgentEndsWithItsCaller(t *testing.T) {
	a := start(t, "--patience", "1s")
	plan := testPlan()
	plan.Version, plan.IntervalMS = agent.Version, 3600_000
	conn := a.call(t, nil)
	if err := agent.WriteJSON(conn, agent.KindPlan, plan); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	time.Sleep(500 * time.Millisecond) // in the middle of the work, or waiting for the second sample
	conn.Close()
	ended := make(chan error, 1)
	go func() { ended <- a.cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("still running")
	}
}

func TestAgentRefusesAPolicyItLacks(t *testing.T) {
	plan := testPlan()
	plan.Policy = "strict"
	out := collector.NewOutput(writerSink{newWriter(t, io.Discard, plan.Top, plan.Time)}, collector.Options{})
	_, err := agent.Converse(t.Context(), start(t).call(t, nil), plan, out)
	if !errors.Is(err, agent.ErrAgent) || !strings.Contains(err.Error(), "strict") {
		t.Errorf("got %v", err)
	}
}

// TestNobodyCalls: an agent that nobody calls ends.
func TestNobodyCalls(t *testing.T) {
	a := start(t, "--patience", "200ms")
	if err := a.cmd.Wait(); err == nil {
		t.Error("it says that all went well")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"fly"}, {"wait", "x"}, {"collect", "--nope"}, {"wait", "--patience", "long"}} {
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
