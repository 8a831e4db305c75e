package input

import (
	"context"
	"encoding/json"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

// TestFacts: what nodes told becomes rows, and citing one cites its evidence.
func TestFacts(t *testing.T) {
	spool := &memSpool{}
	delta := int64(3)
	facts := map[string]Told{"disk/full": {
		Rows: []FactRow{
			{"n1", json.RawMessage(`{ "mount": "/", "_node": "forged", "used": 97 }`), abi.ReportedEvidence{Path: "nodes/n1/mounts.ndjson", Line: 4, Value: "v", Delta: &delta}},
			{"n2", json.RawMessage(`true`), abi.ReportedEvidence{Path: "nodes/n2/mounts.ndjson", Line: 1}},
			{"n3", json.RawMessage(`"cut`), abi.ReportedEvidence{}},
		},
		Missing: []abi.Missing{{Source: "nodes/n4", Reason: "fuel"}},
	}}
	ps, err := Project(context.Background(), fstest.MapFS{resultsPath: {}}, []Request{{Spool: spool, Facts: facts, Inputs: []abi.Input{
		{Name: "a", FactRows: "disk/full"}, {Name: "b", FactRows: "disk/none"}, {Name: "c", FactRows: "disk/full", Fields: []string{"used"}, Form: abi.FormRows},
	}}}, Limits{})
	if err != nil || ps[0].Err() != nil {
		t.Fatal(err, ps[0].Err())
	}
	files := map[string]string{}
	for _, f := range ps[0].Files() {
		files[f.Path] = spool.text(t, f)
	}
	if diff := cmp.Diff("{\"_at\":1,\"_node\":\"n1\",\"mount\":\"/\",\"used\":97}\n{\"_at\":2,\"_node\":\"n2\",\"value\":true}\n", files["in/a.ndjson"]); diff != "" {
		t.Error(diff)
	}
	sameRows(t, "a", files["in/a.ndjson"], files["in/a.rows"])
	if diff := cmp.Diff(map[string]abi.Index{
		"a": {Rows: 2, Missing: []abi.Missing{{Source: "disk/full", Reason: "row 3 unexpected end of JSON input"}, {Source: "nodes/n4", Reason: "fuel"}}},
		"b": {Missing: []abi.Missing{{Source: "disk/none", Reason: "no module that ran tells this fact"}}},
		"c": {Rows: 2, Missing: []abi.Missing{{Source: "disk/full", Reason: "row 3 unexpected end of JSON input"}, {Source: "nodes/n4", Reason: "fuel"}}},
	}, ps[0].Index()); diff != "" {
		t.Error(diff)
	}
	for at, want := range map[int64]string{1: `{"path":"nodes/n1/mounts.ndjson","line":4,"value":"v","delta":3}`, 2: `{"path":"nodes/n2/mounts.ndjson","line":1,"value":"{\"value\":true}"}`,
		3: `{"path":"nodes/n1/mounts.ndjson","line":4,"value":"v","delta":3}`, 4: `{"path":"nodes/n2/mounts.ndjson","line":1,"value":"{}"}`} {
		place, ok, err := ps[0].Resolve(at)
		if text, _ := json.Marshal(place); !ok || err != nil || string(text) != want {
			t.Errorf("%d: %s %v %v", at, text, ok, err)
		}
	}
}

// TestNode: a run for one node sees what lies below its folder, and its
// captures, and what is missing there.
func TestNode(t *testing.T) {
	bundle := fstest.MapFS{
		"nodes/n1/0/net/links.ndjson":       {Data: []byte("{\"a\":1}\n")},
		"nodes/n10/0/net/links.ndjson":      {Data: []byte("{\"a\":10}\n")},
		"nodes/n2/0/net/links.ndjson":       {Data: []byte("{\"a\":2}\n")},
		"nodes/n2/0/proc/net/snmp6":         {Data: []byte("Ip6InReceives 2\n")},
		"nodes/n1/0/proc/net/snmp6":         {Data: []byte("Ip6InReceives 1\n")},
		"captures/c/n1__eth0.pcapng":        {Data: []byte("x")},
		"captures/c/n2__eth0.pcapng":        {Data: []byte("x")},
		"captures/c/n1__eth0.pcapng.ndjson": {Data: []byte("{}\n")},
		"collection/results.ndjson":         {Data: []byte("{\"source\":\"node/n2\",\"status\":\"failed\"}\n{\"source\":\"node/n1\",\"path\":\"nodes/n1/0\",\"status\":\"partial\"}\n")},
	}
	p, files := projectNode(t, bundle, "n1", []abi.Input{
		{Name: "links", Table: "nodes/*/0/net/links.ndjson"}, {Name: "counters", Counters: []string{"snmp6.Ip6InReceives"}},
		{Name: "raw", Files: "captures/**"}, {Name: "all", Table: "**/*.ndjson", Form: abi.FormNDJSON},
	})
	want := map[string]string{
		"in/links.ndjson":                   "{\"_at\":1,\"_node\":\"n1\",\"_sample\":0,\"a\":1}\n",
		"in/counters.ndjson":                "{\"_at\":3,\"_node\":\"n1\",\"name\":\"snmp6.Ip6InReceives\",\"t0\":1}\n",
		"bundle/captures/c/n1__eth0.pcapng": "x",
		"in/all.ndjson":                     "{\"_at\":2,\"_node\":\"n1\",\"_sample\":0,\"a\":1}\n",
	}
	for name := range files {
		if name[:3] == "in/" && want[name] == "" {
			delete(files, name)
		}
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]abi.Missing{{Source: "nodes/n1/0", Reason: "partial"}}, p.Index()["links"].Missing); diff != "" {
		t.Error(diff)
	}
	if p.Declared("nodes/n2/0/net/links.ndjson") || !p.Declared("nodes/n1/0/net/links.ndjson") {
		t.Error("what may be cited is not what is seen")
	}
}

func projectNode(t *testing.T, bundle fstest.MapFS, node string, inputs []abi.Input) (*Projection, map[string]string) {
	t.Helper()
	spool := &memSpool{}
	ps, err := Project(context.Background(), bundle, []Request{{Inputs: inputs, Spool: spool, Node: node}}, Limits{})
	if err != nil || ps[0].Err() != nil {
		t.Fatal(err, ps[0].Err())
	}
	files := map[string]string{}
	for _, f := range ps[0].Files() {
		files[f.Path] = spool.text(t, f)
	}
	return ps[0], files
}
