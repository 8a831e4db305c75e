package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/cluster/launch/image"
)

// bed is a real cluster of at least two nodes. E2E=1 asks for it, KUBECONFIG
// names it, and CASEFILE_KIT is the folder of the harness that runs it (its
// load-image.sh and faults); by default samples/cluster.
type bed struct {
	config *rest.Config
	client kubernetes.Interface
	nodes  []string
	kit    string
	binary []byte
}

func needBed(t *testing.T) *bed {
	t.Helper()
	if os.Getenv("E2E") != "1" {
		t.Skip("needs a real cluster: set E2E=1 and KUBECONFIG")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil || os.Getenv("KUBECONFIG") == "" {
		t.Fatalf("E2E=1 needs KUBECONFIG to name a running cluster: %v", err)
	}
	b := &bed{config: config, kit: os.Getenv("CASEFILE_KIT"), binary: testAgent(t)}
	if b.kit == "" {
		b.kit = filepath.Join("..", "..", "..", "samples", "cluster")
	}
	if b.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	list, err := b.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range list.Items {
		b.nodes = append(b.nodes, n.Name)
	}
	if len(b.nodes) < 2 {
		t.Fatalf("needs two nodes: %v", b.nodes)
	}
	t.Cleanup(func() { b.gone(t, 5*time.Second) })
	return b
}

var builtAgent = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "casefile-agent")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "agent"), "./testdata/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "agent"))
})

func testAgent(t *testing.T) []byte {
	t.Helper()
	b, err := builtAgent()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// launcher makes a Launcher whose announcements are in the test's log.
func (b *bed) launcher(t *testing.T, change func(*Options)) *Launcher {
	t.Helper()
	o := Options{DefaultImage: "casefile.local/agent:not-loaded", Timeout: time.Minute, Binary: b.agentFor,
		Announce: func(s string) { t.Log(s) }}
	if change != nil {
		change(&o)
	}
	l, err := New(b.config, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (b *bed) agentFor(arch string) ([]byte, error) {
	if arch != runtime.GOARCH {
		return nil, fmt.Errorf("no agent for %s", arch)
	}
	return b.binary, nil
}

func plansFor(nodes []string, work time.Duration) []agent.Plan {
	var plans []agent.Plan
	for _, n := range nodes {
		plans = append(plans, agent.Plan{Version: agent.Version, Node: n, Prefixes: []string{"nodes/" + n}, IntervalMS: work.Milliseconds(), TimeoutMS: 60_000})
	}
	return plans
}

// memory is a sink that keeps the fragments.
type memory struct {
	mu        sync.Mutex
	fragments map[string]string
}

func (m *memory) Put(string, collector.Class, io.Reader) (int64, error) {
	return 0, errors.New("nothing else is put here")
}

func (m *memory) Frames(prefixes []string, r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, 1<<20))
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fragments == nil {
		m.fragments = map[string]string{}
	}
	m.fragments[prefixes[0]] = string(b)
	return err
}

// collect runs the Nodes collector and gives the results by source.
func (b *bed) collect(ctx context.Context, t *testing.T, l *Launcher, work time.Duration, o NodesOptions) (*memory, map[string]collector.Result) {
	t.Helper()
	sink, start := &memory{}, time.Now()
	results := map[string]collector.Result{}
	for _, r := range collector.Run(ctx, sink, []collector.Collector{Nodes(l, plansFor(b.nodes, work), o)}, collector.Options{}) {
		if r.Path == "" {
			results[r.Source] = r
			t.Logf("%-12s %-8s %6d ms %s", r.Source, r.Status, r.Millis, r.Reason)
		}
	}
	t.Logf("all: %s", time.Since(start).Round(10*time.Millisecond))
	return sink, results
}

// leftovers are the agents' Jobs and pods in the cluster.
func (b *bed) leftovers(t *testing.T) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	o := metav1.ListOptions{LabelSelector: LabelName + "=" + AgentName}
	jobs, err := b.client.BatchV1().Jobs("").List(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := b.client.CoreV1().Pods("").List(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, j := range jobs.Items {
		left = append(left, "job/"+j.Name)
	}
	for _, p := range pods.Items {
		left = append(left, "pod/"+p.Name)
	}
	return left
}

// gone waits until nothing is left and returns how long that took.
func (b *bed) gone(t *testing.T, limit time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		left := b.leftovers(t)
		if len(left) == 0 {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("left behind after %s: %v", limit, left)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// script runs a script of the harness.
func (b *bed) script(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(b.kit, name), args...)
	cmd.Env = append(os.Environ(), "NODE=2")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func (b *bed) allOK(t *testing.T, sink *memory, results map[string]collector.Result) {
	t.Helper()
	for _, n := range b.nodes {
		if r := results["node/"+n]; r.Status != collector.StatusOK || r.Bytes == 0 {
			t.Errorf("node %s: %+v", n, r)
		}
		var host string
		var processes int
		if _, err := fmt.Sscanf(sink.fragments["nodes/"+n], "host %s processes %d", &host, &processes); err != nil || host != n {
			t.Errorf("node %s says %q", n, sink.fragments["nodes/"+n])
		}
		if processes < 20 {
			t.Errorf("node %s: the agent sees %d processes: not the node's", n, processes)
		}
	}
}

// loadAgent makes the image and loads it into every node.
func (b *bed) loadAgent(t *testing.T, name string) {
	t.Helper()
	var tar bytes.Buffer
	if err := image.Save(&tar, name, map[string][]byte{"amd64": b.binary, "arm64": []byte("of another CPU")}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "agent.tar")
	if err := os.WriteFile(path, tar.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	b.script(t, "load-image.sh", path)
}
