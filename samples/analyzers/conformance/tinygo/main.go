// Command tinygo is the reference module without reflection, see ../go.
package main

import (
	_ "embed"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/sdk/tinygo/casefile"
)

//go:embed declaration.json
var declaration string

func main() {
	casefile.Main(declaration, casefile.Rule{ID: "conformance/echo", Needs: []string{"rows"}, Run: echo})
}

func echo(run *casefile.Run) error {
	rows := run.Rows("rows")
	for rows.Next() {
		r := rows.Row()
		var numbers []string
		for _, l := range r.List("l") {
			numbers = append(numbers, strconv.FormatInt(l.Int("n"), 10))
		}
		name := r.Text("s")
		if name == "" {
			name = "-"
		}
		run.Find(casefile.Finding{
			Subject: casefile.Subject{Kind: "Row", Name: name, Node: r.Text("_node")},
			Params: []casefile.Param{
				{Key: "i", Value: casefile.Int(r.Int("i"))},
				{Key: "f", Value: casefile.Float(r.Float("f"))},
				{Key: "b", Value: casefile.Bool(r.Bool("b"))},
				{Key: "a", Value: casefile.Text(r.Text("o.a"))},
				{Key: "n", Value: casefile.Text(strings.Join(numbers, ","))},
			},
			Evidence: []casefile.Evidence{casefile.At(r.Int("_at"))},
		})
		if err := run.Tell("conformance/row", []casefile.Param{{Key: "i", Value: casefile.Int(r.Int("i"))}}, casefile.At(r.Int("_at"))); err != nil {
			return err
		}
	}
	return rows.Err()
}
