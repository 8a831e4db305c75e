package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

func nodeBundle(links map[string][]string) fstest.MapFS {
	b := testBundle()
	delete(b, "nodes/n1/node.json")
	delete(b, "nodes/n1/0/proc/net/netstat")
	delete(b, "nodes/n1/1/proc/net/netstat")
	results := ""
	for node, names := range links {
		text := ""
		for _, name := range names {
			text += fmt.Sprintf(`{"name":%q}`+"\n", name)
		}
		path := "nodes/" + node + "/0/net/links.ndjson"
		b[path] = &fstest.MapFile{Data: []byte(text)}
		results += fmt.Sprintf(`{"source":"node/%s","path":%q,"status":"ok"}`+"\n", node, path)
	}
	b["collection/results.ndjson"] = &fstest.MapFile{Data: []byte(results)}
	return b
}

// TestScopeNode: a module of scope node runs on each node over what is that
// node's, its results are one, and what it tells reaches a module of scope
// cluster, which cites the nodes' own evidence.
func TestScopeNode(t *testing.T) {
	node, err := build("scoped", "wasip1", "wasm", "-X main.scope=node")
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := build("scoped", "wasip1", "wasm")
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(t)
	o.CacheDir, o.Jobs = privateDir(t), 3
	o.Bundle = nodeBundle(map[string][]string{"n1": {"eth0"}, "n2": {"eth0", "broken"}, "n3": {"a", "b", "c"}})
	modules := []Module{{Name: "c", Wasm: cluster}, {Name: "n", Wasm: node}, clears("beside")}
	var texts [2][]byte
	for i := range texts {
		runs := Run(context.Background(), modules, o)
		for j := range runs {
			runs[j].Result.Millis = 0
		}
		if texts[i], err = json.Marshal(runs); err != nil {
			t.Fatal(err)
		}
		checkScoped(t, runs)
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Errorf("two runs differ:\n%s\n%s", texts[0], texts[1])
	}
	o.Bundle = nodeBundle(nil)
	runs := Run(context.Background(), modules, o)
	if r := runs[1]; r.Result.Status != abi.ModuleOK || len(r.Outcomes) != 2 || r.Outcomes[0].Outcome != abi.OutcomeUnknown || !strings.Contains(r.Outcomes[0].Reason, "--nodes auto") {
		t.Errorf("without nodes: %+v", r)
	}
	if r := runs[0]; len(r.Findings) != 1 || !strings.Contains(fmt.Sprint(r.Findings[0].Params["index"]), "--nodes auto") {
		t.Errorf("facts without nodes: %+v", r)
	}
}

func checkScoped(t *testing.T, runs []abi.ModuleRun) {
	t.Helper()
	n := runs[1]
	if n.Result.Status != abi.ModuleFailed || n.Result.Reason != "on 1 of 3 nodes (n3): exit code 1" || n.Result.Log != "node n3:\ntoo many links\n" || n.Result.Fuel == 0 {
		t.Errorf("%+v", n.Result)
	}
	if len(n.Findings) != 1 || n.Findings[0].Places[0].Path != "nodes/n2/0/net/links.ndjson" || n.Findings[0].Places[0].Line != 2 {
		t.Errorf("%+v", n.Findings)
	}
	if diff := cmp.Diff([]abi.RuleResult{
		{Rule: "node/links", Outcome: abi.OutcomeFound, Reason: "unknown on 1 of 3 nodes (n3): module node: failed: exit code 1"},
		{Rule: "node/other", Outcome: abi.OutcomeUnknown, Reason: "unknown on 2 of 3 nodes (n1, n3): no idea", Missing: []string{"in"}},
	}, n.Outcomes); diff != "" {
		t.Error(diff)
	}
	c := runs[0]
	if c.Result.Status != abi.ModuleOK || len(c.Findings) != 1 {
		t.Fatalf("%+v", c)
	}
	f := c.Findings[0]
	if diff := cmp.Diff(map[string]any{"n1": int64(1), "n2": int64(2), "n3": int64(3)}, map[string]any{"n1": f.Params["n1"], "n2": f.Params["n2"], "n3": f.Params["n3"]}); diff != "" {
		t.Error(diff)
	}
	var paths []string
	for _, p := range f.Places {
		paths = append(paths, fmt.Sprintf("%s:%d", p.Path, p.Line))
	}
	if got := strings.Join(paths, " "); got != "nodes/n1/0/net/links.ndjson:1 nodes/n2/0/net/links.ndjson:2 nodes/n3/0/net/links.ndjson:3" {
		t.Errorf("cited: %s", got)
	}
	var index abi.Index
	if err := json.Unmarshal([]byte(f.Params["index"].(string)), &index); err != nil || index.Complete || index.Rows != 3 || len(index.Missing) != 1 ||
		index.Missing[0].Source != "nodes/n3" || !strings.Contains(index.Missing[0].Reason, "module node: failed: exit code 1") {
		t.Errorf("%+v %v", index, err)
	}
	if !strings.Contains(f.Params["none"].(string), "no module that ran tells this fact") {
		t.Errorf("%s", f.Params["none"])
	}
	if r := runs[2]; r.Result.Status != abi.ModuleOK {
		t.Errorf("the module beside: %+v", r)
	}
}

// TestFacts: facts are held against the declaration like findings.
func TestFacts(t *testing.T) {
	node := func(d *abi.Declaration) { d.Scope, d.Facts = abi.ScopeNode, []abi.FactDecl{{Fact: "a/b"}} }
	o := testOptions(t)
	var modules []Module
	want := map[string]string{}
	for name, c := range map[string][2]string{
		"undeclared": {`{"fact":"x/y","value":1}`, `fact "x/y" is not declared`}, "no-value": {`{"fact":"a/b"}`, "has no value"}, "null": {`{"fact":"a/b","value":null}`, "has no value"},
		"big":   {`{"fact":"a/b","value":"` + strings.Repeat("x", maxFactValue) + `"}`, "a value of"},
		"wrong": {`{"fact":1,"value":1}`, "line 1"}, "row": {`{"fact":"a/b","value":1,"evidence":[{"at":9}]}`, "no row has that number"},
		"path": {`{"fact":"a/b","value":1,"evidence":[{"path":"nodes/n2/x"}]}`, "in no input"},
		"many": {strings.Repeat(`{"fact":"a/b","value":1}`+"\n", maxFacts/5+1), "more than 10000 facts"},
	} {
		s := spec{declare: declares(name, node), print: c[0] + "\n", pages: 16}
		if name == "many" {
			s.analyze = repeat(fdWriteCode(1, iovPrint), 4)
		}
		want[name] = c[1]
		modules = append(modules, Module{Name: name, Wasm: s.bytes()})
	}
	for _, m := range modules { // one by one: the fact is one module's alone
		r := Run(context.Background(), []Module{m}, o)[0]
		if r.Result.Status != abi.ModuleFailed || !strings.Contains(r.Result.Reason, want[m.Name]) {
			t.Errorf("%s: %s: %s; want …%s…", m.Name, r.Result.Status, r.Result.Reason, want[m.Name])
		}
	}
	two := Run(context.Background(), []Module{{Name: "1", Wasm: spec{declare: declares("one", node)}.bytes()}, {Name: "2", Wasm: spec{declare: declares("two", node)}.bytes()}}, o)
	if r := two[1].Result; r.Status != abi.ModuleRefused || !strings.Contains(r.Reason, "fact a/b is declared by module one already") {
		t.Errorf("%+v", r)
	}
}
