package rules

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/casefile-io/casefile/analyzers-wasm/input/inputtest"
	"github.com/casefile-io/casefile/sdk/abi"
	"github.com/casefile-io/casefile/sdk/analyzertest"
)

// module is the built-in module in a plain WASI runtime.
type module struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	memory   uint32 // bytes of linear memory at the end of the last run
}

// buildModule builds analyzers-wasm/builtin. It is slow, so tests share it.
func buildModule(t testing.TB) *module {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a WebAssembly module")
	}
	path := filepath.Join(t.TempDir(), "builtin.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "../builtin")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(text))
	ctx := context.Background()
	m := &module{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(256<<20>>16))}
	t.Cleanup(func() { m.runtime.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, m.runtime)
	if m.compiled, err = m.runtime.CompileModule(ctx, text); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *module) run(verb string, files fs.FS) ([]byte, error) {
	var out, log bytes.Buffer
	c := wazero.NewModuleConfig().WithName("").WithArgs("builtin", verb).WithFS(files).WithStdout(&out).WithStderr(&log)
	mod, err := m.runtime.InstantiateModule(context.Background(), m.compiled, c)
	if exit, ok := err.(*sys.ExitError); ok && exit.ExitCode() == 0 { //nolint:errorlint // wazero returns it bare
		err = nil
	}
	if mod != nil {
		m.memory = mod.Memory().Size()
		mod.Close(context.Background())
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, &log)
	}
	return out.Bytes(), nil
}

// TestModule: the module declares what the Go code does, imports nothing but
// WASI, and finds in every case what the Go code finds.
func TestModule(t *testing.T) {
	m := buildModule(t)
	for _, f := range m.compiled.ImportedFunctions() {
		if from, name, _ := f.Import(); from != wasi_snapshot_preview1.ModuleName {
			t.Errorf("imports %s.%s", from, name)
		}
	}
	out, err := m.run(abi.VerbDescribe, fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	var told abi.Declaration
	if err := json.Unmarshal(out, &told); err != nil {
		t.Fatal(err)
	}
	var native bytes.Buffer
	if err := Analyzer(told.Name, told.Version).Describe(&native); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out, native.Bytes()) {
		t.Errorf("describe says\n%s\nthe Go code\n%s", out, &native)
	}
	cases, err := filepath.Glob("*/testdata/*/*.txtar")
	if err != nil || len(cases) < 50 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	a := Analyzer(told.Name, told.Version)
	for _, path := range cases {
		archive, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		guest, want, err := analyzertest.Check(a, inputtest.Project, func(files fs.FS) ([]byte, error) { return m.run(abi.VerbAnalyze, files) }, archive)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		host, _, err := analyzertest.Check(a, inputtest.Project, analyzertest.Native(a), archive)
		if err != nil {
			t.Fatal(err)
		}
		if guest != host {
			t.Errorf("%s: the module prints\n%s\nthe Go code\n%s", path, guest, host)
		}
		if head, _, _ := strings.Cut(want, "\n"); !strings.Contains(guest, head) && !strings.HasPrefix(head, "unknown") && !strings.HasPrefix(head, "clear") {
			t.Errorf("%s: among all rules, %q is missing in\n%s", path, head, guest)
		}
	}
}

// BenchmarkModule analyses 20,000 pods on 100 nodes, all well, in the module.
func BenchmarkModule(b *testing.B) {
	m := buildModule(b)
	files, _, err := inputtest.Project(bigCluster(b, 20_000, 100), must(Analyzer("builtin", "1").Declaration()))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		out, err := m.run(abi.VerbAnalyze, files)
		b.ReportMetric(float64(m.memory)/(1<<20), "MiB-guest")
		if err != nil || bytes.Contains(out, []byte(`"found"`)) {
			b.Fatal(err, string(out[:min(len(out), 2000)]))
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// bigCluster is a healthy cluster with Services, sockets and cgroups.
func bigCluster(b *testing.B, pods, nodes int) fs.FS {
	dir := b.TempDir()
	text := map[string]*bytes.Buffer{}
	add := func(path, format string, args ...any) {
		if text[path] == nil {
			text[path] = &bytes.Buffer{}
		}
		fmt.Fprintf(text[path], format+"\n", args...)
	}
	netns := make([][]string, nodes)
	for i := range pods {
		node, ns := i%nodes, 4026540000+i
		ip := fmt.Sprintf("10.%d.%d.%d", 64+i>>16, i>>8&255, i&255)
		id := fmt.Sprintf("%064x", i)
		add("cluster/resources/core/v1/pods/big.ndjson", `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"big","name":"web-%[1]d","uid":"uid-%[1]d","labels":{"app":"web-%[2]d","pod-template-hash":"5d9c7"},"ownerReferences":[{"kind":"ReplicaSet","name":"web-%[2]d-5d9c7","controller":true}]},"spec":{"nodeName":"n%[3]d","containers":[{"name":"app","image":"registry.example/app:1.2.3","ports":[{"name":"http","containerPort":8080}],"resources":{"limits":{"memory":"64Mi"}}}]},"status":{"phase":"Running","podIPs":[{"ip":"%[4]s"}],"conditions":[{"type":"Ready","status":"True"}],"containerStatuses":[{"name":"app","containerID":"containerd://%[5]s","restartCount":0,"ready":true,"state":{"running":{"startedAt":"2026-11-20T00:00:00Z"}}}]}}`, i, i/10, node, ip, id)
		if i%10 == 0 {
			add("cluster/resources/core/v1/services/big.ndjson", `{"metadata":{"namespace":"big","name":"web-%[1]d"},"spec":{"type":"ClusterIP","clusterIP":"10.96.0.1","selector":{"app":"web-%[1]d"},"ports":[{"port":80,"protocol":"TCP","targetPort":"http"}]}}`, i/10)
			add("cluster/resources/discovery.k8s.io/v1/endpointslices/big.ndjson", `{"metadata":{"namespace":"big","name":"web-%[1]d-x","labels":{"kubernetes.io/service-name":"web-%[1]d"}},"endpoints":[{"addresses":["%[2]s"],"conditions":{"ready":true}}],"ports":[{"port":8080}]}`, i/10, ip)
		}
		netns[node] = append(netns[node], fmt.Sprintf(`{"inode":%d,"pid":9,"podUID":"uid-%d","podNamespace":"big","podName":"web-%d","containers":["%s"]}`, ns, i, i, id))
		space := fmt.Sprintf("nodes/n%d/netns/%d/", node, ns)
		for k := range 2 {
			add(fmt.Sprintf("%s%d/net/sockets.ndjson", space, k), `{"family":"inet","proto":"tcp","state":"LISTEN","src":"0.0.0.0","sport":8080,"wqueue":4096}`)
			add(fmt.Sprintf("nodes/n%d/%d/cgroups.ndjson", node, k), `{"path":"/kubepods/poduid-%d/%s","version":2,"podUID":"uid-%d","containerID":"%s","cpu":{"usageUsec":5000},"memory":{"current":1000,"max":67108864}}`, i, id, i, id)
			add(fmt.Sprintf("%s%d/proc/net/snmp", space, k), "Tcp: OutSegs RetransSegs\nTcp: 1000 0")
			add(fmt.Sprintf("%s%d/proc/net/netstat", space, k), "TcpExt: ListenOverflows ListenDrops TCPSynRetrans\nTcpExt: 0 0 0")
		}
		add(space+"0/net/links.ndjson", `{"index":2,"name":"eth0","kind":"veth","mtu":1500,"link":%d,"flags":["UP"]}`, i+10)
		add(space+"0/net/addrs.ndjson", `{"index":2,"addr":"%s/32"}`, ip)
		add(space+"0/net/routes.ndjson", `{"dst":"default","index":2,"family":"inet"}`)
		add(fmt.Sprintf("nodes/n%d/0/net/links.ndjson", node), `{"index":%d,"name":"veth%d","kind":"veth","mtu":1500,"link":2,"flags":["UP"]}`, i+10, i)
		add(fmt.Sprintf("nodes/n%d/0/net/routes.ndjson", node), `{"dst":"%s/32","index":%d,"family":"inet"}`, ip, i+10)
	}
	for n := range nodes {
		add(fmt.Sprintf("nodes/n%d/node.json", n), `{"name":"n%d","samples":[{"monotonic":1},{"k":1,"monotonic":11}],"netns":[{"inode":1,"host":true},%s]}`, n, strings.Join(netns[n], ","))
		add(fmt.Sprintf("nodes/n%d/0/net/links.ndjson", n), `{"index":2,"name":"eth0","mtu":1500,"flags":["UP"]}`)
		add(fmt.Sprintf("nodes/n%d/0/net/addrs.ndjson", n), `{"index":2,"addr":"192.168.%d.%d/16"}`, n>>8, n&255)
	}
	add("collection/results.ndjson", "")
	for path, t := range text { // not a MapFS, which is quadratic in its folders
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, t.Bytes(), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return os.DirFS(dir)
}
