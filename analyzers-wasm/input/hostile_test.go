package input

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// TestHostileLines: a line that cannot be a row is told of, with its number,
// and costs itself alone; one that is only strange is a row.
func TestHostileLines(t *testing.T) {
	const huge = "123456789012345678901234567890.5e+400"
	for name, tt := range map[string]struct{ line, row, reason string }{
		"deep array":      {`{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "", "line 2 is nested deeper than 256"},
		"deep object":     {strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000), "", "line 2 is nested deeper than 256"},
		"open":            {strings.Repeat(`{"a":`, 100), "", "line 2 is not a JSON object"},
		"no UTF-8":        {"{\"a\":\"\xc3\x28\"}", "", "line 2 is not UTF-8"},
		"overlong UTF-8":  {"{\"x\":\"\xc0\xaf\"}", "", "line 2 is not UTF-8"},
		"NUL":             {"{\"a\":1}\x00", "", "line 2 is not a JSON object"},
		"two objects":     {`{"a":1}{"a":2}`, "", "line 2 is not a JSON object"},
		"no object":       {`[{"a":1}]`, "", "line 2 is not a JSON object"},
		"trailing comma":  {`{"a":1,}`, "", "line 2 is not a JSON object"},
		"comment":         {`{"a":1 /* why */}`, "", "line 2 is not a JSON object"},
		"NaN":             {`{"a":NaN}`, "", "line 2 is not a JSON object"},
		"skipped damage":  {`{"x":{"y":[1,"` + "\x01" + `"]},"a":1}`, "", "line 2 is not a JSON object"},
		"byte order mark": {"\ufeff" + `{"a":1}`, "", "line 2 is not a JSON object"},
		"many parts":      {`{"a":[` + strings.Repeat("{},", maxValues/3) + `{}]}`, "", "line 2 has too many parts"},

		"huge number":   {`{"a":` + huge + `}`, `"a":` + huge, ""},
		"long number":   {`{"a":1` + strings.Repeat("0", 10_000) + `}`, `"a":1000`, ""},
		"same key":      {`{"a":1,"a":2,"\u0061":3}`, `"a":3}`, ""},
		"half a letter": {`{"a":"\ud800"}`, `"a":"\ud800"`, ""},
		"host's keys":   {`{"_at":99,"a":7,"_node":"x"}`, `{"_at":2,"a":7}`, ""},
	} {
		bundle := fstest.MapFS{resultsPath: {}, "t/a.ndjson": {Data: []byte("{\"a\":1}\n" + tt.line + "\n{\"a\":3}\n")}}
		p, files := project(t, bundle, []abi.Input{{Name: "t", Table: "t/a.ndjson", Fields: []string{"a", "a[].{b,c,d}"}}}, Limits{})
		x, text := p.Index()["t"], files["in/t.ndjson"]
		sameRows(t, name, text, files["in/t.rows"])
		if !strings.Contains(text, `{"_at":1,"a":1}`) || !strings.Contains(text, `"a":3}`) {
			t.Errorf("%s: the lines around it are lost: %s", name, text)
		}
		if tt.reason == "" {
			if x.Rows != 3 || !x.Complete || !strings.Contains(text, tt.row) {
				t.Errorf("%s: %+v, %.200s; want %s", name, x, text, tt.row)
			}
			continue
		}
		if x.Rows != 2 || x.Complete || len(x.Missing) != 1 || x.Missing[0].Source != "t/a.ndjson" || x.Missing[0].Reason != tt.reason {
			t.Errorf("%s: %+v, want %s", name, x, tt.reason)
		}
	}
}

// TestHostileMatch: an expression that takes a backtracking engine for ever
// takes RE2 a walk over the line; what only others know is refused.
func TestHostileMatch(t *testing.T) {
	line := strings.Repeat("a", maxLogLine-1) + "!"
	bundle := fstest.MapFS{resultsPath: {}, "cluster/logs/n/p/c.log": {Data: []byte(strings.Repeat(line+"\n", 20))}}
	for _, expr := range []string{`^(a+)+$`, `(a|a)*b`, `(?P<x>(a*)*)*$`, `(.*a){20}c`} {
		p, _ := project(t, bundle, []abi.Input{{Name: "l", Logs: "c", Match: expr}}, Limits{Steps: 1 << 40})
		if x := p.Index()["l"]; !x.Complete {
			t.Errorf("%s: %+v", expr, x)
		}
		p, _ = project(t, bundle, []abi.Input{{Name: "l", Logs: "c", Match: expr}}, Limits{Steps: 1000})
		if x := p.Index()["l"]; x.Complete || !strings.Contains(x.Missing[0].Reason, "more than 1000 steps") {
			t.Errorf("%s: %+v", expr, x)
		}
	}
	for _, expr := range []string{`(a)\1`, `a(?=b)`, `(?<!a)b`, `(?>a)`, `((a{100}){100}){100}`, `(`} {
		if err := validateInput(abi.Input{Name: "l", Logs: "c", Match: expr}); err == nil {
			t.Errorf("%s is taken", expr)
		}
	}
}

// manyTimes is a file system of one file: a text, again and again.
type manyTimes struct {
	path, text string
	times      int
	after      string
	peak       *uint64 // bytes of heap, as the reads see it
}

func (m manyTimes) Open(name string) (fs.File, error) {
	files := fstest.MapFS{m.path: {}, resultsPath: {}}
	f, err := files.Open(name)
	if name != m.path || err != nil {
		return f, err
	}
	parts := make([]io.Reader, 0, m.times+1)
	for range m.times {
		parts = append(parts, strings.NewReader(m.text))
	}
	return &watchedFile{f, io.MultiReader(append(parts, strings.NewReader(m.after))...), m.peak, 0}, nil
}

func (m manyTimes) ReadDir(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(fstest.MapFS{m.path: {}, resultsPath: {}}, name)
}

type watchedFile struct {
	fs.File
	text io.Reader
	peak *uint64
	n    int
}

func (w *watchedFile) Read(p []byte) (int, error) {
	if w.n++; w.n%64 == 0 {
		*w.peak = max(*w.peak, heap())
	}
	return w.text.Read(p)
}

// heap is what the heap takes up, which is read without stopping anybody.
func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() + s[1].Value.Uint64()
}

// discard is a spool that nothing is read back from.
type discard struct{}

func (discard) Write(p []byte) (int, error)       { return len(p), nil }
func (discard) ReadAt([]byte, int64) (int, error) { return 0, errors.New("nothing is kept") }

// TestMemory: what a projection holds does not grow with what it reads.
func TestMemory(t *testing.T) {
	onePod := `{"metadata":{"name":"web","namespace":"app"},"spec":{"note":"` + strings.Repeat("some text ", 550) + `"},"status":{"phase":"Running","containerStatuses":[{"name":"c","restartCount":3}]}}` + "\n"
	parts := `{"a":[` + strings.Repeat("{},", 300_000) + "{}]}\n"
	pods := []string{"metadata.name", "status.containerStatuses[].restartCount"}
	for name, tt := range map[string]struct {
		bundle  manyTimes
		fields  []string
		modules int
		rows    int
		missing string
		most    uint64 // MiB
	}{
		"20,000 pods, 20 modules": {manyTimes{text: onePod, times: 20_000}, pods, 20, 20_000, "", 128},
		"a line of 1 GB":          {manyTimes{text: strings.Repeat("x", 1<<20), times: 1000, after: "\n{\"a\":1}\n"}, []string{"a"}, 1, 1, "line 1 has more than 16777216 bytes", 192},
		"lines of many parts":     {manyTimes{text: parts, times: 20}, []string{"a[].{b,c,d}"}, 4, 20, "", 384},
	} {
		t.Run(name, func(t *testing.T) {
			runtime.GC()
			before, peak := heap(), uint64(0)
			tt.bundle.path, tt.bundle.peak = "cluster/resources/core/v1/pods/a.ndjson", &peak
			var reqs []Request
			for range tt.modules {
				reqs = append(reqs, Request{Inputs: []abi.Input{{Name: "pods", Resource: "v1/pods", Fields: tt.fields, Form: abi.FormRows}}, Spool: discard{}})
			}
			start := time.Now()
			ps, err := Project(t.Context(), tt.bundle, reqs, Limits{Parallel: 4})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range ps {
				x := p.Index()["pods"]
				if x.Rows != tt.rows || x.Complete != (tt.missing == "") || tt.missing != "" && fmt.Sprint(x.Missing) != fmt.Sprintf("[{%s %s}]", tt.bundle.path, tt.missing) {
					t.Fatalf("%+v", x)
				}
			}
			mib := (peak - min(peak, before)) >> 20
			t.Logf("%d MiB, %v", mib, time.Since(start).Round(time.Millisecond))
			if mib > tt.most || peak == 0 {
				t.Errorf("it took %d MiB, more than %d", mib, tt.most)
			}
		})
	}
}
