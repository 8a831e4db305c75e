package input

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"cel.dev/cel-go/common/types"

	"github.com/casefile-io/casefile/sdk/abi"
)

const wherePod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","labels":{"app":"web","a/b":"x"},"generation":9007199254740993},` +
	`"spec":{"containers":[{"name":"c","image":"r/web:1","ports":[80,8080]},{"name":"d","image":"r/side:2"}],"ratio":1.5,"big":18446744073709551615,"none":null},` +
	`"status":{"phase":"Running","restarts":3},"text":"a\"\u00e9","type":"Warning","a":{"x":1},"a":{"x":2}}`

// whereRow evaluates an expression over a row as an input would.
func whereRow(expr, row string) (bool, error) {
	w, err := compileWhere(expr)
	if err != nil {
		return false, err
	}
	s := newShape(w.reads)
	var d document
	if err := d.parse([]byte(row), s); err != nil {
		return false, err
	}
	pass, _, err := w.test(&d, s, originNode("n1", 7))
	return pass, err
}

func TestWhere(t *testing.T) {
	for expr, want := range map[string]string{
		`true`: "true",
		`row.status.phase == "Running" && object.status.phase == self.status.phase`: "true",
		`status.phase != "Running"`:                                                                                        "false",
		`status.restarts > 2 && status.restarts < 3.5`:                                                                     "true",
		`metadata.generation == 9007199254740993`:                                                                          "true",
		`metadata.generation == 9007199254740992`:                                                                          "false",
		`spec.big == 18446744073709551615u && spec.ratio == 1.5 && spec.none == null`:                                      "true",
		`"a/b" in metadata.labels && metadata.labels["a/b"] == "x"`:                                                        "true",
		`has(row.metadata.labels.app) && !has(row.metadata.labels.none) && !has(row.none)`:                                 "true",
		`spec.containers.exists(c, c.image.startsWith("r/side"))`:                                                          "true",
		`spec.containers.all(c, has(c.ports))`:                                                                             "false",
		`spec.containers.exists_one(c, has(c.ports)) && spec.containers[0].ports[1] == 8080 && size(spec.containers) == 2`: "true",
		`spec.containers.filter(c, has(c.ports)).map(c, c.name) == ["c"]`:                                                  "true",
		`spec.containers.map(c, c.name).join(",") == "c,d"`:                                                                "true",
		`spec.containers[0].ports == [80, 8080] && 8080 in spec.containers[0].ports`:                                       "true",
		`metadata.labels == {"app": "web", "a/b": "x"}`:                                                                    "true",
		`metadata.labels.exists(k, k == "app") && size(metadata.labels) == 2`:                                              "true",
		`text == "a\"é" && text.size() == 3`:                                                                               "true",
		`text.matches("^a.é$") && text.upperAscii().contains("A")`:                                                         "true",
		`row.?status.?none.orValue("x") == "x" && row.?status.?restarts.orValue(0) == 3`:                                   "true",
		`row.a.x == 2 && row["a"]["x"] == 2`:                                                                               "true",
		`row.type == "Warning"`:                                                                                            "true",
		`matches(text, "[0-9]") || "aaa".replace("a", "b", 2) == "bba" && "aXa".replace("X", "") == "aa"`:                  "true",
		`"a,b,c".split(",").size() == 3 && "a,b,c".split(",", 2) == ["a", "b,c"] && ["a", "b"].join() == "ab"`:             "true",
		`_node == "n1" && row._netns == 7 && !has(row._sample)`:                                                            "true",
		`type(spec.containers) == list && type(row) == map && type(status.restarts) == int`:                                "true",
		`size(row) == 8 && dyn(row).kind == "Pod"`:                                                                         "true",
		`int(status.restarts) == 3 && string(status.restarts) == "3"`:                                                      "true",
		`["web-1", "web-2"].exists(name, name == row.metadata.name)`:                                                       "true",
		`spec.containers.exists(kind, kind.name == "c") && kind == "Pod"`:                                                  "true",

		// What fails, and where.
		`text.matches(type)`:             "where at 1:14: what matches looks for must be a text in quotes",
		`text.matches("a(?=b)")`:         "where at 1:14: match: ",
		`text.matches("(a{30}){90}")`:    "invalid repeat count",
		`"%d".format([1]) == "1"`:        "where at 1:1: format is not offered here",
		`[1].join() == "1"`:              "found no matching overload",
		`status.phase.matches(1)`:        "must be a text",
		`status.none == 1`:               "no such key: none",
		`nothing == 1`:                   "nothing",
		`status.phase`:                   "no bool",
		`status.phase > 1`:               "no such overload",
		`spec.containers[7].name == "x"`: "out of bounds",
		`spec.containers[0.5] == 1`:      "index",
		`row.status.phase = "x"`:         "where at 1:18: ",
		"true &&\n  nope(1)":             "where at 2:7: undeclared reference to 'nope'",
		`type == "Warning"`:              "true",
		`1 + 1`:                          "where gives int, want bool",
		`row.exists(a, row.exists(b, row.exists(c, row.exists(d, a == b))))`: "nest fewer",
		strings.Repeat("!", 3000) + "true":                                   "more than 2048 bytes",
		strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500):         "where at",
	} {
		pass, err := whereRow(expr, wherePod)
		if got := fmt.Sprint(pass); err != nil && (!strings.Contains(err.Error(), want)) || err == nil && got != want {
			t.Errorf("%s: %v %v, want %s", expr, pass, err, want)
		}
	}
}

// TestWhereCost: a row that is made to be expensive fails by itself.
func TestWhereCost(t *testing.T) {
	row := `{"a":[` + strings.Repeat(`"x",`, 20000) + `"y"]}`
	_, err := whereRow(`a.exists(x, a.exists(y, x != y && x == "z"))`, row)
	if err == nil || !strings.Contains(err.Error(), "cost limit exceeded") {
		t.Error(err)
	}
}

// TestWhereGrows: nor does a single call take, or make, what it likes.
func TestWhereGrows(t *testing.T) {
	row := `{"a":[` + strings.Repeat(`"x",`, 20000) + `"y"],"b":"` + strings.Repeat("z", 1<<20) + `"}`
	for expr, want := range map[string]string{
		`row.b.replace("z", row.b) == ""`:                   "too large",
		`row.b.replace("", row.b, 3) == ""`:                 "too large",
		`row.b.split("").size() == 1`:                       "too large",
		`row.a.map(x, row.b).join() == ""`:                  "too large",
		`row.a.map(x, "x").join(row.b) == ""`:               "too large",
		`row.b.matches("(z{1,40}){1,25}y")`:                 "too large",
		`row.a.exists(x, row.b == x)`:                       "too large",
		`row.b` + strings.Repeat(` + row.b`, 30) + ` == ""`: "cost limit exceeded",
	} {
		if _, err := whereRow(expr, row); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", expr, err, want)
		}
	}
}

// TestWhereCounts: what a match and a sum of texts took is counted.
func TestWhereCounts(t *testing.T) {
	const size = 10_000
	for expr, least := range map[string]uint64{`row.b.matches("z{1,30}y")`: 30 * size / stepsOfMatch, `row.b + row.b == ""`: 2 * size / 16} {
		w, err := compileWhere(expr)
		if err != nil {
			t.Fatal(err)
		}
		s, d := newShape(w.reads), document{}
		if err := d.parse([]byte(`{"b":"`+strings.Repeat("z", size)+`"}`), s); err != nil {
			t.Fatal(err)
		}
		if pass, cost, err := w.test(&d, s, origin{}); pass || err != nil || cost < least {
			t.Errorf("%s: %v %v, %d steps, want %d", expr, pass, err, cost, least)
		}
	}
}

// TestWhereScan: neither is a row looked through without end.
func TestWhereScan(t *testing.T) {
	row := `{"a":[` + strings.Repeat(`"x",`, 20000) + `"y"],"b":"` + strings.Repeat("z", 1<<20) + `"}`
	for _, expr := range []string{`a.exists(x, row[x + x] == "z")`, `a.exists(x, row.exists(k, k == x))`} {
		if _, err := whereRow(expr, row); err == nil || !strings.Contains(err.Error(), "too large for") && !strings.Contains(err.Error(), "no such key") {
			t.Error(expr, err)
		}
	}
}

func TestWhereOfInput(t *testing.T) {
	bundle := fstest.MapFS{
		"t/a.ndjson": {Data: []byte("{\"a\":1,\"b\":{\"c\":\"x\"}}\n{\"a\":2}\n{\"b\":1}\n{\"a\":\"t\"}\n{\"a\":3}\n")},
		resultsPath:  {},
	}
	p, files := project(t, bundle, []abi.Input{
		{Name: "some", Table: "t/a.ndjson", Where: "a >= 2", Fields: []string{"b"}},
		{Name: "all", Table: "t/a.ndjson", Fields: []string{"a"}},
		{Name: "rows", Table: "t/a.ndjson", Where: "!has(row.b)", Form: abi.FormRows},
	}, Limits{})
	if got := files["in/some.ndjson"]; got != "{\"_at\":1}\n{\"_at\":2}\n" {
		t.Error(got)
	}
	sameRows(t, "some", files["in/some.ndjson"], files["in/some.rows"])
	text, _ := json.Marshal(p.Index()["some"])
	if want := `{"complete":false,"rows":2,"files":["t/a.ndjson"],"missing":[{"source":"t/a.ndjson","reason":"where failed for 2 rows, which were left out; the first: t/a.ndjson line 3: no such attribute(s): a"}]}`; string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	for at, line := range map[int64]int{1: 2, 2: 5, 3: 1, 8: 2, 9: 4, 10: 5} {
		if place, ok, err := p.Resolve(at); !ok || err != nil || place.Line != line {
			t.Errorf("row %d: %+v %v %v, want line %d", at, place, ok, err, line)
		}
	}
	p, _ = project(t, bundle, []abi.Input{{Name: "some", Table: "t/a.ndjson", Where: "a >= 2"}}, Limits{Steps: 1})
	if x := p.Index()["some"]; x.Rows != 0 || x.Complete || !strings.Contains(x.Missing[0].Reason, "more than 1 steps") {
		t.Errorf("%+v", x)
	}
}

// FuzzWhereValue holds the lazy values against CEL's own of the decoded row.
func FuzzWhereValue(f *testing.F) {
	f.Add([]byte(wherePod))
	f.Add([]byte(`{"a":[1,-0,1e3,0.5,"\ud800",[],{}],"b":{"":null}}`))
	f.Add([]byte(`{"a":1e999}`))
	f.Fuzz(func(t *testing.T, row []byte) {
		var d document
		s := newShape(&fields{keys: []string{"a"}, subs: []*fields{{keys: []string{"x"}, subs: []*fields{{}}}}})
		if d.parse(row, s) != nil {
			return
		}
		var native map[string]any
		if err := json.Unmarshal(row, &native); errors.As(err, new(*json.UnmarshalTypeError)) {
			return // a number beyond its floats
		} else if err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		left := maxRowScan
		lazy := object{value: jsonValue{d: &d, shape: s, at: d.root, left: &left}}
		own := types.NewDynamicMap(types.DefaultTypeAdapter, native)
		if lazy.Size().Equal(own.Size()) != types.True {
			t.Fatalf("%q: %v members, want %v", row, lazy.Size(), own.Size())
		}
		for k, v := range native {
			got, ok := lazy.find(k)
			if want := types.DefaultTypeAdapter.NativeToValue(v); !ok || got.Equal(want) != types.True {
				t.Errorf("%q: %s is %v, want %v", row, k, got, want)
			}
		}
	})
}
