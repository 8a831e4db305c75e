package node

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openssl runs it in dir.
func openssl(t testing.TB, dir string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("openssl is missing")
		}
		t.Skip("openssl is missing")
	}
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

func TestCertificatesAreThoseOfOpenSSL(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ name, key, algorithm string }{{"rsa", "rsa:2048", "RSA 2048"}, {"ec", "ec", "ECDSA P-256"}, {"ed", "ed25519", "Ed25519"}} {
		args := []string{"req", "-x509", "-nodes", "-newkey", c.key, "-keyout", c.name + ".key", "-out", c.name + ".crt", "-days", "30",
			"-subj", "/O=system:nodes/CN=system:node:n1", "-addext", "subjectAltName=DNS:n1.example,IP:10.0.0.1,IP:fd00::1,URI:spiffe://x/y",
			"-addext", "keyUsage=digitalSignature,keyEncipherment", "-addext", "extendedKeyUsage=serverAuth,clientAuth"}
		if c.key == "ec" {
			args = append(args, "-pkeyopt", "ec_paramgen_curve:P-256")
		}
		openssl(t, dir, args...)
		pemText, err := os.ReadFile(filepath.Join(dir, c.name+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(filepath.Join(dir, c.name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		list, err := certificatesOf("/p", bytes.NewReader(append(key, pemText...))) // as in kubelet-client-current.pem
		if err != nil || len(list) != 1 {
			t.Fatalf("%d certificates, %v", len(list), err)
		}
		checkCertificate(t, dir, c.name+".crt", list[0])
		if list[0].Algorithm != c.algorithm || !list[0].SelfSigned || !list[0].IsCA {
			t.Errorf("%+v", list[0])
		}
		kubeconfig := fmt.Sprintf("users:\n- user:\n    client-certificate-data: %s\n    client-key-data: %s\n",
			base64.StdEncoding.EncodeToString(pemText), base64.StdEncoding.EncodeToString(key))
		embeddedOnes, err := certificatesOf("/k", strings.NewReader(kubeconfig))
		if err != nil || len(embeddedOnes) != 1 || embeddedOnes[0].SHA256 != list[0].SHA256 || embeddedOnes[0].Field != "client-certificate-data" {
			t.Errorf("kubeconfig: %+v, %v", embeddedOnes, err)
		}
	}
}

func checkCertificate(t *testing.T, dir, file string, row certificateRow) {
	t.Helper()
	out := openssl(t, dir, "x509", "-in", file, "-noout", "-serial", "-fingerprint", "-sha256", "-startdate", "-enddate", "-ext", "subjectAltName,keyUsage,extendedKeyUsage",
		"-subject", "-nameopt", "RFC2253")
	has := func(want string) {
		if !strings.Contains(strings.ToLower(out), strings.ToLower(want)) {
			t.Errorf("%s: openssl does not say %q:\n%s", file, want, out)
		}
	}
	has("serial=" + row.Serial)
	var sum []string
	for i := 0; i < len(row.SHA256); i += 2 {
		sum = append(sum, row.SHA256[i:i+2])
	}
	has("fingerprint=" + strings.Join(sum, ":"))
	has("notBefore=" + row.NotBefore.Format("Jan _2 15:04:05 2006 GMT"))
	has("notAfter=" + row.NotAfter.Format("Jan _2 15:04:05 2006 GMT"))
	has("CN=" + row.Subject.CommonName + ",O=" + strings.Join(row.Subject.Organizations, ","))
	has("DNS:" + strings.Join(row.DNSNames, ", DNS:"))
	has("IP Address:10.0.0.1, IP Address:FD00:0:0:0:0:0:0:1, URI:" + row.URIs[0])
	has(strings.Join(row.Usages[:2], ", "))
	has(strings.Join(row.Usages[2:], ", "))
	if len(row.IPs) != 2 || row.IPs[1] != "fd00::1" || row.NotAfter.Sub(row.NotBefore) != 30*24*time.Hour {
		t.Errorf("%+v", row)
	}
}

func TestBundlesAreCounted(t *testing.T) {
	dir := t.TempDir()
	openssl(t, dir, "req", "-x509", "-nodes", "-newkey", "ed25519", "-keyout", "k", "-out", "c", "-days", "3", "-subj", "/CN=x")
	one, err := os.ReadFile(filepath.Join(dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := certificatesOf("/ca", bytes.NewReader(bytes.Repeat(one, maxBundle+1)))
	if err != nil || len(list) != 1 || list[0].Count != maxBundle+1 || list[0].NotAfter.IsZero() || list[0].Subject != nil {
		t.Errorf("%+v, %v", list, err)
	}
}

func FuzzCertificates(f *testing.F) {
	dir := f.TempDir()
	openssl(f, dir, "req", "-x509", "-nodes", "-newkey", "ed25519", "-keyout", "k", "-out", "c", "-days", "3", "-subj", "/CN=x")
	one, err := os.ReadFile(filepath.Join(dir, "c"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(one)
	f.Add([]byte("  client-certificate-data: " + base64.StdEncoding.EncodeToString(one)))
	f.Add([]byte(beginPEM + "\nAAAA\n" + endPEM + "\n" + beginPEM))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := certificatesOf("/p", bytes.NewReader(text))
		if err != nil || len(list) > maxBundle {
			t.Errorf("%d rows, %v", len(list), err)
		}
		for _, row := range list {
			encodable(t, row)
		}
	})
}
