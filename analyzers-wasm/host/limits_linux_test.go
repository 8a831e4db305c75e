package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// testSession starts a child of its own, with changed limits.
func testSession(t *testing.T, wasm []byte, change func(*setup)) *session {
	t.Helper()
	set := Load(context.Background(), nil, testOptions(t))
	t.Cleanup(set.Close)
	u := set.unit(Module{Name: "m", Wasm: wasm})
	sp, err := newSpool(u.o.TempDir)
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{spool: sp}
	t.Cleanup(w.close)
	if err := u.fill(w); err != nil {
		t.Fatal(err)
	}
	s := setup{Scratch: w.scratch, MemoryMiB: u.o.MemoryMiB, CPUSeconds: cpuSeconds(u.o)}
	change(&s)
	if w.session, err = startSession(u.o, sp.view); err == nil {
		w.cpu = time.Duration(s.CPUSeconds) * time.Second
		err = w.handshake(t.Context(), s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.session
}

func (c *session) run(verb string, timeout time.Duration) ending {
	out := &capture{keep: maxStdout, limit: maxStdout}
	return c.phase(context.Background(), command{Verb: verb, MemoryMiB: 64, Fuel: 1 << 50, Seed: make([]byte, 32)}, timeout, out, out)
}

// TestKernelLimits: with the parent's own watching out of the way, the limits
// that the child put on itself hold.
func TestKernelLimits(t *testing.T) {
	attacks := analyzeAttacks()
	c := testSession(t, attacks["table"].wasm, func(*setup) {})
	c.memory = 1 << 50
	if e := c.run(verbPrepare, time.Minute); e.Status != abi.ModuleOK {
		t.Fatalf("%+v", e)
	}
	limits, err := os.ReadFile("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/limits")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Max data size 1140850688", "Max core file size 0", "Max file size 0"} {
		if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), want) {
			t.Errorf("%q is not in\n%s", want, limits)
		}
	}
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/environ")
	if err == nil && len(environ) > 0 {
		t.Errorf("the child has an environment: %q", environ)
	}
	if e := c.run(abi.VerbAnalyze, time.Minute); e.Status != abi.ModuleMemory || !strings.Contains(e.Reason, "ran out of memory") {
		t.Errorf("RLIMIT_DATA: %+v", e)
	}
	if peak := peakMemory(c.cmd.ProcessState); peak <= c.due || peak > 1140850688 {
		t.Errorf("the child peaked at %d bytes, want between %d, what it is due, and RLIMIT_DATA", peak, c.due)
	}

	c = testSession(t, attacks["loop"].wasm, func(s *setup) { s.CPUSeconds = 1 })
	if e := c.run(verbPrepare, time.Minute); e.Status != abi.ModuleOK {
		t.Fatalf("%+v", e)
	}
	if e := c.run(abi.VerbAnalyze, time.Minute); e.Status != abi.ModuleTimeout || !strings.Contains(e.Reason, "CPU") {
		t.Errorf("RLIMIT_CPU: %+v", e)
	}
}

// TestDiesWithParent: a killed parent leaves no module running.
func TestDiesWithParent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{parentVerb}, childCommand(t)...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	child := 0
	for deadline := time.Now().Add(20 * time.Second); child == 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		child = busyChild(cmd.Process.Pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if child == 0 {
		t.Fatal("the parent never had a busy child")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if gone(child) {
			return
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatalf("child %d outlives its parent", child)
		}
	}
}

// busyChild finds a child of the process that has used CPU for a while.
func busyChild(pid int) int {
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, path := range tasks {
		text, _ := os.ReadFile(path)
		for _, field := range strings.Fields(string(text)) {
			stat, _ := os.ReadFile("/proc/" + field + "/stat")
			fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
			if len(fields) > 12 {
				if ticks, _ := strconv.Atoi(fields[11]); ticks > 30 {
					n, _ := strconv.Atoi(field)
					return n
				}
			}
		}
	}
	return 0
}

// gone says whether the process has ended, if only as a zombie of somebody else.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.HasPrefix(strings.TrimSpace(string(stat[strings.LastIndexByte(string(stat), ')')+1:])), "Z")
}
