package analyzers_test

import (
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/sdk/abi"
)

// TestHello: the smallest module of every language runs.
func TestHello(t *testing.T) {
	exec := child(t)
	for name, build := range map[string]func(testing.TB, string) []byte{"c": buildC, "rust": buildRust, "go": buildGo} {
		t.Run(name, func(t *testing.T) {
			wasm := build(t, "hello/"+name)
			r := analyze(t, exec, private(t), wasm, fstest.MapFS{"a": {Data: []byte("b")}}, nil)
			if r.Result.Status != abi.ModuleOK || len(r.Outcomes) != 1 || r.Outcomes[0].Outcome != abi.OutcomeClear {
				t.Errorf("%+v %+v", r.Result, r.Outcomes)
			}
			t.Logf("%d bytes, %d ms", len(wasm), r.Result.Millis)
		})
	}
}
