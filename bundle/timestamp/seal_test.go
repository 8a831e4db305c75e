package timestamp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
)

// stamped makes a bundle whose seal an authority stamped.
func stamped(t *testing.T, a *authority) ([]byte, bundle.Verifier) {
	t.Helper()
	key, public, err := bundle.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := bundle.LoadSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := bundle.LoadVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	r, err := redact.New(redact.PolicyStandard, redact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := bundle.NewWriter(&out, bundle.Options{Top: "t", Time: time.Unix(1e9, 0), Redactor: r})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Put("a.txt", bundle.ClassMeta, strings.NewReader("text")); err != nil {
		t.Fatal(err)
	}
	stamp := func(signature []byte) ([]byte, error) {
		q, err := Query(signature)
		if err != nil {
			return nil, err
		}
		return Accept(a.answer(t, q), signature)
	}
	if _, err := w.Close(bundle.Info{Timestamp: stamp}, s); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), v
}

// verify does what casefile verify does.
func verify(t *testing.T, b []byte, v bundle.Verifier, roots *x509.CertPool) error {
	r, err := bundle.Open(bytes.NewReader(b), int64(len(b)), v)
	if err != nil {
		return err
	}
	if err := r.Verify(t.Context(), nil); err != nil {
		return err
	}
	signature, err := r.SealSignature()
	if err != nil {
		return err
	}
	response, err := r.SealTimestamp()
	if err != nil {
		return err
	}
	if response == nil {
		return errors.New("no timestamp")
	}
	_, err = Check(response, signature, roots)
	return err
}

// TestEveryByteOfBundle changes each byte of a small stamped bundle in turn,
// also when nobody knows the authority.
func TestEveryByteOfBundle(t *testing.T) {
	a := newAuthority(t, p256(t), x509.ExtKeyUsageTimeStamping)
	b, v := stamped(t, a)
	for name, roots := range map[string]*x509.CertPool{"authority known": a.roots(), "not known": nil} {
		if err := verify(t, b, v, roots); err != nil {
			t.Fatal(name, err)
		}
		for at := range b {
			b[at] ^= 1
			if err := verify(t, b, v, roots); err == nil {
				t.Errorf("%s: byte %d of %d flipped: nothing noticed", name, at, len(b))
			}
			b[at] ^= 1
		}
	}
	var again bytes.Buffer
	r, err := bundle.Open(bytes.NewReader(b), int64(len(b)), v)
	if err != nil {
		t.Fatal(err)
	}
	response, err := r.SealTimestamp()
	if err != nil {
		t.Fatal(err)
	}
	if err := bundle.Timestamp(t.Context(), r, &again, response); err != nil || !bytes.Equal(again.Bytes(), b) {
		t.Errorf("stamped again with the same response: %v", err)
	}
	if err := bundle.Timestamp(t.Context(), r, &again, make([]byte, bundle.MaxTimestamp+1)); !errors.Is(err, bundle.ErrTooLarge) {
		t.Errorf("a huge response: %v", err)
	}
}
