package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/cmd/casefile/scaffold"
)

// TestModuleNew builds the template of each language with the compilers that
// are there, runs its cases as WebAssembly, holds it against the ABI, and
// signs it: the module says the same whatever it is written in.
func TestModuleNew(t *testing.T) {
	bin := build(t)
	for _, lang := range scaffold.Languages() {
		t.Run(lang, func(t *testing.T) {
			vars := compilers(t, lang)
			home := t.TempDir()
			run := func(dir, name string, args ...string) {
				t.Helper()
				cmd := exec.Command(name, args...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "CASEFILE="+bin, "CASEFILE_KEY_PASSWORD=", "HOME="+home, "XDG_CONFIG_HOME="+home, "GOFLAGS=", "GOPROXY=off", "MAKEFLAGS=", "MFLAGS=",
					"GOCACHE="+goEnv(t, "GOCACHE"))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
				}
			}
			run(home, bin, "module", "new", "acme-queues", "--lang", lang)
			run(home, bin, "keygen", "-o", "acme")
			dir := filepath.Join(home, "acme-queues")
			run(dir, "make", append(vars, "build", "check", "CASEFILE="+bin)...)
			run(dir, bin, "module", "test", "acme-queues.wasm")
			run(dir, "make", "sign", "CASEFILE="+bin, "KEY=../acme.key")
			run(dir, bin, "module", "verify", "acme-queues.wasm", "--key", "../acme.pub")
		})
	}
}

// compilers are the variables of make that name what is there; a language whose
// compiler is not there is not tested.
func compilers(t *testing.T, lang string) []string {
	t.Helper()
	lacks := func(what string) {
		t.Helper()
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal(what)
		}
		t.Skip("NOT TESTED: ", what)
	}
	switch lang {
	case "c":
		if _, err := exec.LookPath("clang"); err != nil {
			lacks("no clang; on Debian: apt-get install clang lld wasi-libc libclang-rt-dev-wasm32")
		}
	case "rust":
		for _, rustc := range []string{"rustc", "/usr/bin/rustc"} {
			for _, target := range []string{"wasm32-wasip1", "wasm32-wasi"} {
				dir, err := exec.Command(rustc, "--print", "target-libdir", "--target", target).Output()
				if std, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "libstd-*.rlib")); err == nil && len(std) > 0 {
					return []string{"RUSTC=" + rustc, "TARGET=" + target}
				}
			}
		}
		lacks("no rustc has the standard library of wasm32-wasip1; on Debian: apt-get install rustc libstd-rust-dev-wasm32 lld")
	}
	return nil
}
