package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckPath(t *testing.T) {
	for _, p := range []string{"a", "nodes/n1/0/proc/net/netstat", "nodes/grüße/x", "0000%3A00%3A1f.6", ".hidden", "a b", "com", "console", "lpt10", strings.Repeat("x", 255)} {
		if err := checkPath(p); err != nil {
			t.Error(err)
		}
	}
	for _, p := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a.", "a ", "a./b", "a:b", `a\b`, "a*", "a\x00", "a\nb", "a\x7f",
		"con", "CON.txt", "a/Nul", "lpt1.tar.gz", "COM0", "conout$", "a\xff", "e\u0301", "a\u200bb", "a\u202eb", "a\u2028b", strings.Repeat("x", 256),
		strings.Repeat("a/", 32) + "a", strings.Repeat("abcdefgh/", 120) + "a"} {
		if err := checkPath(p); !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestEscapePath(t *testing.T) {
	for in, want := range map[string]string{
		"netstat": "netstat", "0000:00:1f.6": "0000%3A00%3A1f.6", "a/b": "a%2Fb", "..": ".%2E", ".": "%2E", "": "%", "aux": "%61ux", "a.": "a%2E",
		"x.part0001": "x%2Epart0001", "x.part0003.end": "x%2Epart0003.end", "a:%": "a%3A%25", "100%": "100%", "grüße": "grüße", "e\u0301": "e%CC%81",
		"a\xffb": "a%FFb", "a\u202eb": "a%E2%80%AEb", "\u0378": "%CD%B8",
	} {
		if got := EscapePath(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzEscapePath holds that whatever goes in, an acceptable element comes out,
// that escaping again changes nothing, and the order of the index is one.
func FuzzEscapePath(f *testing.F) {
	for _, s := range []string{"", "..", "a:b", "x.part0001", "CON", "e\u0301", "\xff\xfe", strings.Repeat(":", 300), strings.Repeat("ü", 200), "*\u0303"} {
		f.Add(s, "b")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		e := EscapePath(a)
		if err := checkPath(e); err != nil || strings.Contains(e, "/") || !filepath.IsLocal(e) {
			t.Fatalf("%q → %q: %v", a, e, err)
		}
		if _, isPart := partOf(e); isPart || EscapePath(e) != e {
			t.Fatalf("%q → %q → %q", a, e, EscapePath(e))
		}
		if x, y := foldCompare(a, b), foldCompare(b, a); x < 0 != (y > 0) || x == 0 != (y == 0) {
			t.Fatalf("%q, %q: %d and %d", a, b, x, y)
		}
		if utf8.ValidString(a) && utf8.ValidString(b) && foldCompare(a, b) == 0 && foldKey(a) != foldKey(b) {
			t.Fatalf("%q and %q: one in the index, two in the writer", a, b)
		}
	})
}

func TestParts(t *testing.T) {
	for in, want := range map[string]part{"x.part0001": {"x", 1, false}, "a/b.log.part0120.end": {"a/b.log", 120, true}, ".part0001": {"", 1, false}} {
		if got, ok := partOf(in); !ok || got != want || got.String() != in {
			t.Errorf("%q: %+v", in, got)
		}
	}
	for _, in := range []string{"x", "x.part1", "x.part00001", "x.part000a", "x.part0001.en", "x.end", "part0001"} {
		if p, ok := partOf(in); ok {
			t.Errorf("%q: %+v", in, p)
		}
	}
}

// TestMerkle computes a small tree by hand.
func TestMerkle(t *testing.T) {
	h := func(b ...[]byte) digest { return sha256.Sum256(bytes.Join(b, nil)) }
	content := sha256.Sum256([]byte("hello"))
	var leaves []digest
	for i := range 3 {
		var salt [16]byte
		salt[0] = byte(i)
		leaves = append(leaves, merkleLeaf(salt, "a/b", 5, content))
		if want := h([]byte{0}, salt[:], []byte("a/b"), []byte{0, 0, 0, 0, 0, 0, 0, 5}, content[:]); want != leaves[i] {
			t.Errorf("leaf %d", i)
		}
	}
	l := slices.Clone(leaves)
	slices.SortFunc(l, func(a, b digest) int { return bytes.Compare(a[:], b[:]) })
	left := h([]byte{1}, l[0][:], l[1][:])
	if want := h([]byte{1}, left[:], l[2][:]); merkleRoot(leaves) != want {
		t.Error("root of three")
	}
	if merkleRoot(leaves[:1]) != leaves[0] || merkleRoot(nil) != sha256.Sum256(nil) {
		t.Error("root of one or none")
	}
	slices.Reverse(leaves)
	if merkleRoot(leaves) != merkleRoot(l) {
		t.Error("the root depends on the order")
	}
}

// TestHeader pins the bytes of the tar headers: they are part of the format.
func TestHeader(t *testing.T) {
	long := strings.Repeat("x", 60)
	for name, blocks := range map[string]int{
		"top/a":                           1,
		"top/" + long + "/" + long + "/a": 1, // split in two fields
		"top/ü":                           3,
		"top/" + strings.Repeat("x", 200): 3,
		strings.Repeat(long+"/", 18):      5,
	} {
		h := tarHeader(name, 1234, 1795251600)
		if len(h) != blocks*block {
			t.Errorf("%s: %d bytes", name, len(h))
		}
		member := append(bytes.Clone(h), make([]byte, 1234+padding(1234))...)
		if body, err := tarBody(member); err != nil || len(body) != 1234 {
			t.Errorf("%s: %d, %v", name, len(body), err)
		}
	}
	h := tarHeader("top/a", 1234, 1795251600)
	sum := sha256.Sum256(h)
	if got := hex.EncodeToString(sum[:]); got != goldenHeader {
		t.Errorf("header of format 1 changed: %s", got)
	}
}

const goldenHeader = "7afb47346e5f5414a1ec64490c6d3401d71c9f9d5df2299dfc5352fb7f901b78"

func TestIndexOrder(t *testing.T) {
	for _, paths := range [][]string{
		{"b", "a"}, {"a", "a"}, {"A", "a"}, {"a", "a/b"}, {"a", "a-b", "a/b"}, {"A/x", "a/y"}, {"a/b/c", "A/b/d"},
		{"x.part0002"}, {"x.part0001", "x.part0003"}, {"x", "x.part0001"}, {"x.part0001.end", "x.part0002"}, {"x.part0001", "x/y"},
		{"a", "a-b", "a-c", "a.d", "a/b"}, {"a/b", "a/b-c", "a/b-c/d", "a/b.x", "a/b/c"}, {"a/B", "a/b-c", "a/b/c"},
		{"ſ", "s"}, {"s/x", "ſ"}, {"Ä", "ä"}, {"Ä/x", "ä/y"}, {"manifest.json"},
	} {
		if err := readPaths(paths); err == nil {
			t.Errorf("%q passed", paths)
		}
	}
	for _, paths := range [][]string{
		{"a", "a-b", "b/c", "b/d"}, {"B", "c"}, {"a", "a-b", "a-c", "a.d", "a0"}, {"a/B", "a/b-c", "a/B-d"}, {"x.part0001", "x.part0001.foo", "x.part0002.end"}, {"x-a", "x.part0001"}, {"ä", "ö"}, {"a/ä/x", "a/ä/y"},
	} {
		if err := readPaths(paths); err != nil {
			t.Errorf("%q: %v", paths, err)
		}
	}
}

// readPaths reads an index of these paths, cut into texts in every way: what
// lies at a border must be seen as what does not.
func readPaths(paths []string) error {
	var first error
	for cuts := range 1 << (len(paths) - 1) {
		texts := []string{""}
		for i, p := range paths {
			if i > 0 && cuts>>(i-1)&1 == 1 {
				texts = append(texts, "")
			}
			texts[len(texts)-1] += string(appendFile(nil, file{path: p}))
		}
		r := &Reader{manifest: &Manifest{Index: IndexCommitment{Files: len(paths)}}}
		err := r.parseParts(texts, 0)
		if cuts == 0 {
			first = err
		} else if (err == nil) != (first == nil) {
			return fmt.Errorf("in one text: %w, in %d: %w", first, len(texts), err)
		}
	}
	return first
}

func TestProvenance(t *testing.T) {
	s, v := testSigner(t)
	var out bytes.Buffer
	w := newTestWriter(t, &out)
	put(t, w, "a", ClassMeta, "x")
	info := testInfo()
	var index [32]byte
	info.Provenance = func(sum [32]byte) ([]byte, error) { index = sum; return []byte(`{"dsseEnvelope":{}}`), nil }
	if _, err := w.Close(info, s); err != nil {
		t.Fatal(err)
	}
	b := out.Bytes()
	checkContents(t, openBytes(t, b, v), map[string]string{"a": "x"})
	if sum, err := openBytes(t, b, v).IndexDigest(); err != nil || sum != index {
		t.Errorf("another index: %v", err)
	}
	h, err := readTail(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for at := h.offsets[len(h.frames)-5]; at < h.offsets[len(h.frames)-4]; at++ {
		b[at] ^= 1
		if err := check(b, v); err == nil || !strings.Contains(err.Error(), "provenance") {
			t.Fatalf("byte %d: %v", at, err)
		}
		b[at] ^= 1
	}
	info.Provenance = func([32]byte) ([]byte, error) { return nil, errTest }
	w = newTestWriter(t, io.Discard)
	if _, err := w.Close(info, s); !errors.Is(err, errTest) {
		t.Errorf("%v", err)
	}
}

func TestCanonical(t *testing.T) {
	for in, ok := range map[string]bool{`{"a":1,"b":[1,"<&>"]}`: true, `{"b":1,"a":2}`: false, `{"a":1,"a":2}`: false, `{"a": 1}`: false,
		"{\"a\":1}\n": false, `{"a":1}{}`: false, `{"a":"\u0041"}`: false, `{`: false, ``: false, `{"a":"é"}`: true} {
		var v any
		if err := decodeCanonical([]byte(in), &v); (err == nil) != ok {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func FuzzSeekTable(f *testing.F) {
	f.Add(seekTable(nil))
	f.Add(seekTable([]extent{{1, 2}, {3, 4}}))
	f.Add(seekTable([]extent{{1 << 31, 1 << 31}})[3:])
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, err := parseSeekTable(b)
		if err == nil && !bytes.Equal(seekTable(frames), b) {
			t.Fatal("two spellings of one table")
		}
	})
}

func FuzzIndex(f *testing.F) {
	good := appendFile(appendChunk(nil, chunk{ClassNodes, extent{10, 20}, digest{1}}), file{path: "a/b", off: 512, size: 5})
	f.Add(string(good))
	f.Add(strings.Replace(string(good), "512", "0512", 1))
	f.Add(`{"p":"` + strings.Repeat("a/", 600) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseIndex(text)
		if err != nil {
			return
		}
		var again []byte
		for _, c := range p.chunks {
			again = appendChunk(again, c)
		}
		for _, e := range p.entries {
			sum, err := e.sum()
			if err != nil {
				return
			}
			salt, err := e.salt()
			if err != nil {
				return
			}
			again = appendFile(again, file{e.path, e.off, e.size, sum, salt})
		}
		if string(again) != text {
			t.Fatalf("two spellings of one index:\n%s\n%s", text, again)
		}
	})
}

func FuzzManifest(f *testing.F) {
	m, err := testInfo().manifest()
	if err != nil {
		f.Fatal(err)
	}
	m.Top, m.Created, m.Index.Frames = "t", testTime, 1
	b, err := canonical(m)
	if err != nil {
		f.Fatal(err)
	}
	s, v := testSigner(f)
	fp, _ := Fingerprint(s.Public())
	sealed, err := makeSeal(b, fp, s, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, sealed)
	f.Add([]byte(`{"format":1,"top":".."}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, manifest, sealed []byte) {
		if m, err := parseManifest(manifest); err == nil && checkTop(m.Top) != nil {
			t.Fatalf("top %q", m.Top)
		}
		if m, err := checkSeal(sealed, manifest, v); err == nil {
			t.Fatalf("a seal that no key made: %+v", m)
		}
	})
}

func FuzzTarBody(f *testing.F) {
	f.Add(tarMember("top/manifest.json", []byte("{}"), 0))
	f.Add(tarMember("top/ü", []byte("{}"), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if body, err := tarBody(b); err == nil && len(body) > len(b)-block {
			t.Fatal("more than there is")
		}
		if content, err := openStored(b); err == nil && len(storedFrame(content)) != storedSize(len(content)) {
			t.Fatal("size of a stored frame")
		}
	})
}

// FuzzFrames checks groups of a fragment; what passes may only name paths of
// its own, and must be what its lines say.
func FuzzFrames(f *testing.F) {
	f.Add(one("nodes/n1/a").bytes())
	f.Add(one("nodes/n1/a.part0001").add("nodes/n1/a.part0002.end", "").bytes())
	f.Add(one("nodes/n2/a").bytes())
	dec, err := newDecoder()
	if err != nil {
		f.Fatal(err)
	}
	a, err := newAssembler(options(f))
	if err != nil {
		f.Fatal(err)
	}
	scratch := make([]byte, 0, MaxFrame)
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := readGroup(bytes.NewReader(b))
		if err != nil || g == nil || g.check(dec, a.header, []string{"nodes/n1"}, scratch) != nil {
			return
		}
		var stream []byte
		for i, c := range g.chunks {
			data, err := decodeFrame(dec, g.frames[i], int(c.size), nil)
			if err != nil {
				t.Fatal(err)
			}
			stream = append(stream, data...)
		}
		for _, file := range g.files {
			if !strings.HasPrefix(file.path, "nodes/n1/") || sha256.Sum256(stream[file.off:file.off+file.size]) != file.sum {
				t.Fatalf("%+v", file)
			}
		}
	})
}

// FuzzOpen opens anything; it may only fail.
func FuzzOpen(f *testing.F) {
	s, v := testSigner(f)
	signed, unsigned := makeBundle(f, contents(), s), makeBundle(f, contents(), nil)
	f.Add(unsigned)
	f.Add(signed[:len(signed)/2])
	f.Add(append(storedFrame(make([]byte, 100)), seekTable([]extent{{1, 2}, {3, 4}, {5, 6}, {7, 8}})...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := Open(bytes.NewReader(b), int64(len(b)), v); err == nil && !bytes.Equal(b, signed) {
			t.Fatalf("opened: %v", r.Manifest())
		}
		r, err := OpenUnverified(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for i, file := range r.Files() {
			if _, err := r.ReadFile(file.Path); err == nil && i > 100 {
				break
			}
		}
		_ = r.Verify(t.Context(), nil)
	})
}

func TestManyProblems(t *testing.T) {
	v := verification{}
	for i := range 30 {
		v.add(fmt.Errorf("problem %d", i))
	}
	if len(v.problems) != maxProblems || v.more != 10 {
		t.Errorf("%d problems, %d more", len(v.problems), v.more)
	}
}
