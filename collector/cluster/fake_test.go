package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
)

// fake is an API server in name only: it serves config maps, secrets and pods
// whose pages a test makes up, for the answers that a real server gives too
// rarely to wait for.
type fake struct {
	http.Handler
	mu    sync.Mutex
	count map[string]int // requests by resource
	list  map[string]func(w http.ResponseWriter, r *http.Request)
}

func newFake(t *testing.T, list map[string]func(http.ResponseWriter, *http.Request)) (*fake, *rest.Config) {
	t.Helper()
	f := &fake{count: map[string]int{}, list: list}
	mux := http.NewServeMux()
	mux.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"major":"1","minor":"99","gitVersion":"v1.99.0"}`)
	})
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "[-]etcd failed: reason withheld", http.StatusInternalServerError)
	})
	mux.HandleFunc("/api", func(w http.ResponseWriter, _ *http.Request) { answer(w, metav1.APIVersions{Versions: []string{"v1"}}) })
	mux.HandleFunc("/apis", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, metav1.APIGroupList{Groups: []metav1.APIGroup{{Name: "gone.example", Versions: []metav1.GroupVersionForDiscovery{{GroupVersion: "gone.example/v1", Version: "v1"}}}}})
	})
	mux.HandleFunc("/apis/gone.example/v1", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no backend", http.StatusInternalServerError)
	})
	mux.HandleFunc("/api/v1", func(w http.ResponseWriter, _ *http.Request) {
		out := metav1.APIResourceList{GroupVersion: "v1"}
		for name := range list {
			if name == "log" {
				continue
			}
			kind := map[string]string{"configmaps": "ConfigMap", "secrets": "Secret", "pods": "Pod"}[name]
			out.APIResources = append(out.APIResources, metav1.APIResource{Name: name, Kind: kind, Namespaced: true, Verbs: []string{"list"}})
		}
		answer(w, out)
	})
	mux.HandleFunc("/api/v1/{resource}", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Accept"), "as=Table") {
			http.Error(w, "no tables", http.StatusNotAcceptable)
			return
		}
		name := r.PathValue("resource")
		f.mu.Lock()
		f.count[name]++
		f.mu.Unlock()
		list[name](w, r)
	})
	mux.HandleFunc("/api/v1/namespaces/{namespace}/pods/{pod}/log", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		list["log"](w, r)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return f, &rest.Config{Host: srv.URL}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the test sees what is missing
}

func refuse(w http.ResponseWriter, s metav1.Status) {
	s.Kind, s.APIVersion, s.Status = "Status", "v1", "Failure"
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(s.Code))
	_ = json.NewEncoder(w).Encode(s) // as above
}

func object(ns, name string) map[string]any {
	return map[string]any{"metadata": map[string]any{"name": name, "namespace": ns}}
}

func items(next string, objects ...map[string]any) map[string]any {
	return map[string]any{"metadata": map[string]any{"resourceVersion": "7", "continue": next}, "items": objects}
}

const mapsPath = "cluster/resources/core/v1/configmaps"

// TestExpired: the continue token expires; the list goes on with the token
// that comes with the 410, and nothing is lost or doubled.
func TestExpired(t *testing.T) {
	_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"configmaps": func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("continue") {
		case "":
			answer(w, items("old", object("a", "1")))
		case "old":
			refuse(w, metav1.Status{Code: 410, Reason: metav1.StatusReasonExpired, Message: "too old", ListMeta: metav1.ListMeta{Continue: "new"}})
		case "new":
			answer(w, items("", object("a", "2"), object("b", "3")))
		}
	}})
	m, rs := run(t, t.Context(), cfg, cluster.Options{})
	if got := len(lines(m.files[mapsPath+"/a.ndjson"])) + len(lines(m.files[mapsPath+"/b.ndjson"])); got != 3 {
		t.Errorf("%d objects, want 3: %v", got, m.files)
	}
	want(t, rs, mapsPath, collector.StatusOK, "expired 1 times")
	want(t, rs, "cluster/resources/gone.example/v1", collector.StatusFailed, "discovery")
	if got := m.files[cluster.ReadyzPath]; !strings.Contains(got, "etcd failed") {
		t.Errorf("readyz: %q", got)
	}
}

// TestExpiredForGood: a 410 without a token ends the list, and what came stays.
func TestExpiredForGood(t *testing.T) {
	_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"configmaps": func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("continue") == "" {
			answer(w, items("old", object("a", "1")))
			return
		}
		refuse(w, metav1.Status{Code: 410, Reason: metav1.StatusReasonExpired, Message: "too old resource version"})
	}})
	m, rs := run(t, t.Context(), cfg, cluster.Options{})
	want(t, rs, mapsPath, collector.StatusPartial, "too old resource version")
	if len(lines(m.files[mapsPath+"/a.ndjson"])) != 1 {
		t.Errorf("files: %v", m.files)
	}
}

// TestBusy: 429 with Retry-After is obeyed, not counted as a failure.
func TestBusy(t *testing.T) {
	var times []time.Time
	_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"configmaps": func(w http.ResponseWriter, _ *http.Request) {
		if times = append(times, time.Now()); len(times) < 3 {
			w.Header().Set("Retry-After", "1")
			refuse(w, metav1.Status{Code: 429, Message: "too many requests"})
			return
		}
		answer(w, items("", object("a", "1")))
	}})
	_, rs := run(t, t.Context(), cfg, cluster.Options{})
	want(t, rs, mapsPath, collector.StatusOK, "1 objects")
	if len(times) != 3 || times[2].Sub(times[0]) < 2*time.Second {
		t.Errorf("asked at %v", times)
	}
}

// TestBusyForEver: retries end, and end at once with the context.
func TestBusyForEver(t *testing.T) {
	_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"configmaps": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		refuse(w, metav1.Status{Code: 429, Message: "too many requests"})
	}})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("time is up"))
	defer cancel()
	start := time.Now()
	_, rs := run(t, ctx, cfg, cluster.Options{})
	want(t, rs, mapsPath, collector.StatusFailed, "time is up")
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestLargePages: a page with too many bytes is asked for with fewer objects.
func TestLargePages(t *testing.T) {
	const objects, size = 40, 300 << 10
	var largest atomic.Int64
	_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"configmaps": func(w http.ResponseWriter, r *http.Request) {
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))   // ours is a number
		from, _ := strconv.Atoi(r.URL.Query().Get("continue")) // as is what we sent
		largest.Store(max(largest.Load(), int64(limit)))
		var page []map[string]any
		for i := from; i < min(from+limit, objects); i++ {
			o := object("a", fmt.Sprintf("%03d", i))
			o["data"] = map[string]any{"x": strings.Repeat("x", size)}
			page = append(page, o)
		}
		next := ""
		if from+limit < objects {
			next = strconv.Itoa(from + limit)
		}
		answer(w, items(next, page...))
	}})
	m, rs := run(t, t.Context(), cfg, cluster.Options{})
	want(t, rs, mapsPath, collector.StatusOK, "40 objects")
	if got := len(lines(m.files[mapsPath+"/a.ndjson"])); got != objects || largest.Load() != 500 {
		t.Errorf("%d objects, largest page %d", got, largest.Load())
	}
}

// TestDisorder: namespaces that come in any order within a page are sorted
// out; one that comes back on a later page is said to be lost.
func TestDisorder(t *testing.T) {
	_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"configmaps": func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("continue") == "" {
			answer(w, items("2", object("b", "1"), object("a", "2"), object("b", "3")))
			return
		}
		answer(w, items("", object("b", "4")))
	}})
	m, rs := run(t, t.Context(), cfg, cluster.Options{})
	if len(lines(m.files[mapsPath+"/a.ndjson"])) != 1 || len(lines(m.files[mapsPath+"/b.ndjson"])) != 2 {
		t.Errorf("files: %v", m.files)
	}
	want(t, rs, mapsPath, collector.StatusPartial, "1 left out")
}

// TestHostileNames: a namespace that is no name cannot choose a path.
func TestHostileNames(t *testing.T) {
	_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"configmaps": func(w http.ResponseWriter, _ *http.Request) {
		answer(w, items("", object("../../x", "1")))
	}})
	m, rs := run(t, t.Context(), cfg, cluster.Options{})
	want(t, rs, mapsPath, collector.StatusFailed, `namespace "../../x"`)
	if n := len(m.under(mapsPath)); n != 0 {
		t.Errorf("%d files", n)
	}
}

// TestSecretsInFull: a server that sends whole Secrets although only metadata
// was asked for; nothing of them is kept, nor of values in metadata lists.
func TestSecretsInFull(t *testing.T) {
	whole := object("a", "s")
	whole["data"] = map[string]any{"password": canary}
	whole["metadata"].(map[string]any)["annotations"] = map[string]any{"x": canary}
	for kind, status := range map[string]collector.Status{"SecretList": collector.StatusFailed, "PartialObjectMetadataList": collector.StatusOK} {
		_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"secrets": func(w http.ResponseWriter, r *http.Request) {
			if accept := r.Header.Get("Accept"); accept != "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io" {
				t.Errorf("asked for %q", accept)
			}
			list := items("", whole)
			list["kind"] = kind
			answer(w, list)
		}})
		m, rs := run(t, t.Context(), cfg, cluster.Options{})
		want(t, rs, "cluster/resources/core/v1/secrets", status, "")
		text := fmt.Sprint(m.files, rs)
		if strings.Contains(text, canary) {
			t.Errorf("%s: the value was kept: %s", kind, text)
		}
	}
}

// TestBrokenSink: a file that the sink refuses costs that file only.
func TestBrokenSink(t *testing.T) {
	_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"configmaps": func(w http.ResponseWriter, _ *http.Request) {
		answer(w, items("", object("a", "1"), object("b", "2")))
	}})
	m := newMemory()
	m.each = func(path string) error {
		if strings.HasSuffix(path, "/a.ndjson") {
			return errors.New("redaction failed")
		}
		return nil
	}
	rs := runInto(t, t.Context(), cfg, cluster.Options{}, m)
	if len(lines(m.files[mapsPath+"/b.ndjson"])) != 1 {
		t.Errorf("files: %v", m.files)
	}
	want(t, rs, mapsPath+"/a.ndjson", collector.StatusFailed, "redaction failed")
	want(t, rs, mapsPath, collector.StatusPartial, "redaction failed")
}

// TestNoServer: nothing listens; one clear error that says what to do.
func TestNoServer(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	start := time.Now()
	_, rs := run(t, t.Context(), &rest.Config{Host: srv.URL}, cluster.Options{})
	if len(rs) != 1 || rs[0].Status != collector.StatusFailed || !strings.Contains(rs[0].Reason, "cannot reach the API server") || !strings.Contains(rs[0].Reason, "--host") {
		t.Errorf("results: %+v", rs)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestNoRedirect: credentials are not carried to where a redirect points.
func TestNoRedirect(t *testing.T) {
	var stolen atomic.Bool
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Store(true) }))
	defer thief.Close()
	srv := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusFound))
	defer srv.Close()
	_, rs := run(t, t.Context(), &rest.Config{Host: srv.URL, BearerToken: "x"}, cluster.Options{})
	if stolen.Load() || len(rs) == 0 {
		t.Errorf("the redirect was followed: %+v", rs)
	}
}
