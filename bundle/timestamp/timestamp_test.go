package timestamp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	peer "github.com/digitorus/timestamp"
)

// authority is a real TSA: a root, and a certificate for timestamps below it.
type authority struct {
	root, leaf *x509.Certificate
	key        crypto.Signer
	at         time.Time
	nonce      *big.Int // answered in the place of the right one
}

func newAuthority(t testing.TB, key crypto.Signer, use x509.ExtKeyUsage) *authority {
	t.Helper()
	at := time.Now().UTC().Truncate(time.Second) // the peer puts the time of its run into the token
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(c, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
		c.NotBefore, c.NotAfter = at.Add(-time.Hour), at.Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, rootKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err = x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root of time"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root = issue(root, root, rootKey.Public())
	oids := map[x509.ExtKeyUsage]asn1.ObjectIdentifier{x509.ExtKeyUsageTimeStamping: {1, 3, 6, 1, 5, 5, 7, 3, 8}, x509.ExtKeyUsageServerAuth: {1, 3, 6, 1, 5, 5, 7, 3, 1}}
	purposes, err := asn1.Marshal([]asn1.ObjectIdentifier{oids[use]})
	if err != nil {
		t.Fatal(err)
	}
	leaf := issue(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Time of test"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: purposes}}}, root, key.Public())
	return &authority{root: root, leaf: leaf, key: key, at: at}
}

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *authority) roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.root)
	return p
}

func (a *authority) answer(t testing.TB, query []byte) []byte {
	t.Helper()
	q, err := peer.ParseRequest(query)
	if err != nil {
		t.Fatal(err)
	}
	if a.nonce != nil {
		q.Nonce = a.nonce
	}
	stamp := peer.Timestamp{HashAlgorithm: q.HashAlgorithm, HashedMessage: q.HashedMessage, Time: a.at, Nonce: q.Nonce, Policy: asn1.ObjectIdentifier{1, 2, 3},
		AddTSACertificate: q.Certificates, Certificates: []*x509.Certificate{a.root}, Accuracy: time.Second}
	b, err := stamp.CreateResponseWithOpts(a.leaf, a.key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
		http.Error(w, "no query", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.Write(a.answer(failer{}, b))
}

// failer stands in for a test outside of its goroutine.
type failer struct{ testing.TB }

func (failer) Helper()        {}
func (failer) Fatal(a ...any) { panic(a) }

var message = []byte("a signature")

func TestStamp(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ECDSA": p256(t), "RSA": rsaKey} {
		a := newAuthority(t, key, x509.ExtKeyUsageTimeStamping)
		q, err := Query(message)
		if err != nil {
			t.Fatal(err)
		}
		answer := a.answer(t, q)
		resp, err := Accept(answer, message)
		if err != nil {
			t.Fatal(name, err)
		}
		bare, err := tokenIn(answer)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Accept(bare, message); err != nil || !bytes.Equal(again, resp) {
			t.Errorf("%s, bare token: %v", name, err)
		}
		if again, err := Accept(resp, message); err != nil || !bytes.Equal(again, resp) {
			t.Errorf("%s: the normal form is not its own: %v", name, err)
		}
		if got, err := Check(resp, message, a.roots()); err != nil || got != (Stamp{a.at, "CN=Time of test", true}) {
			t.Errorf("%s: %v %v", name, got, err)
		}
		if got, err := Check(resp, message, nil); err != nil || got != (Stamp{a.at, "CN=Time of test", false}) {
			t.Errorf("%s, nobody trusted: %v %v", name, got, err)
		}
		if _, err := peer.ParseResponse(resp); err != nil {
			t.Errorf("%s: another implementation does not read the normal form: %v", name, err)
		}
		other := newAuthority(t, p256(t), x509.ExtKeyUsageTimeStamping)
		if _, err := Check(resp, message, other.roots()); !errors.Is(err, ErrTimestamp) {
			t.Errorf("%s, another root: %v", name, err)
		}
		if _, err := Check(resp, []byte("another signature"), a.roots()); !errors.Is(err, ErrTimestamp) {
			t.Errorf("%s, another signature: %v", name, err)
		}
	}
}

// TestEveryByte changes each byte in turn, as if nobody were trusted.
func TestEveryByte(t *testing.T) {
	a := newAuthority(t, p256(t), x509.ExtKeyUsageTimeStamping)
	q, _ := Query(message)
	resp, err := Accept(a.answer(t, q), message)
	if err != nil {
		t.Fatal(err)
	}
	for at := range resp {
		for bit := range 8 {
			resp[at] ^= 1 << bit
			if _, err := Check(resp, message, nil); !errors.Is(err, ErrTimestamp) {
				t.Errorf("byte %d of %d, bit %d: %v", at, len(resp), bit, err)
			}
			resp[at] ^= 1 << bit
		}
		if _, err := Check(resp[:at], message, nil); !errors.Is(err, ErrTimestamp) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
	if _, err := Check(append(resp, 0), message, nil); !errors.Is(err, ErrTimestamp) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestRefused(t *testing.T) {
	q, _ := Query(message)
	good := newAuthority(t, p256(t), x509.ExtKeyUsageTimeStamping)
	late := newAuthority(t, p256(t), x509.ExtKeyUsageTimeStamping)
	late.at = late.at.Add(2 * time.Hour)
	noCert, err := asn1.Marshal(request{Version: 1, Imprint: imprintOf(message)})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, _ := Query([]byte("another signature"))
	refusal, err := peer.CreateErrorResponse(peer.Rejection, peer.BadRequest)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"for servers":    newAuthority(t, p256(t), x509.ExtKeyUsageServerAuth).answer(t, q),
		"expired":        late.answer(t, q),
		"no certificate": good.answer(t, noCert),
		"of another":     good.answer(t, elsewhere),
		"refusal":        refusal,
		"text":           []byte("<html>"),
		"empty":          nil,
	} {
		if _, err := Accept(b, message); !errors.Is(err, ErrTimestamp) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRequest(t *testing.T) {
	a := newAuthority(t, p256(t), x509.ExtKeyUsageTimeStamping)
	tsa := httptest.NewServer(a)
	defer tsa.Close()
	resp, err := Request(t.Context(), tsa.Client(), tsa.URL, message)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Check(resp, message, a.roots()); err != nil || !s.Trusted {
		t.Error(s, err)
	}
	a.nonce = big.NewInt(7)
	if _, err := Request(t.Context(), tsa.Client(), tsa.URL, message); !errors.Is(err, ErrTimestamp) {
		t.Errorf("an old answer: %v", err)
	}
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	if _, err := Request(t.Context(), broken.Client(), broken.URL, message); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("not found: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Request(ctx, tsa.Client(), tsa.URL, message); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// TestKept reads a response of 2026, whose certificates have run out since.
func TestKept(t *testing.T) {
	if s, err := Check(kept(t), message, nil); err != nil || s.By != "CN=Time of test" || s.Time.Year() != 2026 {
		t.Error(s, err)
	}
}

func kept(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/kept.tsr")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzCheck(f *testing.F) {
	resp := kept(f)
	bare, err := tokenIn(resp)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(resp)
	f.Add(bare)
	f.Fuzz(func(t *testing.T, b []byte) {
		if normal, err := Accept(b, message); err == nil {
			if _, err := Check(normal, message, nil); err != nil {
				t.Errorf("accepted, and then not: %v", err)
			}
		}
	})
}
