package encrypt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
)

// smallBundle is a sealed bundle of a few files, and who may open it.
func smallBundle(t testing.TB, w io.Writer, files int) bundle.Verifier {
	t.Helper()
	private, public, err := bundle.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := bundle.LoadSigner(private, func() ([]byte, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	v, err := bundle.LoadVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	standard, err := redact.ParsePolicy("standard")
	if err != nil {
		t.Fatal(err)
	}
	red, err := redact.New(standard, redact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.NewWriter(w, bundle.Options{Top: "casefile-t-20261121T090000Z", Time: time.Unix(1795251600, 0), Redactor: red})
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		if _, err := b.Put(fmt.Sprintf("nodes/n%02d/0/proc/net/snmp%d", i%100, i), bundle.ClassNodes, strings.NewReader(fmt.Sprintf("Ip: %d %d\n", i, i*i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Close(bundle.Info{Producer: "test"}, signer); err != nil {
		t.Fatal(err)
	}
	return v
}

// accepted says whether file opens and verifies to the last byte.
func accepted(t testing.TB, file []byte, ids Identities, v bundle.Verifier) bool {
	r, n, err := Open(bytes.NewReader(file), int64(len(file)), ids)
	if err != nil {
		return false
	}
	b, err := bundle.Open(r, n, v)
	if err != nil {
		return false
	}
	return b.Verify(t.Context(), nil) == nil
}

// TestEveryByte: no byte of an encrypted bundle can change, and none can be
// cut off or added.
func TestEveryByte(t *testing.T) {
	ids, a := newKey(t, false)
	var plain bytes.Buffer
	v := smallBundle(t, &plain, 3)
	file := seal(t, plain.Bytes(), parse(t, a))
	if !accepted(t, file, ids, v) {
		t.Fatal("the file as it was written is refused")
	}
	for i := range file {
		file[i] ^= 1 << (i % 8)
		if accepted(t, file, ids, v) {
			t.Errorf("accepted with byte %d of %d changed", i, len(file))
		}
		file[i] ^= 1 << (i % 8)
	}
	for n := range file {
		if n%7 == 0 && accepted(t, file[:n], ids, v) {
			t.Errorf("accepted when cut to %d of %d bytes", n, len(file))
		}
	}
	if accepted(t, append(bytes.Clone(file), 0), ids, v) {
		t.Error("accepted with a byte added")
	}
}

// TestChunksMoved: chunks of the same file in another order, or of another
// file for the same reader, do not decrypt.
func TestChunksMoved(t *testing.T) {
	ids, a := newKey(t, false)
	text := noise(t, 4*chunkSize)
	file, other := seal(t, text, parse(t, a)), seal(t, text, parse(t, a))
	begin := len(file) - 4*packed
	chunk := func(f []byte, i int) []byte { return f[begin+i*packed : begin+(i+1)*packed] }
	swapped, foreign := bytes.Clone(file), bytes.Clone(file)
	copy(chunk(swapped, 0), chunk(file, 1))
	copy(chunk(swapped, 1), chunk(file, 0))
	copy(chunk(foreign, 1), chunk(other, 1))
	for name, f := range map[string][]byte{"swapped": swapped, "foreign": foreign} {
		r, _, err := Open(bytes.NewReader(f), int64(len(f)), ids)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, chunkSize)
		if _, err := r.ReadAt(got, chunkSize); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.ReadAt(got, 2*chunkSize); err != nil || !bytes.Equal(got, text[2*chunkSize:3*chunkSize]) {
			t.Errorf("%s: a chunk that is in its place: %v", name, err)
		}
	}
}

// streamed is the peer: what age's own reader yields up to its first error.
func streamed(file []byte, ids Identities) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(file), ids...)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = io.Copy(&out, r)
	return out.Bytes(), err
}

// TestOpenTruncated holds what is left of cut and damaged files against what
// age reads of them as a stream.
func TestOpenTruncated(t *testing.T) {
	ids, a := newKey(t, false)
	text := noise(t, 3*chunkSize+1000)
	file := seal(t, text, parse(t, a))
	begin := len(file) - len(text) - 4*16
	check := func(name string, f []byte, wantErr error) {
		t.Helper()
		want, streamErr := streamed(f, ids)
		r, n, cause := OpenTruncated(bytes.NewReader(f), int64(len(f)), ids)
		if !errors.Is(cause, wantErr) || (cause == nil) != (streamErr == nil) {
			t.Errorf("%s: cause %v, want %v (age: %v)", name, cause, wantErr, streamErr)
		}
		if r == nil {
			if len(want) != 0 {
				t.Errorf("%s: nothing left, age has %d bytes", name, len(want))
			}
			return
		}
		if got := readAll(t, r, n); !bytes.Equal(got, want) || !bytes.Equal(got, text[:min(len(got), len(text))]) {
			t.Errorf("%s: %d bytes, age has %d", name, len(got), len(want))
		}
		if k, err := r.ReadAt(make([]byte, 10), n-3); n > 3 && (k != 3 || !errors.Is(err, io.EOF)) {
			t.Errorf("%s: read over the end: %d, %v", name, k, err)
		}
	}
	check("whole", file, nil)
	for _, n := range []int{len(file) - 1, len(file) - 1016, begin + 3*packed, begin + 3*packed - 1, begin + 3*packed + 10, begin + packed, begin + 100, begin, begin - 1, 100, 10} {
		want := bundle.ErrTruncated
		if n == 10 {
			want = bundle.ErrNotBundle
		}
		check(fmt.Sprintf("cut to %d", n), file[:n], want)
	}
	for chunk := range 4 {
		f := bytes.Clone(file)
		f[begin+chunk*packed+500] ^= 4
		want := bundle.ErrDamaged
		if chunk == 3 {
			want = bundle.ErrTruncated // the last one: a cut looks the same
		}
		check(fmt.Sprintf("chunk %d damaged", chunk), f, want)
	}
	whole := seal(t, text[:2*chunkSize], parse(t, a))
	check("ends with a chunk", whole, nil)
	check("more behind", append(bytes.Clone(whole), file[begin:begin+200]...), bundle.ErrDamaged)
	if r, _, err := OpenTruncated(bytes.NewReader(file), int64(len(file)), nil); r != nil || !errors.Is(err, ErrNoIdentity) {
		t.Errorf("without an identity: %v, %v", r, err)
	}
}

// FuzzOpen: whatever the file, nothing but the text that was encrypted comes
// out, and OpenTruncated agrees with age's stream.
func FuzzOpen(f *testing.F) {
	ids, a := newKey(f, false)
	text := noise(f, 2*chunkSize+500)
	file := seal(f, text, parse(f, a))
	f.Add(0, []byte{}, len(file))
	f.Add(30, []byte{1}, len(file))
	f.Add(len(file)-600, []byte{1, 2, 3}, len(file))
	f.Add(0, []byte("age-encryption.org/v2"), len(file)-packed)
	f.Fuzz(func(t *testing.T, at int, patch []byte, size int) {
		b := bytes.Clone(file[:max(0, min(size, len(file)))])
		for i, x := range patch {
			if at+i >= 0 && at+i < len(b) {
				b[at+i] ^= x
			}
		}
		if size > len(file) && size < len(file)+100 {
			b = append(b, patch...)
		}
		want, streamErr := streamed(b, ids)
		if r, n, err := Open(bytes.NewReader(b), int64(len(b)), ids); err == nil {
			got := make([]byte, n)
			if _, err := r.ReadAt(got, 0); err == nil && !bytes.Equal(got, text) {
				t.Fatal("Open yields another text than was encrypted")
			}
			if streamErr == nil && n != int64(len(text)) {
				t.Fatalf("%d bytes, age has %d", n, len(text))
			}
		}
		r, n, cause := OpenTruncated(bytes.NewReader(b), int64(len(b)), ids)
		if (cause == nil) != (streamErr == nil) {
			t.Fatalf("cause %v, age says %v", cause, streamErr)
		}
		if r == nil && len(want) > 0 || r != nil && !bytes.Equal(readAll(t, r, n), want) {
			t.Fatalf("%d bytes left, age has %d", n, len(want))
		}
	})
}

// FuzzParse: no text makes the parsers of keys panic or yield nothing.
func FuzzParse(f *testing.F) {
	file, recipient, err := GenerateIdentity(false)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(file))
	f.Add(recipient)
	f.Add("age1yubikey1qqqq\nAGE-PLUGIN-YUBIKEY-1QQQ")
	f.Add("age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 15\n")
	f.Fuzz(func(t *testing.T, text string) {
		if ids, err := ParseIdentities([]byte(text), Prompt{}); (err == nil) != (len(ids) > 0) {
			t.Errorf("%d identities, %v", len(ids), err)
		}
		for _, line := range strings.Split(text, "\n") {
			if r, err := parseRecipient(line, Prompt{}); (err == nil) != (r != nil) {
				t.Errorf("recipient %v, %v", r, err)
			}
		}
	})
}

// TestRandomDamage flips and cuts a larger bundle at random.
func TestRandomDamage(t *testing.T) {
	ids, a := newKey(t, false)
	var plain bytes.Buffer
	v := smallBundle(t, &plain, 3000)
	file := seal(t, plain.Bytes(), parse(t, a))
	if !accepted(t, file, ids, v) {
		t.Fatal("the file as it was written is refused")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		b := bytes.Clone(file)
		if rng.IntN(2) == 0 {
			b = b[:rng.IntN(len(b))]
		} else {
			b[rng.IntN(len(b))] ^= byte(1 + rng.IntN(255))
		}
		if accepted(t, b, ids, v) {
			t.Fatalf("accepted a damaged file of %d bytes", len(b))
		}
	}
}
