package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// bundle makes a whole bundle of what was forged, sealed by the key that the
// readers trust: only the checks of structure are left to refuse it.
func (f *forge) bundle(t testing.TB) []byte {
	t.Helper()
	f.bytes() // fills in frames and chunks
	s, _ := testSigner(t)
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	if _, err := w.out.Write(f.packed); err != nil {
		t.Fatal(err)
	}
	w.files, w.chunks = append(w.files, f.files...), f.chunks
	m, err := testInfo().manifest()
	if err != nil {
		t.Fatal(err)
	}
	if err := (&tail{w: w, m: m}).write(testInfo(), s); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// reseal changes the manifest or the seek table of a bundle and seals it anew
// with the trusted key.
func reseal(t testing.TB, b []byte, manifest func(*Manifest), table func([]extent) []extent) []byte {
	t.Helper()
	s, _ := testSigner(t)
	h, err := readTail(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(h.manifest)
	if err != nil {
		t.Fatal(err)
	}
	if manifest != nil {
		manifest(m)
	}
	text, err := canonical(m)
	if err != nil {
		t.Fatal(err)
	}
	return resealText(t, s, b, h, m, text, table)
}

// resealText does so with any text as the manifest.
func resealText(t testing.TB, s Signer, b []byte, h *tailFrames, m *Manifest, text []byte, table func([]extent) []extent) []byte {
	t.Helper()
	fp, err := Fingerprint(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := makeSeal(text, fp, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(b[:h.offsets[h.manifestAt]])
	frames := h.frames[:h.manifestAt:h.manifestAt]
	for _, stream := range [][]byte{memberStream(m, nameManifest, text), memberStream(m, nameSeal, sealed), make([]byte, 2*block)} {
		packed := storedFrame(stream)
		out = append(out, packed...)
		frames = append(frames, extent{uint32(len(packed)), uint32(len(stream))})
	}
	if table != nil {
		frames = table(frames)
	}
	return append(out, seekTable(frames)...)
}

// rle is a zstd frame of n zeros in RLE blocks: 4 bytes for each 128 KiB.
func rle(n int64, declare bool) []byte {
	b := binary.LittleEndian.AppendUint32(nil, zstdMagic)
	if declare {
		b = append(b, 0xE0) // single segment, eight bytes of content size
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	} else {
		b = append(b, 0x00, 0x50) // a window of 1 MiB, nothing declared
	}
	for ; n > 0; n -= storedBlock {
		size := min(n, storedBlock)
		head := uint32(size)<<3 | 1<<1
		if n <= storedBlock {
			head |= 1
		}
		b = append(b, byte(head), byte(head>>8), byte(head>>16), 0)
	}
	return b
}

// asChunk makes a bomb the only chunk, which says that it holds size bytes.
func asChunk(packed []byte, size int64) func(*forge) {
	return func(f *forge) {
		f.packed = packed
		f.chunks = []chunk{{ClassNodes, extent{uint32(min(len(packed), maxPacked)), uint32(size)}, sha256.Sum256(packed)}}
	}
}

// member is a tar member of any kind, with a sound checksum.
func rawMember(kind byte, name, link, content string) []byte {
	h := ustar("", name, kind, int64(len(content)), testTime.Unix())
	copy(h[157:257], link)
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	h = append(h, content...)
	return append(h, make([]byte, padding(int64(len(content))))...)
}

// smuggle puts a member into the stream that no line of the index names.
func smuggle(member []byte) func(*forge) {
	return func(f *forge) { f.stream = append(f.stream, member...) }
}

// replace makes the only member of the stream one of another kind.
func replace(member []byte) func(*forge) {
	return func(f *forge) { f.stream = member; f.files[0].off = block }
}

const top = "casefile-test-20261121T090000Z/"

// hostileForges are bundles whose chunks or index lie.
func hostileForges() map[string]func(*forge) {
	line := func(change func(*file)) func(*forge) { return func(f *forge) { change(&f.files[0]) } }
	named := func(paths ...string) func(*forge) {
		return func(f *forge) {
			*f = forge{}
			for _, p := range paths {
				f.add(p, "x")
			}
		}
	}
	cases := map[string]func(*forge){
		"bomb: nothing declared":    asChunk(rle(64<<20, false), MaxFrame),
		"bomb: 300 MB declared":     asChunk(rle(300_000_000, true), MaxFrame),
		"bomb: 300 MB in the index": asChunk(rle(300_000_000, true), 300_000_000),
		"bomb: 4 GiB of zeros":      asChunk(rle(4<<30, true), MaxFrame),
		"bomb: a frame behind":      func(f *forge) { f.bytes(); f.packed = append(f.packed, rle(1<<30, false)...); f.chunks = nil },
		"window of 2 GiB":           asChunk(append(binary.LittleEndian.AppendUint32(nil, zstdMagic), 0x80, 0xA8, 0, 4, 0, 0, 1, 0, 0), 1024),
		"a dictionary":              asChunk(append(binary.LittleEndian.AppendUint32(nil, zstdMagic), 0xA1, 7, 0, 4, 0, 0, 1, 0, 0), 1024),
		"link":                      replace(rawMember('2', top+"nodes/n1/a", "/etc/passwd", "")),
		"hard link":                 replace(rawMember('1', top+"nodes/n1/a", top+"nodes/n1/b", "")),
		"character device":          replace(rawMember('3', top+"nodes/n1/a", "", "")),
		"block device":              replace(rawMember('4', top+"nodes/n1/a", "", "")),
		"folder":                    replace(rawMember('5', top+"nodes/n1/a", "", "")),
		"fifo":                      replace(rawMember('6', top+"nodes/n1/a", "", "")),
		"sparse":                    replace(rawMember('S', top+"nodes/n1/a", "", "content of nodes/n1/a")),
		"another name":              replace(rawMember('0', "../../etc/cron.d/x", "", "content of nodes/n1/a")),
		"another top":               replace(rawMember('0', "elsewhere/nodes/n1/a", "", "content of nodes/n1/a")),
		"smuggled file":             smuggle(rawMember('0', top+"nodes/n1/evil", "", "x")),
		"smuggled link":             smuggle(rawMember('2', top+"nodes", "/etc", "")),
		"smuggled PAX global":       smuggle(rawMember('g', "pax_global_header", "", paxRecord("path", "../evil"))),
		"smuggled PAX":              smuggle(rawMember('x', "././@PaxHeader", "", paxRecord("linkpath", "/etc"))),
		"smuggled GNU long name":    smuggle(rawMember('L', "././@LongLink", "", "../evil\x00")),
		"smuggled end of archive":   smuggle(make([]byte, 2*block)),
		"PAX global in front": func(f *forge) {
			f.stream = append(rawMember('g', "g", "", paxRecord("path", "evil")), f.stream...)
			f.files[0].off += 2 * block
		},
		"same path twice":             named("nodes/n1/a", "nodes/n1/a"),
		"case collision":              named("nodes/n1/A", "nodes/n1/a"),
		"case collision of folders":   named("nodes/N1/a", "nodes/n1/b"),
		"case collision beyond ASCII": named("nodes/n1/Ä", "nodes/n1/ä"),
		"case folds to ASCII":         named("nodes/n1/s", "nodes/n1/ſ"),
		"file and folder":             named("nodes/n1/a", "nodes/n1/a/b"),
		"not in normal form":          named("nodes/n1/e\u0301"),
		"parts with a gap":            named("nodes/n1/x.part0001", "nodes/n1/x.part0003.end"),
		"a part and the whole":        named("nodes/n1/x", "nodes/n1/x.part0001"),
		"a member of the format":      named("tree.sigstore.json"),
		"size: too long":              line(func(f *file) { f.size += block }),
		"size: too short":             line(func(f *file) { f.size-- }),
		"size: a terabyte":            line(func(f *file) { f.size = 1 << 40 }),
		"size: beyond the stream":     line(func(f *file) { f.size = MaxFile }),
		"offset: into the header":     line(func(f *file) { f.off -= 100 }),
		"offset: beyond the stream":   line(func(f *file) { f.off = MaxTotal }),
		"offset: absurd":              line(func(f *file) { f.off = 1 << 60 }),
		"hash":                        line(func(f *file) { f.sum[0]++ }),
		"overlapping entries":         func(f *forge) { g := f.files[0]; g.path += "b"; f.files = append(f.files, g) },
		"a gap between entries": func(f *forge) {
			f.add("nodes/n1/b", "x").add("nodes/n1/c", "y")
			f.files = append(f.files[:1], f.files[2])
		},
		"entries without bytes": func(f *forge) { f.files = append(f.files, file{path: "nodes/n1/z", off: 1 << 20, size: 1}) },
		"padding":               func(f *forge) { f.stream[len(f.stream)-1] = 1 },
		"chunk: wrong hash":     func(f *forge) { f.bytes(); f.chunks[0].sum[0]++ },
		"chunk: unknown class":  func(f *forge) { f.class = "evil" },
		"chunk: too long":       func(f *forge) { f.bytes(); f.chunks[0].packed++ },
		"chunk: too short":      func(f *forge) { f.bytes(); f.chunks[0].packed-- },
		"chunk: larger":         func(f *forge) { f.bytes(); f.chunks[0].size++ },
		"chunk: smaller":        func(f *forge) { f.bytes(); f.chunks[0].size-- },
		"chunk: none":           func(f *forge) { f.bytes(); f.chunks = []chunk{} },
		"chunk: one too many":   func(f *forge) { f.bytes(); f.chunks = append(f.chunks, f.chunks[0]) },
		"many empty chunks": func(f *forge) {
			f.bytes()
			for range 100_000 {
				f.chunks = append(f.chunks, chunk{class: ClassNodes})
			}
		},
	}
	for _, p := range []string{"../evil", "nodes/../../evil", "/etc/passwd", "nodes//a", "nodes/./a", "nodes/", `nodes\..\evil`, "C:/evil", "nodes/a\x00b", "nodes/a\nb", "nodes/con", "nodes/LPT1.txt",
		"nodes/a.", "nodes/a ", "nodes/\u202eexe.txt", "nodes/\xff", "manifest.json", "Manifest.SHA256/x", `nodes/a","o":1,"s":1`, strings.Repeat("d/", 40) + "x", strings.Repeat("x", 300), strings.Repeat("dir/", 300) + "x", strings.Repeat("n", 80_000)} {
		cases["path "+p[:min(len(p), 40)]] = named(p)
	}
	return cases
}

// hostileTails are bundles whose manifest or seek table lies.
func hostileTails(t *testing.T, good []byte) map[string][]byte {
	edit := func(change func(*Manifest)) []byte { return reseal(t, good, change, nil) }
	lie := func(change func([]extent) []extent) []byte { return reseal(t, good, nil, change) }
	s, _ := testSigner(t)
	h, err := readTail(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(h.manifest)
	if err != nil {
		t.Fatal(err)
	}
	text := func(text string) []byte { return resealText(t, s, good, h, m, []byte(text), nil) }
	grow := func(n int) func([]extent) []extent {
		return func(f []extent) []extent { return append(make([]extent, n), f...) }
	}
	return map[string][]byte{
		"a billion files":            edit(func(m *Manifest) { m.Index.Files = 1e9 }),
		"a million files":            edit(func(m *Manifest) { m.Index.Files = MaxFiles }),
		"no files":                   edit(func(m *Manifest) { m.Index.Files = 0 }),
		"minus one file":             edit(func(m *Manifest) { m.Index.Files = -1 }),
		"a billion chunks":           edit(func(m *Manifest) { m.Index.Chunks = 1e9 }),
		"a chunk too many":           edit(func(m *Manifest) { m.Index.Chunks++ }),
		"a billion index frames":     edit(func(m *Manifest) { m.Index.Frames = 1e9 }),
		"an index frame too many":    edit(func(m *Manifest) { m.Index.Frames++ }),
		"an index of a terabyte":     edit(func(m *Manifest) { m.Index.Size = 1 << 40 }),
		"an index of another size":   edit(func(m *Manifest) { m.Index.Size++ }),
		"an index elsewhere":         edit(func(m *Manifest) { m.Index.Offset-- }),
		"an index over the chunks":   edit(func(m *Manifest) { m.Index.Offset, m.Index.Length = 0, m.Index.Offset+m.Index.Length }),
		"an index of minus length":   edit(func(m *Manifest) { m.Index.Length = -1 }),
		"another hash of the index":  edit(func(m *Manifest) { m.Index.SHA256[0]++ }),
		"no hash of the index":       edit(func(m *Manifest) { m.Index.SHA256 = nil }),
		"another root":               edit(func(m *Manifest) { m.Tree.Root[0]++ }),
		"another number of leaves":   edit(func(m *Manifest) { m.Tree.Leaves++ }),
		"a top that leads out":       edit(func(m *Manifest) { m.Top = ".." }),
		"a top of two folders":       edit(func(m *Manifest) { m.Top = "a/b" }),
		"another top":                edit(func(m *Manifest) { m.Top = "other" }),
		"another time":               edit(func(m *Manifest) { m.Created = m.Created.Add(1e9) }),
		"a time before all":          edit(func(m *Manifest) { m.Created = m.Created.AddDate(-1000, 0, 0) }),
		"format 2":                   edit(func(m *Manifest) { m.Format = 2 }),
		"no signer":                  edit(func(m *Manifest) { m.Signer = nil }),
		"provenance that is none":    edit(func(m *Manifest) { m.Provenance = &Proof{make([]byte, 32)} }),
		"no tree proof":              edit(func(m *Manifest) { m.TreeProof = nil }),
		"an empty manifest":          text(""),
		"a manifest of brackets":     text(strings.Repeat("[", 60_000)),
		"a key twice":                text(`{"format":1,` + string(h.manifest[1:])),
		"spaces":                     text(" " + string(h.manifest)),
		"a manifest beyond its size": text(strings.Replace(string(h.manifest), `"note":"`, `"note":"`+strings.Repeat("n", MaxManifest), 1)),
		"table: one frame less":      lie(func(f []extent) []extent { return f[1:] }),
		"table: one frame more":      lie(grow(1)),
		"table: a million frames":    lie(grow(1_000_000)),
		"table: two million frames":  lie(grow(2_000_000)),
		"table: a border moved":      lie(func(f []extent) []extent { f[0].packed++; f[1].packed--; return f }),
		"table: two frames as one": lie(func(f []extent) []extent {
			return append([]extent{{f[0].packed + f[1].packed, f[0].size + f[1].size}}, f[2:]...)
		}),
		"table: a size":              lie(func(f []extent) []extent { f[0].size++; return f }),
		"table: a size of 4 GiB":     lie(func(f []extent) []extent { f[0].size = 1<<32 - 1; return f }),
		"table: index size":          lie(func(f []extent) []extent { f[len(f)-5].size = 1 << 31; return f }),
		"table: manifest size":       lie(func(f []extent) []extent { f[len(f)-3].size++; return f }),
		"table: frames change place": lie(func(f []extent) []extent { f[0], f[1] = f[1], f[0]; return f }),
	}
}

// mustRefuse holds that a file can neither be verified nor recovered from as if
// nothing were wrong, in little memory.
func mustRefuse(t *testing.T, b []byte) {
	t.Helper()
	_, v := testSigner(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := check(b, v)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Fatal("it passed")
	}
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrNotBundle) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrSignature) {
		t.Errorf("refused without saying what is wrong: %v", err)
	}
	if errors.Is(err, ErrUnknownSigner) || errors.Is(err, ErrUnsigned) {
		t.Errorf("only the key refused it: %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d MB allocated", n>>20)
	}
	before = after
	_, err = Recover(context.Background(), bytes.NewReader(b), int64(len(b)), io.Discard, RecoverOptions{SpoolDir: t.TempDir()})
	runtime.ReadMemStats(&after)
	if errors.Is(err, ErrWhole) {
		t.Error("recover calls it whole")
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 128<<20 {
		t.Errorf("recover: %d MB allocated", n>>20)
	}
}

// TestHostileBundles opens bundles that are properly sealed and lie.
func TestHostileBundles(t *testing.T) {
	_, v := testSigner(t)
	if err := check(one("nodes/n1/a").bundle(t), v); err != nil {
		t.Fatal("what is not forged: ", err)
	}
	for name, change := range hostileForges() {
		t.Run(name, func(t *testing.T) {
			f := one("nodes/n1/a")
			change(f)
			mustRefuse(t, f.bundle(t))
		})
	}
	good := makeBundle(t, contents(), must(testSigner(t)))
	if err := check(reseal(t, good, nil, nil), v); err != nil {
		t.Fatal("what is only sealed anew: ", err)
	}
	for name, b := range hostileTails(t, good) {
		t.Run(name, func(t *testing.T) { mustRefuse(t, b) })
	}
}

func must(s Signer, _ Verifier) Signer { return s }

// TestHostileIndex seals an index that is a bomb, or says the same in other words.
func TestHostileIndex(t *testing.T) {
	good := one("nodes/n1/a").bundle(t)
	h, err := readTail(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	at := h.manifestAt - 2 // before the tree proof
	dec, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	stream, err := decodeFrame(dec, good[h.offsets[at]:h.offsets[at+1]], int(h.frames[at].size), nil)
	if err != nil {
		t.Fatal(err)
	}
	enc, _ := zstd.NewWriter(nil)
	for name, c := range map[string]struct{ from, to string }{
		"space":         {`"s":`, `"s": `},
		"leading zero":  {`"s":21`, `"s":021`},
		"minus":         {`"s":21`, `"s":-1`},
		"exponent":      {`"s":21`, `"s":2e1`},
		"another key":   {`"n":`, `"x":`},
		"escaped path":  {`nodes/n1/a`, `nodes\/n1/`},
		"huge number":   {`"s":21`, `"s":99999999999999999999`},
		"line break":    {"\n{\"p\"", "\n\n{\"p\""},
		"no last break": {"\"}\n\x00", "\"} \x00"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(string(stream), c.from, c.to, 1)
			if text == string(stream) {
				t.Fatal("nothing to replace")
			}
			mustRefuse(t, withIndex(t, good, h, at, enc.EncodeAll([]byte(text), nil), len(text)))
		})
	}
	for name, packed := range map[string][]byte{"bomb": rle(300_000_000, true), "bomb, nothing declared": rle(1<<30, false), "4 GiB": rle(4<<30, true)} {
		t.Run(name, func(t *testing.T) { mustRefuse(t, withIndex(t, good, h, at, packed, MaxFrame)) })
	}
}

// withIndex puts another frame in the place of the index, and commits to it.
func withIndex(t *testing.T, b []byte, h *tailFrames, at int, packed []byte, size int) []byte {
	t.Helper()
	s, _ := testSigner(t)
	m, err := parseManifest(h.manifest)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(packed)
	m.Index.SHA256, m.Index.Length = sum[:], int64(len(packed))
	m.Index.Size = int64(size - block - padding(int64(size)))
	text, err := canonical(m)
	if err != nil {
		t.Fatal(err)
	}
	out := append(bytes.Clone(b[:h.offsets[at]]), packed...)
	out = append(out, b[h.offsets[at+1]:h.offsets[h.manifestAt]]...)
	g := *h
	g.frames, g.offsets = append([]extent(nil), h.frames...), append([]int64(nil), h.offsets...)
	g.frames[at] = extent{uint32(len(packed)), uint32(size)}
	g.offsets[h.manifestAt] = int64(len(out))
	return resealText(t, s, out, &g, m, text, nil)
}
