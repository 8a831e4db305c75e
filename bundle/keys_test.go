package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestCosignKey(t *testing.T) {
	private, public, err := GenerateKey([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := pem.Decode(private)
	if p == nil || p.Type != "ENCRYPTED SIGSTORE PRIVATE KEY" {
		t.Fatalf("private key: %s", private)
	}
	var scrypt struct {
		KDF struct{ Name string }
	}
	if err := json.Unmarshal(p.Bytes, &scrypt); err != nil || scrypt.KDF.Name != "scrypt" {
		t.Errorf("not cosign's own encryption: %v", err)
	}
	asked := 0
	s, err := LoadSigner(private, func() ([]byte, error) { asked++; return []byte("correct horse"), nil })
	if err != nil || asked != 1 {
		t.Fatal(err, asked)
	}
	v, err := LoadVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	if err := check(makeBundle(t, contents(), s), v); err != nil {
		t.Error(err)
	}
	a, _ := Fingerprint(s.Public())
	if b, err := FingerprintPEM(public); err != nil || a != b || len(a) != len("SHA256:")+43 {
		t.Errorf("fingerprints %q, %q, %v", a, b, err)
	}
	for name, pass := range map[string]func() ([]byte, error){
		"wrong": func() ([]byte, error) { return []byte("wrong"), nil },
		"empty": nil,
		"nil":   func() ([]byte, error) { return nil, nil },
	} {
		if _, err := LoadSigner(private, pass); err == nil || !strings.Contains(err.Error(), "wrong password") {
			t.Errorf("%s password: %v", name, err)
		}
	}
	if _, err := LoadSigner(private, func() ([]byte, error) { return nil, errTest }); !errors.Is(err, errTest) {
		t.Errorf("no password to be had: %v", err)
	}
	private, _, err = GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSigner(private, nil); err != nil {
		t.Errorf("key without password: %v", err)
	}
}

func TestKindsOfKeys(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"p384": p384, "rsa": rsaKey, "ed25519": ed} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		s, err := LoadSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil)
		if err != nil {
			t.Fatal(name, err)
		}
		v, err := NewVerifier(s.Public())
		if err != nil {
			t.Fatal(name, err)
		}
		if err := check(makeBundle(t, contents(), s), v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	private, public, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewVerifier(small.Public()); err == nil {
		t.Error("P-224 was taken")
	}
	for name, key := range map[string][]byte{"empty": nil, "text": []byte("hello"), "public": public, "large": bytes.Repeat([]byte("x"), maxKey+1),
		"damaged": bytes.Replace(private, []byte("ey"), []byte("ez"), 1)} {
		if _, err := LoadSigner(key, nil); err == nil {
			t.Errorf("%s: loaded as a private key", name)
		}
	}
	for name, key := range map[string][]byte{"empty": nil, "text": []byte("hello"), "private": private, "large": bytes.Repeat([]byte("x"), maxKey+1)} {
		if _, err := LoadVerifier(key); err == nil {
			t.Errorf("%s: loaded as a public key", name)
		}
	}
}

// TestSealShape holds the seal against what cosign and sigstore-go read.
func TestSealShape(t *testing.T) {
	s, _ := testSigner(t)
	fp, _ := Fingerprint(s.Public())
	manifest := []byte(`{"format":1}`)
	sealed, err := makeSeal(manifest, fp, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		MediaType        string
		MessageSignature struct {
			MessageDigest struct {
				Algorithm string
				Digest    []byte
			}
			Signature []byte
		}
		VerificationMaterial struct {
			PublicKey struct{ Hint string }
		}
	}
	dec := json.NewDecoder(bytes.NewReader(sealed))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		t.Fatal(err)
	}
	id, err := base64.StdEncoding.DecodeString(b.VerificationMaterial.PublicKey.Hint)
	if b.MediaType != "application/vnd.dev.sigstore.bundle.v0.3+json" || b.MessageSignature.MessageDigest.Algorithm != "SHA2_256" ||
		err != nil || len(id) != 32 || len(b.MessageSignature.MessageDigest.Digest) != 32 {
		t.Errorf("%s", sealed)
	}
	again, _ := makeSeal(manifest, fp, s, nil)
	if !bytes.Equal(sealed, again) {
		t.Error("two seals of one manifest differ")
	}
}

// TestOpenSSL verifies the seal of a bundle that GNU tar took apart.
func TestOpenSSL(t *testing.T) {
	tool(t, "openssl")
	dir := t.TempDir()
	private, public, err := GenerateKey([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := LoadSigner(private, func() ([]byte, error) { return []byte("x"), nil })
	if err != nil {
		t.Fatal(err)
	}
	b := makeBundle(t, contents(), s)
	h, err := readTail(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var sl seal
	if err := json.Unmarshal(h.seal, &sl); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"m": h.manifest, "s": sl.Message.Signature, "k": public} {
		writeFile(t, dir+"/"+name, content)
	}
	out, err := exec.Command("openssl", "dgst", "-sha256", "-verify", dir+"/k", "-signature", dir+"/s", dir+"/m").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Verified OK") {
		t.Errorf("openssl: %v %s", err, out)
	}
}

// TestLowS: the other form of the same ECDSA signature is refused, and what a
// signer gives in that form is turned around.
func TestLowS(t *testing.T) {
	s, v := testSigner(t)
	k := s.Public().(*ecdsa.PublicKey)
	id, err := Fingerprint(k)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("m")
	raw, err := s.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	low, err := lowS(k, raw)
	if err != nil || v.Verify(id, message, low) != nil {
		t.Fatalf("%v, %v", err, v.Verify(id, message, low))
	}
	var sig ecdsaSignature
	if _, err := asn1.Unmarshal(low, &sig); err != nil {
		t.Fatal(err)
	}
	sig.S.Sub(k.Params().N, sig.S)
	high, err := asn1.Marshal(sig)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(k, sum[:], high) {
		t.Fatal("the turned signature is no signature at all")
	}
	if err := v.Verify(id, message, high); !errors.Is(err, ErrSignature) {
		t.Errorf("high s: %v", err)
	}
	if again, err := lowS(k, high); err != nil || !bytes.Equal(again, low) {
		t.Errorf("turned around: %v", err)
	}
}
