package conform

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"strings"
)

// rowShape is the schema of a file of rows.
type rowShape struct {
	Keys []string    `json:"keys"`
	Of   []*rowShape `json:"of"`
	Elem *rowShape   `json:"elem"`
}

var errRow = errors.New("a row that is cut off or damaged")

// jsonInRows writes the values of all rows as JSON, which may stand anywhere.
func jsonInRows(files map[string][]byte) map[string][]byte {
	files = maps.Clone(files)
	for path, text := range files {
		if strings.HasPrefix(path, "in/") && strings.HasSuffix(path, ".rows") {
			files[path] = rowsInJSON(text)
		}
	}
	return files
}

// rowsInJSON keeps the outermost object of each row, whose values become JSON;
// a file that is none of rows stays as it is.
func rowsInJSON(file []byte) []byte {
	schema, rows, ok := cutSchema(file)
	var s rowShape
	if !ok || json.Unmarshal(schema, &s) != nil || len(s.Keys) != len(s.Of) {
		return file
	}
	out := appendSized([]byte(magic), schema)
	for len(rows) > 0 {
		var row []byte
		if row, rows, ok = cutSized(rows); !ok || len(row) < 1+(len(s.Keys)+7)/8 || row[0] != tagObject {
			return file
		}
		bits := row[1 : 1+(len(s.Keys)+7)/8]
		d := &rowDecoder{b: row[1+len(bits):]}
		changed := append([]byte{tagObject}, bits...)
		for i, of := range s.Of {
			if bits[i/8]>>(i%8)&1 == 0 {
				continue
			}
			text, err := json.Marshal(d.value(of))
			if err != nil || d.err != nil {
				return file
			}
			changed = appendSized(append(changed, tagJSON), text)
		}
		out = appendSized(out, changed)
	}
	return out
}

// rowDecoder reads values by the words of sdk/ABI.md; the first error stands.
type rowDecoder struct {
	b   []byte
	err error
}

func (d *rowDecoder) fail() any {
	d.b, d.err = nil, errRow
	return nil
}

func (d *rowDecoder) value(s *rowShape) any {
	if len(d.b) == 0 || s == nil {
		return d.fail()
	}
	tag := d.b[0]
	d.b = d.b[1:]
	switch tag {
	case tagNull:
		return nil
	case tagFalse, tagTrue:
		return tag == tagTrue
	case tagInt:
		n, w := binary.Varint(d.b)
		return d.took(n, w)
	case tagFloat:
		if len(d.b) < 8 {
			return d.fail()
		}
		return d.took(math.Float64frombits(binary.LittleEndian.Uint64(d.b)), 8)
	case tagText, tagJSON:
		text, rest, ok := cutSized(d.b)
		if !ok {
			return d.fail()
		}
		if d.b = rest; tag == tagText {
			return string(text)
		}
		return json.RawMessage(text)
	case tagObject:
		return d.object(s)
	case tagArray:
		return d.array(s)
	}
	return d.fail()
}

// took steps over what was read; of no bytes it was not.
func (d *rowDecoder) took(v any, bytes int) any {
	if bytes <= 0 {
		return d.fail()
	}
	d.b = d.b[bytes:]
	return v
}

func (d *rowDecoder) object(s *rowShape) any {
	n := (len(s.Keys) + 7) / 8
	if n > len(d.b) || len(s.Of) != len(s.Keys) {
		return d.fail()
	}
	bits := d.b[:n]
	d.b = d.b[n:]
	object := map[string]any{}
	for i, key := range s.Keys {
		if bits[i/8]>>(i%8)&1 != 0 {
			object[key] = d.value(s.Of[i])
		}
	}
	return object
}

func (d *rowDecoder) array(s *rowShape) any {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || n > uint64(len(d.b)) {
		return d.fail()
	}
	d.b = d.b[w:]
	list := []any{}
	for range n {
		list = append(list, d.value(s.Elem))
	}
	return list
}
