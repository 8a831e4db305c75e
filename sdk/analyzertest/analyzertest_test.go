package analyzertest

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
)

type row struct {
	Name string `json:"name"`
}

func analyzer(finding sdk.Finding) sdk.Analyzer {
	rows := sdk.Table[row]("rows", "t/*.ndjson")
	return sdk.Analyzer{Name: "t", Version: "1", Rules: []sdk.Rule{{
		ID: "t/r", Severity: sdk.Low, Layer: sdk.LayerApp, Inputs: []sdk.Source{rows},
		Text: map[string]sdk.Text{
			"en": {Title: "t", Message: "{name} is here", Variants: map[string]sdk.Text{"v": {Message: "{name} is there"}}},
			"zh": {Title: "t", Message: "{name} 在此", Variants: map[string]sdk.Text{"w": {Message: "{name} 在彼"}}},
		},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			for r, at := range rows.Rows(in) {
				f := finding
				if f.Params == nil {
					f.Params = map[string]any{"name": r.Name}
				}
				if f.Evidence == nil {
					f.Evidence = []sdk.Evidence{sdk.At(at)}
				}
				f.Subject = sdk.Subject{Kind: "Pod", Name: r.Name}
				out.Find(f)
			}
			return nil
		},
	}}}
}

// project is a host of one table.
func project(bundle fs.FS, _ abi.Declaration) (fs.FS, func(int64) (abi.ReportedEvidence, error), error) {
	text, err := fs.ReadFile(bundle, "t/a.ndjson")
	files := fstest.MapFS{"in/rows.ndjson": {Data: text}, "in/rows.index": {Data: []byte(`{"complete":true}`)}}
	return files, func(at int64) (abi.ReportedEvidence, error) {
		return abi.ReportedEvidence{Path: "t/a.ndjson", Line: int(at)}, nil
	}, err
}

const bundle = "A case.\n-- t/a.ndjson --\n{\"_at\":1,\"name\":\"x\"}\n-- want --\n"

// TestTheTest: what is wanted passes, and what is not is told.
func TestTheTest(t *testing.T) {
	const want = "found t/r\n  low Pod x: x is here\n    t/a.ndjson:1\n"
	got, wanted, err := Check(analyzer(sdk.Finding{}), project, Native(analyzer(sdk.Finding{})), []byte(bundle+want))
	if err != nil || got != want || wanted != want {
		t.Errorf("got %q, want %q, %v", got, wanted, err)
	}
	for name, c := range map[string]struct {
		finding sdk.Finding
		archive string
		err     string
	}{
		"a param that is not given":      {sdk.Finding{Params: map[string]any{"other": 1}}, bundle, "which the finding does not give"},
		"a variant in one language":      {sdk.Finding{Variant: "v"}, bundle, `no variant "v" in language zh`},
		"a finding without evidence":     {sdk.Finding{Evidence: []sdk.Evidence{}}, bundle, "without evidence"},
		"a case that wants nothing":      {sdk.Finding{}, "-- t/a.ndjson --\n{}\n", "-- want --"},
		"a file that stands twice":       {sdk.Finding{}, "-- a --\n-- a --\n" + bundle, "twice"},
		"a file that is not base64":      {sdk.Finding{}, "-- a.base64 --\n!\n" + bundle, "base64"},
		"a row that is not JSON":         {sdk.Finding{}, strings.Replace(bundle, "\"x\"}", "", 1), ""},
		"a bundle that has not the file": {sdk.Finding{}, "-- b --\n-- want --\n", "t/a.ndjson"},
	} {
		a := analyzer(c.finding)
		got, _, err := Check(a, project, Native(a), []byte(c.archive))
		switch {
		case c.err == "" && (err != nil || !strings.HasPrefix(got, "unknown t/r: input rows:")):
			t.Errorf("%s: %q, %v", name, got, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v", name, err)
		}
	}
}
