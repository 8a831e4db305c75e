// Command scoped is two modules of the sandbox's tests: built with the scope
// node it looks at one node, else at what those told.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/casefile-io/casefile/sdk/abi"
)

// scope is set by the build.
var scope = abi.ScopeCluster

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	text := map[string]abi.Text{"en": {Title: "t", Message: "m"}}
	out := json.NewEncoder(os.Stdout)
	if os.Args[1] == abi.VerbDescribe {
		d := abi.Declaration{ABI: [2]int{1, 1}, Name: scope, Version: "1", Scope: scope,
			Rules:  []abi.Rule{{ID: scope + "/links", Severity: abi.SeverityLow, Layer: abi.LayerNode, Text: text}, {ID: scope + "/other", Severity: abi.SeverityLow, Layer: abi.LayerNode, Text: text}},
			Inputs: []abi.Input{{Name: "in", FactRows: "links/count"}, {Name: "none", FactRows: "no/such"}}}
		if scope == abi.ScopeNode {
			d.Inputs = []abi.Input{{Name: "in", Table: "nodes/*/0/net/links.ndjson"}}
			d.Facts = []abi.FactDecl{{Fact: "links/count"}}
		}
		return out.Encode(d)
	}
	file, err := os.Open("/in/in.ndjson")
	if err != nil {
		return err
	}
	defer file.Close()
	var rows []map[string]any
	for s := bufio.NewScanner(file); s.Scan(); {
		var row map[string]any
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if scope == abi.ScopeNode {
		return node(out, rows)
	}
	return cluster(out, rows)
}

// node tells how many links there are, finds the broken one, traps on n3 and
// knows nothing of the other rule on n1.
func node(out *json.Encoder, rows []map[string]any) error {
	other := abi.Outcome{Rule: "node/other", Outcome: abi.OutcomeClear}
	fact := abi.Fact{Fact: "links/count", Value: map[string]any{"count": len(rows)}}
	outcome := abi.Outcome{Rule: "node/links", Outcome: abi.OutcomeClear}
	for _, row := range rows {
		at := []abi.Evidence{{At: int64(row["_at"].(float64))}}
		fact.Evidence = at
		switch node := row["_node"].(string); {
		case row["name"] == "broken":
			outcome.Outcome = abi.OutcomeFound
			if err := out.Encode(abi.Finding{Rule: "node/links", Subject: abi.Subject{Kind: "Node", Name: node}, Evidence: at}); err != nil {
				return err
			}
		case node == "n1":
			other = abi.Outcome{Rule: "node/other", Outcome: abi.OutcomeUnknown, Reason: "no idea", Missing: []string{"in"}}
		}
	}
	if err := out.Encode(fact); err != nil {
		return err
	}
	if len(rows) == 3 {
		return fmt.Errorf("too many links")
	}
	if err := out.Encode(outcome); err != nil {
		return err
	}
	return out.Encode(other)
}

// cluster shows what it sees of the facts, and cites them.
func cluster(out *json.Encoder, rows []map[string]any) error {
	index, err := os.ReadFile("/in/in.index")
	if err != nil {
		return err
	}
	none, err := os.ReadFile("/in/none.index")
	if err != nil {
		return err
	}
	f := abi.Finding{Rule: "cluster/links", Subject: abi.Subject{Kind: "Cluster", Name: "c"}, Params: map[string]any{"index": string(index), "none": string(none)}}
	for _, row := range rows {
		f.Evidence = append(f.Evidence, abi.Evidence{At: int64(row["_at"].(float64))})
		f.Params[row["_node"].(string)] = row["count"]
	}
	return out.Encode(f)
}
