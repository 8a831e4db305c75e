package conform

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestRowsInJSON: the rows of the vectors say the same when their values are
// JSON.
func TestRowsInJSON(t *testing.T) {
	var cases []struct{ Name, NDJSON, Rows string }
	vectors(t, "rows.json", &cases)
	for _, c := range cases {
		file, err := hex.DecodeString(c.Rows)
		if err != nil {
			t.Fatal(err)
		}
		schema, rows, _ := cutSchema(rowsInJSON(file))
		var s rowShape
		if err := json.Unmarshal(schema, &s); err != nil {
			t.Fatal(c.Name, err)
		}
		lines := strings.Split(strings.TrimSuffix(c.NDJSON, "\n"), "\n")
		for _, line := range lines {
			var row []byte
			row, rows, _ = cutSized(rows)
			d := &rowDecoder{b: row}
			object, _ := d.value(&s).(map[string]any)
			for key, v := range object {
				if _, ok := v.(json.RawMessage); !ok {
					t.Errorf("%s: %s is no JSON", c.Name, key)
				}
			}
			if whole, ok := object[""].(json.RawMessage); ok {
				delete(object, "")
				if err := json.Unmarshal(whole, &object); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := settled(t, object), settled(t, json.RawMessage(line)); d.err != nil || len(d.b) > 0 || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, want %v; %v", c.Name, got, want, d.err)
			}
		}
		if len(rows) > 0 {
			t.Errorf("%s: %d bytes more", c.Name, len(rows))
		}
	}
}

// settled is a value as JSON has it.
func settled(t *testing.T, v any) (plain any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &plain)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
