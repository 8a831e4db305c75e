package host

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/analyzers-wasm/input/flow"
	"github.com/casefile-io/casefile/sdk/abi"
)

// FuzzInspect: the walk over a module's sections ends, and takes nothing that
// breaks its own bounds.
func FuzzInspect(f *testing.F) {
	for _, a := range earlyAttacks() {
		if len(a.wasm) < 64<<10 {
			f.Add(a.wasm)
		}
	}
	for _, a := range analyzeAttacks() {
		if len(a.wasm) < 64<<10 {
			f.Add(a.wasm)
		}
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		o, err := inspect(wasm)
		if err != nil {
			return
		}
		if o.functions != o.bodies || o.functions > maxFunctions || len(o.imports) > maxImports || !o.start || !o.memory {
			t.Errorf("%+v", o)
		}
	})
}

// FuzzOutput: whatever a module prints, what is kept can be shown and encoded.
func FuzzOutput(f *testing.F) {
	for _, s := range []string{
		`{"rule":"a/b","subject":{"kind":"Node","name":"n"},"params":{"x":[1,"y",true],"z":1e3},"evidence":[{"at":1}]}`,
		`{"rule":"a/b","outcome":"clear"}`, `{"rule":"a/b","outcome":"unknown","missing":["x"]}`, "\n\n{}", `{"fact":1}`, "[]", "\xff",
		`{"rule":"a/b","subject":{"kind":"Node","name":"\u001b[2J"},"firstSeen":"2026-01-02T03:04:05Z"}`,
	} {
		f.Add([]byte(s))
	}
	d := abi.Declaration{Rules: []abi.Rule{{ID: "a/b"}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		out, lerr := parseOutput(d, text)
		if lerr != nil && (lerr.line < 1 || lerr.line > bytes.Count(text, []byte("\n"))+1 || lerr.why == nil) {
			t.Errorf("%+v", lerr)
		}
		for _, p := range out.findings {
			if _, err := json.Marshal(p.Finding); err != nil {
				t.Error(err)
			}
			if s := p.Subject.Name; p.Rule != "a/b" || s != input.Clean(s) || !utf8.ValidString(s) {
				t.Errorf("%+v", p)
			}
		}
		for _, o := range out.outcomes {
			if o.Rule != "a/b" {
				t.Errorf("%+v", o)
			}
		}
		outcomes(d, nil, out.outcomes, abi.ModuleResult{Status: abi.ModuleOK})
	})
}

// FuzzPcapng: counting packets ends, and counts no more than there is room for.
func FuzzPcapng(f *testing.F) {
	f.Add(pcapng(0))
	f.Add(pcapng(3))
	f.Add(pcapng(1)[:40])
	f.Fuzz(func(t *testing.T, text []byte) {
		if n, _ := flow.Count(bytes.NewReader(text)); n > len(text)/12 {
			t.Errorf("%d packets in %d bytes", n, len(text))
		}
	})
}

// FuzzDeclaration: what describe prints is taken whole and sound, or not at all.
func FuzzDeclaration(f *testing.F) {
	f.Add([]byte(declares("a")))
	f.Add([]byte(`{"abi":[1,1]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, err := parseDeclaration(text); err == nil && input.Validate(d) != nil {
			t.Errorf("%+v", d)
		}
	})
}

// BenchmarkModule is a run of the innocent module, with a cold start.
func BenchmarkModule(b *testing.B) {
	modules := []Module{{Name: "guest", Wasm: guest(b)}}
	o := testOptions(b)
	for b.Loop() {
		if r := Run(b.Context(), modules, o)[0].Result; r.Status != abi.ModuleOK {
			b.Fatalf("%+v", r)
		}
	}
}
