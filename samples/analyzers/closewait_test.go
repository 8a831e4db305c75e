package analyzers_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/analyzers-wasm/conform"
	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/sdk/abi"
	"github.com/casefile-io/casefile/sdk/analyzertest/cases"
)

// language is a folder here and what compiles it.
type language struct {
	name  string
	build func(testing.TB, string) []byte
}

func languages() []language {
	return []language{
		{"go", buildGo},
		{"c", buildC},
		{"rust", buildRust},
		{"tinygo", buildGo}, // by the standard toolchain: TinyGo itself was not run
		{"assemblyscript", buildAssemblyScript},
	}
}

// said is what a module said, to the byte, without what tells modules apart.
func said(t testing.TB, r abi.ModuleRun) string {
	t.Helper()
	if r.Result.Status != abi.ModuleOK {
		t.Errorf("%s: %s\n%s", r.Result.Status, r.Result.Reason, r.Result.Log)
	}
	text, err := json.MarshalIndent([]any{r.Declaration, r.Findings, r.Outcomes}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCloseWait: the sample finds in every case what the case wants, and says
// the same to the byte in every language.
func TestCloseWait(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases: ", err)
	}
	exec, cache, words := child(t), private(t), map[string]string{}
	for _, l := range languages() {
		t.Run(l.name, func(t *testing.T) {
			wasm := l.build(t, l.name)
			t.Logf("%d bytes", len(wasm))
			conforms(t, exec, cache, wasm, paths[0])
			for _, path := range paths {
				t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
					r := runCase(t, exec, cache, wasm, path)
					text := said(t, r)
					if first, ok := words[path]; !ok {
						words[path] = text
					} else if diff := cmp.Diff(first, text); diff != "" {
						t.Errorf("says otherwise than %s:\n%s", languages()[0].name, diff)
					}
				})
			}
		})
	}
}

// conforms holds a module against the ABI, also over the bundle of a case.
func conforms(t testing.TB, exec []string, cache string, wasm []byte, path string) {
	t.Helper()
	c, err := cases.Parse(read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	o := conform.Options{Host: host.Options{Exec: exec, CacheDir: cache, TempDir: t.TempDir()}, Bundles: []fs.FS{c.Bundle}}
	for _, r := range conform.Check(context.Background(), wasm, o) {
		if r.Status != conform.OK {
			t.Errorf("%s %s %s: %s: %s", r.Status, r.Level, r.ID, r.Says, r.Detail)
		}
	}
}

// runCase runs a module over a case and holds it against what that wants;
// with ANALYZERTEST_UPDATE=1 the case is written anew.
func runCase(t testing.TB, exec []string, cache string, wasm []byte, path string) abi.ModuleRun {
	t.Helper()
	c, err := cases.Parse(read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	var config abi.Config
	if err := json.Unmarshal(c.Config, &config); err != nil {
		t.Fatal(err)
	}
	r := analyze(t, exec, cache, wasm, c.Bundle, config.Settings)
	got, err := cases.Text(r)
	if err != nil {
		t.Fatal(err)
	}
	if got != c.Want {
		if os.Getenv("ANALYZERTEST_UPDATE") == "1" {
			if err := os.WriteFile(path, c.Update(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Errorf("got:\n%s\nwant:\n%s", got, c.Want)
	}
	return r
}
