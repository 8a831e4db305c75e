package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func otherSigner(t testing.TB) (Signer, Verifier) {
	t.Helper()
	key, _, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := LoadSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(s.Public())
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}

// approve adds an approval to a bundle that anybody sealed.
func approve(t testing.TB, b []byte, s Signer, a Approval) []byte {
	t.Helper()
	r, err := OpenUnverified(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Approve(context.Background(), r, &out, s, a); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestApprove(t *testing.T) {
	s, v := testSigner(t)
	ben, benKey := otherSigner(t)
	eva, evaKey := otherSigner(t)
	sum := sha256.Sum256([]byte("what was shown"))
	first := Approval{Decision: Rejected, Note: "node names <of> ours & theirs", Time: testTime, Review: sum[:]}
	second := Approval{Decision: Approved, Time: testTime.Add(time.Hour)}
	for name, signer := range map[string]Signer{"signed": s, "unsigned": nil} {
		plain := makeBundle(t, contents(), signer)
		b := approve(t, approve(t, plain, ben, first), eva, second)
		if err := checkUnverified(b); err != nil {
			t.Fatal(name, err)
		}
		r, err := OpenUnverified(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(name, err)
		}
		n := r.tail.offsets[r.tail.manifestAt+2]
		if !bytes.Equal(b[:n], plain[:n]) {
			t.Errorf("%s: the bundle itself was changed", name)
		}
		benID, _ := Fingerprint(ben.Public())
		evaID, _ := Fingerprint(eva.Public())
		want := []SignedApproval{{first, benID, false}, {second, evaID, true}}
		got, err := r.Approvals(Keyring{v, evaKey})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		want[1].Known = false
		got, err = r.Approvals(nil)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s, nobody known: %v\n%s", name, err, diff)
		}
		if got, err := r.Approvals(benKey); err != nil || !got[0].Known || got[1].Known {
			t.Errorf("%s, one known: %v %v", name, got, err)
		}
	}
}

// TestApprovalOfAnother holds that an approval cannot be carried over to
// another bundle, nor be signed in the name of somebody else.
func TestApprovalOfAnother(t *testing.T) {
	s, v := testSigner(t)
	ben, _ := otherSigner(t)
	r := openBytes(t, makeBundle(t, contents(), s), v)
	line, err := Approval{Decision: Approved, Time: testTime}.sign(ben, []byte("another manifest"))
	if err != nil {
		t.Fatal(err)
	}
	reopen := func(approvals []byte) error {
		var out bytes.Buffer
		if err := r.rewrite(t.Context(), &out, r.tail.seal, approvals); err != nil {
			t.Fatal(err)
		}
		return check(out.Bytes(), v)
	}
	own, err := Approval{Decision: Approved, Time: testTime}.sign(ben, r.tail.manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := reopen(append(own, '\n')); err != nil {
		t.Fatal(err)
	}
	benID, _ := Fingerprint(ben.Public())
	sID, _ := Fingerprint(s.Public())
	proof := r.tail.proofs[nameTree] // an attestation by the right key, of another kind
	for name, approvals := range map[string]string{
		"of another bundle": string(line) + "\n",
		"forged signer":     strings.Replace(string(own), hintOf(benID), hintOf(sID), 1) + "\n",
		"no end of line":    string(own),
		"empty line":        string(own) + "\n\n",
		"another kind":      string(proof) + "\n",
		"too many":          strings.Repeat(string(own)+"\n", MaxApprovals+1),
	} {
		var d *DamageError
		if err := reopen([]byte(approvals)); !errors.As(err, &d) || d.Part != "approvals" && d.Part != "signature" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestApproveRefuses(t *testing.T) {
	s, v := testSigner(t)
	b := makeBundle(t, contents(), s)
	for name, a := range map[string]Approval{
		"decision": {Decision: "perhaps", Time: testTime},
		"note":     {Decision: Approved, Time: testTime, Note: strings.Repeat("x", MaxApprovalNote+1)},
		"review":   {Decision: Approved, Time: testTime, Review: []byte("short")},
		"time":     {Decision: Approved},
	} {
		if err := Approve(t.Context(), openBytes(t, b, v), &bytes.Buffer{}, s, a); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for range MaxApprovals {
		b = approve(t, b, s, Approval{Decision: Approved, Time: testTime})
	}
	if err := check(b, v); err != nil {
		t.Fatal(err)
	}
	if err := Approve(t.Context(), openBytes(t, b, v), &bytes.Buffer{}, s, Approval{Decision: Approved, Time: testTime}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one approval too many: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Approve(ctx, openBytes(t, makeBundle(t, contents(), s), v), &bytes.Buffer{}, s, Approval{Decision: Approved, Time: testTime}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// TestEveryByteApproved does what TestEveryByte does, from the manifest on, to
// a bundle with approvals, whoever is known.
func TestEveryByteApproved(t *testing.T) {
	s, v := testSigner(t)
	ben, benKey := otherSigner(t)
	b := approve(t, makeBundle(t, contents(), s), ben, Approval{Decision: Approved, Note: "seen", Time: testTime})
	r := openBytes(t, b, v)
	first := int(r.tail.offsets[r.tail.manifestAt])
	for name, open := range map[string]func([]byte) error{
		"sealer known": func(b []byte) error { return check(b, v) },
		"all known":    func(b []byte) error { return check(b, Keyring{v, benKey}) },
		"none known":   checkUnverified,
	} {
		if err := open(b); err != nil {
			t.Fatal(name, err)
		}
		for at := first; at < len(b); at++ {
			b[at] ^= 1
			err := open(b)
			b[at] ^= 1
			if !slices.ContainsFunc([]error{ErrDamaged, ErrSignature, ErrTruncated, ErrTooLarge}, func(e error) bool { return errors.Is(err, e) }) {
				t.Fatalf("%s: byte %d of %d flipped: %v", name, at, len(b), err)
			}
		}
	}
}

func FuzzApprovals(f *testing.F) {
	s, _ := testSigner(f)
	manifest := []byte(`{"format":1}`)
	line, err := Approval{Decision: Approved, Time: testTime}.sign(s, manifest)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(line, '\n'))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseApprovals(b, manifest)
		if err == nil && len(got) != bytes.Count(b, []byte("\n")) {
			t.Errorf("%d approvals in %d lines", len(got), bytes.Count(b, []byte("\n")))
		}
	})
}
