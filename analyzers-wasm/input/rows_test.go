package input

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

// rowsDecoder reads the binary form by the words of sdk/ABI.md alone.
type rowsDecoder struct{ b []byte }

type shapeOf struct {
	Keys []string   `json:"keys"`
	Of   []*shapeOf `json:"of"`
	Elem *shapeOf   `json:"elem"`
}

var errCut = errors.New("cut off")

func (r *rowsDecoder) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		panic(errCut)
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *rowsDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		panic(errCut)
	}
	r.b = r.b[n:]
	return v
}

func (r *rowsDecoder) value(s *shapeOf) any {
	switch tag := r.bytes(1)[0]; tag {
	case 0:
		return nil
	case 1, 2:
		return tag == 2
	case 3:
		u := r.uvarint()
		return number(fmt.Sprint(int64(u>>1) ^ -int64(u&1)))
	case 4:
		return math.Float64frombits(binary.LittleEndian.Uint64(r.bytes(8)))
	case 5:
		return string(r.bytes(r.uvarint()))
	case 6:
		return parsed(r.bytes(r.uvarint()))
	case 7:
		bits := r.bytes(uint64(len(s.Keys)+7) / 8)
		m := map[string]any{}
		for i, k := range s.Keys {
			if bits[i/8]&(1<<(i%8)) != 0 {
				m[k] = r.value(s.Of[i])
			}
		}
		return m
	case 8:
		list := []any{}
		for range r.uvarint() {
			list = append(list, r.value(s.Elem))
		}
		return list
	default:
		panic(fmt.Errorf("tag %d", tag))
	}
}

// number makes texts of the same number the same.
func number(s string) any {
	if !strings.ContainsAny(s, ".eE") && s != "-0" {
		return json.Number(s)
	}
	var f float64
	if json.Unmarshal([]byte(s), &f) != nil {
		return json.Number(s)
	}
	if mantissa, _, _ := strings.Cut(strings.ToLower(s), "e"); f == 0 && strings.ContainsAny(mantissa, "123456789") {
		return json.Number(s) // too near to 0
	}
	return f
}

func parsed(text []byte) any {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		panic(err)
	}
	return numbers(v)
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(string(v))
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// decodeRows reads a whole file.
func decodeRows(text string) (rows []any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	text, ok := strings.CutPrefix(text, "CFROWS1\n")
	if !ok {
		return nil, errors.New("not of this form")
	}
	r := &rowsDecoder{[]byte(text)}
	var s shapeOf
	if err := json.Unmarshal(r.bytes(r.uvarint()), &s); err != nil {
		return nil, err
	}
	for len(r.b) > 0 {
		one := &rowsDecoder{r.bytes(r.uvarint())}
		row := one.value(&s).(map[string]any) //nolint:forcetypeassert // a panic is an error here
		if len(one.b) > 0 {
			return nil, errors.New("bytes behind a row")
		}
		if whole, ok := row[""].(map[string]any); ok {
			delete(row, "")
			for k, v := range whole {
				row[k] = v
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// sameRows holds both forms of an input's rows against each other.
func sameRows(t *testing.T, name, ndjson, binary string) {
	t.Helper()
	got, err := decodeRows(binary)
	if err != nil {
		t.Fatalf("%s.rows: %v", name, err)
	}
	var want []any
	for line := range strings.Lines(ndjson) {
		want = append(want, parsed([]byte(line)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s.rows differs from %s.ndjson: %s", name, name, diff)
	}
}

// TestShownRows: a row that is only there in binary form is shown like one of
// the other form, as far as either goes.
func TestShownRows(t *testing.T) {
	lines := []string{
		`{"a":[{"b":1},{},3,{"b":"x\n"}],"c":[true,null],"d":1.5,"e":-7,"f":{"g":true}}`,
		`{"a":[],"c":"é \"q\"","d":1e400,"f":{"g":12345678901234567890}}`,
		`{"a":[{"b":"` + strings.Repeat("long ", 100) + `"}]}`,
		`{"a":[` + strings.Repeat(`{"b":1},`, 1000) + `{}]}`,
		`{"c":"` + strings.Repeat("é", maxShownRow) + `"}`,
		`{}`,
	}
	for _, fields := range [][]string{{"a[].b", "c", "d", "e", "f.g"}, nil} {
		bundle := fstest.MapFS{resultsPath: {}, "nodes/n/0/t.ndjson": {Data: []byte(strings.Join(lines, "\n"))}}
		shown := map[string][]string{}
		for _, form := range []string{abi.FormNDJSON, abi.FormRows} {
			p, _ := project(t, bundle, []abi.Input{{Name: "t", Table: "nodes/*/*/t.ndjson", Fields: fields, Form: form}}, Limits{})
			for i := range lines {
				place, ok, err := p.Resolve(int64(i + 1))
				if !ok || err != nil || place.Line != i+1 {
					t.Fatal(form, i, place, ok, err)
				}
				shown[form] = append(shown[form], place.Value)
			}
		}
		if diff := cmp.Diff(shown[abi.FormNDJSON], shown[abi.FormRows]); diff != "" {
			t.Errorf("fields %v: %s", fields, diff)
		}
	}
}
