package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

// column is a column definition less its long description.
type column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Format   string `json:"format"`
	Priority int32  `json:"priority"`
}

var errTable = errors.New("the table does not fit its list")

// row is a row of a table that has no objects in it.
type row struct {
	Cells json.RawMessage `json:"cells"`
}

// attachTable gives each item its row of kubectl's columns. query names the
// very same slice of the list, at the same resourceVersion.
func (c *Cluster) attachTable(ctx context.Context, path string, query url.Values, p *page) ([]column, error) {
	query.Set("includeObject", "None")
	resp, err := c.client.get(ctx, path, query, acceptTable, maxTableBytes)
	if err != nil {
		return nil, err
	}
	var table struct {
		Kind     string `json:"kind"`
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Columns []column `json:"columnDefinitions"`
		Rows    []row    `json:"rows"`
	}
	if err := json.Unmarshal(resp.body, &table); err != nil || table.Kind != "Table" {
		return nil, fmt.Errorf("%w: no table", errTable)
	}
	named := len(table.Columns) > 0 && table.Columns[0].Name == "Name"
	if err := match(p.items, table.Rows, named); err != nil {
		return nil, err
	}
	return table.Columns, nil
}

// match pairs rows with items: by order, as lists come, or by name where a
// printer sorts its rows and the names of the page are unique.
func match(items []item, rows []row, named bool) error {
	if len(rows) != len(items) {
		return fmt.Errorf("%w: %d rows for %d objects", errTable, len(rows), len(items))
	}
	byName := make(map[string]json.RawMessage, len(rows))
	inOrder := true
	for i, r := range rows {
		var cells []json.RawMessage
		if json.Unmarshal(r.Cells, &cells) != nil || len(cells) == 0 {
			return fmt.Errorf("%w: row %d has no cells", errTable, i)
		}
		var name string
		if named && json.Unmarshal(cells[0], &name) != nil {
			return fmt.Errorf("%w: row %d has no name", errTable, i)
		}
		inOrder = inOrder && (!named || name == items[i].name)
		byName[name] = r.Cells
	}
	if !inOrder && len(byName) != len(items) {
		return fmt.Errorf("%w: the rows are in another order", errTable)
	}
	for i := range items {
		cells := rows[i].Cells
		if !inOrder {
			cells = byName[items[i].name]
		}
		if cells == nil {
			return fmt.Errorf("%w: no row for %q", errTable, items[i].name)
		}
		items[i].cells = cells
	}
	return nil
}

func tableHeader(columns []column) []byte {
	b, _ := json.Marshal(map[string][]column{"columnDefinitions": columns}) // strings and numbers always marshal
	return append(b, '\n')
}

// tableLine appends {"name":…,"cells":[…]}.
func (it item) tableLine(dst []byte) ([]byte, error) {
	var buf bytes.Buffer
	name, err := json.Marshal(it.name)
	if err != nil {
		return dst, err
	}
	buf.WriteString(`{"name":`)
	buf.Write(name)
	buf.WriteString(`,"cells":`)
	if err := json.Compact(&buf, it.cells); err != nil {
		return dst, err
	}
	buf.WriteString("}\n")
	return appendReadable(dst, buf.Bytes()), nil
}
