package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

const (
	childVerb  = "sandbox-child"
	parentVerb = "sandbox-parent"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childVerb {
		os.Exit(Child(os.Stdin, os.Stdout))
	}
	if len(os.Args) > 1 && os.Args[1] == parentVerb {
		parent(os.Args[2:])
	}
	if len(os.Args) > 1 && os.Args[1] == probeVerb {
		os.Exit(probe(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// build compiles a program of testdata.
func build(name, goos, goarch string, ldflags ...string) ([]byte, error) {
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-ldflags=-s -w "+strings.Join(ldflags, " "), "-o", out, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
}

var (
	guestWasm   = sync.OnceValues(func() ([]byte, error) { return build("guest", "wasip1", "wasm") })
	childBinary = sync.OnceValues(func() ([]byte, error) { return build("child", runtime.GOOS, runtime.GOARCH) })
)

// childCommand is this binary, or one without the race detector.
func childCommand(t testing.TB) []string {
	t.Helper()
	if !raced {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		return []string{self, childVerb}
	}
	binary, err := childBinary()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "child")
	if err := os.WriteFile(path, binary, 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path, childVerb}
}

func guest(t testing.TB) []byte {
	t.Helper()
	wasm, err := guestWasm()
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// pcapng is a file of n packets with other blocks around them.
func pcapng(n int) []byte {
	block := func(kind uint32, body []byte) []byte {
		size := uint32(12 + len(body))
		b := binary.LittleEndian.AppendUint32(nil, kind)
		b = append(binary.LittleEndian.AppendUint32(b, size), body...)
		return binary.LittleEndian.AppendUint32(b, size)
	}
	out := block(0x0a0d0d0a, []byte("\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	out = append(out, block(1, make([]byte, 8))...)
	for range n {
		out = append(out, block(6, make([]byte, 40))...)
	}
	return append(out, block(5, make([]byte, 12))...)
}

func testBundle() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"cluster/resources/core/v1/pods/app.ndjson": file(`{"metadata":{"namespace":"app","name":"ok"},"status":{"containerStatuses":[{"restartCount":1}]}}
{"metadata":{"namespace":"app","name":"bad"},"status":{"containerStatuses":[{"restartCount":9}]}}
`),
		"cluster/secret":              file("not for modules"),
		"nodes/n1/node.json":          file(`{"name":"n1","samples":[{"k":0,"monotonic":1},{"k":1,"monotonic":11}]}`),
		"nodes/n1/0/proc/net/netstat": file("TcpExt: ListenOverflows\nTcpExt: 24\n"),
		"nodes/n1/1/proc/net/netstat": file("TcpExt: ListenOverflows\nTcpExt: 48\n"),
		"captures/c/capture.json":     file("{}\n"),
		"captures/c/n1__eth0.pcapng":  {Data: pcapng(2)},
		"collection/results.ndjson": file(`{"source":"cluster","status":"ok"}
`),
	}
}

func testOptions(t testing.TB) Options {
	t.Helper()
	return Options{
		Exec: childCommand(t), MemoryMiB: 64, DescribeTimeout: 2 * time.Minute, AnalyzeTimeout: 4 * time.Second,
		Bundle: testBundle(), BundleID: "id", CaptureTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Settings: map[string]string{"k": "v"}, TempDir: t.TempDir(),
	}
}

// checkGuest holds the innocent module's run against what it must be.
func checkGuest(t *testing.T, run abi.ModuleRun) {
	t.Helper()
	if run.Result.Status != abi.ModuleOK || run.Result.Log != "done[31m\n" || run.Result.Name != "guest" || run.Result.Version != "1.2.3" {
		t.Fatalf("%+v", run.Result)
	}
	delta := int64(24)
	restarts, overflow, world := run.Findings[0], run.Findings[1], run.Findings[2]
	if diff := cmp.Diff([]abi.ReportedEvidence{{Path: "cluster/resources/core/v1/pods/app.ndjson", Line: 2,
		Value: `{"metadata":{"namespace":"app","name":"bad"},"status":{"containerStatuses":[{"restartCount":9}]}}`}}, restarts.Places); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]abi.ReportedEvidence{
		{Path: "nodes/n1/1/proc/net/netstat", Line: 2, Value: "ListenOverflows 48", Delta: &delta, Seconds: 10},
		{Path: "nodes/n1/0/proc/net/netstat", Line: 1, Value: "TcpExt: ListenOverflows"},
		{Path: "captures/c/n1__eth0.pcapng", Packet: 2}, {Path: "captures/c/capture.json"}}, overflow.Places); diff != "" {
		t.Error(diff)
	}
	params := world.Params
	if params["random"] == "" || params["random"] == "0000000000000000" {
		t.Error("no random numbers")
	}
	delete(params, "random")
	if diff := cmp.Diff(map[string]any{
		"files": "bundle/captures/c/capture.json bundle/captures/c/n1__eth0.pcapng bundle/nodes/n1/0/proc/net/netstat bundle/nodes/n1/1/proc/net/netstat" +
			" config.json in/captures.index in/counters.index in/counters.ndjson in/counters.rows in/pods.index in/pods.ndjson in/pods.rows in/raw.index",
		"config": `{"abi":1,"captureTime":"2026-01-02T03:04:05Z","settings":{"k":"v"}}`,
		"time":   "2026-01-02T03:04:05Z", "slept": true, "env": int64(0), "outside": true, "readonly": true, "big": int64(9007199254740993),
	}, params); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]abi.RuleResult{
		{Rule: "test/restarts", Outcome: "found"}, {Rule: "test/overflow", Outcome: "found"}, {Rule: "test/world", Outcome: "found"},
		{Rule: "test/silent", Outcome: "unknown", Reason: "the module said nothing about it"}, {Rule: "test/clear", Outcome: "clear"},
		{Rule: "test/empty", Outcome: "unknown", Reason: "the module said nothing about it"},
	}, run.Outcomes); diff != "" {
		t.Error(diff)
	}
}

// TestGuest: an innocent module sees what it declared and nothing else, and
// two runs give the same.
func TestGuest(t *testing.T) {
	modules := []Module{{Name: "guest.wasm", Wasm: guest(t)}}
	var texts [2][]byte
	for i := range texts {
		runs := Run(context.Background(), modules, testOptions(t))
		runs[0].Result.Millis = 0
		var err error
		if texts[i], err = json.Marshal(runs); err != nil {
			t.Fatal(err)
		}
		checkGuest(t, runs[0])
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Errorf("two runs differ:\n%s\n%s", texts[0], texts[1])
	}
}

func TestDescribe(t *testing.T) {
	d, r := Describe(context.Background(), Module{Name: "guest.wasm", Wasm: guest(t)}, testOptions(t))
	if r.Status != abi.ModuleOK || d.Name != "guest" || len(d.Rules) != 6 || r.Name != "guest" || !strings.HasPrefix(r.Digest, "sha256:") {
		t.Errorf("%+v %+v", d, r)
	}
}
