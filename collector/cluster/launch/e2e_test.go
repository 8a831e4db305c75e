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
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

func TestE2EBorrowedShell(t *testing.T) {
	b := needBed(t)
	ended := make(chan string, len(b.nodes))
	sink, results := b.collect(t.Context(), t, b.launcher(t, nil), time.Second, NodesOptions{Ended: func(n string, e agent.End) {
		if e.Redaction["test"] == 1 {
			ended <- n
		}
	}})
	b.allOK(t, sink, results)
	if len(ended) != len(b.nodes) {
		t.Errorf("%d of %d end records came", len(ended), len(b.nodes))
	}
	if d := b.gone(t, 3*time.Second); d > time.Second {
		t.Errorf("the last pod went only %s after the end", d)
	}
}

func TestE2EBorrowNeedsConsent(t *testing.T) {
	b := needBed(t)
	var asked []Intent
	l := b.launcher(t, func(o *Options) {
		o.Confirm = func(_ context.Context, i Intent) (bool, error) {
			asked = append(asked, i)
			return len(i.Borrow) == 0, nil
		}
	})
	_, results := b.collect(t.Context(), t, l, 0, NodesOptions{})
	if len(asked) != 2 || len(asked[1].Borrow) == 0 {
		t.Fatalf("asked %v", asked)
	}
	for _, n := range b.nodes {
		if results["node/"+n].Status != collector.StatusSkipped {
			t.Errorf("%+v", results["node/"+n])
		}
	}
}

func TestE2ELoadedImage(t *testing.T) {
	b := needBed(t)
	name := "casefile.local/agent:e2e-" + NewRunID()
	b.loadAgent(t, name)
	l := b.launcher(t, func(o *Options) { o.DefaultImage, o.Binary = name, nil })
	sink, results := b.collect(t.Context(), t, l, time.Second, NodesOptions{})
	b.allOK(t, sink, results)
}

func TestE2EGivenImageFails(t *testing.T) {
	b := needBed(t)
	l := b.launcher(t, func(o *Options) { o.Image = "registry.invalid/agent:1" })
	sink, results := b.collect(t.Context(), t, l, 0, NodesOptions{})
	b.allOK(t, sink, results)
}

func TestE2ENoImage(t *testing.T) {
	b := needBed(t)
	l := b.launcher(t, nil)
	found := l.shells
	l.shells = func(ctx context.Context, n node) ([]string, []string, error) {
		known, foreign, err := found(ctx, n)
		var mute []string
		for _, image := range append(known, foreign...) {
			if !strings.Contains(image, "nettool") {
				mute = append(mute, image)
			}
		}
		return append(mute, n.images[len(n.images)-1]), nil, err
	}
	start := time.Now()
	err := l.Prepare(t.Context(), b.nodes)
	took := time.Since(start)
	t.Logf("after %s: %v", took.Round(10*time.Millisecond), err)
	if !errors.Is(err, ErrNoAgent) || took > 12*time.Second {
		t.Fatalf("after %s: %v", took, err)
	}
	for _, want := range []string{"ErrImageNeverPull", "casefile agent image save -o casefile-agent.tar", "ctr -n k8s.io images import casefile-agent.tar", "skopeo copy", "docker load -i"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in it", want)
		}
	}
	b.gone(t, 5*time.Second)
	_, results := b.collect(t.Context(), t, l, 0, NodesOptions{})
	if r := results["nodes"]; r.Status != collector.StatusFailed || results["node/"+b.nodes[0]].Status != collector.StatusFailed {
		t.Errorf("%+v", results)
	}
}

func TestE2EDeadKubelet(t *testing.T) {
	b := needBed(t)
	dead := b.nodes[1]
	b.script(t, "faults/kubelet-stopped.sh", "inject")
	t.Cleanup(func() { b.script(t, "faults/kubelet-stopped.sh", "undo") })
	check := func(t *testing.T, limit time.Duration) {
		start := time.Now()
		_, results := b.collect(t.Context(), t, b.launcher(t, nil), time.Second, NodesOptions{})
		if took := time.Since(start); took > limit {
			t.Errorf("took %s", took)
		}
		for _, n := range b.nodes {
			r, want := results["node/"+n], collector.StatusOK
			if n == dead {
				want = collector.StatusFailed
			}
			if r.Status != want {
				t.Errorf("%+v", r)
			}
			if n == dead && (!strings.Contains(r.Reason, "kubelet") || r.Millis > 20_000) {
				t.Errorf("%+v", r)
			}
			if n != dead && r.Millis > 15_000 {
				t.Errorf("held up: %+v", r)
			}
		}
		b.gone(t, 3*time.Second)
	}
	t.Run("still ready", func(t *testing.T) { check(t, 35*time.Second) })
	t.Run("not ready", func(t *testing.T) {
		b.waitUnknown(t, dead)
		check(t, 25*time.Second)
	})
}

func (b *bed) waitUnknown(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(time.Second) {
		n, err := b.client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && ready(n) == corev1.ConditionUnknown {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("node %s never became unknown: %v", name, err)
		}
	}
}

// TestE2EKubeletDiesMidway: the stream breaks under a conversation, and the
// pod of the dead kubelet is deleted by force.
func TestE2EKubeletDiesMidway(t *testing.T) {
	b := needBed(t)
	l := b.launcher(t, nil)
	t.Cleanup(func() { b.script(t, "faults/kubelet-stopped.sh", "undo") })
	go func() {
		time.Sleep(12 * time.Second)
		b.script(t, "faults/kubelet-stopped.sh", "inject")
	}()
	_, results := b.collect(t.Context(), t, l, 25*time.Second, NodesOptions{Timeout: 40 * time.Second})
	if r := results["node/"+b.nodes[1]]; r.Status == collector.StatusOK || r.Millis > 60_000 {
		t.Errorf("%+v", r)
	}
	if r := results["node/"+b.nodes[0]]; r.Status != collector.StatusOK {
		t.Errorf("%+v", r)
	}
	b.gone(t, 3*time.Second)
}

func TestE2EPodSecurity(t *testing.T) {
	b := needBed(t)
	const name = "casefile-e2e-restricted"
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if _, err := b.client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	for namespace, want := range map[string]string{name: "violates PodSecurity", "casefile-e2e-missing": "not found"} {
		start := time.Now()
		l := b.launcher(t, func(o *Options) { o.Namespace = namespace })
		err := l.Prepare(t.Context(), b.nodes)
		took := time.Since(start)
		t.Logf("%s: %s: %v", namespace, took.Round(10*time.Millisecond), err)
		if !errors.Is(err, collector.ErrDenied) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--agent-namespace") || took > 8*time.Second {
			t.Errorf("%s: %s: %v", namespace, took, err)
		}
	}
}

func TestE2EForbidden(t *testing.T) {
	b := needBed(t)
	config := rest.CopyConfig(b.config)
	config.Impersonate.UserName = "casefile-e2e-nobody"
	poor := *b
	poor.config = config
	_, results := poor.collect(t.Context(), t, poor.launcher(t, nil), 0, NodesOptions{})
	r := results["nodes"]
	if r.Status != collector.StatusDenied || !strings.Contains(r.Reason, "create jobs, delete jobs, list pods, create pods/exec") {
		t.Errorf("%+v", r)
	}
	if n := results["node/"+b.nodes[0]]; n.Status != collector.StatusDenied {
		t.Errorf("%+v", n)
	}
}
