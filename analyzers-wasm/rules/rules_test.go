package rules

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
	"github.com/casefile-io/casefile/sdk/analyzertest"
)

// spool is a projection's spool in memory.
type spool struct{ bytes.Buffer }

func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.Bytes()).ReadAt(p, off)
}

// project lays out a module's inputs as the host does.
func project(bundle fs.FS, d abi.Declaration) (fs.FS, func(int64) (abi.ReportedEvidence, error), error) {
	if err := input.Validate(d); err != nil {
		return nil, nil, err
	}
	s := &spool{}
	projections, err := input.Project(context.Background(), bundle, []input.Request{{Inputs: d.Inputs, Spool: s}}, input.Limits{})
	if err != nil {
		return nil, nil, err
	}
	p := projections[0]
	if err := p.Err(); err != nil {
		return nil, nil, err
	}
	files := fstest.MapFS{}
	for _, f := range p.Files() {
		text, err := io.ReadAll(io.NewSectionReader(f.ReaderAt(s), 0, f.Size))
		if err != nil {
			return nil, nil, err
		}
		files[f.Path] = &fstest.MapFile{Data: text}
	}
	return files, func(at int64) (abi.ReportedEvidence, error) {
		e, ok, err := p.Resolve(at)
		if err == nil && !ok {
			err = fmt.Errorf("no row %d", at)
		}
		return e, err
	}, nil
}

// TestRules runs the cases of each rule, <topic>/testdata/<rule>/*.txtar, with
// that rule alone.
func TestRules(t *testing.T) {
	for _, r := range All() {
		topic, name, _ := strings.Cut(r.ID, "/")
		t.Run(r.ID, func(t *testing.T) {
			a := sdk.Analyzer{Name: "test", Version: "1", Rules: []sdk.Rule{r}}
			analyzertest.RunWith(t, a, project, filepath.Join(topic, "testdata", name, "*.txtar"))
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
	files, _, err := project(fstest.MapFS{"collection/results.ndjson": {}}, d)
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
