package casefile

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"unicode/utf8"
)

// plain is a value as encoding/json has it.
func plain(v Value) any {
	switch v.Kind {
	case Boolean:
		return v.truth
	case Integer:
		return float64(v.whole)
	case Number:
		return v.number
	case String:
		return v.text
	case List:
		list := []any{}
		for _, i := range v.items {
			list = append(list, plain(i))
		}
		return list
	case Object:
		m := map[string]any{}
		for i, k := range v.keys {
			m[k] = plain(v.items[i])
		}
		return m
	}
	return nil
}

// FuzzParse: what encoding/json takes is taken, and means the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00\ud800\n"],"b":{}}`, `[]`, `"\ud800\u0041"`, `9223372036854775808`, ` {"complete": true} `, `[1,]`, `{"a" 1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want any
		got, err := Parse(text)
		if !utf8.Valid(text) || json.Unmarshal(text, &want) != nil || depth(want) >= maxDepth {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := plain(got); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	})
}

func depth(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		for _, i := range v {
			n = max(n, depth(i))
		}
	case map[string]any:
		for _, i := range v {
			n = max(n, depth(i))
		}
	default:
		return 0
	}
	return n + 1
}

// FuzzBinary: no bytes make the reader fall over, and what it takes it prints.
func FuzzBinary(f *testing.F) {
	f.Add(`{"keys":["_at","a","l"],"of":[{},{"keys":["b"],"of":[{}]},{"elem":{}}]}`, []byte("\x07\x07\x03\x02\x07\x01\x05\x01x\x08\x02\x01\x06\x02[]"))
	f.Add(`{"elem":{"elem":{}}}`, []byte("\x08\x01\x08\x01\x04\x00\x00\x00\x00\x00\x00\xf0\x3f"))
	f.Fuzz(func(t *testing.T, schema string, row []byte) {
		v, err := Parse([]byte(schema))
		if err != nil {
			return
		}
		s, err := newShape(v)
		if err != nil {
			return
		}
		r := reader{b: row}
		value := r.binary(s)
		if r.err != nil {
			return
		}
		value.unfold()
		var w writer
		w.value(Value{Kind: List, items: []Value{value}})
		if !json.Valid(w.b) {
			t.Errorf("printed %q", w.b)
		}
		if n := value.Float("a"); math.IsNaN(n) && value.At("a").Kind != Number {
			t.Error("a number of nothing")
		}
	})
}

func TestPlain(t *testing.T) {
	v, err := Parse([]byte(`{"a":[1,"x"],"b":{"c":2.5}}`))
	if err != nil || !reflect.DeepEqual(plain(v), map[string]any{"a": []any{1.0, "x"}, "b": map[string]any{"c": 2.5}}) {
		t.Errorf("%v %v", plain(v), err)
	}
	if v.Float("b.c") != 2.5 || v.Int("a") != 0 || len(v.List("a")) != 2 || v.Text("nothing.here") != "" {
		t.Error("accessors")
	}
}
