package analyzertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
)

// Run runs every case that the pattern of filepath.Glob names, natively and
// as WebAssembly, over what the casefile binary lays out.
func Run(t *testing.T, a sdk.Analyzer, pattern string) {
	t.Helper()
	binary := casefile(t)
	paths := match(t, pattern)
	laid := layout(t, binary, a, paths)
	t.Run("native", func(t *testing.T) {
		for i, path := range paths {
			t.Run(name(path), func(t *testing.T) {
				archive, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				got, want, err := Check(a, laid[i].project, Native(a), archive)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, path, archive, got, want)
			})
		}
	})
	t.Run("wasm", func(t *testing.T) {
		if testing.Short() {
			t.Skip("builds a WebAssembly module")
		}
		for i, told := range runModule(t, binary, build(t), paths) {
			t.Run(name(paths[i]), func(t *testing.T) {
				if told.Status != abi.ModuleOK {
					t.Fatalf("the module ended as %s: %s\n%s", told.Status, told.Reason, told.Log)
				}
				if told.Got != told.Want {
					t.Errorf("got:\n%s\nwant:\n%s", told.Got, told.Want)
				}
			})
		}
	})
}

// casefile is the path of the binary.
func casefile(t *testing.T) string {
	t.Helper()
	binary := os.Getenv("CASEFILE")
	if binary == "" {
		binary = "casefile"
	}
	path, err := exec.LookPath(binary)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	switch {
	case err == nil:
		return path
	case os.Getenv("CASEFILE_STRICT") == "1" || os.Getenv("CASEFILE") != "":
		t.Fatal(err)
	default:
		t.Skipf("%v: put casefile on PATH, or its path into CASEFILE", err)
	}
	return ""
}

// laidOut is what `casefile module test --project` prints for a case.
type laidOut struct {
	Case   string                 `json:"case"`
	Files  map[string][]byte      `json:"files"`
	Places []abi.ReportedEvidence `json:"places"` // of row 1, 2, …
	Error  string                 `json:"error"`
}

// project is the [Projector] of a case that has been laid out.
func (l laidOut) project(fs.FS, abi.Declaration) (fs.FS, func(int64) (abi.ReportedEvidence, error), error) {
	if l.Error != "" {
		return nil, nil, errors.New(l.Error)
	}
	files := fstest.MapFS{}
	for path, data := range l.Files {
		files[path] = &fstest.MapFile{Data: data}
	}
	return files, func(at int64) (abi.ReportedEvidence, error) {
		if at < 1 || at > int64(len(l.Places)) {
			return abi.ReportedEvidence{}, fmt.Errorf("no row %d", at)
		}
		return l.Places[at-1], nil
	}, nil
}

func layout(t *testing.T, binary string, a sdk.Analyzer, paths []string) []laidOut {
	t.Helper()
	var declaration bytes.Buffer
	if err := a.Describe(&declaration); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "declaration.json")
	if err := os.WriteFile(path, declaration.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return ask[laidOut](t, len(paths), binary, slices.Concat([]string{"module", "test", "--project", path}, paths))
}

// ran is what `casefile module test --format json` prints for a case.
type ran struct {
	Case   string `json:"case"`
	Got    string `json:"got"`
	Want   string `json:"want"`
	Status string `json:"status"`
	Reason string `json:"reason"`
	Log    string `json:"log"`
}

func runModule(t *testing.T, binary, module string, paths []string) []ran {
	t.Helper()
	return ask[ran](t, len(paths), binary, slices.Concat([]string{"module", "test", "--format", "json", module}, paths))
}

// ask runs the binary, which prints one JSON object for each case in order;
// exit 1 says that a case differs.
func ask[T any](t *testing.T, n int, binary string, args []string) []T {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("%v: %v\n%s", cmd, err, &log)
	}
	var answers []T
	dec := json.NewDecoder(&out)
	for dec.More() {
		var v T
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, &log)
		}
		answers = append(answers, v)
	}
	if len(answers) != n {
		t.Fatalf("%v: %d answers for %d cases (%v)\n%s", cmd, len(answers), n, err, &log)
	}
	return answers
}

// build compiles the package of the test, as go build does for a release.
func build(t *testing.T) string {
	t.Helper()
	list := exec.Command("go", "list", "-f", "{{.Name}}", ".")
	if out, err := list.Output(); err != nil || string(bytes.TrimSpace(out)) != "main" {
		t.Skipf("the test's folder is no main package (%s, %v)", bytes.TrimSpace(out), err)
	}
	path := filepath.Join(t.TempDir(), "module.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return path
}
