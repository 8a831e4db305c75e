package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/sdk/abi"
)

type pod struct {
	Place
	Metadata struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
		Owners []struct {
			Kind string `json:"kind"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
	IPs     []string       `json:"ips"`
	Raw     json.Number    `json:"number"`
	Ready   *readiness     `json:"ready"`
	Tree    *tree          `json:"tree"`
	Present *struct{}      `json:"present"`
	skipped map[string]int //nolint:unused // that it is skipped is what the test shows
	Ignored int            `json:"-"`
	Quoted  int            `json:"a.b"`
}

type tree struct {
	Leaf     string `json:"leaf"`
	Children []tree `json:"children"`
}

type readiness struct{ known, ready bool }

func (r *readiness) UnmarshalJSON(b []byte) error {
	r.known, r.ready = true, string(b) == "true"
	return nil
}

func TestFields(t *testing.T) {
	in, err := Resource[pod]("pods", "v1/pods").declare()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"metadata.name", "metadata.labels", "metadata.ownerReferences[].kind", "ips", "number", "ready",
		"tree.leaf", "tree.children", "present", `"a.b"`}
	if !reflect.DeepEqual(in.Fields, want) {
		t.Errorf("fields %q, want %q", in.Fields, want)
	}
	for name, s := range map[string]Source{
		"no tag":     Resource[struct{ Name string }]("x", "v1/pods"),
		"no struct":  Resource[int]("x", "v1/pods"),
		"nothing":    Resource[struct{ Place }]("x", "v1/pods"),
		"input name": Files("A b", "x/*"),
		"no counter": Counters("x"),
	} {
		if _, err := s.declare(); err == nil {
			t.Errorf("%s: declared", name)
		}
	}
}

func rule(id string, run func(*Input, *Reporter) error, inputs ...Source) Rule {
	return Rule{ID: id, Severity: High, Layer: LayerApp, Text: map[string]Text{"en": {Title: "t", Message: "m"}}, Inputs: inputs, Run: run}
}

func nothing(*Input, *Reporter) error { return nil }

func TestValidate(t *testing.T) {
	good := Analyzer{Name: "a", Version: "1", Rules: []Rule{rule("a/b", nothing, Files("f", "x/*"), Optional(Files("f", "x/*")))}}
	d, err := good.Declaration()
	if err != nil || len(d.Inputs) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	for name, change := range map[string]func(a *Analyzer){
		"twice":        func(a *Analyzer) { a.Rules = append(a.Rules, a.Rules[0]) },
		"other input":  func(a *Analyzer) { a.Rules = append(a.Rules, rule("a/c", nothing, Files("f", "y/*"))) },
		"no version":   func(a *Analyzer) { a.Version = "" },
		"no rules":     func(a *Analyzer) { a.Rules = nil },
		"name":         func(a *Analyzer) { a.Name = "A b" },
		"id":           func(a *Analyzer) { a.Rules[0].ID = "plain" },
		"severity":     func(a *Analyzer) { a.Rules[0].Severity = "bad" },
		"layer":        func(a *Analyzer) { a.Rules[0].Layer = "bad" },
		"English":      func(a *Analyzer) { a.Rules[0].Text = map[string]Text{"zh": {Title: "t", Message: "m"}} },
		"run":          func(a *Analyzer) { a.Rules[0].Run = nil },
		"broken input": func(a *Analyzer) { a.Rules[0].Inputs = []Source{Counters("x")} },
	} {
		a := good
		a.Rules = append([]Rule(nil), good.Rules...)
		change(&a)
		if a.Validate() == nil {
			t.Errorf("%s: valid", name)
		}
	}
}

func analyze(t *testing.T, files fstest.MapFS, rules ...Rule) []abi.Outcome {
	t.Helper()
	var out, log bytes.Buffer
	if err := (Analyzer{Name: "a", Version: "1", Rules: rules}).Analyze(files, &out, &log); err != nil {
		t.Fatal(err)
	}
	var outcomes []abi.Outcome
	for line := range strings.Lines(out.String()) {
		var o abi.Outcome
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		if o.Outcome != "" {
			outcomes = append(outcomes, o)
		}
	}
	return outcomes
}

func TestOutcomes(t *testing.T) {
	pods, gone := Resource[pod]("pods", "v1/pods"), Files("gone", "x/*")
	files := fstest.MapFS{
		"in/pods.ndjson": {Data: []byte(`{"_at":1,"metadata":{"name":"a"}}` + "\n" + `{"metadata":{"name":"b"},"_at":2}` + "\n")},
		"in/pods.index":  {Data: []byte(`{"complete":true,"rows":2}`)},
		"in/gone.index":  {Data: []byte(`{"missing":[{"source":"x","reason":"denied"}]}`)},
		"in/bad.ndjson":  {Data: []byte("{\"_at\":1}\n{\n")},
		"in/bad.index":   {Data: []byte(`{"complete":true}`)},
		"config.json":    {Data: []byte(`{"captureTime":"2026-11-21T09:00:00Z","settings":{"k":"v"}}`)},
	}
	find := func(in *Input, out *Reporter) error {
		for _, at := range pods.Rows(in) {
			out.Find(Finding{Subject: Subject{Kind: "Pod", Name: "a"}, Evidence: []Evidence{At(at)}})
		}
		return errors.New("late")
	}
	read := func(in *Input, _ *Reporter) error {
		for range Resource[pod]("bad", "v1/pods").Rows(in) {
		}
		return nil
	}
	got := analyze(t, files,
		rule("r/clear", nothing, pods), rule("r/found", find, pods, gone), rule("r/missing", nothing, pods, gone),
		rule("r/optional", nothing, pods, Optional(gone)), rule("r/error", func(*Input, *Reporter) error { return errors.New("no") }),
		rule("r/panic", func(*Input, *Reporter) error { panic("oh") }), rule("r/bad", read),
		rule("r/said", func(_ *Input, out *Reporter) error { out.Unknown("one sample", pods); return nil }, pods),
		rule("r/unlisted", nothing, Files("unlisted", "x/*")))
	want := []abi.Outcome{
		{Rule: "r/clear", Outcome: "clear"},
		{Rule: "r/found", Outcome: "found", Reason: "late"},
		{Rule: "r/missing", Outcome: "unknown", Reason: "x: denied", Missing: []string{"gone"}},
		{Rule: "r/optional", Outcome: "clear"},
		{Rule: "r/error", Outcome: "unknown", Reason: "no"},
		{Rule: "r/panic", Outcome: "unknown", Reason: "the rule panicked: oh"},
		{Rule: "r/bad", Outcome: "unknown", Reason: "input bad: unexpected end of JSON input"},
		{Rule: "r/said", Outcome: "unknown", Reason: "one sample", Missing: []string{"pods"}},
		{Rule: "r/unlisted", Outcome: "unknown", Reason: "unlisted: open in/unlisted.index: file does not exist", Missing: []string{"unlisted"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReading(t *testing.T) {
	pods := Resource[pod]("pods", "v1/pods")
	long := strings.Repeat("x", 300<<10)
	files := fstest.MapFS{
		"in/pods.ndjson": {Data: []byte(`{"_at":7,"metadata":{"name":"` + long + `"}}` + "\n" + `{"metadata":{"name":"b"},"_at":8,"_node":"n1","_netns":5,"_sample":1}`)},
		"in/tcp.ndjson": {Data: []byte(`{"_at":1,"_node":"n1","name":"A","t0":1,"t1":4,"delta":3,"seconds":2}` + "\n" +
			`{"_at":2,"_node":"n1","_netns":9,"name":"A","t0":5}` + "\n" + `{"_at":3,"_node":"n1","name":"B","t0":0}` + "\n")},
		"in/pods.index": {Data: []byte(`{"complete":true,"files":["b","a"]}`)},
	}
	builds := 0
	run := func(in *Input, _ *Reporter) error {
		rows := pods.All(in)
		if len(rows) != 2 || rows[0].At != 7 || rows[0].V.Metadata.Name != long || rows[1].At != 8 || rows[1].V.Place != (Place{"n1", 5, 1}) {
			t.Errorf("%d rows, %+v", len(rows), rows[len(rows)-1])
		}
		for p := range pods.RowsHaving(in, `"name":"b"`) {
			if p.Metadata.Name != "b" {
				t.Errorf("row %q passed the filter", p.Metadata.Name)
			}
		}
		sets := Counters("tcp", "A", "B").Sets(in)
		if len(sets) != 2 {
			t.Fatalf("%d sets", len(sets))
		}
		if d, ok := sets[0].Delta("A"); d != 3 || !ok {
			t.Error("delta", d, ok)
		}
		if v, ok := sets[0].Last("A"); v != 4 || !ok {
			t.Error("last", v, ok)
		}
		if _, ok := sets[1].Delta("A"); ok {
			t.Error("a delta from one sample")
		}
		if v, ok := sets[1].Last("A"); v != 5 || !ok {
			t.Error("last of one sample", v, ok)
		}
		if _, ok := sets[1].Last("B"); ok {
			t.Error("a value that is not there")
		}
		if es := sets[0].Evidence("A", "C", "B"); len(es) != 2 || *es[0].Delta != 3 || es[1].At != 3 {
			t.Errorf("evidence %+v", es)
		}
		if m := sets[0].Moved("A", "B", "C"); len(m) != 1 || m[0] != "A" {
			t.Error("moved", m)
		}
		if files := in.Files(pods); !slices.Equal(files, []string{"a", "b"}) || in.Files(Flows("f", "*")) != nil {
			t.Error("files", files)
		}
		Memo(in, "k", func(*Input) int { builds++; return 1 })
		return in.Err()
	}
	analyze(t, files, rule("r/a", run), rule("r/b", run))
	if builds != 1 {
		t.Errorf("built %d times", builds)
	}
}

// TestTell: a module of a node tells facts that it declares, and no others.
func TestTell(t *testing.T) {
	tell := func(fact string) func(*Input, *Reporter) error {
		return func(_ *Input, out *Reporter) error {
			out.Tell(fact, map[string]int{"n": 1}, At(7))
			return nil
		}
	}
	a := Analyzer{Name: "a", Version: "1", Scope: ScopeNode, Facts: []FactDecl{{Fact: "a/full"}}, Rules: []Rule{rule("a/b", tell("a/full"))}}
	d, err := a.Declaration()
	if err != nil || d.Scope != ScopeNode || len(d.Facts) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	var out, log bytes.Buffer
	if err := a.Analyze(fstest.MapFS{}, &out, &log); err != nil {
		t.Fatal(err)
	}
	if want := `{"fact":"a/full","value":{"n":1},"evidence":[{"at":7}]}` + "\n" + `{"rule":"a/b","outcome":"clear"}` + "\n"; out.String() != want {
		t.Errorf("printed %s", &out)
	}
	a.Rules = []Rule{rule("a/b", tell("a/other"))}
	if err := a.Analyze(fstest.MapFS{}, &out, &log); err == nil {
		t.Error("a fact that is not declared was told")
	}
	for name, change := range map[string]func(a *Analyzer){
		"scope":          func(a *Analyzer) { a.Scope = "pod" },
		"facts":          func(a *Analyzer) { a.Scope = "" },
		"name of a fact": func(a *Analyzer) { a.Facts = []FactDecl{{Fact: "Full"}} },
		"fact twice":     func(a *Analyzer) { a.Facts = []FactDecl{{Fact: "a/b"}, {Fact: "a/b"}} },
	} {
		b := a
		change(&b)
		if b.Validate() == nil {
			t.Errorf("%s: valid", name)
		}
	}
}

// TestSources: what the sources of each kind declare.
func TestSources(t *testing.T) {
	type full struct {
		Place
		Used int `json:"used"`
	}
	for _, c := range []struct {
		s    Source
		want abi.Input
	}{
		{Flows("f", "*"), abi.Input{Name: "f", Flows: "*"}},
		{DNS("d", "captures/*/*.pcapng").Where("row.tc"), abi.Input{Name: "d", DNS: "captures/*/*.pcapng", Where: "row.tc"}},
		{Logs("l", "coredns", `(?P<code>\d+)`), abi.Input{Name: "l", Logs: "coredns", Match: `(?P<code>\d+)`}},
		{FactRows[full]("x", "a/full"), abi.Input{Name: "x", FactRows: "a/full", Fields: []string{"used"}}},
	} {
		got, err := c.s.declare()
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Fields) == 0 || got.Form != abi.FormRows {
			t.Errorf("%s: fields %v, form %q", got.Name, got.Fields, got.Form)
		}
		if c.want.Fields == nil {
			got.Fields = nil
		}
		if got.Form = ""; !reflect.DeepEqual(got, c.want) {
			t.Errorf("declares %+v, want %+v", got, c.want)
		}
	}
}

func TestServe(t *testing.T) {
	a := Analyzer{Name: "a", Version: "1", Rules: []Rule{rule("a/b", nothing)}}
	var out bytes.Buffer
	if err := a.serve("describe", fstest.MapFS{}, &out, &out); err != nil || !strings.HasPrefix(out.String(), `{"abi":[1,1],"name":"a"`) {
		t.Errorf("%v %s", err, &out)
	}
	if err := a.serve("", fstest.MapFS{}, &out, &out); err == nil {
		t.Error("no verb, no error")
	}
	if err := a.serve("analyze", fstest.MapFS{"config.json": {Data: []byte("{")}}, &out, &out); err == nil {
		t.Error("a broken config.json, no error")
	}
	if err := a.serve("analyze", fstest.MapFS{}, full{}, &out); err == nil {
		t.Error("a full disk, no error")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func FuzzDecodeRow(f *testing.F) {
	f.Add([]byte(`{"_at":12,"metadata":{"name":"a"}}`))
	f.Add([]byte(`{"a":"\"_at\":3","_at":4}`))
	f.Add([]byte(`{"_at":1e3}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var p pod
		at, err := decodeRow(line, &p)
		if err != nil {
			return
		}
		var slow map[string]json.RawMessage
		if json.Unmarshal(line, &slow) == nil && slow["_at"] != nil {
			var n int64
			if json.Unmarshal(slow["_at"], &n) == nil && n != at && bytes.Count(line, []byte("_at")) == 1 {
				t.Errorf("%s: %d, want %d", line, at, n)
			}
		}
	})
}

func TestRoom(t *testing.T) {
	affected := maxAffected + 1
	many := func(_ *Input, out *Reporter) error {
		for range maxFindings + 3 {
			out.Find(Finding{Subject: Subject{Kind: "Pod", Name: "a"}, Evidence: make([]Evidence, 100), Affected: make([]Subject, affected)})
			affected = 0
		}
		return errors.New(strings.Repeat("ü", maxReason))
	}
	var out, log bytes.Buffer
	if err := (Analyzer{Name: "a", Version: "1", Rules: []Rule{rule("r/many", many)}}).Analyze(fstest.MapFS{}, &out, &log); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if want := maxAllEvidence/maxEvidence + 1; len(lines) != want {
		t.Fatalf("%d lines, want %d", len(lines), want)
	}
	var f Finding
	if err := json.Unmarshal([]byte(lines[0]), &f); err != nil || len(f.Evidence) != maxEvidence || len(f.Affected) != maxAffected {
		t.Errorf("%d pieces of evidence, %d affected, %v", len(f.Evidence), len(f.Affected), err)
	}
	var o abi.Outcome
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &o); err != nil || o.Outcome != "found" || len(o.Reason) > maxReason {
		t.Errorf("outcome %q with %d bytes of reason, %v", o.Outcome, len(o.Reason), err)
	}
}
