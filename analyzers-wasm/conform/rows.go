package conform

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
)

const magic = "CFROWS1\n"

// Tags of values.
const (
	tagNull = iota
	tagFalse
	tagTrue
	tagInt
	tagFloat
	tagText
	tagJSON
	tagObject
	tagArray
)

// cutSchema splits a file of rows into its schema and its rows.
func cutSchema(file []byte) (schema, rows []byte, ok bool) {
	rest, ok := bytes.CutPrefix(file, []byte(magic))
	if !ok {
		return nil, nil, false
	}
	return cutSized(rest)
}

// cutSized splits what begins with its length from what follows.
func cutSized(b []byte) (sized, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

func appendSized(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// rowsWithKey adds to the schema, and to every row, a key that no version
// has; a file that is none of rows stays as it is.
func rowsWithKey(file []byte) []byte {
	schema, rows, ok := cutSchema(file)
	var s struct {
		Keys []string          `json:"keys"`
		Of   []json.RawMessage `json:"of"`
	}
	if !ok || json.Unmarshal(schema, &s) != nil {
		return file
	}
	old := len(s.Keys)
	s.Keys, s.Of = append(s.Keys, unknownKey), append(s.Of, json.RawMessage(`{}`))
	schema, err := json.Marshal(s)
	if err != nil {
		return file
	}
	out := appendSized([]byte(magic), schema)
	for len(rows) > 0 {
		var row []byte
		if row, rows, ok = cutSized(rows); !ok || len(row) < 1+(old+7)/8 || row[0] != tagObject {
			return file
		}
		bits := make([]byte, (old+8)/8)
		copy(bits, row[1:1+(old+7)/8])
		bits[old/8] |= 1 << (old % 8)
		changed := append([]byte{tagObject}, bits...)
		changed = append(changed, row[1+(old+7)/8:]...)
		changed = appendSized(append(changed, tagJSON), []byte(`{"a":["x",1.5,null]}`))
		out = appendSized(out, changed)
	}
	return out
}
