package bundle

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// check is what verify does with a file: open with the key, then read it all.
func check(b []byte, v Verifier) error {
	r, err := Open(bytes.NewReader(b), int64(len(b)), v)
	if err != nil {
		return err
	}
	return r.Verify(context.Background(), nil)
}

// region names the parts that may be blamed for a damaged byte.
func regions(t *testing.T, b []byte) func(at int) []string {
	t.Helper()
	size, err := seekTableSize(b[len(b)-seekFoot:])
	if err != nil {
		t.Fatal(err)
	}
	frames, err := parseSeekTable(b[len(b)-int(size):])
	if err != nil {
		t.Fatal(err)
	}
	var ends []int
	end := 0
	for _, f := range frames {
		end += int(f.packed)
		ends = append(ends, end)
	}
	return func(at int) []string {
		n := len(ends)
		switch {
		case at < 4:
			return []string{"damaged chunk 0"}
		case at >= ends[n-1]:
			return []string{"seek table"}
		case at >= ends[n-2]:
			return []string{"end of archive"}
		case at >= ends[n-3]:
			return []string{"signature", "manifest.sha256"}
		case at >= ends[n-4]:
			return []string{"manifest"}
		case at >= ends[n-5]:
			return []string{"index", "tree proof"}
		case at >= ends[n-6]: // the index, or the last chunk of an unsigned bundle
			return []string{"index", fmt.Sprint("chunk ", n-6)}
		}
		for i, e := range ends {
			if at < e {
				return []string{"chunk " + string(rune('0'+i))}
			}
		}
		return nil
	}
}

// TestEveryByte flips each byte of a bundle in turn, signed and unsigned: it
// must never pass, and the damaged part must be named.
func TestEveryByte(t *testing.T) {
	s, v := testSigner(t)
	for _, c := range []struct {
		name   string
		signer Signer
		flips  []byte
		check  func([]byte) error
	}{
		{"signed", s, []byte{0x01, 0x80}, func(b []byte) error { return check(b, v) }},
		{"unverified", s, []byte{0x10}, checkUnverified},
		{"unsigned", nil, []byte{0x10}, checkUnverified},
	} {
		b := makeBundle(t, contents(), c.signer)
		if err := c.check(b); err != nil {
			t.Fatal(c.name, err)
		}
		blame := regions(t, b)
		for at := range b {
			for _, flip := range c.flips {
				b[at] ^= flip
				err := c.check(b)
				b[at] ^= flip
				named := false
				for _, part := range blame(at) {
					named = named || err != nil && strings.Contains(err.Error(), part)
				}
				if !named {
					t.Fatalf("%s: byte %d of %d flipped by %#x: %v; it lies in %v", c.name, at, len(b), flip, err, blame(at))
				}
			}
		}
	}
}

func checkUnverified(b []byte) error {
	r, err := OpenUnverified(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	return r.Verify(context.Background(), nil)
}

// TestRandomDamage does the same to a larger bundle at random, and cuts it.
func TestRandomDamage(t *testing.T) {
	s, v := testSigner(t)
	good := makeBundle(t, withLarge(), s)
	rnd := rand.New(rand.NewPCG(4, 2))
	for range 600 {
		b := bytes.Clone(good)
		switch rnd.IntN(4) {
		case 0:
			b = b[:rnd.IntN(len(b))]
		case 1: // another piece of itself
			n := 1 + rnd.IntN(min(len(b)/2, 5000))
			from, to := rnd.IntN(len(b)-n), rnd.IntN(len(b)-n)
			if copy(b[to:to+n], good[from:]); bytes.Equal(b, good) {
				continue
			}
		case 2: // a piece cut out
			n := 1 + rnd.IntN(2000)
			at := rnd.IntN(len(b) - n)
			b = append(b[:at], b[at+n:]...)
		default:
			b[rnd.IntN(len(b))] ^= byte(1 + rnd.IntN(255))
		}
		if err := check(b, v); err == nil {
			t.Fatal("a damaged bundle passed")
		}
	}
	if err := check(append(bytes.Clone(good), 0), v); err == nil {
		t.Error("a byte more passed")
	}
}

func TestDamageNamesFiles(t *testing.T) {
	s, v := testSigner(t)
	files := withLarge()
	b := makeBundle(t, files, s)
	r := openBytes(t, b, v)
	i, _ := r.find("cluster/logs/default/web/big.log")
	broken := r.chunkAt(r.nodes[i].parts[0].off + 2<<20)
	b[r.offsets[broken]+20] ^= 1
	err := check(b, v)
	var d *DamageError
	if !errors.As(err, &d) || !errors.Is(err, ErrDamaged) || len(d.Files) != 1 || d.Files[0] != "cluster/logs/default/web/big.log" {
		t.Fatalf("%v", err)
	}
	r = openBytes(t, b, v)
	if _, err := r.ReadFile("cluster/logs/default/web/big.log"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged entry was read: %v", err)
	}
	if got, err := r.ReadFile("nodes/n1/node.json"); err != nil || string(got) != files["nodes/n1/node.json"] {
		t.Errorf("an entry elsewhere: %v", err)
	}
}

func TestWhoSealed(t *testing.T) {
	s, v := testSigner(t)
	_, pub, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := LoadVerifier(pub)
	if err != nil {
		t.Fatal(err)
	}
	signed, unsigned := makeBundle(t, contents(), s), makeBundle(t, contents(), nil)
	fp, err := Fingerprint(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := check(signed, other); !errors.Is(err, ErrUnknownSigner) || errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), fp) {
		t.Errorf("another key: %v", err)
	}
	if err := check(signed, Keyring{other, v}); err != nil {
		t.Errorf("key ring: %v", err)
	}
	if err := check(unsigned, v); !errors.Is(err, ErrUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
	if err := checkUnverified(unsigned); err != nil {
		t.Errorf("unsigned, unverified: %v", err)
	}
	if _, err := Open(bytes.NewReader(signed), int64(len(signed)), nil); err == nil {
		t.Error("Open without a verifier")
	}
	stripped := strip(t, signed)
	if err := check(stripped, v); !errors.Is(err, ErrSignature) {
		t.Errorf("a seal replaced by a digest: %v", err)
	}
	if err := checkUnverified(stripped); !errors.Is(err, ErrSignature) {
		t.Errorf("a seal replaced by a digest, unverified: %v", err)
	}
}

// strip puts manifest.sha256 in the place of the seal, all else being right.
func strip(t *testing.T, b []byte) []byte {
	t.Helper()
	h, err := readTail(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(h.manifest)
	if err != nil {
		t.Fatal(err)
	}
	n := len(h.frames)
	stream := memberStream(m, nameDigest, digestFile(h.manifest))
	out := append(bytes.Clone(b[:h.offsets[n-2]]), storedFrame(stream)...)
	out = append(out, storedFrame(make([]byte, 2*block))...)
	h.frames[n-2] = extent{uint32(len(storedFrame(stream))), uint32(len(stream))}
	return append(out, seekTable(h.frames)...)
}

// TestResealed holds that a manifest sealed by someone else in the name of the
// trusted key is a bad signature and not an unknown signer.
func TestResealed(t *testing.T) {
	s, v := testSigner(t)
	fp, _ := Fingerprint(s.Public())
	key, _, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	thief, err := LoadSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := testInfo().manifest()
	if err != nil {
		t.Fatal(err)
	}
	m.Top, m.Created, m.Index.Frames = "t", testTime, 1
	m.Signer = &SignerInfo{Fingerprint: fp}
	manifest, err := canonical(m)
	if err != nil {
		t.Fatal(err)
	}
	thiefFP, _ := Fingerprint(thief.Public())
	sealed, err := makeSeal(manifest, thiefFP, thief, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := checkSeal(sealed, manifest, v); !errors.Is(err, ErrSignature) {
		t.Errorf("a seal that names another key than the manifest: %v", err)
	}
	forged := bytes.Replace(sealed, []byte(hintOf(thiefFP)), []byte(hintOf(fp)), 1)
	if _, err := checkSeal(forged, manifest, v); !errors.Is(err, ErrSignature) || errors.Is(err, ErrUnknownSigner) {
		t.Errorf("a forged hint: %v", err)
	}
}

func TestOtherFiles(t *testing.T) {
	_, v := testSigner(t)
	for name, c := range map[string]struct {
		content string
		want    error
	}{
		"empty":     {"", ErrNotBundle},
		"text":      {"just some text, longer than a seek table", ErrNotBundle},
		"age":       {"age-encryption.org/v1\n-> X25519", ErrNotBundle},
		"gzip":      {"\x1f\x8b\x08\x00 and then some more bytes", ErrNotBundle},
		"zstd":      {string(storedFrame(make([]byte, 100))), ErrTruncated},
		"cut short": {string(makeBundle(t, contents(), nil)[:700]), ErrTruncated},
	} {
		if err := check([]byte(c.content), v); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHostileTables opens files whose seek table lies.
func TestHostileTables(t *testing.T) {
	_, v := testSigner(t)
	for name, frames := range map[string][]extent{
		"none":      nil,
		"huge":      {{10, 1 << 31}, {10, 1 << 31}, {10, 1 << 31}, {10, 1 << 31}, {10, 1 << 31}, {10, 1 << 31}, {10, 1 << 31}, {10, 1 << 31}, {10, 1 << 31}, {10, 1 << 31}},
		"too large": {{1 << 31, 100}, {1 << 31, 1}, {10, 1}, {10, 1}, {10, 1}},
	} {
		b := append(storedFrame(make([]byte, 100)), seekTable(frames)...)
		if err := check(b, v); err == nil {
			t.Errorf("%s: passed", name)
		}
	}
	b := append(storedFrame(make([]byte, 100)), seekTable(nil)...)
	binary.LittleEndian.PutUint32(b[len(b)-seekFoot:], 1<<31)
	if err := check(b, v); err == nil {
		t.Error("two billion frames: passed")
	}
}

func TestExtract(t *testing.T) {
	s, v := testSigner(t)
	files := withLarge()
	r := openBytes(t, makeBundle(t, files, s), v)
	dir := t.TempDir() + "/out"
	if n, err := r.Extract(t.Context(), dir); err != nil || n != len(files) {
		t.Fatal(n, err)
	}
	for p, want := range files {
		name := dir + "/" + r.Manifest().Top + "/" + p
		got, err := os.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v", p, err)
		}
		if info, err := os.Stat(name); err == nil && info.Mode() != 0o600 {
			t.Errorf("%s: mode %v", p, info.Mode())
		}
	}
	if _, err := r.Extract(t.Context(), dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("over files that are there: %v", err)
	}
	// a link in the way must not lead out
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, dir+"/"+r.Manifest().Top); err != nil {
		t.Skip(err)
	}
	if _, err := r.Extract(t.Context(), dir); err == nil {
		t.Error("extracted through a link that leads out")
	}
}
