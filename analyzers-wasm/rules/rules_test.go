package rules

import (
	"bytes"
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

// TestRules runs the cases of each rule, <topic>/testdata/<rule>/*.txtar, with
// that rule alone.
func TestRules(t *testing.T) {
	for _, r := range All() {
		topic, name, _ := strings.Cut(r.ID, "/")
		t.Run(r.ID, func(t *testing.T) {
			a := sdk.Analyzer{Name: "test", Version: "1", Rules: []sdk.Rule{r}}
			analyzertest.RunWith(t, a, inputtest.Project, filepath.Join(topic, "testdata", name, "*.txtar"))
		})
	}
}

// TestTexts holds the languages against each other: the same variants, the
// same number of remedies, and in every message the same params.
func TestTexts(t *testing.T) {
	params := regexp.MustCompile(`\{[A-Za-z][A-Za-z0-9_]*\}`)
	set := func(s string) []string {
		found := params.FindAllString(s, -1)
		slices.Sort(found)
		return slices.Compact(found)
	}
	var compare func(t *testing.T, what string, en, zh abi.Text)
	compare = func(t *testing.T, what string, en, zh abi.Text) {
		if a, b := set(en.Message), set(zh.Message); !slices.Equal(a, b) {
			t.Errorf("%s: the messages name %v and %v", what, a, b)
		}
		if len(en.Remediation) != len(zh.Remediation) || len(en.References) != len(zh.References) {
			t.Errorf("%s: remedies or references differ in number", what)
		}
		if (en.Title == "") != (zh.Title == "") || (en.Doc == "") != (zh.Doc == "") {
			t.Errorf("%s: title or doc in one language only", what)
		}
		for name, v := range en.Variants {
			compare(t, what+" variant "+name, v, zh.Variants[name])
		}
		if len(en.Variants) != len(zh.Variants) {
			t.Errorf("%s: variants differ in number", what)
		}
	}
	for _, r := range All() {
		en, zh := r.Text["en"], r.Text["zh"]
		compare(t, r.ID, en, zh)
		if en.Doc == "" || len(en.References) == 0 || len(en.Remediation) == 0 {
			t.Errorf("%s: no doc, references or remedies", r.ID)
		}
		if !regexp.MustCompile(`\p{Han}`).MatchString(zh.Title + zh.Message) {
			t.Errorf("%s: the Chinese text is not Chinese", r.ID)
		}
	}
}

// TestNothingCollected: without data nothing is clear.
func TestNothingCollected(t *testing.T) {
	a := Analyzer("builtin", "1")
	d, err := a.Declaration()
	if err != nil {
		t.Fatal(err)
	}
	files, _, err := inputtest.Project(fstest.MapFS{"collection/results.ndjson": {}}, d)
	if err != nil {
		t.Fatal(err)
	}
	out, err := analyzertest.Native(a)(files)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out, []byte(`"outcome":"unknown"`)); n != len(a.Rules) || bytes.Count(out, []byte("\n")) != n {
		t.Errorf("%d of %d rules are unknown:\n%s", n, len(a.Rules), out)
	}
}
