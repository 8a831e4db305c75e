package input

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/casefile-io/casefile/sdk/abi"
)

var update = flag.Bool("update", false, "write what came out into testdata/*.txtar")

// memSpool is a spool in memory.
type memSpool struct{ b []byte }

func (m *memSpool) Write(p []byte) (int, error) {
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *memSpool) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}

func (m *memSpool) text(t *testing.T, f File) string {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f.ReaderAt(m), 0, f.Size))
	if err != nil || int64(len(b)) != f.Size {
		t.Fatalf("%s: %d of %d bytes, %v", f.Path, len(b), f.Size, err)
	}
	return string(b)
}

// project runs one module's inputs over a bundle.
func project(t *testing.T, bundle fstest.MapFS, inputs []abi.Input, lim Limits) (*Projection, map[string]string) {
	t.Helper()
	spool := &memSpool{}
	ps, err := Project(context.Background(), bundle, []Request{{Inputs: inputs, Spool: spool}}, lim)
	if err != nil || ps[0].Err() != nil {
		t.Fatal(err, ps[0].Err())
	}
	files := map[string]string{}
	for _, f := range ps[0].Files() {
		files[f.Path] = spool.text(t, f)
	}
	return ps[0], files
}

var rowAt = regexp.MustCompile(`(?m)^\{"_at":(\d+)`)

// places lists where each row is from, in the order of the numbers.
func places(t *testing.T, p *Projection, files map[string]string) string {
	t.Helper()
	var b strings.Builder
	seen := map[int64]bool{}
	for name, text := range files {
		if rows, err := decodeRows(text); err == nil {
			for _, row := range rows {
				n, _ := row.(map[string]any)["_at"].(json.Number).Int64() //nolint:forcetypeassert // a panic fails the test
				seen[n] = true
			}
			continue
		}
		if !strings.HasSuffix(name, ".ndjson") {
			continue
		}
		for _, m := range rowAt.FindAllStringSubmatch(text, -1) {
			n, _ := strconv.ParseInt(m[1], 10, 64)
			seen[n] = true
		}
	}
	for n := int64(1); n <= int64(len(seen)); n++ {
		place, ok, err := p.Resolve(n)
		if !seen[n] || !ok || err != nil {
			t.Fatalf("row %d of %d: seen %v, resolved %v, %v", n, len(seen), seen[n], ok, err)
		}
		text, _ := json.Marshal(place)
		fmt.Fprintf(&b, "%d %s\n", n, text)
	}
	for _, n := range []int64{0, -1, int64(len(seen)) + 1} {
		if _, ok, _ := p.Resolve(n); ok {
			t.Errorf("row %d resolves", n)
		}
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) < 3 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { golden(t, path) })
	}
}

func golden(t *testing.T, path string) {
	ar, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bundle := fstest.MapFS{}
	want := map[string]string{}
	var inputs []abi.Input
	for _, f := range ar.Files {
		if name, ok := strings.CutPrefix(f.Name, "bundle/"); ok {
			bundle[name] = &fstest.MapFile{Data: f.Data}
		} else if name, ok := strings.CutPrefix(f.Name, "want/"); ok {
			want[name] = string(f.Data)
		} else if err := json.Unmarshal(f.Data, &inputs); err != nil {
			t.Fatal(err)
		}
	}
	if err := validateInputs(inputs); err != nil {
		t.Fatal(err)
	}
	p, got := project(t, bundle, inputs, Limits{})
	got["places"] = places(t, p, got)
	for _, in := range inputs {
		if in.Form == "" && in.Files == "" {
			sameRows(t, in.Name, got["in/"+in.Name+".ndjson"], got["in/"+in.Name+".rows"])
			delete(got, "in/"+in.Name+".rows")
		}
		if in.Form == abi.FormRows {
			rows, err := decodeRows(got["in/"+in.Name+".rows"])
			if err != nil {
				t.Fatal(err)
			}
			got["in/"+in.Name+".rows"] = ""
			for _, row := range rows {
				text, _ := json.Marshal(row)
				got["in/"+in.Name+".rows"] += string(text) + "\n"
			}
		}
	}
	if *update {
		var files []txtar.File
		for _, f := range ar.Files {
			if !strings.HasPrefix(f.Name, "want/") {
				files = append(files, f)
			}
		}
		for _, name := range sortedKeys(got) {
			files = append(files, txtar.File{Name: "want/" + name, Data: []byte(got[name])})
		}
		ar.Files = files
		if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
