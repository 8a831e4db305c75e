package redact

import (
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"strings"
	"testing"
)

// rowTest is what POLICY.md says in a row: from in at path, gone must not
// survive and kept must.
type rowTest struct {
	path, in   string
	gone, kept string
	refused    bool
	rules      string // a user's own
}

const anyObject = "cluster/resources/core/v1/x/default.ndjson"

func policyRows() map[string][]rowTest {
	p := planted
	frame := func(b []byte) string { return string(capture(1, eth(0x0800, b))) }
	pcap := "captures/a/b.pcapng"
	return map[string][]rowTest{
		"values of Secrets": {{path: anyObject, in: `{"kind":"Secret","data":{"key":"` + p + `"}}`, gone: p},
			{path: anyObject, in: `{"kind":"List","items":[{"stringData":{"key":"` + p + `"},"kind":"Secret"}]}`, gone: "key"}},
		"annotations of Secrets":                  {{path: anyObject, in: `{"kind":"Secret","metadata":{"annotations":{"a":"` + p + `"}}}`, gone: p, kept: "metadata"}},
		"names, types and labels of Secrets":      {{path: anyObject, in: `{"kind":"Secret","type":"Opaque","metadata":{"name":"n","labels":{"l":"` + p + `"}}}`, kept: `"type":"Opaque","metadata":{"name":"n","labels":{"l":"` + p}},
		"last applied configurations":             {{path: anyObject, in: `{"kind":"Pod","metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"` + p + `"}}}`, gone: "last-applied"}},
		"literal values of environment variables": {{path: anyObject, in: `{"env":[{"name":"A","value":"` + p + `"}]}`, gone: p, kept: `"A"`}},
		"references of environment variables":     {{path: anyObject, in: `{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"password"}}}]}`, kept: `{"secretKeyRef":{"name":"s","key":"password"}}`}},
		"values of ConfigMaps":                    {{path: anyObject, in: `{"kind":"ConfigMap","metadata":{"name":"coredns","namespace":"x"},"data":{"k":"` + p + `"}}`, gone: p, kept: `"k"`}},
		"network configuration in ConfigMaps": {
			{path: anyObject, in: `{"kind":"ConfigMap","metadata":{"name":"coredns","namespace":"kube-system"},"data":{"Corefile":"errors password=` + p + `"}}`, gone: p, kept: "errors"},
			{path: anyObject, in: `{"kind":"ConfigMap","metadata":{"name":"kube-root-ca.crt","namespace":"x"},"data":{"ca.crt":"-----BEGIN CERTIFICATE-----` + p + `"}}`, kept: p},
			{path: anyObject, in: `{"kind":"ConfigMap","metadata":{"name":"kube-proxy","namespace":"kube-system"},"data":{"config.conf":"mode: ipvs"}}`, kept: "ipvs"},
			{path: anyObject, in: `{"kind":"ConfigMap","metadata":{"name":"kube-flannel-cfg","namespace":"kube-flannel"},"data":{"net-conf.json":"{\"Network\":\"10.244.0.0/16\"}"}}`, kept: "10.244"}},
		"passwords and tokens in arguments": {{path: anyObject, in: `{"args":["--password","` + p + `"]}`, gone: p, kept: "--password"},
			{path: "nodes/n1/processes.ndjson", in: `{"cmdline":"x --token ` + p + `"}`, gone: p, kept: "--token"}},
		"fields named as secrets": {{path: anyObject, in: `{"spec":{"apiKey":"` + p + `"}}`, gone: p, kept: "apiKey"}, {path: anyObject, in: `{"name":"db-password","value":"` + p + `"}`, gone: p}},
		"passwords, secrets, tokens and keys given to a name": {{path: "a.log", in: "password=" + p, gone: p, kept: "password="}, {path: "a.log", in: "api-key: " + p, gone: p},
			{path: "a.log", in: "x --secret " + p, gone: p}},
		"passwords in URLs and connection strings": {{path: "a.log", in: "postgres://u:" + p + "@db", gone: p, kept: "@db"}, {path: "a.log", in: "u:" + p + "@tcp(db:3306)/x", gone: p}},
		"authorization headers and cookies":        {{path: "a.log", in: "Authorization: Bearer " + p, gone: p}, {path: "a.log", in: "Set-Cookie: a=" + p, gone: p}},
		"private keys":                             {{path: "a.log", in: "-----BEGIN PRIVATE KEY-----\n" + p + "\n-----END PRIVATE KEY-----\nafter", gone: p, kept: "after"}},
		"certificates":                             {{path: "a.log", in: "-----BEGIN CERTIFICATE-----\n" + p + "\n-----END CERTIFICATE-----", kept: p}},
		"tokens known by their form":               {{path: "a.log", in: "hvs." + p + p, gone: p}, {path: anyObject, in: `{"message":"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJl.` + p + `"}`, gone: p}},
		"password hashes":                          {{path: "a.log", in: "root:$6$abcdefgh$" + strings.Repeat(p, 5) + ":19000:", gone: p, kept: ":19000:"}, {path: "a.log", in: "u:$2y$12$" + strings.Repeat(p, 4), gone: p}},
		"passwords in configurations and commands": {{path: "a.log", in: "machine h login u password " + p, gone: p}, {path: "a.log", in: "db:5432:x:u:" + p, gone: p}, {path: "a.log", in: "ALTER USER u IDENTIFIED BY '" + p + "'", gone: p},
			{path: "a.log", in: "rocommunity " + p, gone: p}, {path: "a.log", in: "a b : PSK \"" + p + "\"", gone: p}, {path: "a.log", in: "chpasswd:\n  list: |\n    root:" + p, gone: p}, {path: "a.log", in: "mysql -u x -p" + p, gone: p}},
		"fields of well-known custom resources": {{path: anyObject, in: `{"apiVersion":"notification.toolkit.fluxcd.io/v1","kind":"Provider","spec":{"address":"` + p + `","type":"slack"}}`, gone: p, kept: "slack"}},
		"references to Secrets, and encrypted values": {{path: anyObject, in: `{"apiVersion":"bitnami.com/v1alpha1","kind":"SealedSecret","spec":{"encryptedData":{"password":"` + p + `"}}}`, kept: p},
			{path: anyObject, in: `{"passwordSecretRef":{"key":"` + p + `"},"existingSecret":"` + p + `","caBundle":"` + p + `"}`, kept: `{"passwordSecretRef":{"key":"` + p + `"},"existingSecret":"` + p + `","caBundle":"` + p + `"}`}},
		"secrets in base64":                         {{path: "a.log", in: "x " + encoded("conf: password="+p) + " y", gone: encoded("conf: password=" + p)[:20], kept: "x [REDACTED:encoded-secret] y"}},
		"secrets behind escapes":                    {{path: "a.log", in: "/x?a=password%3D" + p + "%26b", gone: p}, {path: "a.log", in: `{"m":"\u0022password\u0022: \u0022` + p + `\u0022"}`, gone: p}, {path: "nodes/n/0/proc/1/cmdline", in: "sshpass\x00-p\x00" + p + "\x00ssh", gone: p, kept: "ssh"}},
		"compressed data in base64":                 {{path: "a.log", in: encoded(string(zipped("token=" + p))), gone: "H4sI"}, {path: "a.log", in: encoded("\x28\xb5\x2f\xfd" + strings.Repeat(p, 3)), gone: "KLUv"}, {path: "a.log", in: encoded(string(zipped("nothing secret in here"))), kept: "H4sI"}},
		"compressed data in logs":                   {{path: "a.log", in: "a " + string(zipped("harmless")) + " b", gone: "\x1f\x8b", kept: "a [REDACTED:compressed-data] b"}},
		"harmless base64 and escapes":               {{path: "a.log", in: encoded("some harmless text in base64") + ` %20 \u003cb\u003e &quot;`, kept: encoded("some harmless text in base64") + ` %20 \u003cb\u003e &quot;`}},
		"what rules of your own say":                {{path: "a.log", in: "see BADGE-123456 here", gone: "123456", kept: "[REDACTED:acme-badge] here", rules: examplePack}},
		"rest of a line after a value without end":  {{path: "a.log", in: "token=" + strings.Repeat(p, 9000) + "\nafter", gone: p, kept: "after"}},
		"keys of the kernel":                        {{path: "nodes/n/0/proc/sys/net/ipv4/tcp_fastopen_key", in: p, gone: p}, {path: "nodes/n/0/proc/sys/net/ipv6/conf/all/stable_secret", in: p, gone: p}},
		"names of objects, hosts, nodes, users":     {{path: anyObject, in: `{"metadata":{"name":"web","namespace":"shop"},"nodeName":"node-1.example.com","user":"jane@example.com"}`, kept: `"web","namespace":"shop"},"nodeName":"node-1.example.com","user":"jane@example.com"`}},
		"the host in lines of a machine's own logs": {{path: "nodes/n/logs/kubelet.log", in: "2026-11-28T16:00:00.123456Z zebra17 kubelet[812]: password=" + p, gone: p, kept: "zebra17 kubelet[812]: password="}},
		"manifests of static pods": {{path: "nodes/n/static-pods/etcd.yaml.json", in: `{"kind":"Pod","spec":{"containers":[{"env":[{"name":"A","value":"` + p + `"}]}]}}`, gone: p, kept: `"A"`},
			{path: "nodes/n/static-pods/etcd.yaml.json", in: `kind: Pod`, refused: true}},
		"IP and MAC addresses":              {{path: "nodes/n/0/proc/net/arp", in: "10.0.0.1 0x1 0x2 02:00:00:00:00:01 * eth0", kept: "10.0.0.1 0x1 0x2 02:00:00:00:00:01"}},
		"UUIDs, digests, resource versions": {{path: anyObject, in: `{"uid":"2f6f5b0c-8a3e-4d0e-9b7c-111111111111","resourceVersion":"123","image":"x@sha256:9f86d081884c7d65"}`, kept: `"2f6f5b0c-8a3e-4d0e-9b7c-111111111111","resourceVersion":"123","image":"x@sha256:9f86d081884c7d65"`}},
		"headers of packets":                {{path: pcap, in: frame(ip4(6, 0, tcp(80, p))), kept: "TTTTEEEE", gone: p}},
		"DNS messages":                      {{path: pcap, in: frame(ip4(17, 0, udp(53, []byte(query)))), kept: query}},
		"TLS handshakes and alerts":         {{path: pcap, in: frame(ip4(6, 0, tcp(443, "\x16\x03\x01\x00\x08\x01\x00\x00\x04helo\x15\x03\x03\x00\x02\x02\x28"))), kept: "helo\x15\x03\x03\x00\x02\x02\x28"}},
		"other payload of packets":          {{path: pcap, in: frame(ip4(17, 0, udp(9, []byte(p)))), gone: p}},
		"names and texts in captures": {{path: pcap, in: frame(nil) + string(blockOf(blockNames, opt(1, ip1+"acme\x00"))), kept: ip1 + "acme"},
			{path: pcap, in: frame(nil) + string(blockOf(blockNames, opt(1, ip1+"password="+p))), refused: true}},
		"TLS keys and unknown blocks": {{path: pcap, in: frame(nil) + string(appendBlock(nil, 0x0A, []byte("TLSK\x04\x00\x00\x00abcd"))), refused: true}},
		"NUL bytes":                   {{path: "a.log", in: "aa\x00\x00\x00bb", gone: "\x00", kept: "aabb"}, {path: "a.log", in: "a\x00b", gone: "\x00", kept: "a b"}},
		"binary data of unknown kind": {{path: "nodes/n/x.bin", in: "\xff\xfe\x00", refused: true}, {path: "x.gz", in: "\x1f\x8b\x08", refused: true}},
		"JSON that does not parse, or is too large": {{path: anyObject, in: `{"a":`, refused: true}, {path: anyObject, in: `"` + strings.Repeat("a", maxLine) + `"`, refused: true},
			{path: "cluster/version.json", in: `{]`, refused: true}},
	}
}

// TestPolicy holds POLICY.md: every row has a test and every test a row.
func TestPolicy(t *testing.T) {
	doc, err := os.ReadFile("POLICY.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := policyRows()
	seen := map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(line, " | ")
		class := strings.TrimPrefix(cells[0], "| ")
		if len(cells) != 4 || class == "class of data" {
			continue
		}
		seen[class] = true
		t.Run(class, func(t *testing.T) {
			if len(rows[class]) == 0 {
				t.Fatal("the row has no test")
			}
			for _, r := range rows[class] {
				r.check(t)
			}
		})
	}
	for class := range rows {
		if !seen[class] {
			t.Errorf("%s: the test has no row in POLICY.md", class)
		}
	}
}

func (r rowTest) check(t *testing.T) {
	t.Helper()
	if r.refused {
		refused(t, r.path, r.in)
		return
	}
	in := r.in
	if !strings.HasSuffix(r.path, ".pcapng") {
		in += "\n"
	}
	red := newRedactor(t, "")
	if r.rules != "" {
		red = withRules(t, r.rules)
	}
	out, err := io.ReadAll(red.Reader(r.path, strings.NewReader(in)))
	if err != nil {
		t.Fatal(err)
	}
	if r.gone != "" && bytes.Contains(out, []byte(r.gone)) || !bytes.Contains(out, []byte(r.kept)) {
		t.Errorf("%s: %.200q became %.200q", r.path, r.in, out)
	}
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// TestPolicyExample: the rules that POLICY.md shows can be loaded, and work.
func TestPolicyExample(t *testing.T) {
	doc, err := os.ReadFile("POLICY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```json\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	r := withRules(t, example)
	out, err := io.ReadAll(r.Reader("a.log", strings.NewReader("BADGE-123456, customer miller ticket, door_pin=1234\n")))
	if want := "[REDACTED:acme-badge], customer [REDACTED:acme-customer] ticket, door_pin=[REDACTED:acme-pin]\n"; err != nil || string(out) != want {
		t.Errorf("%s, want %s (%v)", out, want, err)
	}
}
