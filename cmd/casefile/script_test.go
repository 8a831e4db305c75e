package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// binDir is where the tests' binary goes; TestMain makes and removes it.
var binDir string

// testBinary makes the real binary, with all that is embedded in it, once for all
// tests.
var testBinary = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(binDir, "casefile")
	cmd := exec.Command("make", "-s", "-C", "../..", "build", "BIN="+bin)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=")
	return bin, cmd.Run()
})

func build(t *testing.T) string {
	t.Helper()
	bin, err := testBinary()
	if err != nil {
		t.Fatal("make build: ", err)
	}
	return bin
}

// TestScripts runs each verb as a user would; one file is one behaviour.
// Beside testscript's own commands a script has
//
//	casefile CODE ARGS…    run casefile and want that exit code
//	flip FILE OFFSET       flip one bit; a negative offset counts from the end
//	cut FILE BYTES         take bytes off the end
//	registry [USER:PASS]   start an OCI registry, its address in $REGISTRY
//	apiserver              serve the demo's cluster at $APISERVER
//	pack CASE.txtar FILE   make an unsigned bundle of a case of an analyzer
func TestScripts(t *testing.T) {
	bin := build(t)
	cache, modules := goEnv(t, "GOCACHE"), goEnv(t, "GOMODCACHE")
	project, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("CASEFILE", bin)
			e.Setenv("PROJECT", project)
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "home", ".config"))
			e.Setenv("KUBECONFIG", "")
			e.Setenv("GOCACHE", cache) // for scripts that build a module
			e.Setenv("GOMODCACHE", modules)
			e.Setenv("GOFLAGS", "")
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o755)
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"casefile": runCasefile, "flip": flip, "cut": cut, "tsa": runTSA, "post": post, "registry": startRegistry, "apiserver": startAPIServer, "pack": pack},
	})
}

func goEnv(t *testing.T, name string) string {
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal("go env: ", err)
	}
	return strings.TrimSpace(string(out))
}

func runCasefile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: casefile CODE ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(ts.Getenv("CASEFILE"), args[1:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

func cut(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b[:len(b)-n], 0o600))
}
