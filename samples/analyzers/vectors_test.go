package analyzers_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/sdk/abi"
)

// vector is a case of sdk/vectors/modules.json.
type vector struct {
	Name, Sentence string
	Files, Hex     map[string]string
	Findings       []map[string]any
	Facts          []map[string]any
	Outcome        string
}

// files are those that the module is given.
func (v vector) files(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for path, text := range v.Files {
		files[path] = []byte(text)
	}
	for path, text := range v.Hex {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = b
	}
	return files
}

// TestVectorsModules: the reference module, in every language, prints for the
// inputs of the vectors what they say.
func TestVectorsModules(t *testing.T) {
	var vectors []vector
	decode(t, read(t, "../../sdk/vectors/modules.json"), &vectors)
	exec, cache := child(t), private(t)
	for _, l := range languages() {
		t.Run(l.name, func(t *testing.T) {
			ctx := context.Background()
			p := host.NewProbe(ctx, host.Module{Name: "conformance", Wasm: l.build(t, "conformance/"+l.name)}, host.Options{Exec: exec, CacheDir: cache, TempDir: t.TempDir()})
			defer p.Close()
			d, r := p.Declaration()
			if r.Status != abi.ModuleOK {
				t.Fatal(r.Reason)
			}
			for _, v := range vectors {
				printed, r := p.Run(ctx, abi.VerbAnalyze, v.files(t))
				if _, err := host.CheckOutput(d, printed); err != nil || r.Status != abi.ModuleOK {
					t.Errorf("%s (%s): %s %s %v\n%s", v.Name, v.Sentence, r.Status, r.Reason, err, r.Log)
					continue
				}
				findings, facts, outcome := lines(t, printed)
				if diff := cmp.Diff(v.Findings, findings) + cmp.Diff(v.Facts, facts); diff != "" || outcome != v.Outcome {
					t.Errorf("%s (%s): outcome %s, want %s; %s", v.Name, v.Sentence, outcome, v.Outcome, diff)
				}
			}
		})
	}
}

// lines reads what a module printed: its findings and facts, and what became of
// its rule.
func lines(t *testing.T, printed []byte) (findings, facts []map[string]any, outcome string) {
	t.Helper()
	findings, facts, outcome = []map[string]any{}, []map[string]any{}, abi.OutcomeUnknown
	for line := range bytes.Lines(printed) {
		var o map[string]any
		decode(t, line, &o)
		if said, ok := o["outcome"].(string); ok {
			outcome = said
		} else if o["fact"] != nil {
			facts = append(facts, o)
		} else {
			findings = append(findings, o)
		}
	}
	if len(findings) > 0 {
		outcome = abi.OutcomeFound
	}
	return findings, facts, outcome
}

// decode reads JSON, in which 3, 3.0 and 3e0 are one number.
func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	switch v := into.(type) {
	case *map[string]any:
		settle(*v)
	case *[]vector:
		for _, one := range *v {
			for _, f := range append(one.Findings, one.Facts...) {
				settle(f)
			}
		}
	}
}

// settle writes numbers in one way.
func settle(object map[string]any) {
	for k, v := range object {
		switch v := v.(type) {
		case json.Number:
			object[k] = v.String()
			if f, err := v.Float64(); err == nil && math.Abs(f) < 1<<53 {
				object[k] = strconv.FormatFloat(f, 'f', -1, 64)
			}
		case map[string]any:
			settle(v)
		case []any:
			for _, item := range v {
				if o, ok := item.(map[string]any); ok {
					settle(o)
				}
			}
		}
	}
}
