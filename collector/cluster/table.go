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

// attachTable gives each item its row of kubectl's columns. The table has no
// objects in it, so rows are matched by order: query names the very same slice
// of the list, at the same resourceVersion.
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
		Rows    []struct {
			Cells json.RawMessage `json:"cells"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(resp.body, &table); err != nil || table.Kind != "Table" {
		return nil, fmt.Errorf("%w: no table", errTable)
	}
	if len(table.Rows) != len(p.items) {
		return nil, fmt.Errorf("%w: %d rows for %d objects", errTable, len(table.Rows), len(p.items))
	}
	named := len(table.Columns) > 0 && table.Columns[0].Name == "Name"
	for i, row := range table.Rows {
		var cells []json.RawMessage
		var first string
		if json.Unmarshal(row.Cells, &cells) != nil || len(cells) != len(table.Columns) {
			return nil, fmt.Errorf("%w: row %d", errTable, i)
		}
		if named && (json.Unmarshal(cells[0], &first) != nil || first != p.items[i].name) {
			return nil, fmt.Errorf("%w: row %d is %q, object is %q", errTable, i, first, p.items[i].name)
		}
	}
	for i, row := range table.Rows {
		p.items[i].cells = row.Cells
	}
	return table.Columns, nil
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
