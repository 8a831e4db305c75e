package input

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// factRows makes the rows of facts inputs of what the host was told.
func (r *run) factRows() error {
	for _, o := range r.facts {
		told, ok := o.p.told[o.in.FactRows]
		if !ok {
			o.lacks(o.in.FactRows, "no module that ran tells this fact")
		}
		f := r.feed([]*output{o}, nil)
		for i, row := range told.Rows {
			place := row.Place
			if place.Value == "" && place.Path == "" {
				place.Path = o.in.FactRows // told without evidence
			}
			text := bytes.TrimSpace(row.Value)
			if len(text) == 0 || text[0] != '{' {
				text = append(append([]byte(`{"value":`), text...), '}')
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, text); err != nil {
				o.lacks(o.in.FactRows, "row "+strconv.Itoa(i+1)+" "+err.Error())
				continue
			}
			f.row(made{compact.Bytes(), originNode(row.Node, 0), place})
		}
		f.end()
		for _, m := range told.Missing {
			o.lacks(m.Source, m.Reason)
		}
	}
	return r.ctx.Err()
}
