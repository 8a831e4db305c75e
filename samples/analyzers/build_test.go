package analyzers_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/sdk/abi"
)

// lacks skips a test whose tool is not there, or fails it where all must be.
func lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	if os.Getenv("CASEFILE_STRICT") == "1" {
		t.Fatal(text)
	}
	t.Skip("NOT TESTED: ", text)
}

func run(t testing.TB, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, text)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func abs(t testing.TB, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// rustc finds a compiler that has the standard library for WASI, under the
// old or the new name of the target.
func rustc(t testing.TB) (compiler, target string) {
	t.Helper()
	for _, compiler := range []string{"rustc", "/usr/bin/rustc"} {
		for _, target := range []string{"wasm32-wasip1", "wasm32-wasi"} {
			dir, err := exec.Command(compiler, "--print", "target-libdir", "--target", target).Output()
			if err != nil {
				continue
			}
			if std, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "libstd-*.rlib")); len(std) > 0 {
				return compiler, target
			}
		}
	}
	lacks(t, "no rustc has the standard library of wasm32-wasip1 or wasm32-wasi; on Debian: apt-get install rustc libstd-rust-dev-wasm32 lld")
	return "", ""
}

func tool(t testing.TB, name, advice string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		lacks(t, "%s is not there: %s", name, advice)
	}
	return path
}

// The builders compile the sources of a folder to a module.

func buildC(t testing.TB, dir string) []byte {
	t.Helper()
	clang := tool(t, "clang", "apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32")
	out := filepath.Join(t.TempDir(), "c.wasm")
	run(t, dir, nil, clang, "--target=wasm32-wasi", "--sysroot=/usr", "-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-s",
		"-Wl,--stack-first", "-Wl,-z,stack-size=1048576", "-I"+abs(t, "../../sdk/c"), "-o", out, "main.c")
	return read(t, out)
}

func buildRust(t testing.TB, dir string) []byte {
	t.Helper()
	compiler, target := rustc(t)
	out := filepath.Join(t.TempDir(), "rust.wasm")
	run(t, dir, nil, compiler, "--edition", "2021", "--target", target, "-D", "warnings", "-C", "opt-level=s", "-C", "lto=fat",
		"-C", "panic=abort", "-C", "codegen-units=1", "-C", "strip=symbols", "-o", out, "main.rs")
	return read(t, out)
}

func buildGo(t testing.TB, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "go.wasm")
	run(t, dir, []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS="}, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, ".")
	return read(t, out)
}

// buildAssemblyScript fetches the compiler that the lock file of the sample pins.
func buildAssemblyScript(t testing.TB, dir string) []byte {
	t.Helper()
	node, npm := tool(t, "node", "apt-get install nodejs"), tool(t, "npm", "apt-get install npm")
	pinned, out := t.TempDir(), filepath.Join(t.TempDir(), "as.wasm")
	for _, name := range []string{"package.json", "package-lock.json"} {
		if err := os.WriteFile(filepath.Join(pinned, name), read(t, filepath.Join("assemblyscript", name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = pinned
	if text, err := cmd.CombinedOutput(); err != nil {
		lacks(t, "npm ci cannot fetch the AssemblyScript compiler: %v\n%s", err, text)
	}
	run(t, dir, nil, node, filepath.Join(pinned, "node_modules/assemblyscript/bin/asc.js"), "main.ts", "--config", "asconfig.json", "-o", out)
	return read(t, out)
}

// private is a folder that the host takes to keep compiled modules in.
func private(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// child is the program that the host starts for each module.
func child(t testing.TB) []string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "child")
	run(t, "../../analyzers-wasm/host/testdata/child", []string{"CGO_ENABLED=0", "GOFLAGS="}, "go", "build", "-o", out, ".")
	return []string{out}
}

// analyze runs a module over a bundle in the sandbox; cache keeps what was
// compiled.
func analyze(t testing.TB, exec []string, cache string, wasm []byte, bundle fs.FS, settings map[string]string) abi.ModuleRun {
	t.Helper()
	return host.Run(context.Background(), []host.Module{{Name: "module.wasm", Wasm: wasm}}, host.Options{
		Exec: exec, Bundle: bundle, BundleID: "id", CaptureTime: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC),
		Settings: settings, TempDir: t.TempDir(), CacheDir: cache,
	})[0]
}
