package conform

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
)

const childVerb = "sandbox-child"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childVerb {
		os.Exit(host.Child(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

func build(t *testing.T, dir, fault string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("NOT TESTED in short runs: builds WebAssembly modules")
	}
	path := filepath.Join(t.TempDir(), "m.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X main.fault="+fault, "-o", path, dir)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func check(t *testing.T, wasm []byte) map[string]Result {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bundle := fstest.MapFS{
		"nodes/n1/x.ndjson":           {Data: []byte("{\"n\":1}\n")},
		"nodes/n1/conformance.ndjson": {Data: []byte(`{"s":"one","i":-7,"f":0.5,"b":true,"o":{"a":"x"},"l":[{"n":1},{},{"n":3}]}` + "\n" + `{"s":"two"}` + "\n")},
		"collection/results.ndjson":   {},
	}
	o := Options{Host: host.Options{Exec: []string{exe, childVerb}, TempDir: t.TempDir()}, Bundles: []fs.FS{bundle}}
	results := map[string]Result{}
	for _, r := range Check(context.Background(), wasm, o) {
		t.Log(r)
		if old, twice := results[r.ID]; !twice || old.Status == OK {
			results[r.ID] = r
		}
	}
	return results
}

// TestReference: the reference module keeps to every sentence.
func TestReference(t *testing.T) {
	for id, r := range check(t, build(t, "../../samples/analyzers/conformance/go", "")) {
		if r.Status != OK {
			t.Errorf("%s: %+v", id, r)
		}
	}
}

// TestBroken: what is broken is named by its sentence, and what cannot be
// tried any more is not called good.
func TestBroken(t *testing.T) {
	strict := check(t, build(t, "./testdata/bad", "strict"))
	for id, detail := range map[string]string{"A2": "bad/rule", "V1": "exit code 1", "D8": "bad/rule names [a] in en and [b] in zh", "D10": "bad/rule", "D11": "bad/rule"} {
		if r := strict[id]; r.Status != Failed || !strings.Contains(r.Detail, detail) {
			t.Errorf("%s: %+v", id, r)
		}
	}
	if r := strict["A1"]; r.Status != OK {
		t.Errorf("A1: %+v", r)
	}
	rubbish := check(t, build(t, "./testdata/bad", "rubbish"))
	if r := rubbish["A1"]; r.Status != Failed || !strings.Contains(r.Detail, "not a JSON object") {
		t.Errorf("A1: %+v", r)
	}
	if r := rubbish["A5"]; r.Status != Skipped {
		t.Errorf("A5: %+v", r)
	}
	if r := check(t, build(t, "./testdata/bad", "node"))["A1"]; r.Status != Failed || !strings.Contains(r.Detail, "bundle 1, node n1: failed: exit code 3") {
		t.Errorf("A1 of scope node: %+v", r)
	}
	if r := check(t, build(t, "./testdata/bad", "tags"))["R4"]; r.Status != Failed || !strings.Contains(r.Detail, "exit code 4") {
		t.Errorf("R4: %+v", r)
	}
	for wasm, id := range map[string]string{
		"hello":                   "M1",
		"\x00asm\x0d\x00\x01\x00": "M1",
		"\x00asm\x01\x00\x00\x00": "M3",
		"\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x09\x01\x03env\x01f\x00\x00": "M2",
	} {
		results := check(t, []byte(wasm))
		if r := results[id]; r.Status != Failed || results["D1"].Status != Skipped || results["A1"].Status == OK {
			t.Errorf("%q: %+v", wasm, results)
		}
	}
	if Violated([]Result{{Level: Should, Status: Failed}, {Level: Must, Status: Skipped}}) || !Violated([]Result{{Level: Must, Status: Failed}}) {
		t.Error("Violated counts what it must not, or does not count what it must")
	}
}
