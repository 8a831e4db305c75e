package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/rogpeppe/go-internal/testscript"
)

// runTSA starts a timestamp authority at $TSA, its root in tsa.pem and its
// certificate with the root in chain.pem.
func runTSA(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: tsa")
	}
	tsa, err := newTSA(ts.MkAbs("."))
	ts.Check(err)
	ts.Defer(tsa.Close)
	ts.Setenv("TSA", tsa.URL)
}

// newTSA starts an authority and leaves its certificates in dir.
func newTSA(dir string) (*httptest.Server, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, err
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root of time"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Time of test"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}
	var chain []byte
	for _, c := range []*x509.Certificate{root, leaf} {
		der, err := x509.CreateCertificate(rand.Reader, c, root, key.Public(), key)
		if err != nil {
			return nil, err
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		*c = *parsed
		chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), chain...)
	}
	err = errors.Join(os.WriteFile(filepath.Join(dir, "chain.pem"), chain, 0o600),
		os.WriteFile(filepath.Join(dir, "tsa.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600))
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			return
		}
		answer, err := stampFor(b, root, leaf, key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Write(answer)
	})), err
}

// TestCosignTimestamp holds a stamped seal against the field's own verifier,
// when $COSIGN names it: it demands the timestamp and asks no network.
func TestCosignTimestamp(t *testing.T) {
	cosign := os.Getenv("COSIGN")
	if cosign == "" {
		t.Skip("needs cosign: set COSIGN")
	}
	dir := t.TempDir()
	bin := build(t)
	tsa, err := newTSA(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tsa.Close()
	run := func(name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CASEFILE_KEY_PASSWORD=", "HOME="+dir, "XDG_CONFIG_HOME="+dir)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{
		{bin, "keygen", "-o", "site"},
		{bin, "collect", "--host", "--samples", "1", "-o", "plain.tar.zst", "--key", "site.key"},
		{bin, "collect", "--host", "--samples", "1", "-o", "b.tar.zst", "--key", "site.key", "--timestamp", tsa.URL},
		{"sh", "-c", "mkdir plain stamped && tar --strip-components=1 --zstd -xf plain.tar.zst -C plain && tar --strip-components=1 --zstd -xf b.tar.zst -C stamped"},
		{cosign, "trusted-root", "create", "--out", "tr.json", "--tsa", "url=" + tsa.URL + ",certificate-chain=chain.pem"},
	} {
		if out, err := run(args[0], args[1:]...); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	for folder, ok := range map[string]bool{"stamped": true, "plain": false} {
		out, err := run(cosign, "verify-blob", "--key", "site.pub", "--trusted-root", "tr.json", "--use-signed-timestamps", "--insecure-ignore-tlog",
			"--bundle", folder+"/manifest.sigstore.json", folder+"/manifest.json")
		if (err == nil) != ok {
			t.Errorf("%s: %v\n%s", folder, err, out)
		}
	}
}

// stampFor answers a query as an authority does.
func stampFor(query []byte, root, leaf *x509.Certificate, key crypto.Signer) ([]byte, error) {
	q, err := timestamp.ParseRequest(query)
	if err != nil {
		return nil, err
	}
	stamp := timestamp.Timestamp{HashAlgorithm: q.HashAlgorithm, HashedMessage: q.HashedMessage, Time: time.Now().UTC().Truncate(time.Second), Nonce: q.Nonce,
		Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: q.Certificates, Certificates: []*x509.Certificate{root}}
	return stamp.CreateResponseWithOpts(leaf, key, crypto.SHA256)
}

// post sends FILE to URL as a timestamp query and writes the answer to OUT.
func post(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: post URL FILE OUT")
	}
	f, err := os.Open(ts.MkAbs(args[1]))
	ts.Check(err)
	defer f.Close()
	resp, err := http.Post(args[0], "application/timestamp-query", f)
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), b, 0o600))
}
