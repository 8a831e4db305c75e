package redact

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

func policyNames() []pseudonym.Name {
	return []pseudonym.Name{{Kind: pseudonym.KindObject, Value: "web"}, {Kind: pseudonym.KindNamespace, Value: "shop"}, {Kind: pseudonym.KindNode, Value: "node-1.example.com"},
		{Kind: pseudonym.KindUser, Value: "jane"}, {Kind: pseudonym.KindObject, Value: "ledger"}, {Kind: pseudonym.KindObject, Value: "status"}}
}

// strictRows is what POLICY.md says under strict where that is not what it says
// under standard.
func strictRows() map[string][]rowTest {
	p := planted
	frame := func(b []byte) string { return string(capture(1, eth(0x0800, b))) }
	pcap := "captures/a/b.pcapng"
	pem := "-----BEGIN CERTIFICATE-----\n" + strings.Repeat(p, 20) + "\n-----END CERTIFICATE-----\nafter"
	return map[string][]rowTest{
		"names, types and labels of Secrets": {{path: anyObject, in: `{"kind":"Secret","type":"Opaque","metadata":{"name":"ledger","labels":{"l":"ledger"}}}`, gone: "ledger", kept: `"type":"Opaque"`}},
		"references of environment variables": {{path: anyObject, in: `{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"ledger","key":"password"}}}]}`, gone: "ledger", kept: `"key":"password"`},
			{path: anyObject, in: `{"env":[{"name":"A","valueFrom":{"configMapKeyRef":{"name":"status","key":"status"}}}]}`, gone: `"name":"status"`, kept: `"key":"status"`}},
		"network configuration in ConfigMaps": {
			{path: anyObject, in: `{"kind":"ConfigMap","metadata":{"name":"coredns","namespace":"kube-system"},"data":{"Corefile":"errors password=` + p + `\nforward . 10.1.2.3"}}`, gone: p, kept: "errors"},
			{path: anyObject, in: `{"kind":"ConfigMap","metadata":{"name":"coredns","namespace":"kube-system"},"data":{"Corefile":"forward . 10.1.2.3"}}`, gone: "10.1.2.3", kept: "forward . 10."},
			{path: anyObject, in: `{"kind":"ConfigMap","metadata":{"name":"kube-flannel-cfg","namespace":"kube-flannel"},"data":{"net-conf.json":"{\"Network\":\"10.244.0.0/16\"}"}}`, gone: "10.244", kept: ".0.0/16"}},
		"passwords in URLs and connection strings": {{path: "a.log", in: "postgres://u:" + p + "@db", gone: p, kept: ":[REDACTED:url-password]@host-"}, {path: "a.log", in: "u:" + p + "@tcp(db:3306)/x", gone: p}},
		"certificates": {{path: "a.log", in: pem, gone: p, kept: "-----END CERTIFICATE-----\nafter"},
			{path: anyObject, in: `{"spec":{"ca":"-----BEGIN CERTIFICATE-----\n` + strings.Repeat(p, 20) + `\n-----END CERTIFICATE-----\n"}}`, gone: p, kept: "[REDACTED:certificate]-----END"},
			{path: anyObject, in: `{"status":{"certificate":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t` + strings.Repeat("QUJD", 100) + `"}}`, gone: "QUJD", kept: "[REDACTED:certificate]"}},
		"references to Secrets, and encrypted values": {{path: anyObject, in: `{"spec":{"existingSecret":"ledger"}}`, gone: "ledger", kept: "existingSecret"},
			{path: anyObject, in: `{"webhooks":[{"clientConfig":{"caBundle":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t` + strings.Repeat("QUJD", 100) + `"}}]}`, gone: "QUJD", kept: "caBundle"}},
		"names of objects, hosts, nodes, users": {
			{path: anyObject, in: `{"metadata":{"name":"web","namespace":"shop"},"nodeName":"node-1.example.com"}`, gone: "web", kept: `"namespace":"ns-`},
			{path: anyObject, in: `{"metadata":{"name":"web","namespace":"shop"},"nodeName":"node-1.example.com"}`, gone: "example", kept: `.com"}`},
			{path: anyObject, in: `{"user":"jane","mail":"jane@example.com"}`, gone: "jane", kept: "@host-"},
			{path: anyObject, in: `{"metadata":{"name":"status"},"status":{"message":"status is ok"}}`, gone: `"name":"status"`, kept: `"status":{"message":"status is ok"}`},
			{path: "a.log", in: "web-7d9c6b8f5-x7k2p in shop: GET http://web.shop.svc.cluster.local/", gone: "web", kept: "-7d9c6b8f5-x7k2p in ns-"}},
		"the host in lines of a machine's own logs": {{path: "nodes/n/logs/kubelet.log", in: "2026-11-28T16:00:00.123456Z zebra17 kubelet[812]: ok", gone: "zebra17", kept: " kubelet[812]: ok"}},
		"manifests of static pods":                  {{path: "nodes/n/static-pods/etcd.yaml.json", in: `{"kind":"Pod","metadata":{"name":"ledger"},"spec":{"containers":[{"env":[{"name":"A","value":"` + p + `"}]}]}}`, gone: "ledger", kept: `"A"`}},
		"IP and MAC addresses": {
			{path: "nodes/n/0/proc/net/arp", in: "10.0.0.1 0x1 0x2 02:00:00:00:00:01 * eth0", gone: "10.0.0.1", kept: " 0x1 0x2 "},
			{path: "nodes/n/0/proc/net/arp", in: "10.0.0.1 0x1 0x2 02:00:00:00:00:01 * eth0", gone: "02:00:00:00:00:01", kept: " * eth0"},
			{path: "nodes/n/0/proc/net/tcp", in: " 0: 0100000A:0050 00000000:0000 0A", gone: "0100000A", kept: "0A:0050 00000000:0000 0A"},
			{path: "a.log", in: "10.1.0.0/16 127.0.0.1 255.255.255.0", gone: "10.1.0.0", kept: ".0.0/16 127.0.0.1 255.255.255.0"}},
		"UUIDs, digests, resource versions": {
			{path: anyObject, in: `{"uid":"2f6f5b0c-8a3e-4d0e-9b7c-111111111111","resourceVersion":"123","image":"x@sha256:9f86d081884c7d65"}`, kept: `"2f6f5b0c-8a3e-4d0e-9b7c-111111111111","resourceVersion":"123","image":"x@sha256:9f86d081884c7d65"`},
			{path: anyObject, in: `{"machineID":"2c8ca56b44db49179f0d540c2574c965","providerID":"aws:///eu-west-1a/i-0abcdef"}`, gone: "2c8ca56b", kept: `"providerID":"id-`}},
		"headers of packets":        {{path: pcap, in: frame(ip4(6, 0, tcp(80, p))), gone: p, kept: "TTTT"}, {path: pcap, in: frame(ip4(6, 0, tcp(80, p))), gone: string(ip4(6, 0, nil)[12:20])}},
		"DNS messages":              {{path: pcap, in: frame(ip4(17, 0, udp(53, []byte(query)))), gone: query}},
		"TLS handshakes and alerts": {{path: pcap, in: frame(ip4(6, 0, tcp(443, "\x16\x03\x01\x00\x08\x01\x00\x00\x04helo\x15\x03\x03\x00\x02\x02\x28"))), gone: "helo", kept: "\x16\x03\x01\x00\x08\x01"}},
		"names and texts in captures": {{path: pcap, in: frame(nil) + string(blockOf(blockNames, opt(1, ip1+"acme\x00"))), gone: "acme"}, {path: pcap, in: frame(nil) + string(blockOf(blockStatistics, make([]byte, 12), opt(2988, "acme"))), gone: "acme"},
			{path: pcap, in: frame(nil) + string(blockOf(blockNames, opt(1, ip1+"acme\x00"))), gone: ip1}},
		"other payload of packets": {{path: pcap, in: frame(ip4(17, 0, udp(9, []byte(p)))), gone: p}},
	}
}

// TestStrictPolicy holds the last column of POLICY.md: where it says the same as
// the column before, the same tests hold.
func TestStrictPolicy(t *testing.T) {
	doc, err := os.ReadFile("POLICY.md")
	if err != nil {
		t.Fatal(err)
	}
	standard, strict := policyRows(), strictRows()
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.TrimSuffix(strings.TrimSpace(line), " |"), " | ")
		class := strings.TrimPrefix(cells[0], "| ")
		if len(cells) != 4 || class == "class of data" {
			continue
		}
		rows := strict[class]
		if same := cells[2] == cells[3]; same != (rows == nil) {
			t.Errorf("%s: strict says %q, standard %q, and there are %d rows for strict", class, cells[3], cells[2], len(rows))
		} else if same {
			rows = standard[class]
		}
		delete(strict, class)
		t.Run(class, func(t *testing.T) {
			for _, r := range rows {
				r.checkStrict(t)
			}
		})
	}
	for class := range strict {
		t.Errorf("%s: the test has no row in POLICY.md", class)
	}
	if _, err := New(PolicyStrict, Options{}); err == nil {
		t.Error("strict without a key")
	}
	if _, err := New(PolicyStrict, Options{Key: pseudonym.Key{1}, Payload: PayloadFull}); err == nil {
		t.Error("strict with all payload")
	}
}

func (r rowTest) checkStrict(t *testing.T) {
	t.Helper()
	in := r.in
	if !strings.HasSuffix(r.path, ".pcapng") {
		in += "\n"
	}
	o := Options{Key: pseudonym.Key{1, 2, 3}, Names: policyNames()}
	if r.rules != "" {
		var err error
		if o.Rules, err = LoadRules([]byte(r.rules)); err != nil {
			t.Fatal(err)
		}
	}
	redactor, err := New(PolicyStrict, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(redactor.Reader(r.path, strings.NewReader(in)))
	if refused := err != nil; refused != r.refused {
		t.Fatalf("%s: %.200q: %v", r.path, r.in, err)
	}
	if r.refused {
		return
	}
	out := string(b)
	if r.gone != "" && strings.Contains(out, r.gone) || !strings.Contains(out, r.kept) {
		t.Errorf("%s: %.200q became %.300q", r.path, r.in, out)
	}
}
