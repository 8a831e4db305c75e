package cluster_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/cluster/apitest"
)

// TestNames: what strict redaction has to know of a real API server.
func TestNames(t *testing.T) {
	api := apitest.Start(t)
	kube := kubernetes.NewForConfigOrDie(api.Config(apitest.Admin))
	meta := func(ns, name string, owner ...string) metav1.ObjectMeta {
		m := metav1.ObjectMeta{Namespace: ns, Name: name}
		for _, o := range owner {
			m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: o, UID: "1"})
		}
		return m
	}
	ctx := t.Context()
	must(t)(kube.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: meta("", "acme-n1"),
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "rack7.acme.example"}, {Type: corev1.NodeInternalIP, Address: "10.1.2.3"}}}}, metav1.CreateOptions{}))
	must(t)(kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: meta("", "acme-shop")}, metav1.CreateOptions{}))
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	for name, owner := range map[string][]string{"checkout-7d9f-x2x1": {"checkout-7d9f"}, "bare-one": nil, "renamed": {"operator"}} {
		must(t)(kube.CoreV1().Pods("acme-shop").Create(ctx, &corev1.Pod{ObjectMeta: meta("acme-shop", name, owner...), Spec: spec}, metav1.CreateOptions{}))
	}
	must(t)(kube.CoreV1().ConfigMaps("kube-system").Create(ctx, &corev1.ConfigMap{ObjectMeta: meta("kube-system", "platform-own")}, metav1.CreateOptions{}))
	must(t)(kube.CoreV1().Secrets("acme-shop").Create(ctx, &corev1.Secret{ObjectMeta: meta("acme-shop", "acme-tls"), StringData: map[string]string{"p": canary}}, metav1.CreateOptions{}))
	must(t)(kube.CoreV1().Services("acme-shop").Create(ctx, &corev1.Service{ObjectMeta: meta("acme-shop", "legacy"),
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "db.acme.example"}}, metav1.CreateOptions{}))
	must(t)(kube.NetworkingV1().Ingresses("acme-shop").Create(ctx, &netv1.Ingress{ObjectMeta: meta("acme-shop", "front"), Spec: netv1.IngressSpec{
		DefaultBackend: &netv1.IngressBackend{Service: &netv1.IngressServiceBackend{Name: "x", Port: netv1.ServiceBackendPort{Number: 80}}},
		Rules:          []netv1.IngressRule{{Host: "*.shop.acme.example"}}, TLS: []netv1.IngressTLS{{Hosts: []string{"pay.acme.example"}}}}}, metav1.CreateOptions{}))
	must(t)(kube.RbacV1().RoleBindings("acme-shop").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta("acme-shop", "devs"), RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "jane@acme.example"}, {Kind: "Group", APIGroup: rbacv1.GroupName, Name: "system:masters"}}}, metav1.CreateOptions{}))
	must(t)(kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: meta("", "b")}, metav1.CreateOptions{}))
	seedCRD(t, api)
	k, err := cluster.New(api.Config(apitest.Admin), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	names, results, err := k.Names(ctx)
	if err != nil || len(results) > 0 {
		t.Fatal(err, results)
	}
	got := map[string]string{}
	for _, n := range names {
		got[n.Value] = n.Kind
	}
	want := map[string]string{"acme-n1": cluster.NameNode, "rack7.acme.example": cluster.NameHost, "acme-shop": cluster.NameNamespace, "bare-one": cluster.NameObject,
		"renamed": cluster.NameObject, "acme-tls": cluster.NameObject, "legacy": cluster.NameObject, "db.acme.example": cluster.NameHost, "front": cluster.NameObject,
		"shop.acme.example": cluster.NameHost, "pay.acme.example": cluster.NameHost, "devs": cluster.NameObject, "m": cluster.NameObject, "jane@acme.example": cluster.NameUser,
		"b": cluster.NameNamespace, "kube-system": cluster.NameNamespace, "default": cluster.NameNamespace, "kube-public": cluster.NameNamespace, "kube-node-lease": cluster.NameNamespace}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	testNamesDenied(t, api, kube)
}

// testNamesDenied: nothing is collected under strict by who cannot read what
// the nodes and namespaces are called; other lists are results.
func testNamesDenied(t *testing.T, api *apitest.Server, kube kubernetes.Interface) {
	k, err := cluster.New(api.Config(apitest.Limited), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if names, _, err := k.Names(t.Context()); !errors.Is(err, cluster.ErrNames) || !errors.Is(err, collector.ErrDenied) || names != nil || !strings.Contains(err.Error(), "list nodes") {
		t.Errorf("%v: %v", names, err)
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "names"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes", "namespaces"}, Verbs: []string{"list"}}}}
	must(t)(kube.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}))
	must(t)(kube.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "names"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "names"},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: apitest.Limited}}}, metav1.CreateOptions{}))
	names, results, err := k.Names(t.Context())
	for range 50 { // until the server's authorizer has heard of it
		if err == nil {
			break
		}
		names, results, err = k.Names(t.Context())
	}
	if err != nil || len(names) < 5 || len(results) == 0 {
		t.Fatal(names, results, err)
	}
	for _, r := range results {
		if r.Status != collector.StatusDenied || r.Source != cluster.NamesSource || !strings.HasPrefix(r.Path, "cluster/resources/") {
			t.Errorf("%+v", r)
		}
	}
}

// TestTooManyNames: more names than can be handled are an error, not a part.
func TestTooManyNames(t *testing.T) {
	_, cfg := newFake(t, map[string]func(http.ResponseWriter, *http.Request){"namespaces": func(w http.ResponseWriter, _ *http.Request) { answer(w, items("")) }, "nodes": func(w http.ResponseWriter, r *http.Request) {
		var page []map[string]any
		for i := range 30_000 {
			page = append(page, object("", fmt.Sprintf("node-%s-%s-%d", r.URL.Query().Get("continue"), strings.Repeat("x", 60), i)))
		}
		answer(w, items(map[string]string{"": "a", "a": "b"}[r.URL.Query().Get("continue")], page...))
	}})
	k, err := cluster.New(cfg, cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if names, _, err := k.Names(t.Context()); !errors.Is(err, cluster.ErrNames) || names != nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("%d names: %v", len(names), err)
	}
}

// TestConfigNames: a kubeconfig's own names are names as well.
func TestConfigNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	text := `{"kind":"Config","apiVersion":"v1","current-context":"acme-prod","clusters":[{"name":"acme-eu","cluster":{"server":"https://k.acme.example"}}],
		"contexts":[{"name":"acme-prod","context":{"cluster":"acme-eu","user":"jane@acme.example"}}],"users":[{"name":"jane@acme.example","user":{}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []cluster.Name{{Kind: cluster.NameCluster, Value: "acme-eu"}, {Kind: cluster.NameCluster, Value: "acme-prod"}, {Kind: cluster.NameUser, Value: "jane@acme.example"}}
	if diff := cmp.Diff(want, cluster.ConfigNames(cluster.ConfigFlags{Kubeconfig: file})); diff != "" {
		t.Error(diff)
	}
	if got := cluster.ConfigNames(cluster.ConfigFlags{Kubeconfig: filepath.Join(t.TempDir(), "none"), As: "joe"}); len(got) != 1 || got[0].Value != "joe" {
		t.Errorf("without a file: %v", got)
	}
}
