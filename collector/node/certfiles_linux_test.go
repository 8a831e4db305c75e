package node

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestCertificateFolders(t *testing.T) {
	dir := t.TempDir()
	openssl(t, dir, "req", "-x509", "-nodes", "-newkey", "ed25519", "-keyout", "k", "-out", "c", "-days", "3", "-subj", "/CN=x")
	crt, err := os.ReadFile(dir + "/c")
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(dir + "/k")
	if err != nil {
		t.Fatal(err)
	}
	root := tree(t, map[string]string{
		"etc/kubernetes/pki/apiserver.crt":             string(crt),
		"etc/kubernetes/pki/apiserver.key":             string(key) + string(crt), // must not be opened
		"etc/kubernetes/pki/etcd/server.crt":           string(crt),
		"etc/kubernetes/admin.conf":                    "    client-certificate-data: " + base64.StdEncoding.EncodeToString(crt) + "\n    token: SECRET\n",
		"var/lib/kubelet/pki/kubelet-client-2026.pem":  string(crt) + string(key),
		"etc/kubernetes/manifests/kube-apiserver.yaml": string(crt),
		"etc/kubernetes/pki/broken.crt":                beginPEM + "\nAAAA\n" + endPEM + "\n",
	})
	if err := os.Symlink("kubelet-client-2026.pem", root+"/var/lib/kubelet/pki/kubelet-client-current.pem"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/kubernetes", root+"/etc/kubernetes/pki/loop"); err != nil {
		t.Fatal(err)
	}
	sink, _ := runSource(t, Options{Root: root}, func(g *gatherer) {
		r, err := openRoot(root)
		if err != nil {
			t.Error(err)
			return
		}
		defer r.close()
		g.stream(t.Context(), "nodes/n1/certificates.ndjson", func(enc *json.Encoder) error { return g.certificates(t.Context(), enc, r) })
	})
	got := map[string]int{}
	for _, row := range rows[certificateRow](t, sink, "nodes/n1/certificates.ndjson") {
		got[row.Path]++
		if broken := strings.Contains(row.Path, "broken"); broken != (row.ParseFailed != "") {
			t.Errorf("%+v", row)
		}
	}
	want := []string{"/etc/kubernetes/admin.conf", "/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/broken.crt", "/etc/kubernetes/pki/etcd/server.crt",
		"/var/lib/kubelet/pki/kubelet-client-2026.pem", "/var/lib/kubelet/pki/kubelet-client-current.pem"}
	for _, path := range want {
		if got[path] != 1 {
			t.Errorf("%s: %d rows", path, got[path])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	text := sink.files["nodes/n1/certificates.ndjson"]
	for line := range strings.Lines(string(key)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && strings.Contains(string(text), line) {
			t.Error("a key is in it")
		}
	}
}
