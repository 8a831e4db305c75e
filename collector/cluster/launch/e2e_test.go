package launch

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

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
		if results["node/"+n].Status != collector.StatusFailed {
			t.Errorf("%+v", results["node/"+n])
		}
	}
	if why := results["nodes"].Reason; !strings.Contains(why, "nobody agreed to use the shell") || !strings.Contains(why, "casefile agent image save") {
		t.Errorf("without consent it does not say what to do: %s", why)
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

// TestE2EWithoutWebSockets: a proxy on the way that does not know them, as
// older API servers do not.
func TestE2EWithoutWebSockets(t *testing.T) {
	b := needBed(t)
	target, err := url.Parse(b.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	upstream := rest.CopyConfig(b.config)
	upstream.NextProtos = []string{"http/1.1"} // of which an upgrade is a part
	transport, err := rest.TransportFor(upstream)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	var refused, spdy atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch strings.ToLower(r.Header.Get("Upgrade")) {
		case "websocket":
			refused.Add(1)
			http.Error(w, "no web sockets here", http.StatusBadRequest)
			return
		case "spdy/3.1":
			spdy.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	old := *b
	old.config = &rest.Config{Host: server.URL}
	sink, results := old.collect(t.Context(), t, old.launcher(t, nil), 0, NodesOptions{})
	old.allOK(t, sink, results)
	if refused.Load() == 0 || spdy.Load() < int64(2*len(b.nodes)) {
		t.Errorf("%d web sockets refused, %d SPDY streams", refused.Load(), spdy.Load())
	}
}
