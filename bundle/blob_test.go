package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestBlob(t *testing.T) {
	s, v := testSigner(t)
	blob := []byte("\x00asm\x01\x00\x00\x00")
	signed, err := SignBlob(s, blob)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := SignBlob(s, blob); !bytes.Equal(signed, again) {
		t.Error("two signatures of one file differ")
	}
	want, _ := Fingerprint(s.Public())
	if by, err := CheckBlob(signed, blob, v); err != nil || by != want {
		t.Errorf("by %s: %v", by, err)
	}
	if by, err := CheckBlob(signed, blob, Keyring{}); !errors.Is(err, ErrUnknownSigner) || by != want {
		t.Errorf("nobody is trusted: by %s: %v", by, err)
	}
	if _, err := CheckBlob(signed, append(blob, 0), v); !errors.Is(err, ErrSignature) {
		t.Errorf("a file that grew: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*seal)
		err    error
	}{
		"a digest of another file": {func(b *seal) { b.Message.Digest.Digest[0] ^= 1 }, ErrSignature},
		"another signature":        {func(b *seal) { b.Message.Signature[len(b.Message.Signature)-1] ^= 1 }, ErrSignature},
		"no signature":             {func(b *seal) { b.Message.Signature = nil }, ErrDamaged},
		"another type":             {func(b *seal) { b.MediaType = "application/vnd.dev.sigstore.bundle.v0.4+json" }, ErrDamaged},
		"another algorithm":        {func(b *seal) { b.Message.Digest.Algorithm = "SHA1" }, ErrDamaged},
		"no key":                   {func(b *seal) { b.Material.PublicKey.Hint = "" }, ErrDamaged},
		"another key":              {func(b *seal) { b.Material.PublicKey.Hint = strings.Repeat("A", 43) + "=" }, ErrUnknownSigner},
	} {
		var b seal
		if err := json.Unmarshal(signed, &b); err != nil {
			t.Fatal(err)
		}
		c.change(&b)
		changed, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CheckBlob(changed, blob, v); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{"nothing": "", "no JSON": "x", "two values": string(signed) + "{}", "a list": "[]"} {
		if _, err := CheckBlob([]byte(text), blob, v); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := CheckBlob(make([]byte, MaxBlobSignature+1), blob, v); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// TestBlobForeign: others do not keep to the lower s, nor to our spelling.
func TestBlobForeign(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		v, err := NewVerifier(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		signed, err := SignBlob(signer{key}, []byte("blob"))
		if err != nil {
			t.Fatal(err)
		}
		var b seal
		if err := json.Unmarshal(signed, &b); err != nil {
			t.Fatal(err)
		}
		var sig ecdsaSignature
		if _, err := asn1.Unmarshal(b.Message.Signature, &sig); err != nil {
			t.Fatal(err)
		}
		sig.S = new(big.Int).Sub(curve.Params().N, sig.S)
		if b.Message.Signature, err = asn1.Marshal(sig); err != nil {
			t.Fatal(err)
		}
		loose, err := json.MarshalIndent(b, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CheckBlob(loose, []byte("blob"), v); err != nil {
			t.Errorf("%s with the higher s: %v", curve.Params().Name, err)
		}
	}
}

// TestBlobCosign: the real cosign takes our signatures, and we take its.
func TestBlobCosign(t *testing.T) {
	cosign := filepath.Join("/var/tmp/casefile-cluster/bin", "cosign")
	if home := os.Getenv("CASEFILE_CLUSTER"); home != "" {
		cosign = filepath.Join(home, "bin", "cosign")
	}
	if _, err := os.Stat(cosign); err != nil {
		t.Skip("no cosign; samples/cluster/build.sh cosign builds it")
	}
	dir := t.TempDir()
	run := func(args ...string) error {
		cmd := exec.Command(cosign, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "COSIGN_PASSWORD=", "HOME="+dir)
		out, err := cmd.CombinedOutput()
		t.Logf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
		return err
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	private, public, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := LoadSigner(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := LoadVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	blob := []byte("\x00asm\x01\x00\x00\x00")
	signed, err := SignBlob(s, blob)
	if err != nil {
		t.Fatal(err)
	}
	write("k.key", private)
	write("k.pub", public)
	write("m.wasm", blob)
	write("bad.wasm", append(blob, 0))
	write("m.sigstore.json", signed)
	if err := run("verify-blob", "--key", "k.pub", "--bundle", "m.sigstore.json", "--insecure-ignore-tlog", "m.wasm"); err != nil {
		t.Error("cosign does not take our signature")
	}
	if err := run("verify-blob", "--key", "k.pub", "--bundle", "m.sigstore.json", "--insecure-ignore-tlog", "bad.wasm"); err == nil {
		t.Error("cosign takes our signature for another file")
	}
	for range 6 { // about half of them have the higher s
		if err := run("sign-blob", "--yes", "--key", "k.key", "--bundle", "c.json", "--tlog-upload=false", "--use-signing-config=false", "m.wasm"); err != nil {
			t.Fatal("cosign does not sign")
		}
		theirs, err := os.ReadFile(filepath.Join(dir, "c.json"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CheckBlob(theirs, blob, v); err != nil {
			t.Errorf("%v: %s", err, theirs)
		}
	}
}

func FuzzCheckBlob(f *testing.F) {
	s, v := testSigner(f)
	signed, err := SignBlob(s, []byte("blob"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed, []byte("blob"))
	f.Add([]byte("{}"), []byte(""))
	f.Fuzz(func(t *testing.T, signature, blob []byte) {
		if _, err := CheckBlob(signature, blob, v); err == nil && !bytes.Equal(blob, []byte("blob")) {
			t.Errorf("%q is signed by %q", blob, signature)
		}
	})
}
