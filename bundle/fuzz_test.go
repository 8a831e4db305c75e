package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"strings"
	"testing"
)

// sealFuzzed puts a bundle together whose hashes, seal and seek table hold
// whatever the index and the manifest say, so that a fuzzer gets to what lies
// behind them: stream becomes the chunks, cut into pieces of at most step
// bytes, lines the index, and edits change the manifest after it was made.
func sealFuzzed(stream []byte, step int, lines, edits string, s Signer) []byte {
	var out bytes.Buffer
	a, err := newCopier(Options{Top: "casefile-test-20261121T090000Z", Time: testTime})
	if err != nil {
		return nil
	}
	w := a.writer(&out, seeded(1))
	defer w.abandon()
	index := []byte{}
	for len(stream) > 0 {
		n := min(len(stream), max(1, step), MaxFrame)
		packed := w.packer.enc.EncodeAll(stream[:n], nil)
		c := chunk{ClassNodes, extent{uint32(len(packed)), uint32(n)}, sha256.Sum256(packed)}
		index, w.chunks = appendChunk(index, c), append(w.chunks, c)
		_, _ = w.out.Write(packed) // into memory
		stream = stream[n:]
	}
	index = append(index, lines...)
	m, err := testInfo().manifest()
	if err != nil || len(index) > MaxFrame-3*block {
		return nil
	}
	m.Top, m.Created, m.ID = w.top, testTime, uuid([16]byte{})
	t := &tail{w: w, m: m}
	for _, c := range w.chunks {
		t.frames = append(t.frames, c.extent)
	}
	packed := w.packer.enc.EncodeAll(tarMember(w.top+"/"+nameIndex, index, testTime.Unix()), nil)
	sum := sha256.Sum256(packed)
	m.Index = IndexCommitment{Offset: w.out.n, Length: int64(len(packed)), Frames: 1, Size: int64(len(index)), SHA256: sum[:],
		Chunks: len(w.chunks), Files: strings.Count(lines, "\n")}
	t.frames = append(t.frames, extent{uint32(len(packed)), uint32(block + len(index) + padding(int64(len(index))))})
	_, _ = w.out.Write(packed)
	root := merkleRoot(nil)
	if p, err := parseIndex(lines); err == nil {
		if leaves, err := leavesOf(p.entries); err == nil {
			root, m.Tree.Leaves = merkleRoot(leaves), len(leaves)
		}
	}
	m.Tree.Root = root[:]
	fuzzEdit(m, edits)
	if t.treeProof(s) != nil || t.finish(s, nil) != nil {
		return nil
	}
	return out.Bytes()
}

func leavesOf(entries []entry) (leaves []digest, err error) {
	for _, e := range entries {
		sum, err := e.sum()
		if err != nil {
			return nil, err
		}
		salt, err := e.salt()
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, merkleLeaf(salt, e.path, e.size, sum))
	}
	return leaves, nil
}

// fuzzEdit changes numbers of the manifest, two bytes for each change.
func fuzzEdit(m *Manifest, edits string) {
	for ; len(edits) >= 2; edits = edits[2:] {
		by := int64(int8(edits[1]))
		switch edits[0] {
		case 'o':
			m.Index.Offset += by
		case 'l':
			m.Index.Length += by
		case 'f':
			m.Index.Frames += int(by)
		case 's':
			m.Index.Size += by
		case 'c':
			m.Index.Chunks += int(by)
		case 'n':
			m.Index.Files += int(by)
		case 't':
			m.Tree.Leaves += int(by)
		}
	}
}

// seedStream is a small tar stream and the lines for it.
func seedStream(paths ...string) ([]byte, string) {
	f := new(forge)
	for _, p := range paths {
		f.add(p, "content of "+p)
	}
	var lines []byte
	for _, e := range f.files {
		lines = appendFile(lines, e)
	}
	return f.stream, string(lines)
}

// FuzzSealed opens bundles that are sealed by a trusted key and whose hashes
// hold, whatever else they say. What verifies shows exactly what a tar reader
// is shown, and can be read.
func FuzzSealed(f *testing.F) {
	s, v := testSigner(f)
	stream, lines := seedStream("nodes/a", "nodes/b", "nodes/ü")
	f.Add(stream, 512, lines, "")
	f.Add(stream, 700, lines, "n\x01")
	f.Add(stream, 1<<20, strings.Replace(lines, "nodes/b", "nodes/../b", 1), "")
	stream, lines = seedStream("nodes/x.part0001", "nodes/x.part0002.end")
	f.Add(stream, 100, lines, "")
	f.Fuzz(func(t *testing.T, stream []byte, step int, lines, edits string) {
		if len(stream) > 1<<16 || len(lines) > 1<<14 || len(stream) > 100*max(step, 1) {
			return
		}
		b := sealFuzzed(stream, step, lines, edits, s)
		r, err := Open(bytes.NewReader(b), int64(len(b)), v)
		if err != nil {
			return
		}
		wrong := r.Verify(context.Background(), nil)
		for _, file := range r.Files() {
			if _, err := r.ReadFile(file.Path); wrong == nil && err != nil {
				t.Fatalf("it verifies, but %s cannot be read: %v", file.Path, err)
			}
		}
		if wrong != nil {
			return
		}
		again := new(bytes.Buffer)
		for _, e := range r.inStream() {
			content, err := io.ReadAll(&openFile{r: r, node: node{path: e.path, size: e.size, parts: []entry{e}}, hash: sha256.New()})
			if err != nil {
				t.Fatal(err)
			}
			again.Write(tarMember(r.manifest.Top+"/"+e.path, content, testTime.Unix()))
		}
		if !bytes.Equal(again.Bytes(), stream) {
			t.Fatal("it verifies, but its tar stream holds more than its entries")
		}
	})
}

// FuzzRecover recovers from anything. What comes out verifies, and every entry
// of it stands in the file.
func FuzzRecover(f *testing.F) {
	s, v := testSigner(f)
	whole := makeBundle(f, contents(), nil)
	f.Add(whole)
	f.Add(whole[:len(whole)-30])
	f.Add(whole[:len(whole)/2])
	f.Add(append(bytes.Clone(whole[:200]), whole[100:]...))
	stream, lines := seedStream("nodes/x.part0001", "nodes/x.part0002.end", resultsPath)
	f.Add(sealFuzzed(stream, 600, lines, "", s)[:900])
	f.Add(storedFrame(stream))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<18 {
			return
		}
		var out bytes.Buffer
		rec, err := Recover(context.Background(), bytes.NewReader(b), int64(len(b)), &out, RecoverOptions{Signer: s, SpoolDir: t.TempDir(), Random: seeded(3)})
		if err != nil {
			return
		}
		if rec.Entries == 0 || !rec.Manifest.Recovered || rec.Manifest.Completeness.Complete {
			t.Fatalf("%+v", rec)
		}
		if err := check(out.Bytes(), v); err != nil {
			t.Fatalf("what was recovered does not verify: %v", err)
		}
		for _, d := range rec.Damaged {
			if d.From < 0 || d.To < d.From || d.To > int64(len(b)) || d.Err == nil {
				t.Fatalf("%+v", d)
			}
		}
	})
}

// FuzzFrameLength walks over frames: whole ones are those that checkFrame takes.
func FuzzFrameLength(f *testing.F) {
	f.Add(storedFrame([]byte("hello")))
	f.Add(rle(1<<20, true))
	f.Add(rle(1<<20, false))
	f.Add(storedFrame(make([]byte, 300_000))[:1000])
	f.Fuzz(func(t *testing.T, b []byte) {
		n, size, err := frameLength(b, true)
		if err != nil {
			return
		}
		if n <= 0 || n > len(b) || size <= 0 || size > maxStored {
			t.Fatalf("%d bytes that hold %d", n, size)
		}
		if err := checkFrame(b[:n], size); err != nil {
			t.Fatal(err)
		}
		if h, ok := parseHeader(b); ok && h.length > len(b) {
			t.Fatal(h)
		}
	})
}

// FuzzAttestation reads Sigstore bundles; only what the key signed may pass.
func FuzzAttestation(f *testing.F) {
	s, v := testSigner(f)
	st, err := NewStatement("tree", digest{1}, treePredicate, treeClaim{"id", 3})
	if err != nil {
		f.Fatal(err)
	}
	good, err := Attest(s, st)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("payload"), []byte("Payload"), 1))
	f.Add([]byte(`{"dsseEnvelope":{"payload":"","payloadType":"","signatures":[]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := CheckAttestation(b, v)
		if err != nil {
			return
		}
		if len(got.Subject) != 1 || got.PredicateType != treePredicate || got.Subject[0].Name != "tree" {
			t.Fatalf("nobody signed this: %+v", got)
		}
	})
}
