package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/cluster/apitest"
	"github.com/casefile-io/casefile/collector/cluster/serve"
)

// bundle is a sink that can be served: what was collected, as a file system.
type bundle struct {
	mu   sync.Mutex
	fsys fstest.MapFS
}

func (b *bundle) Put(path string, _ collector.Class, r io.Reader) (int64, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fsys[path] != nil {
		return 0, errors.New("duplicate path " + path)
	}
	b.fsys[path] = &fstest.MapFile{Data: text}
	return int64(len(text)), nil
}

func (b *bundle) Frames([]string, io.Reader) error { return errors.New("no frames here") }

// collect runs the real collector and adds the results, as a bundle has them.
func collect(t *testing.T, ctx context.Context, cfg *rest.Config) (fstest.MapFS, []collector.Result) {
	t.Helper()
	c, err := cluster.New(cfg, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{fsys: fstest.MapFS{}}
	rs := collector.Run(ctx, b, []collector.Collector{c}, collector.Options{})
	var text []byte
	for _, r := range rs {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, line...), '\n')
	}
	b.fsys["collection/results.ndjson"] = &fstest.MapFile{Data: text}
	return b.fsys, rs
}

func start(t *testing.T, fsys fstest.MapFS) *serve.Server {
	t.Helper()
	s, err := serve.Start(fsys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestRoundTrip collects a real cluster, serves it, and collects what is
// served: the same bytes, the same denials.
func TestRoundTrip(t *testing.T) {
	api := apitest.Start(t)
	kube := kubernetes.NewForConfigOrDie(api.Config(apitest.Admin))
	for i := range 1100 {
		_, err := kube.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("cm-%d", i),
			Labels: map[string]string{"odd": fmt.Sprint(i % 2)}}, Data: map[string]string{"k": "<v&>"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := kube.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"},
		StringData: map[string]string{"user": "u", "password": "p"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("Admin", func(t *testing.T) {
		first, rs := collect(t, t.Context(), api.Config(apitest.Admin))
		for _, r := range rs {
			if r.Status.Incomplete() {
				t.Errorf("the real cluster: %+v", r)
			}
		}
		again := replay(t, first)
		secrets := string(again["cluster/resources/core/v1/secrets/default.ndjson"].Data)
		if !strings.Contains(secrets, `"type":"Opaque"`) || !strings.Contains(secrets, `"data":{"password":null,"user":null}`) {
			t.Errorf("secrets: %s", secrets)
		}
		kubectlLike(t, first)
	})
	t.Run("Nobody", func(t *testing.T) {
		first, rs := collect(t, t.Context(), api.Config(apitest.Nobody))
		again := replay(t, first)
		count := func(b []byte) int { return strings.Count(string(b), `"status":"denied"`) }
		was, is := count(first["collection/results.ndjson"].Data), count(again["collection/results.ndjson"].Data)
		if was != is || was < 30 {
			t.Errorf("%d denials became %d (of %d results)", was, is, len(rs))
		}
	})
}

// replay serves a bundle, collects it again and holds both to be equal.
func replay(t *testing.T, first fstest.MapFS) fstest.MapFS {
	t.Helper()
	again, _ := collect(t, t.Context(), start(t, first).Config())
	for _, path := range slices.Sorted(maps.Keys(first)) {
		if path == cluster.DiscoveryPath || path == "collection/results.ndjson" {
			continue // how discovery is asked, and times, differ
		}
		if again[path] == nil {
			t.Errorf("%s is not there again", path)
		} else if diff := cmp.Diff(string(first[path].Data), string(again[path].Data)); diff != "" {
			t.Errorf("%s (-first +again):\n%.2000s", path, diff)
		}
	}
	for path := range again {
		if first[path] == nil {
			t.Errorf("%s was not there before", path)
		}
	}
	return again
}

// kubectlLike asks what kubectl would, with the ordinary typed client.
func kubectlLike(t *testing.T, fsys fstest.MapFS) {
	t.Helper()
	kube := kubernetes.NewForConfigOrDie(start(t, fsys).Config())
	odd, err := kube.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{LabelSelector: "odd in (1)"})
	if err != nil || len(odd.Items) != 550 {
		t.Errorf("odd: %d, %v", len(odd.Items), err)
	}
	one, err := kube.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=cm-77,metadata.namespace=default"})
	if err != nil || len(one.Items) != 1 || one.Items[0].Data["k"] != "<v&>" {
		t.Errorf("by field: %+v, %v", one.Items, err)
	}
	cm, err := kube.CoreV1().ConfigMaps("default").Get(t.Context(), "cm-1099", metav1.GetOptions{})
	if err != nil || cm.Name != "cm-1099" {
		t.Errorf("get: %v, %v", cm, err)
	}
	if _, err := kube.CoreV1().ConfigMaps("default").Get(t.Context(), "nothing", metav1.GetOptions{}); err == nil || !strings.Contains(err.Error(), `configmaps "nothing" not found`) {
		t.Errorf("get nothing: %v", err)
	}
	if err := kube.CoreV1().ConfigMaps("default").Delete(t.Context(), "cm-1", metav1.DeleteOptions{}); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("delete: %v", err)
	}
}

func small() fstest.MapFS {
	fsys := fstest.MapFS{}
	for path, text := range map[string]string{
		"cluster/version.json": `{"gitVersion":"v1.36.3","major":"1","minor":"36"}`,
		"cluster/discovery.json": `{"groups":[{"name":"","versions":[{"groupVersion":"v1","version":"v1"}],"preferredVersion":{"groupVersion":"v1","version":"v1"}},
			{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}],
			"resources":[{"groupVersion":"v1","resources":[{"name":"pods","namespaced":true,"kind":"Pod","verbs":["get","list"]},
			{"name":"nodes","kind":"Node","verbs":["list"]},{"name":"secrets","namespaced":true,"kind":"Secret","verbs":["list"]},
			{"name":"bindings","namespaced":true,"kind":"Binding","verbs":["create"]}]},
			{"groupVersion":"apps/v1","resources":[{"name":"deployments","namespaced":true,"kind":"Deployment","verbs":["list"]}]}]}`,
		"cluster/resources/core/v1/pods/a.ndjson": `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p1","namespace":"a","labels":{"app":"x"}},"spec":{"nodeName":"n1","containers":[{"name":"c"}]}}` + "\n" +
			`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p2","namespace":"a"},"spec":{"nodeName":"n2","containers":[{"name":"c"},{"name":"d"}]}}` + "\n",
		"cluster/resources/core/v1/pods/b.ndjson": `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p1","namespace":"b"},"spec":{"nodeName":"n1"}}` + "\n",
		"cluster/tables/core/v1/pods/a.ndjson": `{"columnDefinitions":[{"name":"Name","type":"string","format":"name","priority":0},{"name":"Ready","type":"string","format":"","priority":0}]}` + "\n" +
			`{"name":"p1","cells":["p1","1/1"]}` + "\n" + `{"name":"p2","cells":["p2","0/2"]}` + "\n",
		"cluster/resources/core/v1/secrets/a.ndjson": `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s","namespace":"a"},"data":{"k":null},"type":"Opaque"}` + "\n",
		"cluster/logs/a/p1/c.log":                    "2026-01-01T00:00:01.5Z one\n2026-01-01T00:00:02.5Z two\nno stamp\n",
		"collection/results.ndjson": `{"source":"cluster","path":"cluster/resources/apps/v1/deployments","status":"denied","reason":"deployments is forbidden"}` + "\n" +
			`{"source":"cluster","path":"cluster/resources/core/v1/nodes","status":"failed","reason":"timeout"}` + "\n",
	} {
		fsys[path] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func ask(t testing.TB, h http.Handler, method, target, accept string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

const (
	asTable   = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	asPartial = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
	protobuf  = "application/vnd.kubernetes.protobuf"
)

func TestAnswers(t *testing.T) {
	h, err := serve.New(small())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target, accept string
		code           int
		body           string
	}{
		{"/version", "", 200, `"gitVersion":"v1.36.3"`},
		{"/readyz", "", 404, `"kind":"Status"`},
		{"/api", "", 200, `"versions":["v1"]`},
		{"/apis", "", 200, `"name":"apps"`},
		{"/apis/apps", "", 200, `"kind":"APIGroup"`},
		{"/apis/none", "", 404, `"reason":"NotFound"`},
		{"/api/v1", "", 200, `"kind":"APIResourceList"`},
		{"/api/v1", protobuf + ",application/json", 200, `"kind":"APIResourceList"`},
		{"/api/v1", protobuf, 406, `"reason":"NotAcceptable"`},
		{"/api/v2", "", 404, "not in the bundle"},
		{"/apis/apps/v1/pods", "", 404, "not in the bundle"},
		{"/apis/apps/v1/deployments", "", 403, "not collected: deployments is forbidden"},
		{"/api/v1/nodes", "", 404, "not collected: timeout"},
		{"/api/v1/namespaces/a/bindings", "", 405, "cannot be listed"},
		{"/api/v1/pods", "", 200, `"name":"p1","namespace":"b"`},
		{"/api/v1/namespaces/none/pods", "", 200, `"items":[],"metadata"`},
		{"/api/v1/namespaces/a/pods/p2", "", 200, `"nodeName":"n2"`},
		{"/api/v1/pods/p2", "", 404, "not in the bundle"},
		{"/api/v1/namespaces/a/nodes", "", 404, "not in the bundle"},
		{"/api/v1/namespaces/../pods", "", 404, `"kind":"Status"`},
		{"/api/v1/namespaces/a/pods/p2/exec", "", 404, "not in the bundle"},
		{"/api/v1/pods?watch=1", "", 405, "watch is not served"},
		{"/api/v1/pods?labelSelector=((", "", 400, "labelSelector"},
		{"/api/v1/pods?limit=-1", "", 400, "is no count"},
		{"/api/v1/pods?continue=%21", "", 400, "not a token"},
		{"/api/v1/pods", asTable, 200, `{"cells":["p2","0/2"],"object":{"kind":"PartialObjectMetadata"`},
		{"/api/v1/pods?includeObject=None", asTable, 200, `{"cells":["p1","1/1"]},{"cells":["p2","0/2"]},{"cells":["p1",null]}]`},
		{"/api/v1/pods?includeObject=No", asTable, 400, "includeObject"},
		{"/api/v1/namespaces/a/pods/p1?includeObject=Object", asTable, 200, `{"cells":["p1","1/1"],"object":{"kind":"Pod"`},
		{"/api/v1/secrets", asPartial, 200, `"managedFields":[{"apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:k":{}}}`},
		{"/api/v1/namespaces/a/pods/p1/log", "", 200, "one\ntwo\nno stamp\n"},
		{"/api/v1/namespaces/a/pods/p1/log?timestamps=true&tailLines=2", "", 200, "2026-01-01T00:00:02.5Z two\nno stamp\n"},
		{"/api/v1/namespaces/a/pods/p1/log?sinceTime=2026-01-01T00:00:02Z&limitBytes=3", "", 200, "two"},
		{"/api/v1/namespaces/a/pods/p1/log?previous=true", "", 400, "previous terminated container"},
		{"/api/v1/namespaces/a/pods/p1/log?tailLines=0&container=c", "", 200, ""},
		{"/api/v1/namespaces/a/pods/p2/log", "", 400, "choose one of: [c d]"},
		{"/api/v1/namespaces/a/pods/p1/log?container=..", "", 400, "is no name"},
		{"/etc/passwd", "", 404, "not in the bundle"},
	} {
		code, body := ask(t, h, http.MethodGet, c.target, c.accept)
		if code != c.code || !strings.Contains(body, c.body) {
			t.Errorf("%s (%s): %d %s, want %d with %s", c.target, c.accept, code, body, c.code, c.body)
		}
	}
	if code, body := ask(t, h, http.MethodPost, "/api/v1/pods", ""); code != http.StatusMethodNotAllowed || !strings.Contains(body, "read-only") {
		t.Errorf("POST: %d %s", code, body)
	}
}

// TestKubectl asks with the real kubectl, over a port.
func TestKubectl(t *testing.T) {
	kubectl := apitest.Binary(t, "kubectl")
	h, err := serve.New(small())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	home := t.TempDir()
	for _, c := range []struct{ args, want string }{
		{"get pods -A", "a           p2     0/2"},
		{"get pods -n a p1", "p1     1/1"},
		{"get pods -A -l app=x -o name", "pod/p1"},
		{"get pods -n a -o jsonpath={.items[*].spec.nodeName}", "n1 n2"},
		{"logs -n a p1", "one\ntwo\n"},
		{"logs -n a p1 --tail=1", "no stamp"},
		{"get deployments -A", "Forbidden"},
		{"api-resources", "deployments"},
		{"delete pod -n a p1", "read-only"},
		{"version", "v1.36.3"},
	} {
		args := append([]string{"--server", srv.URL, "--cache-dir", home}, strings.Fields(c.args)...)
		cmd := exec.CommandContext(t.Context(), kubectl, args...)
		cmd.Env = []string{"HOME=" + home, "KUBECONFIG="}
		out, _ := cmd.CombinedOutput() // errors are among what is expected
		if !strings.Contains(string(out), c.want) {
			t.Errorf("kubectl %s:\n%s\nwant %q", c.args, out, c.want)
		}
	}
}

// TestPages holds that pages of any size join to the whole list, whatever the
// selector and wherever a file ends.
func TestPages(t *testing.T) {
	h, err := serve.New(small())
	if err != nil {
		t.Fatal(err)
	}
	for selector, want := range map[string]int{"": 3, "spec.nodeName=n1": 2, "spec.nodeName!=n1": 1, "metadata.name=p9": 0} {
		for limit := range 5 {
			var names []string
			next, pages := "", 0
			for {
				var list struct {
					Metadata metav1.ListMeta
					Items    []corev1.Pod
				}
				_, body := ask(t, h, http.MethodGet, fmt.Sprintf("/api/v1/pods?limit=%d&continue=%s&fieldSelector=%s", limit, next, strings.ReplaceAll(selector, "!", "%21")), "")
				if err := json.Unmarshal([]byte(body), &list); err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				if limit > 0 && len(list.Items) > limit {
					t.Errorf("limit %d: %d items", limit, len(list.Items))
				}
				for _, p := range list.Items {
					names = append(names, p.Namespace+"/"+p.Name)
				}
				if next = list.Metadata.Continue; next == "" || pages > 9 {
					break
				}
				pages++
			}
			slices.Sort(names)
			if len(slices.Compact(names)) != want || pages > 3 {
				t.Errorf("%q, limit %d: %v in %d pages, want %d", selector, limit, names, pages+1, want)
			}
		}
	}
}

func TestNew(t *testing.T) {
	for text, fsys := range map[string]fstest.MapFS{
		"nothing of a cluster": {},
		"discovery.json":       {"cluster/discovery.json": {Data: []byte("no")}},
		"a group is null":      {"cluster/discovery.json": {Data: []byte(`{"groups":[null]}`)}},
		"results.ndjson":       {"cluster/discovery.json": {Data: []byte(`{}`)}, "collection/results.ndjson": {Data: []byte("no\n")}},
	} {
		if _, err := serve.New(fsys); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
}

// TestClose holds that a closed server refuses at once.
func TestClose(t *testing.T) {
	s := start(t, small())
	c, err := cluster.New(s.Config(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := c.Identity(t.Context()); err != nil || id.Version != "v1.36.3" {
		t.Errorf("%+v, %v", id, err)
	}
	s.Close()
	if _, err := c.Identity(t.Context()); !errors.Is(err, cluster.ErrUnreachable) {
		t.Errorf("%v, want unreachable", err)
	}
}

// FuzzAnswers sends any path, query and Accept header: every answer is JSON,
// or a log, and no code is out of the range of HTTP.
func FuzzAnswers(f *testing.F) {
	f.Add("/api/v1/pods", "limit=1&continue=eyJzIjoiYSIsIm8iOjF9", asTable)
	f.Add("/api/v1/namespaces/a/pods/p1/log", "tailLines=1&limitBytes=9&timestamps=1", "")
	f.Add("/api/v1/namespaces/a/pods", "fieldSelector=spec.nodeName%3Dn1&labelSelector=app%3Dx", asPartial)
	f.Add("/api/v1/secrets", "includeObject=Object", asTable)
	f.Add("/apis/apps/v1/deployments", "watch=true", protobuf)
	h, err := serve.New(small())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, query, accept string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		isLog := strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain")
		if w.Code < 200 || w.Code > 599 || w.Code >= 500 || !isLog && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s?%s (%s): %d %s", path, query, accept, w.Code, w.Body)
		}
	})
}
