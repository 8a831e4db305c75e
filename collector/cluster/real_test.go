package cluster_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/cluster/apitest"
)

const (
	canary      = "cANARY-secret-value-93c1"
	configMaps  = 1234 // three pages
	kubeletLine = "2026-11-21T09:00:00.000000001Z hello from "
)

func TestRealCluster(t *testing.T) {
	api := apitest.Start(t)
	kube := kubernetes.NewForConfigOrDie(api.Config(apitest.Admin))
	seed(t, api, kube)
	t.Run("Everything", func(t *testing.T) { testEverything(t, api) })
	t.Run("ProtobufAndJSONAgree", func(t *testing.T) { testProtobufAndJSON(t, api) })
	t.Run("Namespaces", func(t *testing.T) { testNamespaces(t, api) })
	t.Run("Denied", func(t *testing.T) { testDenied(t, api, kube) })
	t.Run("Nobody", func(t *testing.T) { testNobody(t, api) })
	t.Run("WrongToken", func(t *testing.T) { testWrongToken(t, api) })
	t.Run("Inventory", func(t *testing.T) { testInventory(t, api) })
	t.Run("Targets", func(t *testing.T) { testTargets(t, api) })
	t.Run("Cancelled", func(t *testing.T) { testCancelled(t, api) })
	t.Run("OverBudget", func(t *testing.T) { testOverBudget(t, api) })
	t.Run("Killed", func(t *testing.T) { testKilled(t, api) }) // last: ends the server
}

func seed(t *testing.T, api *apitest.Server, kube kubernetes.Interface) {
	t.Helper()
	ctx := t.Context()
	for _, ns := range []string{"a", "a-b", "b"} {
		must(t)(kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{}))
	}
	slots := make(chan struct{}, 16)
	failed := make(chan error, configMaps)
	for i := range configMaps {
		slots <- struct{}{}
		go func() {
			cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("cm-%04d", i)}, Data: map[string]string{"html": "<a&b>"}}
			_, err := kube.CoreV1().ConfigMaps([]string{"a", "a-b"}[i%2]).Create(ctx, cm, metav1.CreateOptions{})
			<-slots
			failed <- err
		}()
	}
	for range configMaps {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	must(t)(kube.CoreV1().Secrets("b").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "top", Labels: map[string]string{"kept": "yes"}, Annotations: map[string]string{
			"kubectl.kubernetes.io/last-applied-configuration": `{"stringData":{"password":"` + canary + `"}}`}},
		StringData: map[string]string{"tls.crt": canary, "tls.key": canary}, Type: corev1.SecretTypeTLS}, metav1.CreateOptions{}))
	must(t)(kube.CoreV1().Events("b").Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "boom"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "b", Name: "web"}, Reason: "BackOff", Message: "back-off", Count: 7}, metav1.CreateOptions{}))
	must(t)(kube.CoreV1().Services("b").Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{}))
	seedPods(t, kube)
	seedCRD(t, api)
}

// seedPods makes a node with a kubelet that only knows logs, one without, and pods on them.
func seedPods(t *testing.T, kube kubernetes.Interface) {
	t.Helper()
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/containerLogs/")
		if r.URL.Query().Get("previous") == "true" {
			name += " before"
		}
		fmt.Fprintln(w, kubeletLine+name)
	}))
	t.Cleanup(kubelet.Close)
	u, err := url.Parse(kubelet.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	for name, port := range map[string]int{"n1": port, "n2": 1} {
		must(t)(kube.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}},
				DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: int32(port)}},
				Conditions:      []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}, metav1.CreateOptions{}))
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	makePod(t, kube, "kube-system", "dns", "n1", corev1.ContainerStatus{Ready: true, State: running})
	makePod(t, kube, "b", "web", "n1", corev1.ContainerStatus{Ready: true, RestartCount: 3, State: running, ContainerID: "containerd://" + strings.Repeat("ab", 32)})
	makePod(t, kube, "b", "stuck", "n1", corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}})
	makePod(t, kube, "a", "dead", "n2", corev1.ContainerStatus{State: running})
}

func makePod(t *testing.T, kube kubernetes.Interface, ns, name, node string, s corev1.ContainerStatus) {
	t.Helper()
	s.Name, s.Image, s.ImageID = "main", "x", "x"
	p := must(t)(kube.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "x"}}}}, metav1.CreateOptions{})).(*corev1.Pod)
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.9", PodIPs: []corev1.PodIP{{IP: "10.0.0.9"}}, ContainerStatuses: []corev1.ContainerStatus{s}}
	must(t)(kube.CoreV1().Pods(ns).UpdateStatus(t.Context(), p, metav1.UpdateOptions{}))
}

func seedCRD(t *testing.T, api *apitest.Server) {
	t.Helper()
	dyn := dynamic.NewForConfigOrDie(api.Config(apitest.Admin))
	crd := &unstructured.Unstructured{}
	err := json.Unmarshal([]byte(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"meshes.net.example"},
		"spec":{"group":"net.example","scope":"Namespaced","names":{"plural":"meshes","singular":"mesh","kind":"Mesh"},
		"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}},
		"additionalPrinterColumns":[{"name":"Peers","type":"integer","jsonPath":".spec.peers"}]}]}}`), crd)
	if err != nil {
		t.Fatal(err)
	}
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	must(t)(dyn.Resource(crds).Create(t.Context(), crd, metav1.CreateOptions{}))
	mesh := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "net.example/v1", "kind": "Mesh", "metadata": map[string]any{"name": "m"},
		"spec": map[string]any{"peers": int64(9007199254740993), "html": "<&>"}}}
	meshes := dyn.Resource(schema.GroupVersionResource{Group: "net.example", Version: "v1", Resource: "meshes"}).Namespace("b")
	until(t, func() error { _, err := meshes.Create(t.Context(), mesh, metav1.CreateOptions{}); return err })
}

func must(t *testing.T) func(any, error) any {
	t.Helper()
	return func(v any, err error) any {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// until tries again what the server is not ready for yet.
func until(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func testEverything(t *testing.T, api *apitest.Server) {
	m, rs := run(t, t.Context(), api.Config(apitest.Admin), cluster.Options{})
	res := "cluster/resources/"
	if n := len(lines(m.files[res+"core/v1/configmaps/a.ndjson"])) + len(lines(m.files[res+"core/v1/configmaps/a-b.ndjson"])); n < configMaps {
		t.Errorf("%d config maps, want at least %d", n, configMaps)
	}
	for path, start := range map[string]string{
		res + "core/v1/pods/b.ndjson":           `{"kind":"Pod","apiVersion":"v1","metadata":{`,
		res + "core/v1/events/b.ndjson":         `{"kind":"Event","apiVersion":"v1","metadata":{`,
		res + "core/v1/nodes/_cluster.ndjson":   `{"kind":"Node","apiVersion":"v1","metadata":{`,
		res + "net.example/v1/meshes/b.ndjson":  `{"kind":"Mesh","apiVersion":"net.example/v1","metadata":{`,
		res + "core/v1/secrets/b.ndjson":        `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"top"`,
		"cluster/tables/core/v1/pods/b.ndjson":  `{"columnDefinitions":[{"name":"Name","type":"string","format":"name","priority":0}`,
		"cluster/version.json":                  `{`,
		"cluster/health/readyz.txt":             `[+]ping ok`,
		"cluster/logs/b/web/main.log":           kubeletLine + "b/web/main",
		"cluster/logs/b/web/main.previous.log":  kubeletLine + "b/web/main before",
		"cluster/logs/kube-system/dns/main.log": kubeletLine,
	} {
		if got := m.files[path]; !strings.HasPrefix(got, start) {
			t.Errorf("%s starts with %.120q, want %q", path, got, start)
		}
	}
	if got := m.files[res+"net.example/v1/meshes/b.ndjson"]; !strings.Contains(got, `"spec":{"html":"<&>","peers":9007199254740993}`) {
		t.Errorf("a custom object lost something: %s", got)
	}
	checkEachLine(t, m)
	checkSecrets(t, m)
	checkTables(t, m)
	want(t, rs, res+"core/v1/configmaps", collector.StatusOK, "objects at resourceVersion ")
	want(t, rs, res+"core/v1/configmaps", collector.StatusOK, "server time ")
	want(t, rs, res+"core/v1/persistentvolumes", collector.StatusOK, "0 objects")
	want(t, rs, res+"events.k8s.io/v1/events", collector.StatusSkipped, "same objects")
	want(t, rs, res+"core/v1/componentstatuses", collector.StatusSkipped, "deprecated")
	want(t, rs, "cluster/logs/b/stuck/main.log", collector.StatusSkipped, "ImagePullBackOff")
	want(t, rs, "cluster/logs/a/dead/main.log", collector.StatusFailed, "connection refused")
	for _, r := range rs {
		if r.Status.Incomplete() && !strings.Contains(r.Path, "/dead/") {
			t.Errorf("not complete: %+v", r)
		}
	}
}

func checkEachLine(t *testing.T, m *memory) {
	t.Helper()
	for path, text := range m.under("cluster/resources/") {
		scope := strings.TrimSuffix(path[strings.LastIndexByte(path, '/')+1:], ".ndjson")
		for _, line := range lines(text) {
			var o struct {
				APIVersion, Kind string
				Metadata         map[string]any
			}
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			ns, _ := o.Metadata["namespace"].(string)
			if o.APIVersion == "" || o.Kind == "" || o.Metadata["managedFields"] != nil || scope != "_cluster" && ns != scope {
				t.Fatalf("%s: %s", path, line)
			}
		}
	}
}

// checkSecrets looks for the value in everything that was stored.
func checkSecrets(t *testing.T, m *memory) {
	t.Helper()
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	for path, text := range m.files {
		if strings.Contains(text, canary) || strings.Contains(text, encoded) {
			t.Errorf("%s holds the value of a Secret", path)
		}
	}
	line := m.files["cluster/resources/core/v1/secrets/b.ndjson"]
	var s map[string]any
	if err := json.Unmarshal([]byte(line), &s); err != nil {
		t.Fatal(err)
	}
	meta, _ := s["metadata"].(map[string]any)
	if meta["annotations"] != nil || meta["labels"] == nil || s["type"] != "kubernetes.io/tls" || !strings.Contains(line, `"data":{"tls.crt":null,"tls.key":null}`) {
		t.Errorf("secret: %s", line)
	}
}

func checkTables(t *testing.T, m *memory) {
	t.Helper()
	tables := 0
	for path, text := range m.under("cluster/resources/") {
		table := lines(m.files[strings.Replace(path, "/resources/", "/tables/", 1)])
		objects := lines(text)
		if len(table) != len(objects)+1 {
			t.Errorf("%s: %d objects, %d table lines", path, len(objects), len(table))
			continue
		}
		tables++
		for i, line := range objects {
			var o struct{ Metadata struct{ Name string } }
			var row struct{ Name string }
			if json.Unmarshal([]byte(line), &o) != nil || json.Unmarshal([]byte(table[i+1]), &row) != nil || o.Metadata.Name != row.Name {
				t.Errorf("%s: row %d is %s, object %s", path, i, table[i+1], o.Metadata.Name)
			}
		}
	}
	if tables < 20 {
		t.Errorf("only %d tables", tables)
	}
}

// testProtobufAndJSON holds that both encodings end as the same bytes.
func testProtobufAndJSON(t *testing.T, api *apitest.Server) {
	var asked atomic.Int32
	plain := api.Config(apitest.Admin)
	plain.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.Header.Get("Accept"), "application/vnd.kubernetes.protobuf,") {
				asked.Add(1)
				r = r.Clone(r.Context())
				r.Header.Set("Accept", "application/json")
			}
			return next.RoundTrip(r)
		})
	})
	a, _ := run(t, t.Context(), api.Config(apitest.Admin), cluster.Options{})
	b, _ := run(t, t.Context(), plain, cluster.Options{})
	if asked.Load() < 20 {
		t.Fatalf("protobuf was asked for %d times", asked.Load())
	}
	sameResources(t, a, b)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func sameResources(t *testing.T, a, b *memory) {
	t.Helper()
	x, y := a.under("cluster/resources/"), b.under("cluster/resources/")
	for path := range y {
		if _, ok := x[path]; !ok {
			t.Errorf("%s only on one side", path)
		}
	}
	for path, text := range x {
		if strings.Contains(path, "/leases/") || strings.Contains(path, "/identities/") {
			continue // renewed by the server itself between two runs
		}
		if y[path] != text {
			t.Errorf("%s differs:\n%.600s\n%.600s", path, text, y[path])
		}
	}
}

func testNamespaces(t *testing.T, api *apitest.Server) {
	m, rs := run(t, t.Context(), api.Config(apitest.Admin), cluster.Options{Namespaces: []string{"b", "nowhere", "b"}})
	for path := range m.files {
		if base := path[strings.LastIndexByte(path, '/')+1:]; strings.Contains(path, "/resources/") && base != "b.ndjson" && base != "_cluster.ndjson" {
			t.Errorf("not asked for: %s", path)
		}
	}
	if m.files["cluster/resources/core/v1/pods/b.ndjson"] == "" || m.files["cluster/resources/core/v1/nodes/_cluster.ndjson"] == "" {
		t.Error("pods of b or nodes are missing")
	}
	want(t, rs, "cluster/resources/core/v1/namespaces", collector.StatusFailed, `no namespace "nowhere"`)
}

func testDenied(t *testing.T, api *apitest.Server, kube kubernetes.Interface) {
	must(t)(kube.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "some"},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods", "nodes"}, Verbs: []string{"list"}}}}, metav1.CreateOptions{}))
	must(t)(kube.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "some"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "some"},
		Subjects: []rbacv1.Subject{{Kind: "User", Name: apitest.Limited, APIGroup: rbacv1.GroupName}}}, metav1.CreateOptions{}))
	c, err := cluster.New(api.Config(apitest.Limited), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() error { _, err := c.Pods(t.Context()); return err }) // the authoriser sees the binding a little later
	m, rs := run(t, t.Context(), api.Config(apitest.Limited), cluster.Options{})
	if len(lines(m.files["cluster/resources/core/v1/pods/b.ndjson"])) != 2 || m.files["cluster/resources/core/v1/nodes/_cluster.ndjson"] == "" {
		t.Errorf("what is allowed is missing: %v", m.paths())
	}
	for _, r := range []string{"core/v1/secrets", "core/v1/configmaps", "apps/v1/deployments", "net.example/v1/meshes", "core/v1/events"} {
		want(t, rs, "cluster/resources/"+r, collector.StatusDenied, `forbidden: User "limited" cannot list`)
	}
	want(t, rs, "cluster/resources/core/v1/pods", collector.StatusOK, "4 objects")
	want(t, rs, "cluster/logs/b", collector.StatusDenied, "forbidden")
}

func testNobody(t *testing.T, api *apitest.Server) {
	m, rs := run(t, t.Context(), api.Config(apitest.Nobody), cluster.Options{})
	if len(m.under("cluster/resources/")) != 0 || m.files[cluster.VersionPath] == "" {
		t.Errorf("collected: %v", m.paths())
	}
	denied := 0
	for _, r := range rs {
		if r.Status == collector.StatusDenied {
			denied++
		}
	}
	if denied < 30 {
		t.Errorf("%d denials listed", denied)
	}
}

func testWrongToken(t *testing.T, api *apitest.Server) {
	cfg := api.Config(apitest.Admin)
	cfg.BearerToken = "wrong"
	c, err := cluster.New(cfg, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Identity(t.Context()); !errors.Is(err, collector.ErrDenied) {
		t.Errorf("Identity: %v, want denied", err)
	}
	_, rs := run(t, t.Context(), cfg, cluster.Options{})
	want(t, rs, "", collector.StatusDenied, "")
}

func testInventory(t *testing.T, api *apitest.Server) {
	c, err := cluster.New(api.Config(apitest.Admin), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.Identity(t.Context())
	if err != nil || len(id.UID) != 36 || !strings.HasPrefix(id.Version, "v1.") || id.Server != api.URL || time.Since(id.Time) > time.Minute {
		t.Errorf("Identity: %+v, %v", id, err)
	}
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 2 || nodes[0].Name != "n1" || !nodes[0].Ready || !nodes[0].ControlPlane || nodes[0].IPs[0] != "127.0.0.1" {
		t.Errorf("Nodes: %+v, %v", nodes, err)
	}
	pods, err := c.Pods(t.Context())
	if err != nil || len(pods["n1"]) != 3 || len(pods["n2"]) != 1 {
		t.Fatalf("Pods: %+v, %v", pods, err)
	}
	for _, p := range pods["n1"] {
		if p.Name == "web" && (p.Containers[strings.Repeat("ab", 32)] != "main" || p.IPs[0] != "10.0.0.9" || len(p.UID) != 36) {
			t.Errorf("pod: %+v", p)
		}
	}
}

func testTargets(t *testing.T, api *apitest.Server) {
	c, err := cluster.New(api.Config(apitest.Admin), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.ResolveTargets(t.Context(), []string{"pod/b/web=tcp port 80", "node/n2", "service/b/web", "host"})
	if err != nil {
		t.Fatal(err)
	}
	if p := found[0].Points; len(p) != 1 || p[0].Node != "n1" || p[0].Pod.Name != "web" || found[0].Filter != "tcp port 80" || found[0].Folder() != "pod_b_web" {
		t.Errorf("pod: %+v", found[0])
	}
	if p := found[1].Points; len(p) != 1 || p[0].Node != "n2" || p[0].Pod != nil {
		t.Errorf("node: %+v", found[1])
	}
	if p := found[2].Points; len(p) != 1 || p[0].Pod.Name != "web" {
		t.Errorf("service: %+v", found[2])
	}
	if len(found[3].Points) != 0 {
		t.Errorf("host: %+v", found[3])
	}
	for target, text := range map[string]string{
		"pod/b/wep":              `there is no pod "wep"; did you mean web?`,
		"pod/bb/web":             `there is no namespace "bb"; did you mean b`,
		"node/n3":                `there is no node "n3"; did you mean n1, n2?`,
		"service/default/web":    `there is no service "web"`,
		"service/b/webb":         "did you mean web?",
		"pod/web":                "the namespace is missing",
		"deployment/b/web":       "unknown kind",
		"service/b/web=":         "the filter is empty",
		"pod/../secrets/x/y":     "is no name",
		"service/default/kubern": `there is no service "kubern"`,
	} {
		if _, err := c.ResolveTargets(t.Context(), []string{target}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", target, err, text)
		}
	}
}

// testCancelled ends the run while lists are under way: it comes back at once,
// and says what is missing.
func testCancelled(t *testing.T, api *apitest.Server) {
	ctx, cancel := context.WithCancelCause(t.Context())
	m := newMemory()
	var at time.Time
	m.each = func(path string) error {
		if strings.HasPrefix(path, "cluster/resources/core/v1/configmaps/") && at.IsZero() {
			at = time.Now()
			cancel(errors.New("enough"))
		}
		return nil
	}
	rs := runInto(t, ctx, api.Config(apitest.Admin), cluster.Options{Parallel: 1}, m)
	if took := time.Since(at); at.IsZero() || took > 2*time.Second {
		t.Errorf("ended %v after the cancel", took)
	}
	want(t, rs, "cluster/resources/core/v1/configmaps", collector.StatusPartial, "enough")
	want(t, rs, "cluster/resources/apps/v1/deployments", collector.StatusFailed, "enough")
}

func testOverBudget(t *testing.T, api *apitest.Server) {
	c, err := cluster.New(api.Config(apitest.Admin), cluster.Options{Parallel: 2})
	if err != nil {
		t.Fatal(err)
	}
	rs := collector.Run(t.Context(), newMemory(), []collector.Collector{c}, collector.Options{MaxBytes: 200 << 10})
	want(t, rs, "cluster/resources/core/v1/configmaps", collector.StatusOverBudget, "over budget")
	want(t, rs, "cluster/resources/storage.k8s.io/v1/storageclasses", collector.StatusOverBudget, "not begun")
}

// testKilled lets the API server die between two pages of one list.
func testKilled(t *testing.T, api *apitest.Server) {
	m := newMemory()
	m.each = func(path string) error {
		if strings.HasPrefix(path, "cluster/resources/core/v1/configmaps/") {
			api.Kill()
		}
		return nil
	}
	start := time.Now()
	rs := runInto(t, t.Context(), api.Config(apitest.Admin), cluster.Options{Parallel: 1}, m)
	want(t, rs, "cluster/resources/core/v1/configmaps", collector.StatusPartial, "cannot reach the API server")
	want(t, rs, "cluster/resources/apps/v1/deployments", collector.StatusFailed, "cannot reach the API server")
	if len(m.under("cluster/resources/core/v1/configmaps/")) == 0 {
		t.Error("what had arrived was thrown away")
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v after the server was gone", took)
	}
	c, err := cluster.New(&rest.Config{Host: api.URL}, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Identity(t.Context()); !errors.Is(err, cluster.ErrUnreachable) || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("Identity: %v", err)
	}
}
