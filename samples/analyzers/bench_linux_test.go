package analyzers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/sdk/abi"
)

// casefile is the whole program, which starts itself for each module.
func casefile(b *testing.B) []string {
	b.Helper()
	out := filepath.Join(b.TempDir(), "casefile")
	run(b, "../../cmd/casefile", []string{"CGO_ENABLED=0", "GOFLAGS="}, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
	return []string{out, "sandbox-child"}
}

func options(b *testing.B, exec []string, cache string, bundle fs.FS) host.Options {
	b.Helper()
	return host.Options{Exec: exec, Bundle: bundle, BundleID: "id", CaptureTime: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), TempDir: b.TempDir(), CacheDir: cache}
}

// BenchmarkHello runs the smallest modules end to end: warm, that is with what
// is kept of an earlier run, and cold. Beside it the bare engine, in this
// process and without any bounds, with its own cache.
func BenchmarkHello(b *testing.B) {
	exec := casefile(b)
	for _, l := range []struct {
		name  string
		build func(testing.TB, string) []byte
	}{{"c", buildC}, {"rust", buildRust}, {"go", buildGo}} {
		b.Run(l.name, func(b *testing.B) {
			wasm := l.build(b, "hello/"+l.name)
			o := options(b, exec, private(b), fstest.MapFS{"a": {Data: []byte("b")}})
			b.Run("warm", func(b *testing.B) { hello(b, wasm, o) })
			o.CacheDir = ""
			b.Run("cold", func(b *testing.B) { hello(b, wasm, o) })
			b.Run("bare", func(b *testing.B) { bare(b, wasm) })
		})
	}
}

func hello(b *testing.B, wasm []byte, o host.Options) {
	modules := []host.Module{{Name: "hello", Wasm: wasm}}
	host.Run(b.Context(), modules, o) // fills the cache, if there is one
	defer watch(b)()
	for b.Loop() {
		if r := host.Run(b.Context(), modules, o)[0]; r.Result.Status != abi.ModuleOK || len(r.Outcomes) != 1 || r.Outcomes[0].Outcome != abi.OutcomeClear {
			b.Fatalf("%+v", r)
		}
	}
}

func bare(b *testing.B, wasm []byte) {
	dir := b.TempDir()
	for b.Loop() {
		cache, err := wazero.NewCompilationCacheWithDir(dir)
		if err != nil {
			b.Fatal(err)
		}
		ctx := b.Context()
		r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))
		wasi_snapshot_preview1.MustInstantiate(ctx, r)
		files := wazero.NewFSConfig().WithFSMount(fstest.MapFS{"config.json": {Data: []byte("{}")}}, "/")
		for _, verb := range []string{abi.VerbDescribe, abi.VerbAnalyze} {
			var out bytes.Buffer
			_, err = r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName("").WithArgs("hello", verb).WithFSConfig(files).WithStdout(&out))
			if out.Len() == 0 {
				b.Fatal(err)
			}
		}
		r.Close(ctx)
		cache.Close(ctx)
	}
}

// BenchmarkBuiltin makes the module of the built-in rules ready to run.
func BenchmarkBuiltin(b *testing.B) {
	wasm := buildGo(b, "../../analyzers-wasm/builtin")
	exec := casefile(b)
	describe := func(cache string) func(*testing.B) {
		return func(b *testing.B) {
			o := options(b, exec, cache, nil)
			ready := func() {
				if _, r := host.Describe(b.Context(), host.Module{Name: "builtin", Wasm: wasm}, o); r.Status != abi.ModuleOK {
					b.Fatalf("%+v", r)
				}
			}
			ready()
			defer watch(b)()
			for b.Loop() {
				ready()
			}
		}
	}
	b.Run("cold", describe(""))
	b.Run("warm", describe(private(b)))
}

// BenchmarkPods has 20 modules of Go read 20,000 pods of 8.6 KB each, with
// their compiled code at hand. Beside it what one of them would take that
// decodes the pods itself, outside of any sandbox.
func BenchmarkPods(b *testing.B) {
	const pods, modules = 20_000, 20
	dir := b.TempDir()
	size := writePods(b, filepath.Join(dir, "cluster/resources/core/v1/pods/shop.ndjson"), pods)
	b.Run("modules=20", func(b *testing.B) {
		wasm := buildGo(b, "testdata/pods")
		var all []host.Module
		for i := range modules {
			name := fmt.Sprintf("pods-%02d", i)
			all = append(all, host.Module{Name: name, Wasm: bytes.ReplaceAll(wasm, []byte("pods-00"), []byte(name))})
		}
		o := options(b, casefile(b), private(b), os.DirFS(dir))
		o.MemoryMiB = 512
		check := func(runs []abi.ModuleRun) {
			for _, r := range runs {
				if r.Result.Status != abi.ModuleOK || len(r.Findings) != 1 {
					b.Fatalf("%+v", r)
				}
			}
		}
		check(host.Run(b.Context(), all, o))
		report := watch(b)
		b.SetBytes(size)
		for b.Loop() {
			check(host.Run(b.Context(), all, o))
		}
		report()
	})
	b.Run("encoding-json=1", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			decodePods(b, filepath.Join(dir, "cluster/resources/core/v1/pods/shop.ndjson"), pods)
		}
	})
}

// writePods writes pods as an API server has them, of which one restarts.
func writePods(b *testing.B, path string, n int) int64 {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	managed := strings.Repeat(`"f:terminationMessagePath":{},"f:imagePullPolicy":{},"k:{\"containerPort\":8080}":{".":{},"f:name":{}},`, 40)
	env := strings.Repeat(`{"name":"A_VARIABLE","value":"and its value, of some length"},`, 40)
	for i := range n {
		restarts := i % 7
		if i == n/2 {
			restarts = 200
		}
		fmt.Fprintf(w, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-%[1]d","namespace":"shop","uid":"uid-%[1]d","labels":{"app":"web"},"managedFields":[{"manager":"kubelet","fieldsV1":{%[2]s"f:x":{}}}]},`+
			`"spec":{"nodeName":"n%[3]d","containers":[{"name":"app","image":"registry.example/web:1","env":[%[4]s{"name":"LAST","value":"x"}]}]},`+
			`"status":{"phase":"Running","podIP":"10.0.0.1","containerStatuses":[{"name":"app","restartCount":%[5]d,"ready":true,"state":{"running":{"startedAt":"2026-11-20T00:00:00Z"}}}]}}`+"\n", i, managed, i%100, env, restarts)
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}

func decodePods(b *testing.B, path string, want int) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	n := 0
	for dec := json.NewDecoder(f); dec.More(); n++ {
		var pod struct {
			Metadata struct{ Namespace, Name string }
			Spec     struct{ NodeName string }
			Status   struct {
				Phase             string
				ContainerStatuses []struct {
					Name         string
					RestartCount int
				}
			}
		}
		if err := dec.Decode(&pod); err != nil {
			b.Fatal(err)
		}
	}
	if n != want {
		b.Fatal(n)
	}
}

// watch measures this process and its children until the returned function
// reports: the processor time of a run, and the most memory that all had at
// once. What they share, their code, counts once.
func watch(b *testing.B) (report func()) {
	ctx, stop := context.WithCancel(context.Background())
	most, done, before := int64(0), make(chan struct{}), processorTime()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			most = max(most, familyMemory())
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return func() {
		stop()
		<-done
		b.ReportMetric(float64((processorTime()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
		b.ReportMetric(float64(most)/(1<<20), "MiB-peak")
	}
}

func processorTime() time.Duration {
	var total int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		_ = syscall.Getrusage(who, &r)
		total += r.Utime.Nano() + r.Stime.Nano()
	}
	return time.Duration(total)
}

func familyMemory() int64 {
	own, shared := memoryOf("self")
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		for _, pid := range strings.Fields(string(children)) {
			o, s := memoryOf(pid)
			own, shared = own+o, max(shared, s)
		}
	}
	return own + shared
}

// memoryOf gives the resident bytes that are the process's own, and those of
// files.
func memoryOf(pid string) (own, shared int64) {
	text, _ := os.ReadFile("/proc/" + pid + "/statm")
	var size, resident int64
	if n, _ := fmt.Sscan(string(text), &size, &resident, &shared); n != 3 {
		return 0, 0
	}
	page := int64(os.Getpagesize())
	return (resident - shared) * page, shared * page
}
