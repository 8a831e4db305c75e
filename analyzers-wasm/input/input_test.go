package input

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/sdk/abi"
)

func declaration() abi.Declaration {
	return abi.Declaration{
		ABI: [2]int{1, 1}, Name: "m", Version: "1.0",
		Rules: []abi.Rule{{ID: "topic/name", Severity: abi.SeverityHigh, Layer: abi.LayerNode,
			Text: map[string]abi.Text{"en": {Title: "t", Message: "m", References: []string{"https://example.org"}}}}},
		Inputs: []abi.Input{{Name: "pods", Resource: "v1/pods", Fields: []string{"metadata.name"}}},
	}
}

func TestValidate(t *testing.T) {
	if err := Validate(declaration()); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*abi.Declaration)
		want   string
	}{
		"abi from the future": {func(d *abi.Declaration) { d.ABI = [2]int{2, 3} }, "speaks ABI 2 to 3"},
		"abi upside down":     {func(d *abi.Declaration) { d.ABI = [2]int{3, 1} }, "not a range"},
		"abi absent":          {func(d *abi.Declaration) { d.ABI = [2]int{} }, "not a range"},
		"name":                {func(d *abi.Declaration) { d.Name = "../m" }, "name"},
		"version":             {func(d *abi.Declaration) { d.Version = "1 0" }, "version"},
		"no rules":            {func(d *abi.Declaration) { d.Rules = nil }, "0 rules"},
		"rule id":             {func(d *abi.Declaration) { d.Rules[0].ID = "name" }, "topic/name"},
		"rule twice":          {func(d *abi.Declaration) { d.Rules = append(d.Rules, d.Rules[0]) }, "twice"},
		"severity":            {func(d *abi.Declaration) { d.Rules[0].Severity = "fatal" }, "severity"},
		"layer":               {func(d *abi.Declaration) { d.Rules[0].Layer = "" }, "layer"},
		"no english":          {func(d *abi.Declaration) { d.Rules[0].Text = map[string]abi.Text{"zh": {Title: "t", Message: "m"}} }, `"en" is missing`},
		"empty message":       {func(d *abi.Declaration) { d.Rules[0].Text["en"] = abi.Text{Title: "t"} }, "must not be empty"},
		"escape in the title": {func(d *abi.Declaration) { d.Rules[0].Text["en"] = abi.Text{Title: "t\x1b[2J", Message: "m"} }, "control"},
		"escape in a variant": {func(d *abi.Declaration) {
			d.Rules[0].Text["en"] = abi.Text{Title: "t", Message: "m", Variants: map[string]abi.Text{"v": {Title: "\x1b[2J"}}}
		}, "variant v: "},
		"name of a variant": {func(d *abi.Declaration) {
			d.Rules[0].Text["en"] = abi.Text{Title: "t", Message: "m", Variants: map[string]abi.Text{"V V": {}}}
		}, "variant"},
		"variant of a variant": {func(d *abi.Declaration) {
			d.Rules[0].Text["en"] = abi.Text{Title: "t", Message: "m", Variants: map[string]abi.Text{"v": {Variants: map[string]abi.Text{"w": {}}}}}
		}, "of its own"},
		"reversed text": {func(d *abi.Declaration) { d.Rules[0].Text["en"] = abi.Text{Title: "t\u202e", Message: "m"} }, "control"},
		"long doc":      {func(d *abi.Declaration) { d.Doc = strings.Repeat("x", maxDoc+1) }, "more than"},
		"reference": {func(d *abi.Declaration) {
			d.Rules[0].Text["en"] = abi.Text{Title: "t", Message: "m", References: []string{"javascript:1"}}
		}, "web address"},
		"memory":                {func(d *abi.Declaration) { d.Limits.MemoryMiB = -1 }, "limits"},
		"input name":            {func(d *abi.Declaration) { d.Inputs[0].Name = "a/b" }, "input"},
		"input twice":           {func(d *abi.Declaration) { d.Inputs = append(d.Inputs, d.Inputs[0]) }, "twice"},
		"two kinds":             {func(d *abi.Declaration) { d.Inputs[0].Files = "x" }, "just one"},
		"no kind":               {func(d *abi.Declaration) { d.Inputs[0].Resource = "" }, "just one"},
		"resource":              {func(d *abi.Declaration) { d.Inputs[0].Resource = "v1/../pods" }, "resource"},
		"field path":            {func(d *abi.Declaration) { d.Inputs[0].Fields = []string{"a..b"} }, "field path"},
		"forged field":          {func(d *abi.Declaration) { d.Inputs[0].Fields = []string{"_at"} }, "host's own"},
		"table of text":         {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Table: "nodes/*/node.txt"} }, "ends in"},
		"glob out of the top":   {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Files: "../x"} }, "relative"},
		"glob of everything":    {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Files: "**"} }, "whole bundle"},
		"unknown counter table": {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Counters: []string{"made.up"}} }, "no such table"},
		"counter twice":         {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Counters: []string{"Tcp.A", "Tcp.A"}} }, "twice"},
		"sysctl out of the top": {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Counters: []string{"sysctl.net.//.x"}} }, "sysctl"},
		"facts of the cluster":  {func(d *abi.Declaration) { d.Facts = []abi.FactDecl{{Fact: "a/b"}} }, "scope \"node\""},
		"name of a fact":        {func(d *abi.Declaration) { d.Scope, d.Inputs, d.Facts = abi.ScopeNode, nil, []abi.FactDecl{{Fact: "x"}} }, "topic/name"},
		"fact twice": {func(d *abi.Declaration) {
			d.Scope, d.Inputs, d.Facts = abi.ScopeNode, nil, []abi.FactDecl{{Fact: "a/b"}, {Fact: "a/b"}}
		}, "twice"},
		"resource of a node": {func(d *abi.Declaration) { d.Scope = abi.ScopeNode }, "sees one node"},
		"probes of a node": {func(d *abi.Declaration) {
			d.Scope, d.Inputs[0] = abi.ScopeNode, abi.Input{Name: "f", Table: "probes/dns.ndjson"}
		}, "nodes/ and captures/ only"},
		"scope":                 {func(d *abi.Declaration) { d.Scope = "pod" }, "scope"},
		"flows of no capture":   {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Flows: "captures/*/*.txt"} }, ".pcapng"},
		"dns out of the top":    {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", DNS: "../*.pcapng"} }, "relative"},
		"logs of two parts":     {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Logs: "a/b"} }, "NAMESPACE/POD/CONTAINER"},
		"fact to read":          {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", FactRows: "x"} }, "topic/name"},
		"match without logs":    {func(d *abi.Declaration) { d.Inputs[0].Match = "x" }, "logs only"},
		"match":                 {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Logs: "x", Match: "(a"} }, "missing closing"},
		"match that multiplies": {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Logs: "x", Match: "(?:ab?c?d){500}"} }, "multiply"},
		"form":                  {func(d *abi.Declaration) { d.Inputs[0].Form = "csv" }, "form"},
		"form of files":         {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Files: "x", Form: "rows"} }, "not with files"},
		"fields of files":       {func(d *abi.Declaration) { d.Inputs[0] = abi.Input{Name: "f", Files: "x", Fields: []string{"a"}} }, "not with files"},
	} {
		d := declaration()
		tt.change(&d)
		err := Validate(d)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if want := strings.Contains(tt.want, "not supported") || strings.Contains(tt.want, "speaks"); errors.Is(err, ErrUnsupported) != want {
			t.Errorf("%s: unsupported is %v", name, !want)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		glob, path   string
		match, above bool
	}{
		{"nodes/*/1/net/sockets.ndjson", "nodes/n1/1/net/sockets.ndjson", true, true},
		{"nodes/*/1/net/sockets.ndjson", "nodes/n1/0/net/sockets.ndjson", false, false},
		{"nodes/*/1/net/sockets.ndjson", "nodes/n1", false, true},
		{"nodes/*/1/net/sockets.ndjson", "nodes/n1/1/net/sockets.ndjson/x", false, false},
		{"nodes/**/1/net/sockets.ndjson", "nodes/n1/netns/4/1/net/sockets.ndjson", true, true},
		{"nodes/**/1/net/sockets.ndjson", "nodes/1/net/sockets.ndjson", true, true},
		{"nodes/n1/**", "nodes/n1/a", true, true},
		{"nodes/n1/**", "nodes/n1", false, true},
		{"nodes/n1/**", "nodes/n2", false, false},
		{"a/*b?d", "a/xxbcd", true, true},
		{"a/*b?d", "a/bd", false, false},
		{"a/*", "a/", true, true},
		{"captures/*/*.pcapng", "cluster", false, false},
	} {
		g, err := ParseGlob(tt.glob)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Match(tt.path); got != tt.match {
			t.Errorf("%s matches %s: %v", tt.glob, tt.path, got)
		}
		if got := g.MatchAbove(tt.path); got != tt.above {
			t.Errorf("%s matches at or below %s: %v", tt.glob, tt.path, got)
		}
	}
}

func TestFieldsRefused(t *testing.T) {
	for _, path := range []string{"", ".", "a.", "a..b", "a.{b", "a.{b,}", "a.{}", `"a`, `a."`, `a.""`, "a[", "a[0]", "[]", "a b", "a.{b}c", "a}", "a\x00",
		`"\ud800x`, strings.Repeat("a.", 40) + "a", strings.Repeat("a", 2000)} {
		if err := ParseFields([]string{path}); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
	if err := ParseFields(make([]string, maxFields+1)); err == nil {
		t.Error("too many are taken")
	}
}

func TestCaps(t *testing.T) {
	var rows strings.Builder
	for i := range 100 {
		fmt.Fprintf(&rows, "{\"a\":%d}\n", i+1)
	}
	bundle := fstest.MapFS{
		"t/a.ndjson":  {Data: []byte(rows.String())},
		"t/b.ndjson":  {Data: []byte(`{"a":"` + strings.Repeat("x", 5000) + "\"}\n{\"a\":1}\n")},
		"raw/big":     {Data: make([]byte, 300<<10)},
		resultsPath:   {Data: []byte("{\"source\":\"cluster\",\"status\":\"ok\"}\n")},
		"t/bomb.json": {Data: []byte(`{"a":[` + strings.Repeat("{},", maxValues/3) + `{}]}`)},
	}
	table := func(glob string) []abi.Input {
		return []abi.Input{{Name: "t", Table: glob, Form: abi.FormNDJSON, Fields: []string{"a[].{b,c,d}", "a"}}}
	}
	for name, tt := range map[string]struct {
		inputs []abi.Input
		lim    Limits
		rows   int
		want   string
	}{
		"rows":    {table("t/a.ndjson"), Limits{Rows: 10}, 10, "more than 10 rows"},
		"bytes":   {table("t/a.ndjson"), Limits{InputBytes: 100}, 6, "more than 100 bytes"},
		"module":  {table("t/a.ndjson"), Limits{ModuleBytes: 100}, 6, "the module's inputs have more than 100"},
		"files":   {table("t/*.ndjson"), Limits{Files: 1}, 100, "more than 1 files"},
		"line":    {table("t/b.ndjson"), Limits{Line: 4096}, 1, "line 1 has more than 4096 bytes"},
		"parts":   {table("t/bomb.json"), Limits{}, 0, "too many parts"},
		"raw":     {[]abi.Input{{Name: "t", Files: "raw/*"}}, Limits{InputBytes: 200 << 10}, 0, "more than 204800 bytes"},
		"no file": {[]abi.Input{{Name: "t", Files: "none/*"}}, Limits{}, 0, "nothing in the bundle matches"},
	} {
		p, files := project(t, bundle, tt.inputs, tt.lim)
		x := p.Index()["t"]
		text, _ := json.Marshal(x)
		if x.Complete || x.Rows != tt.rows || !strings.Contains(string(text), tt.want) {
			t.Errorf("%s: %s, want %d rows and %q", name, text, tt.rows, tt.want)
		}
		if got := strings.Count(files["in/t.ndjson"], "\n"); got != tt.rows {
			t.Errorf("%s: %d rows in the file, want %d", name, got, tt.rows)
		}
	}
	if _, err := Project(context.Background(), bundle, nil, Limits{Listed: 2}); err == nil {
		t.Error("a bundle of too many files is listed")
	}
}

// TestWithoutResults: a bundle that does not say what was collected leaves
// every input incomplete.
func TestWithoutResults(t *testing.T) {
	p, _ := project(t, fstest.MapFS{"t/a.ndjson": {Data: []byte("{\"a\":1}\n")}}, []abi.Input{{Name: "t", Table: "t/a.ndjson"}}, Limits{})
	if x := p.Index()["t"]; x.Complete || x.Rows != 1 {
		t.Errorf("%+v", x)
	}
}

// TestFailedNeighbour: a file that failed costs its own input and no other,
// though a wildcard of the other's glob would match its name; a folder costs
// all that lies below it.
func TestFailedNeighbour(t *testing.T) {
	in := []abi.Input{{Name: "t", Table: "nodes/*/*/net/links.ndjson"}}
	for path, complete := range map[string]bool{"nodes/n1/drops.ndjson": true, "nodes/n1/1": false, "nodes/n1": false, "nodes/n1/0/net/links.ndjson": false, "nodes/n1/0/net/addrs.ndjson": true} {
		p, _ := project(t, fstest.MapFS{
			"nodes/n1/0/net/links.ndjson": {Data: []byte("{\"a\":1}\n")},
			resultsPath:                   {Data: []byte("{\"source\":\"node/n1\",\"path\":\"" + path + "\",\"status\":\"partial\"}\n")},
		}, in, Limits{})
		if x := p.Index()["t"]; x.Complete != complete {
			t.Errorf("%s: %+v", path, x)
		}
	}
}

type failingSpool struct{ memSpool }

func (*failingSpool) Write([]byte) (int, error) { return 0, errors.New("no space left") }

type brokenFS struct{ fstest.MapFS }

func (b brokenFS) Open(name string) (fs.File, error) {
	if name == "t/b.ndjson" {
		return nil, errors.New("chunk 7 is damaged")
	}
	return b.MapFS.Open(name)
}

// TestFailuresStayApart: a full spool costs its own module, a damaged file its
// own rows, and both say so.
func TestFailuresStayApart(t *testing.T) {
	bundle := brokenFS{fstest.MapFS{
		"t/a.ndjson": {Data: []byte("{\"a\":1}\n")}, "t/b.ndjson": {Data: []byte("{\"a\":2}\n")},
		resultsPath: {Data: []byte("{\"source\":\"t\",\"status\":\"ok\"}\n")},
	}}
	in := []abi.Input{{Name: "t", Table: "t/*.ndjson"}}
	good := &memSpool{}
	ps, err := Project(context.Background(), bundle, []Request{{Inputs: in, Spool: &failingSpool{}}, {Inputs: in, Spool: good}}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if ps[0].Err() == nil || !strings.Contains(ps[0].Err().Error(), "no space left") {
		t.Errorf("the full spool: %v", ps[0].Err())
	}
	x := ps[1].Index()["t"]
	if ps[1].Err() != nil || x.Rows != 1 || x.Complete || len(x.Missing) != 1 || !strings.Contains(x.Missing[0].Reason, "chunk 7 is damaged") {
		t.Errorf("the other: %v, %+v", ps[1].Err(), x)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Project(ctx, bundle, []Request{{Inputs: in, Spool: good}}, Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestResolveFarRows: numbers are found in big and interleaved inputs.
func TestResolveFarRows(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "{\"a\":%d,\"b\":\"%s\"}\n", i+1, strings.Repeat("y", i%3000))
	}
	bundle := fstest.MapFS{"t/a.ndjson": {Data: []byte(text.String())}, resultsPath: {}}
	p, files := project(t, bundle, []abi.Input{
		{Name: "one", Table: "t/a.ndjson", Fields: []string{"a", "b"}}, {Name: "two", Table: "t/a.ndjson", Fields: []string{"a"}},
	}, Limits{})
	for name := range map[string]bool{"in/one.ndjson": true, "in/two.ndjson": true} {
		rows := strings.Split(strings.TrimSpace(files[name]), "\n")
		if len(rows) != 5000 {
			t.Fatalf("%s: %d rows", name, len(rows))
		}
		for i := 0; i < len(rows); i += 37 {
			var row struct {
				At int64 `json:"_at"`
				A  int   `json:"a"`
			}
			if err := json.Unmarshal([]byte(rows[i]), &row); err != nil {
				t.Fatal(err)
			}
			place, ok, err := p.Resolve(row.At)
			if !ok || err != nil || place.Line != row.A || !strings.HasPrefix(place.Value, fmt.Sprintf(`{"a":%d`, row.A)) {
				t.Fatalf("%s row %d: %+v %v %v", name, row.At, place, ok, err)
			}
		}
	}
}
