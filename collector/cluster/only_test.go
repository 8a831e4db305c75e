package cluster_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
)

// runningPod is one with a container that was started again once.
func runningPod(ns, name, container string) map[string]any {
	p := object(ns, name)
	p["status"] = map[string]any{"containerStatuses": []any{map[string]any{"name": container, "restartCount": 1, "ready": true,
		"state": map[string]any{"running": map[string]any{}}}}}
	return p
}

func podsAndMaps(logs *[]string) map[string]func(http.ResponseWriter, *http.Request) {
	return map[string]func(http.ResponseWriter, *http.Request){
		"configmaps": func(w http.ResponseWriter, _ *http.Request) { answer(w, items("", object("a", "1"))) },
		"pods": func(w http.ResponseWriter, _ *http.Request) {
			answer(w, items("", runningPod("a", "pg-0", "postgres"), runningPod("a", "web-0", "nginx")))
		},
		"log": func(_ http.ResponseWriter, r *http.Request) {
			*logs = append(*logs, r.URL.Path+"?"+r.URL.Query().Get("previous"))
		},
	}
}

// TestOnly: what nobody wants is neither asked for nor told of.
func TestOnly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		only  collector.Only
		files []string
		count map[string]int // requests
	}{
		{"a resource", collector.Only{"cluster/resources/core/v1/configmaps/*.ndjson"}, []string{mapsPath + "/a.ndjson"}, map[string]int{"configmaps": 1}},
		{"another namespace of it", collector.Only{"cluster/resources/core/v1/configmaps/b.ndjson"}, nil, map[string]int{"configmaps": 1}},
		{"health", collector.Only{"cluster/health/*"}, []string{cluster.LivezPath, cluster.ReadyzPath}, map[string]int{}},
		{"logs alone", collector.Only{"cluster/logs/*/*/postgres.log"}, []string{"cluster/logs/a/pg-0/postgres.log"}, map[string]int{"pods": 1}},
		{"logs of a last run", collector.Only{"cluster/logs/*/pg-*/*.previous.log", "cluster/resources/core/v1/pods/*.ndjson"},
			[]string{"cluster/logs/a/pg-0/postgres.previous.log", "cluster/resources/core/v1/pods/a.ndjson"}, map[string]int{"pods": 1}},
		{"nothing of the cluster", collector.Only{"nodes/*/mounts.ndjson"}, nil, map[string]int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var logs []string
			f, cfg := newFake(t, podsAndMaps(&logs))
			m, rs := run(t, t.Context(), cfg, cluster.Options{Only: tt.only})
			if diff := cmp.Diff(append([]string{cluster.VersionPath}, tt.files...), m.paths(), cmp.Transformer("sort", func(s []string) []string { return slices.Sorted(slices.Values(s)) })); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.count, f.count); diff != "" {
				t.Errorf("requests: %s", diff)
			}
			for _, r := range rs {
				if !tt.only.WantsBelow(r.Path) && r.Path != cluster.VersionPath {
					t.Errorf("a result of what nobody wants: %+v", r)
				}
			}
			wanted := slices.DeleteFunc(m.paths(), func(p string) bool { return !strings.HasPrefix(p, "cluster/logs/") })
			if len(logs) != len(wanted) {
				t.Errorf("asked for the logs %v", logs)
			}
		})
	}
}

// TestUnserved: only what discovery saw to be missing is unserved.
func TestUnserved(t *testing.T) {
	var logs []string
	_, cfg := newFake(t, podsAndMaps(&logs))
	c, err := cluster.New(cfg, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Unserved(t.Context(), []string{"core/v1/pods", "core/v1/secrets", "gone.example/v1/things", "postgres.example.com/v1/clusters"})
	if diff := cmp.Diff([]string{"core/v1/secrets", "postgres.example.com/v1/clusters"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
