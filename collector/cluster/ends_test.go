package cluster_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector/cluster"
)

// shop is an API server with a Deployment's two pods, of which one is not
// ready, a bare pod, and services of several kinds.
func shop(t *testing.T) *cluster.Cluster {
	t.Helper()
	pod := func(name, node, ip, ready, owner string) map[string]any {
		p := map[string]any{"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"name": name, "namespace": "shop", "uid": name, "labels": map[string]any{"app": owner}},
			"spec": map[string]any{"nodeName": node, "containers": []any{map[string]any{"name": "c", "ports": []any{map[string]any{"containerPort": 9090, "protocol": "UDP"},
				map[string]any{"name": "web", "containerPort": 8080}}}}},
			"status": map[string]any{"phase": "Running", "podIPs": []any{map[string]any{"ip": ip}}, "conditions": []any{map[string]any{"type": "Ready", "status": ready}}}}
		if owner != "" {
			p["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}}
		}
		return p
	}
	service := func(name string, spec map[string]any) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name, "namespace": "shop"}, "spec": spec}
	}
	port := func(n int, target any) []any {
		return []any{map[string]any{"port": 53, "protocol": "UDP"}, map[string]any{"port": n, "targetPort": target, "protocol": "TCP"}}
	}
	pods := []map[string]any{pod("web-a", "n1", "10.1.1.2", "False", "web"), pod("web-b", "n2", "10.1.2.2", "True", "web"), pod("web-c", "n3", "10.1.3.2", "True", "web"), pod("bare", "n1", "10.1.1.3", "True", "")}
	services := []map[string]any{service("named", map[string]any{"selector": map[string]any{"app": "web"}, "clusterIPs": []any{"10.2.0.1"}, "ports": port(80, "web")}),
		service("headless", map[string]any{"selector": map[string]any{"app": "web"}, "clusterIPs": []any{"None"}, "ports": port(80, 8080)}),
		service("away", map[string]any{"type": "ExternalName", "externalName": "db.example"}),
		service("empty", map[string]any{"selector": map[string]any{"app": "nobody"}, "clusterIPs": []any{"10.2.0.3"}, "ports": port(81, 0)})}
	answerList := func(kind string, list []map[string]any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			kept := []map[string]any{}
			for _, o := range list {
				labels, _ := o["metadata"].(map[string]any)["labels"].(map[string]any)
				app, _ := labels["app"].(string)
				if s := r.URL.Query().Get("labelSelector"); s == "" || s == "app="+app {
					kept = append(kept, o)
				}
			}
			answer(w, map[string]any{"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"resourceVersion": "1"}, "items": kept})
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/namespaces/shop/pods", answerList("PodList", pods))
	mux.HandleFunc("/api/v1/namespaces/shop/services", answerList("ServiceList", services))
	for path, list := range map[string][]map[string]any{"pods": pods, "services": services} {
		for _, o := range list {
			mux.HandleFunc("/api/v1/namespaces/shop/"+path+"/"+o["metadata"].(map[string]any)["name"].(string), func(w http.ResponseWriter, _ *http.Request) { answer(w, o) })
		}
	}
	mux.HandleFunc("/api/v1/nodes/n1", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]any{"name": "n1"}, "status": map[string]any{"addresses": []any{map[string]any{"type": "InternalIP", "address": "192.0.2.1"}}}})
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	k, err := cluster.New(&rest.Config{Host: srv.URL}, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestResolveEnd(t *testing.T) {
	k := shop(t)
	find := func(text string) (cluster.End, error) {
		s, err := cluster.ParseEnd(text)
		if err != nil {
			t.Fatal(err)
		}
		return k.ResolveEnd(context.Background(), s)
	}
	members := func(e cluster.End) string {
		var out []string
		for _, m := range e.Members {
			out = append(out, m.Pod.Name)
		}
		return strings.Join(out, " ")
	}
	e, err := find("service/shop/named")
	if err != nil || members(e) != "web-b web-c web-a" || e.Members[0].Port != 8080 || e.Service.Port != 80 || e.Service.Addresses[0] != "10.2.0.1" {
		t.Errorf("%+v %v", e, err)
	}
	if to := e.Reached(); len(to) != 1 || to[0] != (cluster.Place{Address: "10.2.0.1", Port: 80}) {
		t.Errorf("%+v", to)
	}
	e, err = find("pod/shop/web-a")
	if err != nil || members(e) != "web-a web-b web-c" || e.Service == nil || e.Service.Name != "named" || e.Members[2].Port != 8080 {
		t.Errorf("%+v %v", e, err)
	}
	e, err = find("pod/shop/web-a:9999")
	if err != nil || e.Service != nil || e.Members[0].Port != 9999 || e.Members[1].Port != 9999 {
		t.Errorf("a port that no service leads to: %+v %v", e, err)
	}
	e, err = find("pod/shop/bare")
	if err != nil || members(e) != "bare" || e.Service != nil || e.Members[0].Port != 8080 {
		t.Errorf("%+v %v", e, err)
	}
	e, err = find("service/shop/headless:80")
	if err != nil || len(e.Service.Addresses) != 0 || len(e.Reached()) != 3 || e.Reached()[0].Port != 8080 {
		t.Errorf("%+v %v", e, err)
	}
	e, err = find("service/shop/empty")
	if err != nil || len(e.Members) != 0 || e.Service.Port != 81 {
		t.Errorf("%+v %v", e, err)
	}
	e, err = find("node/n1")
	if err != nil || e.Port != 10250 || e.Addresses[0] != "192.0.2.1" {
		t.Errorf("%+v %v", e, err)
	}
	for text, want := range map[string]string{"service/shop/away": "say tcp://db.example:PORT", "service/shop/named:99": "no TCP port 99", "pod/shop/gone": "gone", "node/n9": "n9"} {
		if _, err := find(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestParseEnd(t *testing.T) {
	for _, text := range []string{"", "pod/a", "pod/a/b:", "pod/a/b:0", "pod/a/b:http", "pod/a/b=tcp", "host", "deploy/a/b", "tcp://", "tcp://db", "tcp://db:0", "tcp://u@db:1", "tcp://db:1/x", "udp://db:1"} {
		if e, err := cluster.ParseEnd(text); err == nil || !strings.Contains(err.Error(), "an end is pod/NAMESPACE/NAME") {
			t.Errorf("%q: %+v %v", text, e, err)
		}
	}
	for text, target := range map[string]string{"pod/a/b:80": "pod/a/b", "node/n1": "node/n1", "service/a/b": "service/a/b", "tcp://[fd00::1]:443": "tcp://[fd00::1]:443"} {
		if e, err := cluster.ParseEnd(text); err != nil || e.Target() != target {
			t.Errorf("%q: %+v %v", text, e, err)
		}
	}
}

func FuzzParseEnd(f *testing.F) {
	for _, s := range []string{"pod/a/b:80", "tcp://db:5432", "service/a/b", "node/n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := cluster.ParseEnd(text)
		if err == nil && (e.Kind == "" || e.Name == "" || e.Target() == "") {
			t.Errorf("%q: %+v", text, e)
		}
	})
}
