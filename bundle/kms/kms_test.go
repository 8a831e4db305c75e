package kms

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withPlugin builds a real plugin, puts it into $PATH and makes a key for it.
func withPlugin(t *testing.T) (ref string, key *ecdsa.PrivateKey) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "sigstore-kms-files"), "./testdata/plugin").CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	t.Setenv("PATH", dir)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "site.key")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return "files://" + name, key
}

func TestSigner(t *testing.T) {
	ref, key := withPlugin(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Load(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(s.Public()) {
		t.Error("another public key")
	}
	cancel() // what was collected is still sealed
	message := []byte("a manifest")
	sig, err := s.Sign(message)
	sum := sha256.Sum256(message)
	if err != nil || !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
		t.Errorf("signature %x: %v", sig, err)
	}
	if _, err := Load(ctx, ref); err == nil {
		t.Error("loaded after the end")
	}
}

func TestLoadRefuses(t *testing.T) {
	ref, _ := withPlugin(t)
	for name, c := range map[string]struct{ ref, want string }{
		"no plugin":  {"other://key", "sigstore-kms-other"},
		"no key":     {"files:///nowhere", "no such file"},
		"a path":     {"../files://key", "want NAME://KEY"},
		"no scheme":  {"site.key", "want NAME://KEY"},
		"no key ref": {"files://", "want NAME://KEY"},
	} {
		if _, err := Load(t.Context(), c.ref); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("PLUGIN_REFUSES", "yes")
	if _, err := Load(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "may not sign") {
		t.Errorf("a key that cannot sign: %v", err)
	}
}
