package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// withLarge adds entries that outgrow a frame, one of exactly one frame.
func withLarge() map[string]string {
	files := contents()
	files["cluster/logs/default/web/big.log"] = lines(2, 3<<20)
	files["cluster/logs/default/web/even.log"] = lines(3, MaxFrame+100)[:MaxFrame-1] + "\n"
	return files
}

func checkContents(t *testing.T, r *Reader, files map[string]string) {
	t.Helper()
	var names []string
	total := 0
	for name, want := range files {
		names, total = append(names, name), total+len(want)
		got, err := fs.ReadFile(r, name)
		if err != nil {
			t.Errorf("read: %v", err)
		} else if string(got) != want {
			t.Errorf("%s: %d bytes that differ from the %d put", name, len(got), len(want))
		}
	}
	if len(r.Files()) != len(files) {
		t.Errorf("%d entries, %d put", len(r.Files()), len(files))
	}
	if total < 1<<20 { // it reads byte by byte
		if err := fstest.TestFS(r, names...); err != nil {
			t.Error(err)
		}
	}
	if err := r.Verify(t.Context(), nil); err != nil {
		t.Errorf("verify: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	s, v := testSigner(t)
	files := withLarge()
	b := makeBundle(t, files, s)
	r := openBytes(t, b, v)
	checkContents(t, r, files)
	m := r.Manifest()
	want := testInfo()
	if m.Format != 1 || m.Top != options(t).Top || !m.Created.Equal(testTime) || m.Index.Files != len(files) || m.Tree.Leaves != len(files) {
		t.Errorf("manifest %+v", m)
	}
	if d := cmp.Diff(want.Labels, m.Labels) + cmp.Diff(want.Cluster, m.Cluster) + cmp.Diff(want.Incident, m.Incident) + cmp.Diff(want.Completeness, m.Completeness); d != "" {
		t.Error(d)
	}
	if want.Note != m.Note || m.Signer == nil || !strings.HasPrefix(m.Signer.Fingerprint, "SHA256:") {
		t.Errorf("manifest %+v", m)
	}
	done := int64(0)
	if err := r.Verify(t.Context(), func(d, total int64) { done = d; _ = total }); err != nil || done == 0 {
		t.Errorf("verify: %v, %d bytes", err, done)
	}
}

func TestEmptyBundle(t *testing.T) {
	s, v := testSigner(t)
	r := openBytes(t, makeBundle(t, nil, s), v)
	checkContents(t, r, nil)
}

func TestDeterministic(t *testing.T) {
	s, _ := testSigner(t)
	files := withLarge()
	if !bytes.Equal(makeBundle(t, files, s), makeBundle(t, files, s)) {
		t.Error("the same calls gave other bytes")
	}
}

func TestSpoolFile(t *testing.T) {
	s, v := testSigner(t)
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	big := noise(9, 14<<20) // more than stays in memory, compressed
	put(t, w, "cluster/logs/big.log", ClassLogs, big)
	closeWriter(t, w, s)
	if left, err := os.ReadDir(w.spoolDir); err != nil || len(left) != 0 {
		t.Errorf("left in the spool: %v %v", left, err)
	}
	r := openBytes(t, out.Bytes(), v)
	checkContents(t, r, map[string]string{"cluster/logs/big.log": big})
	f, err := r.Open("cluster/logs/big.log")
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	if _, err := f.(io.ReaderAt).ReadAt(p, 11<<20); err != nil || string(p) != big[11<<20:11<<20+100] {
		t.Errorf("ReadAt: %v", err)
	}
}

// TestStandardTools holds the format against GNU tar and zstd.
func TestStandardTools(t *testing.T) {
	tool(t, "tar")
	tool(t, "zstd")
	s, _ := testSigner(t)
	files := withLarge()
	dir := t.TempDir()
	name := filepath.Join(dir, "b.tar.zst")
	if err := os.WriteFile(name, makeBundle(t, files, s), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "zstd", "-q", "-t", name)
	list := strings.Fields(run(t, dir, "tar", "--zstd", "-tf", name))
	if len(list) != len(files)+4 { // and index, tree, manifest, seal
		t.Errorf("tar lists %d members: %v", len(list), list)
	}
	if out := run(t, dir, "tar", "--zstd", "-xf", name); out != "" {
		t.Errorf("tar says %q", out)
	}
	for p, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, options(t).Top, p))
		if err != nil || string(got) != want {
			t.Errorf("tar -x %s: %v", p, err)
		}
	}
}

func tool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func TestRefused(t *testing.T) {
	w := newTestWriter(t, io.Discard)
	put(t, w, "a/file.txt", ClassMeta, "x")
	for _, p := range []string{
		"a/file.txt", "A/file.txt", "a/FILE.txt", "a", "a/file.txt/b", "A/other.txt",
		"../x", "/x", "a//b", "a/./b", "", "a/", "manifest.json", "Index.jsonl/x", "manifest.sha256",
		strings.Repeat("d/", 32) + "x", strings.Repeat("0123456789/", 100) + "x",
	} {
		if _, err := w.Put(p, ClassMeta, strings.NewReader("x")); !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v", p, err)
		}
	}
	if _, err := w.Put("b", "video", strings.NewReader("x")); err == nil {
		t.Error("an unknown class was taken")
	}
	if _, err := NewWriter(io.Discard, Options{Top: "t", Time: testTime}); err == nil {
		t.Error("a writer without redactor")
	}
}

// TestFailedEntry holds that an error leaves nothing of an entry behind, small
// or large, and that its path is free again.
func TestFailedEntry(t *testing.T) {
	s, v := testSigner(t)
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	for _, size := range []int{10, 3 << 20} {
		broken := io.MultiReader(strings.NewReader(lines(1, size)), iotestErr{})
		if _, err := w.Put("logs/x.log", ClassLogs, broken); !errors.Is(err, errTest) {
			t.Fatalf("size %d: %v", size, err)
		}
	}
	// neither text nor packets: the redactor refuses it
	if _, err := w.Put("nodes/n1/blob", ClassNodes, strings.NewReader("\xff\x00\xfe"+strings.Repeat("\x00\x9f", 2<<20))); err == nil {
		t.Fatal("bytes that cannot be redacted were taken")
	}
	put(t, w, "logs/x.log", ClassLogs, "good\n")
	closeWriter(t, w, s)
	checkContents(t, openBytes(t, out.Bytes(), v), map[string]string{"logs/x.log": "good\n"})
}

// TestCutSource: a source that breaks off is no entry, whatever it is read as
// and however long it was by then.
func TestCutSource(t *testing.T) {
	s, v := testSigner(t)
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	for path, begin := range map[string]string{"a.log": "x\n", "long.log": strings.Repeat("y\n", MaxFrame), "a.json": `{"a":1}`, "a.ndjson": "{}\n", "nodes/n/proc/x": "1",
		"captures/a/b.pcapng": "", "nodes/n/y": "text"} {
		for _, end := range []error{io.ErrUnexpectedEOF, fmt.Errorf("peer: %w", io.ErrUnexpectedEOF)} {
			src := io.MultiReader(strings.NewReader(begin), iotest.ErrReader(end))
			if n, err := w.Put(path, ClassLogs, src); err == nil {
				t.Errorf("%s: %d bytes of a source that was cut off are an entry", path, n)
			}
		}
	}
	if _, err := w.Close(testInfo(), s); err != nil {
		t.Fatal(err)
	}
	checkContents(t, openBytes(t, out.Bytes(), v), map[string]string{})
}

var errTest = errors.New("broken source")

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errTest }

func TestConcurrentPut(t *testing.T) {
	s, v := testSigner(t)
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	files := map[string]string{}
	var wg sync.WaitGroup
	for i := range 40 {
		p := "nodes/n" + string(rune('a'+i%26)) + "/" + strings.Repeat("y", i) + ".txt"
		content := lines(i, 1000+i*30_000)
		files[p] = content
		wg.Go(func() {
			if _, err := w.Put(p, ClassNodes, strings.NewReader(content)); err != nil {
				t.Error(err)
			}
			if _, err := w.Put(p, ClassNodes, strings.NewReader(content)); !errors.Is(err, ErrPath) {
				t.Errorf("a second time: %v", err)
			}
			_ = w.Written()
		})
	}
	wg.Wait()
	closeWriter(t, w, s)
	if w.Written() != int64(out.Len()) {
		t.Errorf("written %d of %d", w.Written(), out.Len())
	}
	r := openBytes(t, out.Bytes(), v)
	for range 4 {
		wg.Go(func() {
			for p, want := range files {
				if b, err := r.ReadFile(p); err != nil || string(b) != want {
					t.Errorf("%s: %v", p, err)
				}
			}
		})
	}
	wg.Wait()
	checkContents(t, r, files)
}

type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, errTest
	}
	return len(p), nil
}

func TestOutputFails(t *testing.T) {
	s, _ := testSigner(t)
	w := newTestWriter(t, &fullDisk{room: 600_000})
	var first error
	for i := 0; i < 200 && first == nil; i++ {
		_, first = w.Put("logs/"+strings.Repeat("z", i+1), ClassLogs, strings.NewReader(lines(i, 300_000)))
	}
	if !errors.Is(first, errTest) {
		t.Errorf("put: %v", first)
	}
	if _, err := w.Close(testInfo(), s); !errors.Is(err, errTest) {
		t.Errorf("close: %v", err)
	}
	if _, err := w.Put("late", ClassLogs, strings.NewReader("x")); err == nil {
		t.Error("put after close")
	}
}

func TestInfoTooLarge(t *testing.T) {
	s, v := testSigner(t)
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	put(t, w, "a", ClassMeta, "x")
	info := testInfo()
	info.Note = strings.Repeat("n", MaxManifest)
	if _, err := w.Close(info, s); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	closeWriter(t, w, s)
	checkContents(t, openBytes(t, out.Bytes(), v), map[string]string{"a": "x"})
}
