package meter_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/casefile-io/casefile/analyzers-wasm/host/meter"
)

func rewrite(t testing.TB, wasm []byte) []byte {
	t.Helper()
	out, err := meter.Rewrite(wasm)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tool finds a program that a test cannot do without.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CASEFILE_STRICT") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
	return ""
}

func build(t testing.TB, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// workloads are the programs under testdata/load, by language.
func workloads() map[string]func(t testing.TB, out string) {
	return map[string]func(t testing.TB, out string){
		"Go": func(t testing.TB, out string) {
			build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, tool(t, "go"), "build", "-trimpath", "-o", out, "testdata/load/load.go")
		},
		"C": func(t testing.TB, out string) {
			build(t, nil, tool(t, "clang"), "--target=wasm32-wasi", "-O2", "-o", out, "testdata/load/load.c")
		},
		"Rust": func(t testing.TB, out string) {
			build(t, nil, rustc(t), "--target", "wasm32-wasi", "-O", "-o", out, "testdata/load/load.rs")
		},
	}
}

// rustc finds a compiler that has the library for WASI.
func rustc(t testing.TB) string {
	t.Helper()
	for _, path := range []string{"/usr/bin/rustc", "rustc"} {
		out, err := exec.Command(path, "--target", "wasm32-wasi", "--print", "target-libdir").Output()
		if err == nil {
			if _, err := os.Stat(string(bytes.TrimSpace(out))); err == nil {
				return path
			}
		}
	}
	if os.Getenv("CASEFILE_STRICT") == "1" {
		t.Fatal("no rustc with wasm32-wasi")
	}
	t.Skip("no rustc with wasm32-wasi")
	return ""
}

func built(t testing.TB, f func(t testing.TB, out string)) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.wasm")
	f(t, path)
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// engine is wazero, as a compiler or as an interpreter.
type engine struct {
	rt wazero.Runtime
}

func newEngine(t testing.TB, config wazero.RuntimeConfig) engine {
	rt := wazero.NewRuntimeWithConfig(t.Context(), config)
	t.Cleanup(func() { rt.Close(context.Background()) })
	wasi_snapshot_preview1.MustInstantiate(t.Context(), rt)
	return engine{rt}
}

func compiler(t testing.TB) engine    { return newEngine(t, wazero.NewRuntimeConfigCompiler()) }
func interpreter(t testing.TB) engine { return newEngine(t, wazero.NewRuntimeConfigInterpreter()) }

func (e engine) compile(t testing.TB, wasm []byte) wazero.CompiledModule {
	t.Helper()
	m, err := e.rt.CompileModule(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

type outcome struct {
	stdout string
	err    error
	used   int64
}

// start runs a program with a budget, which an unmetered one does not see.
func (e engine) start(t testing.TB, m wazero.CompiledModule, budget int64, arg string, stdin io.Reader) outcome {
	t.Helper()
	var out bytes.Buffer
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithArgs("work", arg).WithStdin(stdin).WithStdout(&out).WithStderr(&out)
	instance, err := e.rt.InstantiateModule(t.Context(), m, config)
	if err != nil {
		t.Fatal(err)
	}
	defer instance.Close(t.Context())
	counter, metered := instance.ExportedGlobal(meter.Global).(api.MutableGlobal)
	if metered {
		counter.Set(uint64(budget))
	}
	_, err = instance.ExportedFunction("_start").Call(t.Context())
	var exit *sys.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 0 {
		err = nil
	}
	o := outcome{stdout: out.String(), err: err}
	if metered {
		o.used = budget - int64(counter.Get())
	}
	return o
}

// TestWorkloads: programs of three languages print the same with and without
// metering, and use the same fuel as compiled and interpreted, at every run.
func TestWorkloads(t *testing.T) {
	inputs := map[string][]byte{"pods": podLines(200), "tcp": tcpText(1000), "pcap": pcapFile(1000)}
	for language, f := range workloads() {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			wasm := built(t, f)
			metered := rewrite(t, wasm)
			validate(t, metered)
			c, i := compiler(t), interpreter(t)
			plain, fast, slow := c.compile(t, wasm), c.compile(t, metered), i.compile(t, metered)
			for arg, text := range inputs {
				want := c.start(t, plain, 0, arg, bytes.NewReader(text))
				got := c.start(t, fast, math.MaxInt64, arg, bytes.NewReader(text))
				if want.err != nil || got.err != nil || got.stdout != want.stdout || len(want.stdout) < 5 {
					t.Fatalf("%s: metered %+v, want %+v", arg, got, want)
				}
				if got.used < int64(len(text)) {
					t.Errorf("%s: %d bytes read for %d fuel", arg, len(text), got.used)
				}
				if o := i.start(t, slow, math.MaxInt64, arg, bytes.NewReader(text)); o != got {
					t.Errorf("%s: interpreted %+v, compiled %+v", arg, o, got)
				}
				scarce := c.start(t, fast, got.used-1, arg, bytes.NewReader(text))
				if scarce.err == nil || scarce.used < got.used {
					t.Errorf("%s: with %d fuel of %d: %+v", arg, got.used-1, got.used, scarce)
				}
				if o := c.start(t, fast, got.used, arg, bytes.NewReader(text)); o != got {
					t.Errorf("%s: with all the fuel that it needs: %+v", arg, o)
				}
			}
		})
	}
}

// validate asks wabt's validator.
func validate(t testing.TB, wasm []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(path, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	build(t, nil, tool(t, "wasm-validate"), path)
}

func builtin(t testing.TB) []byte {
	t.Helper()
	return built(t, func(t testing.TB, out string) {
		build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, tool(t, "go"), "build", "-trimpath", "-ldflags=-s -w", "-o", out, "../../builtin")
	})
}

// TestBuiltin: the module with the built-in rules declares the same when
// metered.
func TestBuiltin(t *testing.T) {
	wasm := builtin(t)
	metered := rewrite(t, wasm)
	validate(t, metered)
	e := interpreter(t) // which is sooner ready
	want := e.start(t, e.compile(t, wasm), 0, "describe", bytes.NewReader(nil))
	got := e.start(t, e.compile(t, metered), math.MaxInt64, "describe", bytes.NewReader(nil))
	if want.err != nil || got.err != nil || got.stdout != want.stdout || len(want.stdout) < 1000 || got.used < 1_000_000 {
		t.Errorf("%d bytes, %v; metered %d bytes, %v, %d fuel", len(want.stdout), want.err, len(got.stdout), got.err, got.used)
	}
}
