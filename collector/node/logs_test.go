//go:build linux

package node

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// put writes files below dir; "->" before the content makes a link.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(target, full)
		} else {
			err = os.WriteFile(full, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func smallJournal(t *testing.T) string {
	t.Helper()
	f, err := os.Open("journal/testdata/small.journal.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.LimitReader(z, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// logsOf runs only the logs, over a made-up machine.
func logsOf(t *testing.T, o Options) (*memSink, []collector.Result) {
	t.Helper()
	o.Node = "n1"
	sink := newMemSink()
	out := collector.NewOutput(sink, collector.Options{})
	g := &gatherer{o: o, out: out}
	g.logs(t.Context())
	return sink, out.Results()
}

func said(results []collector.Result, path string) (collector.Result, bool) {
	for _, r := range results {
		if r.Path == path {
			return r, true
		}
	}
	return collector.Result{}, false
}

func TestJournalLogs(t *testing.T) {
	root := t.TempDir()
	const id = "00112233445566778899aabbccddeeff"
	put(t, root, map[string]string{
		"etc/machine-id": id + "\n",
		"var/log":        "->/data/log", // as the machine sees it
		"data/log/journal/" + id + "/system.journal": smallJournal(t),
		"data/log/journal/" + id + "/user-0.journal": "not looked at",
		"data/log/journal/" + id + "/broken.journal": "LPKSHHRH",
		"data/log/journal/other/system.journal":      "another machine's",
		"data/log/syslog":                            "not read beside a journal\n",
		"data/log/kubelet.log":                       "not read beside the journal's\n",
		"data/log/kube-proxy.log":                    "I1128 proxy\n",
	})
	sink, results := logsOf(t, Options{Root: root})
	for name, want := range map[string]string{
		"kubelet.log": "Z host1 kubelet[", "containerd.log": "Z host1 containerd[300]: entry", "kernel.log": "Z host1 kernel: entry", "kube-proxy.log": "I1128 proxy",
	} {
		if got := string(sink.files["nodes/n1/logs/"+name]); !strings.Contains(got, want) {
			t.Errorf("%s: %.200q", name, got)
		}
		if r, ok := said(results, "nodes/n1/logs/"+name); !ok || r.Status != collector.StatusOK {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if len(sink.files) != 4 {
		t.Errorf("files %v", sink.paths())
	}
	if r, _ := said(results, "nodes/n1/logs/journal"); r.Status != collector.StatusPartial && r.Status != collector.StatusFailed || !strings.Contains(r.Reason, "broken.journal") {
		t.Errorf("the broken file: %+v", r)
	}
	if sink, _ := logsOf(t, Options{Root: root, Since: time.Nanosecond}); sink.files["nodes/n1/logs/kernel.log"] != nil && time.Now().After(time.UnixMicro(1_796_000_001_000_000)) {
		t.Error("entries of long ago")
	}
}

func TestVarLog(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{
		"var/log/syslog":      strings.Repeat("a line of syslog\n", 1<<17), // 2 MiB and more
		"var/log/kubelet.log": "I1128 kubelet\n",
		"var/log/messages":    "->/etc/shadow",
		"etc/shadow":          "root:secret\n",
	})
	old := filepath.Join(root, "var/log/kern.log")
	put(t, root, map[string]string{"var/log/kern.log": "of last year\n"})
	if err := os.Chtimes(old, time.Time{}, time.Now().AddDate(-1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	sink, results := logsOf(t, Options{Root: root, Since: time.Hour, Profile: "quick"})
	syslog := string(sink.files["nodes/n1/logs/syslog.log"])
	if len(syslog) > 512<<10 || len(syslog) < 511<<10 || !strings.HasPrefix(syslog, "a line") {
		t.Errorf("syslog: %d bytes, %.20q", len(syslog), syslog)
	}
	if got := string(sink.files["nodes/n1/logs/kubelet.log"]); got != "I1128 kubelet\n" {
		t.Errorf("kubelet: %q", got)
	}
	if len(sink.files) != 2 {
		t.Errorf("files %v", sink.paths())
	}
	if r, _ := said(results, "nodes/n1/logs/messages.log"); r.Status != collector.StatusFailed || !strings.Contains(r.Reason, "not followed") {
		t.Errorf("the link: %+v", r)
	}
	if _, results := logsOf(t, Options{Root: t.TempDir()}); len(results) != 0 {
		t.Errorf("nothing is there: %+v", results)
	}
	empty := t.TempDir()
	put(t, empty, map[string]string{"var/log/other": "x"})
	if _, results := logsOf(t, Options{Root: empty}); len(results) != 1 || results[0].Status != collector.StatusSkipped {
		t.Errorf("no logs: %+v", results)
	}
}

const (
	podDir   = "var/log/pods/shop_web-0_cf0de000-0000-4000-8000-000000000001/"
	dockerID = "00000000000000000000000000000000000000000000000000000000000000aa"
)

func TestPodLogs(t *testing.T) {
	root := t.TempDir()
	stamp := func(s int) string { return fmt.Sprintf("2026-11-28T16:00:%02d.5Z", s) }
	put(t, root, map[string]string{
		podDir + "web/0.log":                 stamp(1) + " stdout F the run before\n",
		podDir + "web/1.log":                 stamp(2) + " stdout P one \n" + stamp(2) + " stdout F line\n" + stamp(3) + " stderr F another\nnot of a runtime\n" + stamp(4) + " stdout F \n",
		podDir + "web/1.log.20261128-100000": "rotated\n",
		podDir + "init/0.log":                stamp(1) + " stdout P cut off",
		podDir + "docker/0.log":              "->/var/lib/docker/containers/" + dockerID + "/" + dockerID + "-json.log",
		podDir + "evil/0.log":                "->/etc/shadow",
		podDir + "worse/0.log":               "->/var/lib/docker/containers/../../../etc/shadow",
		"var/lib/docker/containers/" + dockerID + "/" + dockerID + "-json.log": `{"log":"from docker\n","stream":"stdout","time":"2026-11-28T16:00:05.25Z"}` + "\n",
		"var/log/pods/no-pod/x/0.log":                                          stamp(1) + " stdout F no\n",
		"etc/shadow":                                                           stamp(1) + " stdout F secret\n",
	})
	sink, results := logsOf(t, Options{Root: root, Host: true})
	const at = "nodes/n1/logs/pods/shop/web-0/"
	for name, want := range map[string]string{
		"web.log":          stamp(2) + " one line\n" + stamp(3) + " another\n" + stamp(4) + " \n",
		"web.previous.log": stamp(1) + " the run before\n",
		"init.log":         stamp(1) + " cut off\n",
		"docker.log":       "2026-11-28T16:00:05.25Z from docker\n",
	} {
		if got := string(sink.files[at+name]); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if len(sink.files) != 4 {
		t.Errorf("files %v", sink.paths())
	}
	for _, name := range []string{"evil.log", "worse.log"} {
		if r, _ := said(results, at+name); r.Status != collector.StatusFailed || !strings.Contains(r.Reason, "not followed") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r, _ := said(results, "nodes/n1/logs/pods"); r.Status != collector.StatusPartial || r.Reason != "4 logs, 2 failed" {
		t.Errorf("%+v", r)
	}
	if sink, _ := logsOf(t, Options{Root: root}); len(sink.files) > 0 {
		t.Error("an agent reads them, too: the API server has them")
	}
}

// Limits hold, containers that were started again come first, and a tail
// begins with a line.
func TestPodLogLimits(t *testing.T) {
	root := t.TempDir()
	line := "2026-11-28T16:00:00.5Z stdout F " + strings.Repeat("x", 100) + "\n"
	files := map[string]string{}
	for i := range 99 {
		name := fmt.Sprintf("var/log/pods/shop_web-%d_cf0de000-0000-4000-8000-0000000000%02d/web/0.log", i, i)
		if i == 98 {
			name = strings.Replace(name, "0.log", "3.log", 1)
		}
		files[name] = strings.Repeat(line, 1000)
	}
	put(t, root, files)
	sink, results := logsOf(t, Options{Root: root, Host: true, Profile: "quick"})
	total, small := 0, 0
	for path, b := range sink.files {
		if len(b) < 40<<10 { // the last ones, in what was left
			small++
		}
		if total += len(b); small > 3 || len(b) > 64<<10 || !bytes.HasPrefix(b, []byte("2026-11-28T16:00:00.5Z x")) {
			t.Errorf("%s: %d bytes, %.30q", path, len(b), b)
		}
	}
	r, _ := said(results, "nodes/n1/logs/pods")
	if total > 4<<20 || r.Bytes != int64(total) || r.Status != collector.StatusPartial || !strings.Contains(r.Reason, "left out") {
		t.Errorf("%d bytes, %+v", total, r)
	}
	if sink.files["nodes/n1/logs/pods/shop/web-98/web.log"] == nil {
		t.Error("what was started again is left out")
	}
}

func TestStaticPods(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{
		"etc/kubernetes/manifests/etcd.yaml":     "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd}\nspec:\n  containers:\n  - name: etcd\n    env:\n    - {name: A, value: b}\n",
		"etc/kubernetes/manifests/broken.yaml":   "password: [hunter2hunter2\n",
		"etc/kubernetes/manifests/list.yaml":     "- a\n",
		"etc/kubernetes/manifests/bomb.yaml":     bomb(),
		"etc/kubernetes/manifests/big.yaml":      strings.Repeat("# long\n", 1<<18),
		"etc/kubernetes/manifests/.hidden":       "x: y\n",
		"etc/kubernetes/manifests/link.yaml":     "->/etc/kubernetes/admin.conf",
		"etc/kubernetes/admin.conf":              "token: hunter2hunter2\n",
		"etc/kubelet.d/proxy.json":               `{"kind":"Pod"}`,
		"etc/kubernetes/manifests/sub/deep.yaml": "kind: Pod\n",
	})
	sink, results := logsOf(t, Options{Root: root})
	if got := string(sink.files["nodes/n1/static-pods/etcd.yaml.json"]); !strings.Contains(got, `"env":[{"name":"A","value":"b"}]`) || !json.Valid([]byte(got)) {
		t.Errorf("etcd: %s", got)
	}
	if len(sink.files) != 2 || sink.files["nodes/n1/static-pods/proxy.json"] == nil {
		t.Errorf("files %v", sink.paths())
	}
	for _, name := range []string{"broken", "list", "bomb", "big", "link"} {
		r, _ := said(results, "nodes/n1/static-pods/"+name+".yaml.json")
		if r.Status != collector.StatusFailed || strings.Contains(r.Reason, "hunter2") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// bomb is a billion laughs.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 9), ","))
	}
	return b.String()
}

func TestLocalPods(t *testing.T) {
	root := t.TempDir()
	id := func(n int) string { return fmt.Sprintf("%064x", n) }
	const task = "run/containerd/io.containerd.runtime.v2.task/k8s.io/"
	put(t, root, map[string]string{
		task + id(1) + "/config.json": `{"annotations":{"io.kubernetes.cri.sandbox-uid":"cf0de000-0000-4000-8000-000000000001","io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-name":"web-0","io.kubernetes.cri.container-name":"web"},"linux":{"namespaces":[{"type":"network"}]}}`,
		task + id(2) + "/config.json": `{"annotations":{"io.kubernetes.cri.sandbox-uid":"00112233445566778899aabbccddeeff","io.kubernetes.cri.sandbox-namespace":"kube-system","io.kubernetes.cri.sandbox-name":"etcd-n1"},"linux":{"namespaces":[{"type":"pid"}]}}`,
		task + id(3) + "/config.json": `{"annotations":{"io.kubernetes.cri.sandbox-name":"../../x"}}`,
		task + id(4) + "/config.json": `{`,
		task + "short/config.json":    `{}`,
		"run/containers/storage/overlay-containers/" + id(5) + "/userdata/config.json": `{"annotations":{"io.kubernetes.pod.uid":"cf0de000-0000-4000-8000-000000000005","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.name":"db-0","io.kubernetes.container.name":"db"},"linux":{"namespaces":[{"type":"network"}]}}`,
		podDir + "web/0.log": "",
		"var/log/pods/shop_old-0_cf0de000-0000-4000-8000-000000000009/x/0.log": "",
	})
	got := map[string]Pod{}
	for _, p := range podsIn(root) {
		got[p.Namespace+"/"+p.Name] = p
	}
	if len(got) != 4 || got["shop/web-0"].Containers[id(1)] != "web" || got["shop/web-0"].HostNet || !got["kube-system/etcd-n1"].HostNet ||
		got["shop/db-0"].Containers[id(5)] != "db" || got["shop/old-0"].UID == "" {
		t.Errorf("%+v", got)
	}
	procs := []process{{pid: 7, containerID: id(1)}, {pid: 8, podUID: "cf0de000-0000-4000-8000-000000000005"}}
	if left := running(procs, podsIn(root)); len(left) != 2 {
		t.Errorf("running: %+v", left)
	}
}

func FuzzPodLog(f *testing.F) {
	f.Add("2026-11-28T16:00:00Z stdout F hello\n2026-11-28T16:00:00Z stdout P hel")
	f.Add(`{"log":"from docker\n","stream":"stdout","time":"2026-11-28T16:00:05.25Z"}`)
	f.Fuzz(func(t *testing.T, s string) {
		var b bytes.Buffer
		lines, err := copyPodLog(&b, strings.NewReader(s), time.Time{})
		if err != nil || bytes.Count(b.Bytes(), []byte{'\n'}) < lines {
			t.Errorf("%d lines, %v: %q", lines, err, b.String())
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add("kind: Pod\n")
	f.Add(bomb())
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := manifestJSON([]byte(s)); err == nil && (!json.Valid(b) || b[0] != '{') {
			t.Errorf("%q", b)
		}
	})
}

func (m *memSink) paths() []string { return slices.Sorted(maps.Keys(m.files)) }
