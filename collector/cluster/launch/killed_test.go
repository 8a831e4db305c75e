package launch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/casefile-io/casefile/collector"
)

// TestMain is a command line of its own when the environment says so: a run
// that tests can kill.
func TestMain(m *testing.M) {
	if nodes := os.Getenv("LAUNCH_TEST_NODES"); nodes != "" {
		os.Exit(commandLine(strings.Split(nodes, ",")))
	}
	os.Exit(m.Run())
}

// commandLine holds conversations of a minute and ends on an interrupt.
func commandLine(nodes []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	l, err := New(config, Options{RunID: os.Getenv("LAUNCH_TEST_RUN"), DefaultImage: os.Getenv("LAUNCH_TEST_IMAGE"), Timeout: 5 * time.Minute,
		Binary: func(string) ([]byte, error) { return os.ReadFile(os.Getenv("LAUNCH_TEST_AGENT")) }})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for _, r := range collector.Run(ctx, &memory{}, []collector.Collector{Nodes(l, plansFor(nodes, time.Minute), NodesOptions{})}, collector.Options{}) {
		fmt.Printf("%+v\n", r)
	}
	return 0
}

// command starts such a command line.
func (b *bed) command(t *testing.T, run, image string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	agent := t.TempDir() + "/agent"
	if err := os.WriteFile(agent, b.binary, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LAUNCH_TEST_NODES="+strings.Join(b.nodes, ","), "LAUNCH_TEST_RUN="+run, "LAUNCH_TEST_IMAGE="+image, "LAUNCH_TEST_AGENT="+agent)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

func TestE2EKilled(t *testing.T) {
	b := needBed(t)
	image := "casefile.local/agent:e2e-" + NewRunID()
	b.loadAgent(t, image)
	moments := []time.Duration{900 * time.Millisecond, 1800 * time.Millisecond, 3 * time.Second, 8 * time.Second}
	var commands []*exec.Cmd
	for i := range moments {
		name := image
		if i%2 == 0 {
			name = "casefile.local/agent:not-loaded" // the shell's turn
		}
		cmd, _ := b.command(t, fmt.Sprintf("killed%d", i), name)
		commands = append(commands, cmd)
	}
	start := time.Now()
	for i, moment := range moments {
		time.Sleep(moment - time.Since(start))
		if err := commands[i].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = commands[i].Wait()
	}
	left := b.leftovers(t)
	t.Logf("after the kills: %d left: %v", len(left), left)
	if len(left) < len(b.nodes) {
		t.Errorf("hardly anything was running: %v", left)
	}
	t.Logf("all gone by themselves after %s", b.gone(t, 3*time.Minute).Round(time.Second))
}

func TestE2EInterrupted(t *testing.T) {
	b := needBed(t)
	for _, moment := range []time.Duration{1500 * time.Millisecond, 9 * time.Second} {
		cmd, out := b.command(t, "interrupted", "casefile.local/agent:not-loaded")
		time.Sleep(moment)
		if len(b.leftovers(t)) == 0 {
			t.Errorf("nothing was running after %s", moment)
		}
		start := time.Now()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		took := time.Since(start)
		if left := b.leftovers(t); len(left) > 0 {
			t.Errorf("left when it ended: %v", left)
		}
		t.Logf("interrupted after %s: ended and all gone in %s\n%s", moment, took.Round(10*time.Millisecond), out)
		if took > 8*time.Second {
			t.Errorf("took %s", took)
		}
	}
}

// TestE2ECleanup removes what a killed run left, that of one run or of all.
func TestE2ECleanup(t *testing.T) {
	b := needBed(t)
	for _, run := range []string{"cleana", "cleanb"} {
		cmd, _ := b.command(t, run, "casefile.local/agent:not-loaded")
		time.Sleep(5 * time.Second)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	l := b.launcher(t, nil)
	start := time.Now()
	removed, err := l.Cleanup(t.Context(), Filter{RunID: "cleana"})
	t.Logf("%s: %v %v", time.Since(start).Round(10*time.Millisecond), removed, err)
	if err != nil || len(removed) < 2 {
		t.Fatalf("%v %v", removed, err)
	}
	for _, name := range removed {
		if !strings.Contains(name, "cleana") {
			t.Errorf("removed %s of another run", name)
		}
	}
	if len(b.leftovers(t)) == 0 {
		t.Error("it removed the other run's, too")
	}
	removed, err = l.Cleanup(t.Context(), Filter{AllNamespaces: true})
	if err != nil || len(removed) < 2 || len(b.leftovers(t)) != 0 {
		t.Errorf("%v %v %v", removed, err, b.leftovers(t))
	}
	if again, err := l.Cleanup(t.Context(), Filter{}); err != nil || len(again) != 0 {
		t.Errorf("%v %v", again, err)
	}
}
