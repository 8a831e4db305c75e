package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// TestRealCluster boots one cluster and runs all that needs it, from the
// healthy to the broken.
func TestRealCluster(t *testing.T) {
	k := needCluster(t)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *kit)
	}{
		{"collect", testCollect}, {"cosign", testCosign}, {"denied", testDenied}, {"strict", testStrict}, {"mistaken", testMistaken}, {"between", testBetween}, {"vendor", testVendor}, {"capture", testCapture}, {"resumed", testResumed}, {"truth", testTruth}, {"ways", testWays}, {"faults", testFaults}, {"killed", testKilled},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, k) })
	}
}

// kit is the harness: the folder with its scripts, and where it keeps a
// running cluster.
type kit struct {
	scripts, home, casefile string
	booted                  time.Time
}

// needCluster boots a healthy three-node cluster with the agent's image
// loaded, and takes it down after the test.
func needCluster(t *testing.T) *kit {
	t.Helper()
	if os.Getenv("E2E") != "1" {
		t.Skip("needs a real cluster: set E2E=1")
	}
	scripts, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{scripts: scripts, home: os.Getenv("CASEFILE_CLUSTER"), casefile: os.Getenv("CASEFILE_BIN")}
	if k.home == "" {
		k.home = "/var/tmp/casefile-cluster"
	}
	if k.casefile == "" {
		t.Fatal("CASEFILE_BIN must name the casefile binary; make e2e sets it")
	}
	k.script(t, 2*time.Minute, "down.sh")
	t.Cleanup(func() { k.script(t, 2*time.Minute, "down.sh") })
	k.booted = time.Now()
	k.script(t, 5*time.Minute, "up.sh", "3")
	assertNoAgent(t, k) // before the workload: a privileged pod of it would vouch for its image
	k.script(t, 2*time.Minute, "workload.sh", "up")
	tar := filepath.Join(t.TempDir(), "agent.tar")
	k.run(t, 3*time.Minute, 0, "agent", "image", "save", "-o", tar)
	k.script(t, 2*time.Minute, "load-image.sh", tar)
	return k
}

// assertNoAgent collects while no node has the agent's image and nobody is
// there to agree to a stranger's shell: it stops, says how to load the image,
// and leaves nothing behind.
func assertNoAgent(t *testing.T, k *kit) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "none.tar.zst")
	_, log := k.run(t, time.Minute, 1, "collect", "--no-sign", "-o", file)
	for _, want := range []string{"no agent image on node", "casefile agent image save", "ctr -n k8s.io images import", "--nodes none"} {
		if !strings.Contains(log, want) {
			t.Errorf("without an agent's image it does not say %q:\n%s", want, log)
		}
	}
	if left, _ := filepath.Glob(file + "*"); left != nil {
		t.Errorf("left behind: %q", left)
	}
	assertNothingLeft(t, k)
}

// script runs a script of the kit and fails the test when it fails.
func (k *kit) script(t *testing.T, limit time.Duration, name string, args ...string) string {
	t.Helper()
	out, err := k.try(limit, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (k *kit) try(limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(k.scripts, name), args...)
	cmd.Env = append(os.Environ(), "I_KNOW=1", "HOLD=25")
	// a file, not a pipe: what the scripts leave running must not hold the test up
	f, err := os.CreateTemp("", "casefile-e2e-*.log")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	err = cmd.Run()
	b, _ := os.ReadFile(f.Name())
	return string(b), err
}

// command makes a casefile command on the cluster.
func (k *kit) command(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, k.casefile, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(k.home, "admin.conf"), "HOME="+t.TempDir())
	return cmd
}

// run runs casefile, wants the exit code and returns what it printed.
func (k *kit) run(t *testing.T, limit time.Duration, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var out, log bytes.Buffer
	cmd := k.command(ctx, t, args...)
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if got := cmd.ProcessState.ExitCode(); err != nil && !errors.As(err, &exit) || got != code {
		t.Fatalf("casefile %s: exit %d, want %d: %v\n%s\n%s", strings.Join(args, " "), got, code, err, log.String(), out.String())
	}
	return out.String(), log.String()
}

// kubectl runs the cluster's own kubectl.
func (k *kit) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(k.home, "bin", "kubectl"), append([]string{"--kubeconfig", filepath.Join(k.home, "admin.conf"), "--request-timeout=20s"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// examine collects a bundle and analyses it.
func (k *kit) examine(t *testing.T, collectArgs ...string) abi.Report {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.tar.zst")
	k.run(t, 5*time.Minute, 0, append([]string{"collect", "--no-sign", "--yes", "-o", file, "--sample-interval", "5s"}, collectArgs...)...)
	return k.analyze(t, file)
}

func (k *kit) analyze(t *testing.T, file string) abi.Report {
	t.Helper()
	out, _ := k.run(t, 2*time.Minute, 0, "analyze", file, "--unverified", "--format", "json")
	var r abi.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("analyze: %v\n%s", err, out)
	}
	return r
}

// stale says that a finding is about something that the kernel, which all
// clusters on this machine share, logged before this one was booted.
func (k *kit) stale(f abi.ReportedFind) bool {
	seen, err := time.Parse(time.RFC3339, f.LastSeen)
	return err == nil && seen.Before(k.booted)
}

// outcome is what a report says of a rule; stale findings do not count.
func (k *kit) outcome(r abi.Report, rule string) string {
	fresh, old := 0, 0
	for _, f := range r.Findings {
		if f.Rule == rule && k.stale(f) {
			old++
		} else if f.Rule == rule {
			fresh++
		}
	}
	if old > 0 && fresh == 0 {
		return abi.OutcomeClear + " but for the log of an earlier cluster"
	}
	for _, x := range r.Rules {
		if x.Rule == rule {
			return x.Outcome + " " + x.Reason
		}
	}
	return "not run"
}
