package input

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzFields: a path that is taken can be used for projecting.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"metadata.name", "a[].{b,c.d[]}", `a."b.c"`, `a."\u00e9"`, "a.{b,{c}}", "a[][].b", `"_at"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		want, err := parseFields([]string{path})
		if err != nil {
			return
		}
		s := newShape(want)
		var d document
		if err := d.parse([]byte(`{"a":[{"b":1},[2]],"metadata":{"name":"x"}}`), s); err != nil {
			t.Fatal(err)
		}
		row := append(newPicker(want, s).row([]byte(`{"_at":1`), &d), '}')
		if !json.Valid(row) {
			t.Errorf("%q gives %s", path, row)
		}
	})
}

// FuzzGlob: matching ends, and agrees with itself about what lies above.
func FuzzGlob(f *testing.F) {
	f.Add("nodes/**/1/net/*.ndjson", "nodes/n1/netns/4/1/net/a.ndjson")
	f.Add("a/*b*c?", "a/bbbc")
	f.Add("**/a/**/b/**", "a/b/a/b")
	f.Fuzz(func(t *testing.T, glob, path string) {
		g, err := ParseGlob(glob)
		if err != nil || len(path) > 4096 {
			return
		}
		if g.Match(path) {
			for p := path; p != ""; p = p[:max(strings.LastIndexByte(p, '/'), 0)] {
				if !g.MatchAbove(p) {
					t.Errorf("%s matches %s but nothing below %s", glob, path, p)
				}
			}
		}
	})
}

// FuzzProject holds the projection against encoding/json: the same lines are
// taken, and the same values come out.
func FuzzProject(f *testing.F) {
	for _, s := range []string{
		`{"a":{"b":1,"c":[{"d":"x"},{"d":""},{}]},"e":12345678901234567890}`, `{"a":null,"e":[]}`, `{"a":{"b":-0.0e5}}`, `{"\u0061":{"b":2}}`,
		`{"a":[1,2]}`, "{\"e\":\"\u2028\"}", `{"e":"\ud800"}`, `{"a":{"b":1},"a":{"b":2}}`, `{"e":{"x":[1,{"y":null}]}} `, `{} {}`, `{"e":01}`, `[]`, "{\"e\":\"\xff\"}",
		"{\"e\":\"twelve bytes\x1f\"}", "{\"e\":\"\u00e9\u00e9\u00e9\u00e9\x00\"}", `{"a":{"c":[{"d":0},1,{"d":{}},[]]},"x":{"a":[{"b":"\\"}]}}`, "\v{}", "{\"e\"\x00:1}", "{}\x00",
	} {
		f.Add([]byte(s))
	}
	want, err := parseFields([]string{"a.b", "a.c[].d", "e"})
	if err != nil {
		f.Fatal(err)
	}
	s := newShape(want)
	p := newPicker(want, s)
	f.Fuzz(func(t *testing.T, line []byte) {
		var d document
		err := d.parse(line, s)
		var doc map[string]any
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		valid := validText(line) && json.Valid(line) && dec.Decode(&doc) == nil && doc != nil
		if (err == nil) != valid {
			if bytes.Count(line, []byte("["))+bytes.Count(line, []byte("{")) > maxDepth {
				return // nested deeper than we go
			}
			t.Fatalf("%q: %v, encoding/json says %v", line, err, valid)
		}
		if err != nil {
			return
		}
		row := append(p.row([]byte(`{"_at":1`), &d), '}')
		got := map[string]any{}
		dec = json.NewDecoder(bytes.NewReader(row))
		dec.UseNumber()
		if err := dec.Decode(&got); err != nil || !json.Valid(row) {
			t.Fatalf("%q gives %q: %v", line, row, err)
		}
		delete(got, "_at")
		if want := projected(doc); !reflect.DeepEqual(got, want) {
			t.Errorf("%q gives %v, want %v", line, got, want)
		}
	})
}

// projected keeps a.b, a.c[].d and e of a decoded line, by the words of the
// package comment.
func projected(doc map[string]any) map[string]any {
	row := map[string]any{}
	keep := func(into map[string]any, key string, v any) {
		if !isLeftOut(v) {
			into[key] = v
		}
	}
	keep(row, "e", doc["e"])
	a, ok := doc["a"].(map[string]any)
	if !ok {
		return row
	}
	kept := map[string]any{}
	keep(kept, "b", a["b"])
	if list, ok := a["c"].([]any); ok && len(list) > 0 {
		elems := make([]any, len(list))
		for i, elem := range list {
			if o, ok := elem.(map[string]any); ok {
				d := map[string]any{}
				keep(d, "d", o["d"])
				elems[i] = d
			}
		}
		kept["c"] = elems
	}
	if len(kept) > 0 {
		row["a"] = kept
	}
	return row
}

func isLeftOut(v any) bool {
	switch v := v.(type) {
	case json.Number:
		mantissa, _, _ := strings.Cut(strings.ToLower(v.String()), "e")
		return strings.Trim(mantissa, "-0.") == ""
	case string:
		return v == ""
	case bool:
		return !v
	case []any:
		return len(v) == 0
	}
	return v == nil
}

// FuzzPlain holds the eight bytes at a time against one at a time.
func FuzzPlain(f *testing.F) {
	for n := range 20 {
		for _, c := range []byte{0, 0x1f, 0x20, '!', '"', '#', '[', '\\', ']', 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff} {
			text := append(bytes.Repeat([]byte{0x80}, n), c)
			f.Add(append(text, "!\xff#]\"\\\x1f tail"...))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := 0
		for want < len(text) && text[want] != '"' && text[want] != '\\' && text[want] >= 0x20 {
			want++
		}
		if got := plain(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	})
}

// FuzzKernel: no kernel text breaks the readers.
func FuzzKernel(f *testing.F) {
	f.Add("proc/net/netstat", []byte("TcpExt: a b\nTcpExt: 1 2\n"))
	f.Add("proc/net/stat/nf_conntrack", []byte("entries drop\n0000000a ffffffff\n0000000a 7fffffffffffffff\n"))
	f.Add("proc/net/softnet_stat", []byte("00000001 7fffffffffffffff 3\n1 7fffffffffffffff 2\n"))
	f.Add("proc/net/sockstat", []byte("TCP: inuse 5 orphan\n"))
	f.Add("proc/net/snmp6", []byte("a 1\n"))
	f.Add("proc/sys/net/x", []byte("17\n"))
	f.Fuzz(func(t *testing.T, path string, text []byte) {
		lines := bytes.Count(text, []byte("\n")) + 1
		for key, r := range parseTable(path, text) {
			if r.line < 1 || r.line > lines {
				t.Errorf("%s: line %d of %d", key, r.line, lines)
			}
		}
	})
}
