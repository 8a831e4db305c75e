package input

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

// manyFiles is a bundle with files of all sizes, damaged lines among them.
func manyFiles() fstest.MapFS {
	bundle := fstest.MapFS{resultsPath: {}}
	for i := range 24 {
		var b strings.Builder
		for j := range i * 97 % 1500 {
			switch j % 50 {
			case 7:
				b.WriteString("{\"a\":\n")
			case 8:
				b.WriteString("\r\n")
			default:
				fmt.Fprintf(&b, "{\"a\":%d,\"b\":{\"c\":%q},\"d\":[{\"e\":%d},{}]}\n", j, strings.Repeat("x", j*i%700), i)
			}
		}
		text := []byte(b.String())
		bundle[fmt.Sprintf("nodes/n%d/%d/net/links.ndjson", i%7, i)] = &fstest.MapFile{Data: text}
		bundle[fmt.Sprintf("cluster/logs/ns/pod-%d/c.log", i)] = &fstest.MapFile{Data: text}
		bundle[fmt.Sprintf("nodes/n%d/%d/proc/net/snmp6", i%7, i)] = &fstest.MapFile{Data: []byte(fmt.Sprintf("Ip6InReceives %d\n", i))}
	}
	return bundle
}

func manyRequests() (reqs []Request, spools []*memSpool) {
	for i := range 9 {
		spool := &memSpool{}
		spools = append(spools, spool)
		r := Request{Spool: spool, Inputs: []abi.Input{
			{Name: "links", Table: "nodes/*/*/net/links.ndjson", Fields: []string{"a", "d[].e"}, Where: fmt.Sprintf("row.a %% 9 == %d", i)},
			{Name: "whole", Table: "nodes/*/*/net/links.ndjson", Form: abi.FormNDJSON},
			{Name: "logs", Logs: "c", Match: fmt.Sprintf(`"a":(?P<n>\d*%d),`, i)},
			{Name: "raw", Files: "nodes/*/*/proc/net/*"},
			{Name: "counters", Counters: []string{"snmp6.Ip6InReceives"}},
		}}
		if i%3 == 2 {
			r.Node = "n3"
			r.Inputs[2].Logs = "kubelet"
		}
		reqs = append(reqs, r)
	}
	return reqs, spools
}

// TestParallel: however many hands there are, and however the file system cuts
// its answers, the spools are the same to the byte.
func TestParallel(t *testing.T) {
	bundle := manyFiles()
	var want []*memSpool
	for hands, fsys := range map[int]fs.FS{1: bundle, 2: bundle, 8: drip{bundle}} {
		reqs, spools := manyRequests()
		ps, err := Project(context.Background(), fsys, reqs, Limits{Parallel: hands, InputBytes: 300_000})
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range ps {
			if p.Err() != nil || len(spools[i].b) == 0 || i%3 != 2 && p.Index()["links"].Rows < 100 {
				t.Fatal(i, p.Err(), p.Index())
			}
		}
		if want == nil {
			want = spools
			continue
		}
		for i, s := range spools {
			if string(s.b) != string(want[i].b) {
				t.Errorf("%d hands: the spool of module %d differs: %s", hands, i, cmp.Diff(string(want[i].b), string(s.b)))
			}
		}
	}
}

// drip answers reads a few bytes at a time.
type drip struct{ fstest.MapFS }

type dripFile struct {
	fs.File
	n int
}

func (d drip) Open(name string) (fs.File, error) {
	f, err := d.MapFS.Open(name)
	if info, serr := fs.Stat(d.MapFS, name); err != nil || serr != nil || info.IsDir() {
		return f, err
	}
	return &dripFile{File: f}, nil
}

func (d *dripFile) Read(p []byte) (int, error) {
	d.n++
	return d.File.Read(p[:min(len(p), 100+d.n%5000)])
}

// TestCancel: what is cancelled ends, however far the readers are ahead.
func TestCancel(t *testing.T) {
	for n := range 5 {
		reqs, _ := manyRequests()
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Duration(n)*time.Millisecond, cancel)
		if _, err := Project(ctx, manyFiles(), reqs, Limits{Parallel: 3}); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cancel()
	}
}

// TestLongLines: a line that is too long costs itself alone, wherever it ends.
func TestLongLines(t *testing.T) {
	for _, n := range []int{1000, 4094, 4095, 4096, 4097, blockBytes - 20, blockBytes, 2*blockBytes - 9, 3 * blockBytes} {
		long := `{"a":"` + strings.Repeat("x", n-8) + `"}`
		bundle := fstest.MapFS{resultsPath: {}, "t/a.ndjson": {Data: []byte("{\"a\":1}\n" + long + "\n{\"a\":3}\n" + long)},
			"cluster/logs/n/p/c.log": {Data: []byte("one\n" + long + "\nthree\n" + long)}}
		p, files := project(t, bundle, []abi.Input{{Name: "t", Table: "t/a.ndjson", Fields: []string{"a"}}, {Name: "l", Logs: "n/p/c", Fields: []string{"line"}}}, Limits{Line: 4096})
		rows, missing := 4, 0
		if n > 4096 {
			rows, missing = 2, 2
		}
		x := p.Index()["t"]
		if x.Rows != rows || len(x.Missing) != missing || !strings.Contains(files["in/t.ndjson"], `"a":3}`) {
			t.Errorf("%d: %d rows, missing %v", n, x.Rows, x.Missing)
		}
		x = p.Index()["l"]
		if want := n > maxLogLine; x.Rows != 4 || len(x.Missing) > 0 != want || !strings.Contains(files["in/l.ndjson"], `"line":"three"}`) {
			t.Errorf("%d: %d lines, missing %v", n, x.Rows, x.Missing)
		}
		if place, ok, err := p.Resolve(int64(rows)); !ok || err != nil || place.Path != "t/a.ndjson" && place.Path != "cluster/logs/n/p/c.log" {
			t.Error(place, ok, err)
		}
	}
}

// breaking is a file system whose one file breaks off.
type breaking struct {
	fstest.MapFS
	path string
}

func (b breaking) Open(name string) (fs.File, error) {
	f, err := b.MapFS.Open(name)
	if name == b.path && err == nil {
		return breakingFile{f}, nil
	}
	return f, err
}

type breakingFile struct{ fs.File }

func (b breakingFile) Read(p []byte) (int, error) {
	n, err := b.File.Read(p)
	if err != nil {
		err = errors.New("the disk is gone")
	}
	return n, err
}

// TestBrokenOff: of a file that breaks off the whole lines are rows; the end
// of a line that is too long is none, though it looks like one.
func TestBrokenOff(t *testing.T) {
	long := strings.Repeat("x", 3*blockBytes) + `{"a":2}`
	for _, tt := range []struct {
		text string
		rows string
	}{
		{"{\"a\":1}\n{\"a\":2}\n{\"a\":", "1 2"},
		{"{\"a\":1}\n{\"a\":2}", "1"},
		{"{\"a\":1}\n" + long, "1"},
		{"{\"a\":1}\n" + long + "\n{\"a\":3}\n{", "1 3"},
		{"", ""},
	} {
		bundle := breaking{fstest.MapFS{resultsPath: {}, "t/a.ndjson": {Data: []byte(tt.text)}}, "t/a.ndjson"}
		spool := &memSpool{}
		ps, err := Project(context.Background(), bundle, []Request{{Spool: spool, Inputs: []abi.Input{{Name: "t", Table: "t/a.ndjson", Form: abi.FormNDJSON}}}}, Limits{Line: 4096})
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for line := range strings.Lines(string(spool.b)) {
			if _, a, ok := strings.Cut(line, `,"a":`); ok {
				rows = append(rows, strings.TrimSuffix(a, "}\n"))
			}
		}
		x := ps[0].Index()["t"]
		if got := strings.Join(rows, " "); got != tt.rows || x.Complete || !strings.Contains(fmt.Sprint(x.Missing), "could not be read to its end: the disk is gone") {
			t.Errorf("%.40q: rows %s, want %s; %v", tt.text, got, tt.rows, x.Missing)
		}
	}
}
