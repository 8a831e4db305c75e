package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
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
// taken, and the same values come out, in both forms.
func FuzzProject(f *testing.F) {
	for _, s := range []string{
		`{"a":{"b":1,"c":[{"d":"x"},{"d":""},{}]},"e":12345678901234567890}`, `{"a":null,"e":[]}`, `{"a":{"b":-0.0e5}}`, `{"\u0061":{"b":2}}`,
		`{"a":[1,2]}`, "{\"e\":\"\u2028\"}", `{"e":"\ud800"}`, `{"a":{"b":1},"a":{"b":2}}`, `{"e":{"x":[1,{"y":null}]}} `, `{} {}`, `{"e":01}`, `[]`, "{\"e\":\"\xff\"}",
		`{"a":{"c":[[],{"d":[0]},null,{"d":{"x":1}},3]},"other":[{"deep":[true,false,null,-1.5e+3]}]}`, `{"e":"eight by\"es \\ then more of them"}`,
		"{\"e\":\"twelve bytes\x1f\"}", "{\"e\":\"\u00e9\u00e9\u00e9\u00e9\x00\"}", `{"a":{"c":[{"d":0},1,{"d":{}},[]]},"x":{"a":[{"b":"\\"}]}}`, "\v{}", "{\"e\"\x00:1}", "{}\x00", `{"e":"0"}`,
		`{"f":[[1,0],[],{"x":2}],"a":{"c":{"d":1}}}`, "{\"e\":\"\x1f\"}", "{\"12345678\x7f\":1}", `{"e":1e999,"a":{"b":-9223372036854775808}}`, `{"e":1e-999,"a":{"b":0.` + strings.Repeat("0", 330) + `1}}`, strings.Repeat(`{"e":`, 300) + strings.Repeat("}", 300),
	} {
		f.Add([]byte(s))
	}
	want, err := parseFields([]string{"a.b", "a.c[].d", "e", "f[][]"})
	if err != nil {
		f.Fatal(err)
	}
	s := newShape(want)
	p := newPicker(want, s)
	f.Fuzz(func(t *testing.T, line []byte) {
		var d document
		err := d.parse(line, s)
		var doc map[string]any
		valid := utf8.Valid(line) && json.Valid(line)
		if valid {
			doc, valid = parsed(line).(map[string]any)
		}
		switch {
		case (err == nil) != valid && !errors.Is(err, errDeep):
			t.Fatalf("%q: %v, encoding/json says %v", line, err, valid)
		case errors.Is(err, errDeep) && bytes.Count(line, []byte("["))+bytes.Count(line, []byte("{")) <= maxDepth:
			t.Fatalf("%q: %v", line, err)
		case err != nil:
			return
		}
		row := append(p.row(rowHead(nil, 1, origin{}), &d), '}')
		wanted, _ := kept(want, doc)
		wanted.(map[string]any)["_at"] = json.Number("1") //nolint:forcetypeassert // a row is an object
		if diff := cmp.Diff(wanted, parsed(row)); diff != "" {
			t.Fatalf("%q gives %q: %s", line, row, diff)
		}
		e := newEncoder(want)
		sameRows(t, "x", string(row), string(e.row(e.header(), p, &d, 1, origin{})))
	})
}

// kept is what a row keeps of a value, by the words of sdk/ABI.md.
func kept(f *fields, v any) (any, bool) {
	if f.whole {
		return v, !zero(v)
	}
	switch v := v.(type) {
	case map[string]any:
		row := map[string]any{}
		for i, k := range f.keys {
			if sub, ok := kept(f.subs[i], v[k]); ok {
				row[k] = sub
			}
		}
		return row, len(row) > 0
	case []any:
		if f.elem == nil || len(v) == 0 {
			return nil, false
		}
		list := make([]any, len(v))
		for i, e := range v {
			sub, ok := kept(f.elem, e)
			if _, object := e.(map[string]any); object && !ok && !f.elem.whole {
				sub = map[string]any{}
			}
			list[i] = sub
		}
		return list, true
	}
	return nil, false
}

// zero says whether a value is as good as absent.
func zero(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case map[string]any:
		return false
	}
	return v == nil || v == false || v == "" || v == json.Number("0") || v == 0.0
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

// FuzzLines: of every line of a table comes a row, or a word on why not.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{\"a\":1}\n\r\n{\"a\":\n{}\r\n[1]\n{\"a\":2}"))
	f.Add([]byte(strings.Repeat(" ", 100) + "\n{\"a\":\"" + strings.Repeat("x", 100) + "\"}\n\n{}"))
	in := []abi.Input{{Name: "t", Table: "t/a.ndjson", Form: abi.FormNDJSON, Fields: []string{"a"}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		rows, bad := 0, 0
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			var d document
			switch {
			case len(line) <= 64 && isBlank(line):
			case len(line) <= 64 && d.parse(line, newShape(&fields{})) == nil:
				rows++
			default:
				bad++
			}
		}
		p, files := project(t, fstest.MapFS{resultsPath: {}, "t/a.ndjson": {Data: text}}, in, Limits{Line: 64})
		x := p.Index()["t"]
		if x.Rows != rows || strings.Count(files["in/t.ndjson"], "\n") != rows || x.Complete != (bad == 0) {
			t.Errorf("%q: %+v, want %d rows, %d damaged", text, x, rows, bad)
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
