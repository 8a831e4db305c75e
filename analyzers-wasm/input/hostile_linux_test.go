package input

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// generated is a bundle of files that are made as they are read.
type generated struct {
	fstest.MapFS
	made map[string]func() io.Reader
}

func (g generated) Open(name string) (fs.File, error) {
	f, err := g.MapFS.Open(name)
	if made := g.made[name]; made != nil && err == nil {
		return generatedFile{f, made()}, nil
	}
	return f, err
}

type generatedFile struct {
	fs.File
	io.Reader
}

func (g generatedFile) Read(p []byte) (int, error) { return g.Reader.Read(p) }

// repeated gives a text again and again, n bytes of it.
func repeated(text string, n int64) io.Reader {
	return io.LimitReader(&repeater{text: bytes.Repeat([]byte(text), 1+(64<<10)/len(text)), period: len(text)}, n)
}

type repeater struct {
	text   []byte
	period int
	at     int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % r.period
	return n, nil
}

// TestHostileMemory: whatever lines a bundle has and however many hands there
// are, what is held stays within bounds, and sound lines beside it are taken.
func TestHostileMemory(t *testing.T) {
	const sound, files, bound = "\n{\"a\":[{\"b\":1}]}\n", 8, 384
	g := generated{fstest.MapFS{resultsPath: {}}, map[string]func() io.Reader{}}
	add := func(path, head, body string, n int64, tail string) {
		g.MapFS[path] = &fstest.MapFile{}
		g.made[path] = func() io.Reader {
			return io.MultiReader(strings.NewReader(sound+head), repeated(body, n), strings.NewReader(tail+sound))
		}
	}
	add("t/endless.ndjson", `{"a":"`, "xxxxxxxx", 1<<30, `"}`)
	add("cluster/logs/n/p/c.log", "", "xxxxxxxx", 64<<20, "")
	add("t/zeros.ndjson", "", "\x00", 64<<20, "")
	add("t/blank.ndjson", "", " ", 64<<20, "")
	for i := range files {
		add(fmt.Sprintf("t/full-%d.ndjson", i), `{"a":"`, "x", 15<<20, `"}`)
		add(fmt.Sprintf("t/parts-%d.ndjson", i), `{"a":[0`, ",{}", 12<<20, `]}`)
	}
	reqs := []Request{}
	for range 3 {
		spool, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer spool.Close()
		reqs = append(reqs, Request{Spool: spool, Inputs: []abi.Input{
			{Name: "t", Table: "t/*.ndjson", Fields: []string{"a[].b"}, Form: abi.FormNDJSON}, {Name: "l", Logs: "n/p/c", Form: abi.FormNDJSON},
		}})
	}
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	before, from := peakMiB(), time.Now()
	ps, err := Project(context.Background(), g, reqs, Limits{Parallel: 16})
	if err != nil {
		t.Fatal(err)
	}
	grown := peakMiB() - before
	t.Logf("%.0f MiB in %v", grown, time.Since(from))
	if grown > bound {
		t.Errorf("the peak grew by %.0f MiB, more than %d", grown, bound)
	}
	for _, p := range ps {
		x := p.Index()
		if x["t"].Rows != 2*(2*files+3)+files || len(x["t"].Missing) != files+3 || x["l"].Rows != 3 || x["l"].Complete {
			t.Errorf("%d rows, %d lines, missing %v", x["t"].Rows, x["l"].Rows, x["t"].Missing)
		}
	}
}

// peakMiB is the most memory that this process has had.
func peakMiB() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	_, _ = fmt.Sscan(peak, &kib)
	return kib / 1024
}
