package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/analyzers-wasm/input/inputtest"
	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
	"github.com/casefile-io/casefile/sdk/analyzertest"
)

// TestCases runs testdata/*.txtar as plain Go.
func TestCases(t *testing.T) {
	analyzertest.RunWith(t, analyzer(), inputtest.Project, "testdata/*.txtar")
}

// TestModule: the module says and finds to the byte what the Go code does.
func TestModule(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a WebAssembly module")
	}
	run := module(t)
	told, err := run(abi.VerbDescribe, fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	var native bytes.Buffer
	if err := analyzer().Describe(&native); err != nil || !bytes.Equal(told, native.Bytes()) {
		t.Errorf("describe says\n%s\nthe Go code\n%s %v", told, &native, err)
	}
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal(len(cases), err)
	}
	for _, path := range cases {
		archive, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var printed [][]byte
		kept := func(r analyzertest.Runner) analyzertest.Runner {
			return func(files fs.FS) ([]byte, error) {
				out, err := r(files)
				printed = append(printed, out)
				return out, err
			}
		}
		for _, r := range []analyzertest.Runner{analyzertest.Native(analyzer()), func(files fs.FS) ([]byte, error) { return run(abi.VerbAnalyze, files) }} {
			if _, _, err := analyzertest.Check(analyzer(), inputtest.Project, kept(r), archive); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		if !bytes.Equal(printed[0], printed[1]) {
			t.Errorf("%s: the Go code prints\n%s\nthe module\n%s", path, printed[0], printed[1])
		}
	}
}

// TestEveryOutcome: the cases leave no rule without each of its outcomes, and
// no variant untold.
func TestEveryOutcome(t *testing.T) {
	var all strings.Builder
	cases, _ := filepath.Glob("testdata/*.txtar") // the pattern is sound
	for _, path := range cases {
		archive, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, want, _ := strings.Cut(string(archive), "-- want --\n")
		all.WriteString(want)
	}
	for _, r := range analyzer().Rules {
		for _, outcome := range []string{abi.OutcomeFound, abi.OutcomeClear, abi.OutcomeUnknown} {
			if !regexp.MustCompile(`(?m)^` + outcome + ` ` + r.ID + `\b`).MatchString(all.String()) {
				t.Errorf("%s: no case is %s", r.ID, outcome)
			}
		}
		for name := range r.Text["en"].Variants {
			if !strings.Contains(all.String(), "["+name+"]") {
				t.Errorf("%s: no case has the variant %s", r.ID, name)
			}
		}
	}
}

// TestTexts holds the two languages against each other.
func TestTexts(t *testing.T) {
	params := regexp.MustCompile(`\{[A-Za-z][A-Za-z0-9_]*\}`)
	set := func(s string) []string {
		found := params.FindAllString(s, -1)
		slices.Sort(found)
		return slices.Compact(found)
	}
	var compare func(what string, en, zh sdk.Text)
	compare = func(what string, en, zh sdk.Text) {
		if !slices.Equal(set(en.Message), set(zh.Message)) || len(en.Remediation) != len(zh.Remediation) || (en.Doc == "") != (zh.Doc == "") {
			t.Errorf("%s: the languages differ in params, remedies or doc", what)
		}
		for i := range min(len(en.Remediation), len(zh.Remediation)) {
			if !slices.Equal(set(en.Remediation[i]), set(zh.Remediation[i])) {
				t.Errorf("%s: remedy %d has other params", what, i)
			}
		}
		if len(en.Variants) != len(zh.Variants) {
			t.Errorf("%s: the variants differ", what)
		}
		for name, v := range en.Variants {
			compare(what+" "+name, v, zh.Variants[name])
		}
	}
	for _, r := range analyzer().Rules {
		compare(r.ID, r.Text["en"], r.Text["zh"])
	}
}
