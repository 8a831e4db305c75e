package node

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// Under the strict policy no name or address is left in the rows of a machine.
func TestHostRowsUnderStrict(t *testing.T) {
	names := []pseudonym.Name{{Kind: pseudonym.KindNode, Value: "zebra17"}, {Kind: pseudonym.KindNamespace, Value: "okapi"}, {Kind: pseudonym.KindObject, Value: "gnu-0"}}
	r, err := redact.New(redact.PolicyStrict, redact.Options{Key: pseudonym.Key{1}, Names: names})
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]any{
		"certificates.ndjson": certificateRow{Path: "/var/lib/kubelet/pki/x.pem", Subject: &dnRow{CommonName: "system:node:zebra17", Organizations: []string{"system:nodes"}},
			DNSNames: []string{"zebra17", "zebra17.okapi.example.org"}, IPs: []string{"198.51.100.7"}, URIs: []string{"https://198.51.100.7/"}, Serial: "0badcafe17"},
		"cni/leases.ndjson":  leaseRow{Network: "cbr0", IP: "198.51.100.7", ContainerID: id},
		"cni/results.ndjson": cniResult{PodNamespace: "okapi", PodName: "gnu-0", Interfaces: []cniInterface{{Name: "eth0", MAC: "5e:00:00:12:34:56"}}, IPs: []cniAddress{{Address: "198.51.100.7/24", Gateway: "198.51.100.1"}}},
		"mounts.ndjson":      mountRow{Point: "/mnt/x", Source: "zebra17.okapi.example.org:/srv", Super: "rw,addr=198.51.100.7"},
		"processes.ndjson":   processRow{Comm: "kubelet", Cmdline: "kubelet --hostname-override=zebra17 --node-ip=198.51.100.7"},
		"bpf.ndjson":         bpfRow{Kind: "map", Name: "cilium_lxc", Type: "Hash"},
	} {
		b, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(r.Reader("nodes/n/"+name, strings.NewReader(string(b)+"\n")))
		if err != nil {
			t.Fatal(err)
		}
		for _, gone := range []string{"zebra17", "okapi", "gnu-0", "198.51.100.7", "5e:00:00:12:34:56", "0badcafe17"} {
			if strings.Contains(string(out), gone) {
				t.Errorf("%s: %s is left in %s", name, gone, out)
			}
		}
	}
	out, err := io.ReadAll(r.Reader("nodes/n/certificates.ndjson", strings.NewReader(`{"algorithm":"RSA 2048","usages":["Key Encipherment"],"notAfter":"2027-01-02T03:04:05Z"}`+"\n")))
	if err != nil || !strings.Contains(string(out), `"RSA 2048"`) || !strings.Contains(string(out), "Key Encipherment") || !strings.Contains(string(out), "2027-01-02T03:04:05Z") {
		t.Errorf("%s %v", out, err)
	}
}
