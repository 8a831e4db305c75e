package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
)

// TestSchemaMinor holds the constant against the client-go that is required.
func TestSchemaMinor(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`k8s\.io/client-go v0\.(\d+)\.`).FindSubmatch(mod)
	if found == nil || string(found[1]) != fmt.Sprint(schemaMinor) {
		t.Errorf("schemaMinor is %d, go.mod requires %q", schemaMinor, found)
	}
}

func TestTyped(t *testing.T) {
	for minor, want := range map[string]bool{"19": true, "36+": true, "37": true, "38": false, "": false, "x": false} {
		if got := typed(version.Info{Major: "1", Minor: minor}); got != want {
			t.Errorf("1.%s: %v", minor, got)
		}
	}
	if typed(version.Info{Major: "2", Minor: "1"}) {
		t.Error("2.1 is typed")
	}
}

func TestPlan(t *testing.T) {
	res := func(name string, verbs ...string) metav1.APIResource {
		return metav1.APIResource{Name: name, Kind: "K", Verbs: verbs}
	}
	group := func(name string, versions ...string) *metav1.APIGroup {
		g := &metav1.APIGroup{Name: name}
		for _, v := range versions {
			gv := strings.TrimPrefix(name+"/"+v, "/")
			g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv, Version: v})
		}
		g.PreferredVersion = g.Versions[0]
		return g
	}
	d := Discovery{
		Groups: []*metav1.APIGroup{group("", "v1"), group("x.example", "v2", "v1"), group("events.k8s.io", "v1")},
		Resources: []*metav1.APIResourceList{
			{GroupVersion: "v1", APIResources: []metav1.APIResource{res("pods", "list"), res("pods/log", "get"), res("events", "list"), res("componentstatuses", "list"), res("bindings", "create"), res("../x", "list")}},
			{GroupVersion: "x.example/v1", APIResources: []metav1.APIResource{res("a", "list"), res("b", "list")}},
			{GroupVersion: "x.example/v2", APIResources: []metav1.APIResource{res("a", "list")}},
			{GroupVersion: "events.k8s.io/v1", APIResources: []metav1.APIResource{res("events", "list")}},
		},
	}
	for _, tt := range []struct {
		only collector.Only
		want []string
	}{
		{nil, []string{"core/v1/events", "core/v1/pods", "core/v1/componentstatuses skipped", "x.example/v2/a", "x.example/v1/b", "events.k8s.io/v1/events skipped"}},
		{collector.Only{"cluster/resources/core/v1/pods/*.ndjson", "nodes/**"}, []string{"core/v1/pods"}},
		{collector.Only{"cluster/resources/x.example/*/*/*.ndjson"}, []string{"x.example/v2/a", "x.example/v1/b"}},
		{collector.Only{"cluster/resources/x.example/v1/a/*.ndjson"}, []string{"x.example/v1/a"}},
		{collector.Only{"cluster/resources/x.example/v1/a/*.ndjson", "cluster/resources/x.example/v2/a/*.ndjson"}, []string{"x.example/v2/a", "x.example/v1/a"}},
		{collector.Only{"captures/**"}, nil},
	} {
		var got []string
		for _, r := range plan(d, tt.only) {
			s := ResourceDir(r.gvr)
			if r.skip != "" {
				s += " skipped"
			}
			got = append(got, s)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v: %s", tt.only, diff)
		}
	}
}

func TestTail(t *testing.T) {
	for _, c := range []struct {
		keep     int
		in, want string
	}{{100, "a\nb\n", "a\nb\n"}, {4, "aaaa\nbb\ncc\n", "cc\n"}, {3, "abcdef", "def"}} {
		tl := tail{keep: c.keep}
		for i := range len(c.in) {
			if _, err := tl.Write([]byte{c.in[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(tl.bytes()); got != c.want {
			t.Errorf("keep %d of %q: %q, want %q", c.keep, c.in, got, c.want)
		}
	}
	tl := tail{keep: 10}
	for range 100 {
		if _, err := tl.Write(make([]byte, 10<<10)); err != nil {
			t.Fatal(err)
		}
		if len(tl.buf) > 100<<10 {
			t.Fatalf("holds %d bytes", len(tl.buf))
		}
	}
}

func TestLoadConfig(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, _, err := LoadConfig(ConfigFlags{}); err != ErrNoConfig { //nolint:errorlint // the very message
		t.Errorf("no kubeconfig: %v", err)
	}
	if _, _, err := LoadConfig(ConfigFlags{Kubeconfig: filepath.Join(dir, "none")}); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("missing file: %v", err)
	}
	path := filepath.Join(dir, "config")
	err := os.WriteFile(path, []byte(`{"apiVersion":"v1","kind":"Config","current-context":"one","clusters":[{"name":"c1","cluster":{"server":"https://one:6443"}},
		{"name":"c2","cluster":{"server":"https://two:6443"}}],"users":[{"name":"u","user":{"token":"t"}}],
		"contexts":[{"name":"one","context":{"cluster":"c1","user":"u"}},{"name":"two","context":{"cluster":"c2","user":"u"}}]}`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags              ConfigFlags
		host, name, errors string
	}{
		{ConfigFlags{Kubeconfig: path}, "https://one:6443", "c1", ""},
		{ConfigFlags{Kubeconfig: path, Context: "two"}, "https://two:6443", "c2", ""},
		{ConfigFlags{Kubeconfig: path, Cluster: "c2"}, "https://two:6443", "c2", ""},
		{ConfigFlags{Kubeconfig: path, Server: "https://three"}, "https://three", "c1", ""},
		{ConfigFlags{Server: "https://three"}, "https://three", "cluster", ""},
		{ConfigFlags{Kubeconfig: path, Context: "nine"}, "", "", `context "nine" does not exist`},
	} {
		cfg, name, err := LoadConfig(c.flags)
		switch {
		case c.errors != "":
			if err == nil || !strings.Contains(err.Error(), c.errors) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%+v: %v", c.flags, err)
			}
		case err != nil || cfg.Host != c.host || name != c.name:
			t.Errorf("%+v: %v %q %v", c.flags, cfg, name, err)
		}
	}
	cfg, _, err := LoadConfig(ConfigFlags{Kubeconfig: path, As: "me", AsGroups: []string{"g"}, InsecureSkipTLSVerify: true, RequestTimeout: 3e9})
	if err != nil || cfg.Impersonate.UserName != "me" || cfg.Impersonate.Groups[0] != "g" || !cfg.Insecure || cfg.Timeout != 3e9 || cfg.BearerToken != "t" {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestNewRefuses(t *testing.T) {
	cfg := &rest.Config{Host: "https://127.0.0.1:1"}
	if _, err := New(cfg, Options{Profile: "full", Namespaces: []string{"a"}}); err != nil {
		t.Error(err)
	}
	for _, o := range []Options{{Profile: "huge"}, {Namespaces: []string{"a/b"}}, {Namespaces: []string{""}}} {
		if _, err := New(cfg, o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("no configuration accepted")
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"pod/a/b", "node/n1=tcp port 80", "service/a/b=", "host", "pod/../..", "pod//", "=", "host=a=b", "node/A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseTarget(text)
		if err != nil {
			return
		}
		again := s.Text
		if s.Filter != "" {
			again += "=" + s.Filter
		}
		if back, err := ParseTarget(again); err != nil || back != s {
			t.Errorf("%q: %+v, again %+v, %v", text, s, back, err)
		}
		if !safeName(s.Folder()) && len(s.Folder()) <= 253 {
			t.Errorf("%q: folder %q", text, s.Folder())
		}
		for _, name := range []string{s.Namespace, s.Name} {
			if name != "" && !safeName(name) {
				t.Errorf("%q: name %q", text, name)
			}
		}
	})
}

// FuzzRawLine holds that a line is one line of JSON that means what came in,
// less managedFields.
func FuzzRawLine(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"a","managedFields":[1]},"x":"\u003c\\u003c\u0026 \u2028","n":9007199254740993,"kind":"no"}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"metadata":null}`))
	gvk := schema.GroupVersionKind{Group: "g", Version: "v", Kind: "K"}
	f.Fuzz(func(t *testing.T, raw []byte) {
		line, err := rawLine(nil, raw, gvk)
		if err != nil {
			return
		}
		var got, want map[string]any
		if bytes.Count(line, []byte{'\n'}) != 1 || json.Unmarshal(line, &got) != nil {
			t.Fatalf("%s: not one line of JSON: %s", raw, line)
		}
		if json.Unmarshal(raw, &want) != nil {
			return // such as two values in a row
		}
		if meta, ok := want["metadata"].(map[string]any); ok {
			delete(meta, "managedFields")
		}
		want["kind"], want["apiVersion"] = "K", "g/v"
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s became %s", raw, line)
		}
	})
}

// FuzzSecretItem holds that nothing but metadata and names of keys is kept.
func FuzzSecretItem(f *testing.F) {
	f.Add([]byte(`{"name":"s","annotations":{"a":"ANNOTATED"},"managedFields":[{"fieldsV1":{"f:data":{".":{},"f:k":{}}}}]}`))
	f.Add([]byte(`{"name":"s"}`))
	f.Fuzz(func(t *testing.T, metadata []byte) {
		it, err := secretItem(metadata)
		if err != nil {
			return
		}
		var o struct {
			Metadata map[string]any
			Data     map[string]any
		}
		if err := json.Unmarshal(it.raw, &o); err != nil {
			t.Fatalf("%s: %v", it.raw, err)
		}
		for k := range o.Metadata {
			if strings.EqualFold(k, "annotations") || strings.EqualFold(k, "managedFields") {
				t.Errorf("kept: %s", it.raw)
			}
		}
		for k, v := range o.Data {
			if v != nil {
				t.Errorf("a value for %s: %s", k, it.raw)
			}
		}
	})
}
