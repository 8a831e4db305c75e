// Command conformance is the reference module of ABI casefile/1. It repeats
// what it reads, so that the vectors in sdk/vectors/modules.json can say what
// a module prints for given inputs. Beside it stands the same in the other
// languages: their libraries are right if they print the same.
//
// Its rule finds every row of its input: the subject is the row's text s, the
// params are its other fields, zero where one is absent. Of each row it tells
// the field i as a fact.
package main

import (
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/sdk"
)

type row struct {
	sdk.Place
	S string  `json:"s"`
	I int64   `json:"i"`
	F float64 `json:"f"`
	B bool    `json:"b"`
	O struct {
		A string `json:"a"`
	} `json:"o"`
	L []struct {
		N int `json:"n"`
	} `json:"l"`
}

func analyzer() sdk.Analyzer {
	rows := sdk.Table[row]("rows", "nodes/*/conformance.ndjson")
	return sdk.Analyzer{Name: "conformance", Version: "1.0.0", Doc: "Repeats what it reads.", Scope: sdk.ScopeNode, Facts: []sdk.FactDecl{{Fact: "conformance/row"}}, Rules: []sdk.Rule{{
		ID: "conformance/echo", Severity: sdk.Info, Layer: sdk.LayerNode,
		Text: map[string]sdk.Text{
			"en": {Title: "A row", Message: "i {i}, f {f}, b {b}, a {a}, n {n}", Remediation: []string{"Nothing: it is a row."}, Doc: "Finds every row."},
			"zh": {Title: "一行", Message: "i {i}, f {f}, b {b}, a {a}, n {n}", Remediation: []string{"无需处理。"}, Doc: "报告每一行。"},
		},
		Inputs: []sdk.Source{rows},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			for r, at := range rows.Rows(in) {
				var n []string
				for _, l := range r.L {
					n = append(n, strconv.Itoa(l.N))
				}
				name := r.S
				if name == "" {
					name = "-"
				}
				out.Find(sdk.Finding{
					Subject:  sdk.Subject{Kind: "Row", Name: name, Node: r.Node},
					Params:   map[string]any{"i": r.I, "f": r.F, "b": r.B, "a": r.O.A, "n": strings.Join(n, ",")},
					Evidence: []sdk.Evidence{sdk.At(at)},
				})
				out.Tell("conformance/row", map[string]any{"i": r.I}, sdk.At(at))
			}
			return nil
		},
	}}}
}

func main() { sdk.Main(analyzer()) }
