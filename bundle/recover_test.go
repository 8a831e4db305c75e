package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// unfinished is a bundle of several frames, with what it holds and where the
// frames end that each entry needs.
type unfinished struct {
	bytes []byte
	files map[string]string
	needs map[string]int64 // path → end in the file of the last frame with a byte of it
}

// makeUnfinished flushes as a long collection does, with large entries, parts
// from an agent, and journals.
func makeUnfinished(t testing.TB, s Signer) unfinished {
	t.Helper()
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	w.redact = asIs
	u := unfinished{files: map[string]string{}, needs: map[string]int64{}}
	add := func(p, content string) { put(t, w, p, classOf(p), content); u.files[p] = content }
	add(planPath, `{"labels":{"a":"b"}}`+"\n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		for j := range 4 {
			add(fmt.Sprintf("nodes/n%d/%d/proc/net/netstat", i, j), lines(i*10+j, 300+j*2000))
			add(fmt.Sprintf("cluster/resources/core/v1/pods/ns%d-%d.txt", i, j), lines(i+j, 5000))
		}
		add(fmt.Sprintf("cluster/logs/default/web/big%d.log", i), lines(i, 1<<20+i*200_000))
		p := fmt.Sprintf("cluster/logs/default/web/big%d.log", i)
		add(fmt.Sprintf("%s%04d.ndjson", journalDir, i+1), fmt.Sprintf(`{"source":"cluster","path":%q,"status":"ok","bytes":%d,"millis":1}`+"\n", p, len(u.files[p])))
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	add("nodes/grüße/"+strings.Repeat("x", 120)+".log", "long and not ASCII\n")
	agent := map[string]string{"nodes/agent/logs/kernel.log": lines(6, 9<<20), "nodes/agent/node.json": "{}\n"}
	if err := w.Frames([]string{"nodes/agent"}, bytes.NewReader(fragmentOf(t, agent))); err != nil {
		t.Fatal(err)
	}
	maps.Copy(u.files, agent)
	add(resultsPath, `{"source":"cluster","path":"cluster/logs/default/web/big0.log","status":"ok","bytes":1,"millis":1}`+"\n")
	closeWriter(t, w, s)
	u.bytes = out.Bytes()
	r := openUnverified(t, u.bytes)
	for _, n := range r.nodes {
		last := n.parts[len(n.parts)-1]
		u.needs[n.path] = r.offsets[r.chunkAt(max(last.off, last.off+last.size-1))+1]
	}
	return u
}

func openUnverified(t testing.TB, b []byte) *Reader {
	t.Helper()
	r, err := OpenUnverified(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recoverBytes recovers b and gives the new bundle, verified.
func recoverBytes(t testing.TB, b []byte) (*Recovery, *Reader, error) {
	t.Helper()
	s, v := testSigner(t)
	var out bytes.Buffer
	rec, err := Recover(t.Context(), bytes.NewReader(b), int64(len(b)), &out, RecoverOptions{Signer: s, Producer: "test", SpoolDir: t.TempDir(), Random: seeded(2)})
	if err != nil {
		return nil, nil, err
	}
	r := openBytes(t, out.Bytes(), v)
	if err := r.Verify(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if m := r.Manifest(); !m.Recovered || m.Completeness.Complete || m.Completeness.Results["partial"] == 0 {
		t.Fatalf("manifest of a recovered bundle: %+v %+v", m, m.Completeness)
	}
	return rec, r, nil
}

// checkKept holds that the recovered bundle has exactly the entries for which
// complete is true, as they were, but for results.ndjson.
func checkKept(t testing.TB, r *Reader, u unfinished, complete func(path string) bool) {
	t.Helper()
	for p, want := range u.files {
		i, there := r.find(p)
		if p == resultsPath {
			continue
		}
		if there && r.nodes[i].truncated {
			there = false
		}
		if there != complete(p) {
			t.Fatalf("%s: recovered %v, complete in the file %v", p, there, complete(p))
		}
		if !there {
			continue
		}
		if got, err := r.ReadFile(p); err != nil || string(got) != want {
			t.Fatalf("%s: %d bytes that differ from the %d put: %v", p, len(got), len(want), err)
		}
	}
	for _, f := range r.Files() {
		if _, ok := u.files[f.Path]; !ok && f.Path != resultsPath {
			t.Fatalf("%s was never in it", f.Path)
		}
	}
}

// TestRecoverCut cuts a bundle at every border of a frame, a byte before and a
// byte behind it, and anywhere.
func TestRecoverCut(t *testing.T) {
	s, _ := testSigner(t)
	u := makeUnfinished(t, s)
	table, err := readSeekTable(bytes.NewReader(u.bytes), int64(len(u.bytes)))
	if err != nil {
		t.Fatal(err)
	}
	var cuts []int64
	for _, at := range table.offsets[1:] {
		cuts = append(cuts, at-1, at, at+1)
	}
	rnd := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		cuts = append(cuts, rnd.Int64N(int64(len(u.bytes))))
	}
	recovered := 0
	for _, at := range cuts {
		rec, r, err := recoverBytes(t, u.bytes[:at])
		if errors.Is(err, ErrNotBundle) && at < u.needs[planPath] {
			continue
		}
		if err != nil {
			t.Fatalf("cut at %d: %v", at, err)
		}
		recovered++
		checkKept(t, r, u, func(p string) bool { return u.needs[p] <= at })
		if rec.Ended != (u.needs[resultsPath] <= at) || rec.SealedBy != "" || !slices.Contains(rec.Tail, "seek table") {
			t.Fatalf("cut at %d: %+v", at, rec)
		}
		border := slices.Contains(table.offsets, at) || at > table.offsets[len(table.offsets)-1]
		if len(rec.Damaged) == 0 != border || !border && (rec.Damaged[0].To != at || !errors.Is(rec.Damaged[0].Err, ErrTruncated)) {
			t.Fatalf("cut at %d, a border: %v: %+v", at, border, rec.Damaged)
		}
	}
	if recovered < len(cuts)/2 {
		t.Errorf("%d of %d", recovered, len(cuts))
	}
}

// TestRecoverSays holds what a Recovery says about a file that ends in the
// midst of a large entry, and what its results say.
func TestRecoverSays(t *testing.T) {
	s, v := testSigner(t)
	u := makeUnfinished(t, s)
	r := openBytes(t, u.bytes, v)
	i, _ := r.find("cluster/logs/default/web/big3.log")
	e := r.nodes[i].parts[0]
	border := r.offsets[r.chunkAt(e.off+1<<20)] // behind its first MiB
	rec, got, err := recoverBytes(t, u.bytes[:border+100])
	if err != nil {
		t.Fatal(err)
	}
	want := []Missing{{Path: "cluster/logs/default/web/big3.log", Have: 1 << 20, Size: e.size, Reason: "cut off"}}
	if d := cmp.Diff(want, rec.Missing); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"index", "manifest", "seal", "end of archive", "seek table"}, rec.Tail); d != "" || rec.Whole() || rec.Named {
		t.Errorf("%s, %+v", d, rec)
	}
	if len(rec.Damaged) != 1 || rec.Damaged[0].From != border || rec.Damaged[0].To != border+100 {
		t.Errorf("%+v", rec.Damaged)
	}
	text, err := got.ReadFile(resultsPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"source":"cluster","path":"cluster/logs/default/web/big2.log","status":"ok"`,
		fmt.Sprintf(`"path":"cluster/logs/default/web/big3.log","reason":"recovered bundle: cut off: 1048576 of %d bytes were there","source":"recover","status":"partial"`, e.size),
		"did not come to its end", "sealed anew; lost: index, manifest, seal",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("results lack %s:\n%s", want, text)
		}
	}
	if n := strings.Count(string(text), "\n"); n != got.Manifest().Completeness.Results["ok"]+got.Manifest().Completeness.Results["partial"] {
		t.Errorf("%d lines, %+v", n, got.Manifest().Completeness)
	}
}

// TestRecoverDamaged breaks a frame of a whole bundle: by its seal and index
// all that is lost can be named, and nothing else is.
func TestRecoverDamaged(t *testing.T) {
	s, v := testSigner(t)
	u := makeUnfinished(t, s)
	r := openBytes(t, u.bytes, v)
	lost := func(b []byte) func(string) bool { // which entries have a damaged frame
		return func(p string) bool {
			i, _ := r.find(p)
			for _, e := range r.nodes[i].parts {
				for c := r.chunkAt(e.off - 1); c <= r.chunkAt(max(e.off, e.off+e.size-1)); c++ {
					if c >= r.chunkAt(e.off) && !bytes.Equal(b[r.offsets[c]:r.offsets[c+1]], u.bytes[r.offsets[c]:r.offsets[c+1]]) {
						return false
					}
				}
			}
			return true
		}
	}
	rnd := rand.New(rand.NewPCG(8, 8))
	for n := range 40 {
		b := bytes.Clone(u.bytes)
		for range 1 + rnd.IntN(3) {
			b[rnd.Int64N(r.offsets[len(r.chunks)])] ^= byte(1 + rnd.IntN(255))
		}
		sealed := n%2 == 0
		if !sealed { // the seek table is gone too: frames are found by walking
			b = b[:len(b)-1]
		}
		rec, got, err := recoverBytes(t, b)
		if err != nil {
			t.Fatal(err)
		}
		if !rec.Named || len(rec.Damaged) == 0 || len(rec.Missing) == 0 || rec.SealedBy != "" != sealed && b[0] == u.bytes[0] {
			t.Fatalf("%+v", rec)
		}
		complete := lost(b)
		if sealed {
			checkKept(t, got, u, complete)
			continue
		}
		for p := range u.files { // a damaged header takes a large entry with it
			i, there := got.find(p)
			if there && !got.nodes[i].truncated && !complete(p) && p != resultsPath {
				t.Fatalf("%s: damaged, but there", p)
			}
			if !there && complete(p) && !strings.Contains(p, "/logs/") {
				t.Fatalf("%s: whole, but not there: %+v", p, rec)
			}
		}
	}
	if _, _, err := recoverBytes(t, u.bytes); !errors.Is(err, ErrWhole) {
		t.Errorf("a whole bundle: %v", err)
	}
}

// TestRecoverResumes damages the borders of frames in a file without a seek
// table: reading goes on at the next frame that begins with a header, and a
// frame that only looks like one in somebody's log is no such frame.
func TestRecoverResumes(t *testing.T) {
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	evil := string(tarMember(w.top+"/nodes/evil/x", []byte("forged\n"), testTime.Unix()))
	log := noise(1, 1<<20)[:1<<20] + evil + noise(2, 2<<20)
	w.redact = asIs
	put(t, w, "cluster/logs/a/x.log", ClassLogs, noise(3, 3<<20))
	put(t, w, "cluster/logs/a/y.log", ClassLogs, log)
	put(t, w, "nodes/n1/node.json", ClassNodes, "{}\n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	put(t, w, "nodes/n2/node.json", ClassNodes, "{}\n")
	closeWriter(t, w, nil)
	r := openUnverified(t, out.Bytes())
	whole := r.offsets[len(r.chunks)]
	for chunk := range r.chunks {
		b := bytes.Clone(out.Bytes()[:whole])
		b[r.offsets[chunk]] ^= 1 // no frame begins there any more
		rec, got, err := recoverBytes(t, b)
		if err != nil {
			t.Fatal(chunk, err)
		}
		for _, e := range r.inStream() {
			begin := r.chunkAt(e.off - 1) // of its header
			hit := begin <= chunk && chunk <= r.chunkAt(e.off+e.size-1)
			if _, there := got.find(e.path); there == hit {
				t.Errorf("chunk %d: %s there: %v; %+v", chunk, e.path, there, rec)
			}
		}
		if _, there := got.find("nodes/evil/x"); there {
			t.Errorf("chunk %d: content became an entry", chunk)
		}
		if d := rec.Damaged[0]; d.Frame != chunk || d.From != r.offsets[chunk] {
			t.Errorf("chunk %d: %+v", chunk, d)
		}
	}
}

func TestRecoverNothing(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("no bundle "), 1000), storedFrame(make([]byte, 1024)), makeBundle(t, nil, nil)[:600]} {
		if _, _, err := recoverBytes(t, b); !errors.Is(err, ErrNotBundle) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	s, _ := testSigner(t)
	u := makeUnfinished(t, s)
	for room := range 3 {
		_, err := Recover(t.Context(), bytes.NewReader(u.bytes[:len(u.bytes)-1]), int64(len(u.bytes)-1), &fullDisk{room: room * 200_000}, RecoverOptions{SpoolDir: t.TempDir()})
		if !errors.Is(err, errTest) {
			t.Errorf("full disk: %v", err)
		}
	}
}

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv("CASEFILE_TEST_WRITE") != "":
		err = writeForever(os.Getenv("CASEFILE_TEST_WRITE"))
	case os.Getenv("CASEFILE_BENCH_WRITE") != "":
		err = writeMixed(os.Getenv("CASEFILE_BENCH_WRITE"))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func asIs(_ string, r io.Reader) io.Reader { return r }

// written is entry i of what writeForever writes, out of text of 3 MiB.
func written(text string, i int) (path, content string) {
	from := i * 7919 % (1 << 20)
	if i%10 == 9 {
		return fmt.Sprintf("cluster/logs/a/%05d.log", i), text[from : from+1<<20+i*4099%(1<<20)]
	}
	return fmt.Sprintf("nodes/n1/%d/%05d.txt", i%3, i), text[from : from+200+i*77%5000]
}

const manyEntries = 20_000

// writeForever writes entries to name until it is killed or the disk is full.
func writeForever(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w, err := NewWriter(f, writeOptions(filepath.Dir(name)))
	if err != nil {
		return err
	}
	w.redact = asIs
	text := lines(1, 3<<20)
	for i := range manyEntries {
		p, content := written(text, i)
		if _, err := w.Put(p, classOf(p), strings.NewReader(content)); err != nil {
			return err
		}
		if i%13 == 0 {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
	_, err = w.Close(Info{Producer: "test"}, nil)
	return err
}

// TestRecoverKilled kills a process that writes a bundle, many times, and
// recovers every entry that was complete in the file.
func TestRecoverKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("kills 30 processes")
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	dir, kept := t.TempDir(), 0
	for n := range 30 {
		name := filepath.Join(dir, fmt.Sprint(n))
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CASEFILE_TEST_WRITE="+name)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		size := rnd.Int64N(3 << 20) // by then it is in the midst of something
		for wait := time.Now().Add(30 * time.Second); time.Now().Before(wait); time.Sleep(time.Millisecond) {
			if info, err := os.Stat(name); err == nil && info.Size() > size {
				break
			}
		}
		time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		kept += checkSalvaged(t, name)
	}
	if kept < 500 {
		t.Errorf("only %d entries in all: killed too early to show anything", kept)
	}
}

// checkSalvaged recovers what writeForever left at name, and holds it against
// what a plain reader of zstd and tar finds there.
func checkSalvaged(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := plainMembers(t, b)
	rec, r, err := recoverBytes(t, b)
	if errors.Is(err, ErrNotBundle) && len(want) == 0 {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	if rec.Entries != len(want) {
		t.Fatalf("%d entries recovered, %d are whole in the file: %+v", rec.Entries, len(want), rec.Missing)
	}
	text := lines(1, 3<<20)
	for i := range manyEntries {
		p, content := written(text, i)
		if !want[p] {
			continue
		}
		if got, err := r.ReadFile(p); err != nil || string(got) != content {
			t.Fatalf("%s: %v", p, err)
		}
	}
	return rec.Entries
}

// TestRecoverDiskFull fills a real file system, or as far as this user may
// write, and recovers what is on it.
func TestRecoverDiskFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("sets RLIMIT_FSIZE")
	}
	name := filepath.Join(t.TempDir(), "b.partial")
	cmd := exec.Command("sh", "-c", `trap "" XFSZ; ulimit -f 4096; exec "$0"`, os.Args[0]) // 2 MiB
	cmd.Env = append(os.Environ(), "CASEFILE_TEST_WRITE="+name)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot be written") || !strings.Contains(string(out), "file too large") {
		t.Fatalf("%v: %s", err, out)
	}
	if kept := checkSalvaged(t, name); kept < 20 {
		t.Errorf("%d entries", kept)
	}
}
