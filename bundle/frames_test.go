package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// makeFragment is what an honest agent sends: small entries, a large one in
// one part and a larger one in three.
func makeFragment(t testing.TB, node string) ([]byte, map[string]string) {
	t.Helper()
	files := map[string]string{
		"nodes/" + node + "/node.json":          `{"name":"` + node + `"}`,
		"nodes/" + node + "/0/proc/net/netstat": "TcpExt: ListenOverflows\nTcpExt: 24\n",
		"nodes/" + node + "/logs/kubelet.log":   lines(5, 2<<20),
		"nodes/" + node + "/logs/kernel.log":    lines(6, 9<<20),
		"nodes/" + node + "/logs/even.log":      lines(7, 9<<20)[:2*fragmentPart-1] + "\n",
	}
	return fragmentOf(t, files), files
}

func fragmentOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	f, err := NewFragment(&out, options(t))
	if err != nil {
		t.Fatal(err)
	}
	f.redact = asIs
	for _, p := range sortedKeys(files) {
		put(t, f, p, classOf(p), files[p])
	}
	if _, err := f.Put(sortedKeys(files)[0], ClassNodes, strings.NewReader("again")); !errors.Is(err, ErrPath) {
		t.Errorf("the same path twice: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put("late", ClassNodes, strings.NewReader("x")); err == nil {
		t.Error("put after close")
	}
	return out.Bytes()
}

func TestFragment(t *testing.T) {
	s, v := testSigner(t)
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	put(t, w, "cluster/version.json", ClassCluster, "{}")
	all := map[string]string{"cluster/version.json": "{}"}
	var wg sync.WaitGroup
	for _, node := range []string{"n1", "n2", "n3"} {
		fragment, files := makeFragment(t, node)
		for p, c := range files {
			all[p] = c
		}
		wg.Go(func() {
			if err := w.Frames([]string{"nodes/" + node + "/"}, bytes.NewReader(fragment)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	put(t, w, "collection/plan.json", ClassMeta, "{}")
	all["collection/plan.json"] = "{}"
	closeWriter(t, w, s)
	r := openBytes(t, out.Bytes(), v)
	checkContents(t, r, all)
	for _, f := range r.Files() {
		if want := map[string]int{"nodes/n1/logs/kernel.log": 3, "nodes/n1/logs/even.log": 2}[f.Path]; f.Truncated || want > 0 && f.Parts != want {
			t.Errorf("%+v", f)
		}
	}
	f, err := r.Open("nodes/n2/logs/kernel.log")
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1000)
	at := int64(fragmentPart - 500) // over the border of two parts
	if _, err := f.(io.ReaderAt).ReadAt(p, at); err != nil || string(p) != all["nodes/n2/logs/kernel.log"][at:at+1000] {
		t.Errorf("ReadAt: %v", err)
	}
	if n, err := f.(io.ReaderAt).ReadAt(p, int64(len(all["nodes/n2/logs/kernel.log"]))-10); n != 10 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt the end: %d %v", n, err)
	}
}

// TestFragmentCut cuts a fragment anywhere: an error, and a bundle that holds
// what came whole, with a chain that lost its end marked truncated.
func TestFragmentCut(t *testing.T) {
	s, v := testSigner(t)
	fragment, files := makeFragment(t, "n1")
	rnd := rand.New(rand.NewPCG(1, 2))
	truncated := 0
	for i := range 25 {
		n := rnd.IntN(len(fragment))
		if i == 0 {
			n = len(fragment) - 4
		}
		var out bytes.Buffer
		w := newTestWriter(t, &out)
		if err := w.Frames([]string{"nodes/n1"}, bytes.NewReader(fragment[:n])); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		closeWriter(t, w, s)
		r := openBytes(t, out.Bytes(), v)
		if err := r.Verify(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Files() {
			got, err := r.ReadFile(f.Path)
			if err != nil || !strings.HasPrefix(files[f.Path], string(got)) || !f.Truncated && string(got) != files[f.Path] {
				t.Errorf("cut at %d: %s: %v", n, f.Path, err)
			}
			if f.Truncated {
				truncated++
			}
		}
		if i == 0 && len(r.Files()) != len(files) {
			t.Errorf("without the end mark %d of %d entries stay", len(r.Files()), len(files))
		}
	}
	if truncated == 0 {
		t.Error("no cut fell into a chain of parts")
	}
}

// forge makes a group: lines for files whose content lies in stream.
type forge struct {
	class  Class
	files  []file
	stream []byte
	packed []byte // instead of the compressed stream
	chunks []chunk
}

func (f *forge) add(path, content string) *forge {
	f.stream = append(f.stream, tarHeader("casefile-test-20261121T090000Z/"+path, int64(len(content)), testTime.Unix())...)
	f.files = append(f.files, file{path: path, off: int64(len(f.stream)), size: int64(len(content)), sum: sha256.Sum256([]byte(content))})
	f.stream = append(f.stream, content...)
	f.stream = append(f.stream, make([]byte, padding(int64(len(content))))...)
	return f
}

func (f *forge) bytes() []byte {
	if f.class == "" {
		f.class = ClassNodes
	}
	if f.packed == nil {
		enc, _ := zstd.NewWriter(nil)
		f.packed = enc.EncodeAll(f.stream, nil)
	}
	if f.chunks == nil {
		f.chunks = []chunk{{f.class, extent{uint32(len(f.packed)), uint32(len(f.stream))}, sha256.Sum256(f.packed)}}
	}
	b := make([]byte, 4)
	for _, c := range f.chunks {
		b = appendChunk(b, c)
	}
	for _, e := range f.files {
		b = appendFile(b, e)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return append(b, f.packed...)
}

func one(path string) *forge { return new(forge).add(path, "content of "+path) }

func TestHostileFrames(t *testing.T) {
	s, v := testSigner(t)
	good := func() *forge { return one("nodes/n1/good.txt") }
	edit := func(f *forge, change func(*forge)) []byte { change(f); return f.bytes() }
	bomb, _ := zstd.NewWriter(nil)
	tests := map[string]struct {
		group []byte
		want  error
	}{
		"another node's path":    {one("nodes/n2/x.txt").bytes(), ErrPath},
		"a name that begins so":  {one("nodes/n10/x.txt").bytes(), ErrPath},
		"the folder itself":      {one("nodes/n1").bytes(), ErrPath},
		"traversal":              {one("nodes/n1/../n2/x").bytes(), ErrPath},
		"absolute":               {one("/etc/passwd").bytes(), ErrPath},
		"backslash":              {one(`nodes/n1/..\x`).bytes(), ErrPath},
		"right-to-left":          {one("nodes/n1/a\u202etxt").bytes(), ErrPath},
		"not escaped":            {one("nodes/n1/x\u0378").bytes(), ErrPath},
		"manifest":               {one("manifest.json").bytes(), ErrPath},
		"taken path":             {one("nodes/n1/taken.txt").bytes(), ErrPath},
		"taken path, other case": {one("nodes/n1/Taken.txt").bytes(), ErrPath},
		"twice in one group":     {one("nodes/n1/a").add("nodes/n1/a", "b").bytes(), ErrPath},
		"part 2 first":           {one("nodes/n1/x.part0002").bytes(), ErrPath},
		"part 0":                 {one("nodes/n1/x.part0000").bytes(), ErrPath},
		"part of a part":         {one("nodes/n1/x.part0001.part0001").bytes(), ErrPath},
		"part of a whole":        {one("nodes/n1/taken.txt.part0001").bytes(), ErrPath},
		"parts after the end":    {one("nodes/n1/x.part0001.end").add("nodes/n1/x.part0002", "x").bytes(), ErrPath},
		"part and then whole":    {one("nodes/n1/x.part0001").add("nodes/n1/x", "x").bytes(), ErrPath},
		"wrong frame hash":       {edit(good(), func(f *forge) { f.bytes(); f.chunks[0].sum[3]++ }), ErrDamaged},
		"wrong file hash":        {edit(good(), func(f *forge) { f.files[0].sum[3]++ }), ErrDamaged},
		"wrong offset":           {edit(good(), func(f *forge) { f.files[0].off += 512 }), ErrDamaged},
		"a file left out":        {edit(good().add("nodes/n1/b", "b"), func(f *forge) { f.files = f.files[:1] }), ErrDamaged},
		"a file too many":        {edit(good(), func(f *forge) { f.files = append(f.files, file{path: "nodes/n1/z", off: int64(len(f.stream)) + 512}) }), ErrDamaged},
		"padding":                {edit(good(), func(f *forge) { f.stream[len(f.stream)-1] = 1 }), ErrDamaged},
		"symbolic link":          {edit(good(), func(f *forge) { f.stream[156] = '2'; copy(f.stream[157:], "/etc/passwd") }), ErrDamaged},
		"hard link":              {edit(good(), func(f *forge) { f.stream[156] = '1' }), ErrDamaged},
		"other name in the tar":  {edit(good(), func(f *forge) { copy(f.stream, "../../evil\x00") }), ErrDamaged},
		"setuid":                 {edit(good(), func(f *forge) { copy(f.stream[100:], "0004755") }), ErrDamaged},
		"end of archive":         {edit(good(), func(f *forge) { f.stream = append(f.stream, make([]byte, 1024)...) }), ErrDamaged},
		"no files":               {edit(good(), func(f *forge) { f.files = nil }), ErrDamaged},
		"unknown class":          {edit(good(), func(f *forge) { f.class = "evil" }), ErrDamaged},
		"two classes": {edit(good(), func(f *forge) {
			f.bytes()
			f.chunks = append(f.chunks, chunk{ClassLogs, f.chunks[0].extent, f.chunks[0].sum})
		}), ErrDamaged},
		"bomb": {edit(good(), func(f *forge) { f.packed = bomb.EncodeAll(make([]byte, 64<<20), nil) }), ErrDamaged},
		"skippable frame behind": {edit(good(), func(f *forge) {
			f.bytes()
			f.packed = append(f.packed, "\x50\x2a\x4d\x18\x01\x00\x00\x00x"...)
			f.chunks = nil
		}), ErrDamaged},
		"two frames in one": {edit(good(), func(f *forge) {
			f.packed = append(bomb.EncodeAll(f.stream[:512], nil), bomb.EncodeAll(f.stream[512:], nil)...)
		}), ErrDamaged},
		"zstd checksum": {edit(good(), func(f *forge) { f.bytes(); f.packed[len(f.packed)-1]++; f.chunks = nil }), ErrDamaged},
		"large group": {edit(good(), func(f *forge) {
			f.bytes()
			for range 9 {
				f.chunks = append(f.chunks, chunk{ClassNodes, extent{10, MaxFrame}, digest{}})
			}
		}), ErrTooLarge},
		"many frames": {edit(good(), func(f *forge) {
			f.bytes()
			for range 100 {
				f.chunks = append(f.chunks, chunk{ClassNodes, extent{10, 1}, digest{}})
			}
		}), ErrTooLarge},
		"long lines": {[]byte{0xff, 0xff, 0xff, 0xff}, ErrTooLarge},
		"no lines":   {[]byte{0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'}, ErrDamaged},
		"cut short":  {good().bytes()[:100], ErrDamaged},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			w := newTestWriter(t, &out)
			put(t, w, "nodes/n1/taken.txt", ClassNodes, "taken\n")
			stream := append([]byte(fragmentMagic), one("nodes/n1/first.txt").bytes()...)
			stream = append(stream, c.group...)
			stream = append(stream, one("nodes/n1/after.txt").bytes()...)
			stream = append(stream, 0, 0, 0, 0)
			if err := w.Frames([]string{"nodes/n1/", "captures/x"}, bytes.NewReader(stream)); !errors.Is(err, c.want) {
				t.Errorf("%v", err)
			}
			put(t, w, "nodes/n1/a", ClassNodes, "free again\n")
			closeWriter(t, w, s)
			r := openBytes(t, out.Bytes(), v)
			checkContents(t, r, map[string]string{"nodes/n1/taken.txt": "taken\n", "nodes/n1/first.txt": "content of nodes/n1/first.txt", "nodes/n1/a": "free again\n"})
		})
	}
	w := newTestWriter(t, io.Discard)
	for prefix, want := range map[string]bool{"captures/x/n1__": true, "captures/x/n1": false, "captures/x/n2__": false, "captures/x": true, "captures/x__": false, "__": false} {
		if got := below([]string{prefix}, "captures/x/n1__host.pcapng"); got != want {
			t.Errorf("below %q: %v", prefix, got)
		}
	}
	if below([]string{"captures/x/n1__"}, "captures/x/n1__/etc/passwd") {
		t.Error("a file's beginning let a folder through")
	}
	for _, prefixes := range [][]string{nil, {""}, {"/"}} {
		if err := w.Frames(prefixes, bytes.NewReader(append([]byte(fragmentMagic), good().bytes()...))); !errors.Is(err, ErrPath) {
			t.Errorf("prefixes %q: %v", prefixes, err)
		}
	}
	for _, junk := range []string{"", "casefile", "casefile-fragment/2\n", strings.Repeat("x", 100)} {
		if err := w.Frames([]string{"nodes"}, strings.NewReader(junk)); err == nil {
			t.Errorf("%q was taken", junk)
		}
	}
}

// TestFragmentFails holds that an entry which fails after its first part stays
// behind as truncated and is said to have failed.
func TestFragmentFails(t *testing.T) {
	s, v := testSigner(t)
	var stream, out bytes.Buffer
	f, err := NewFragment(&stream, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Put("nodes/n1/x.log", ClassLogs, io.MultiReader(strings.NewReader(lines(1, 6<<20)), iotestErr{})); !errors.Is(err, errTest) {
		t.Error(err)
	}
	put(t, f, "nodes/n1/y.log", ClassLogs, "y\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w := newTestWriter(t, &out)
	if err := w.Frames([]string{"nodes/n1"}, &stream); err != nil {
		t.Fatal(err)
	}
	closeWriter(t, w, s)
	got := fmt.Sprint(openBytes(t, out.Bytes(), v).Files())
	if !strings.Contains(got, "{nodes/n1/x.log 4194304 ") || !strings.Contains(got, " 1 true}") {
		t.Error(got)
	}
	f, err = NewFragment(&fullDisk{room: 100}, options(t))
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, "nodes/n1/y.log", ClassLogs, lines(1, 5000))
	if err := f.Close(); !errors.Is(err, errTest) {
		t.Errorf("close: %v", err)
	}
}
