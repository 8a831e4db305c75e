package redact

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// plantedCluster is what must not be left of a cluster, by kind.
type plantedCluster struct {
	names []pseudonym.Name
	words []string // that no longer occur
	v4    []netip.Addr
	v6    []netip.Addr
	macs  []string
}

func plantCluster() plantedCluster {
	var c plantedCluster
	add := func(k pseudonym.Kind, values ...string) {
		for _, v := range values {
			c.names = append(c.names, pseudonym.Name{Kind: k, Value: v})
			c.words = append(c.words, v)
		}
	}
	add(pseudonym.KindNode, "worker-eu-17", "bigiron3.rackhall.initech.internal", "cp0")
	add(pseudonym.KindNamespace, "billing-prod", "teamhydra", "zürich-lab")
	add(pseudonym.KindObject, "ledgerd", "invoice-writer", "pg-main", "hydra.config")
	add(pseudonym.KindUser, "milton.waddams@initech.com", "plumbergh", "oidc:bob-slydell")
	add(pseudonym.KindHost, "portal.initech.com")
	c.words = append(c.words, "initech", "rackhall", "hydra-db", "smykowski")
	for _, s := range []string{"10.44.7.19", "192.168.77.3", "203.0.113.77", "100.64.9.9", "172.20.3.4", "81.2.69.160"} {
		c.v4 = append(c.v4, netip.MustParseAddr(s))
	}
	for _, s := range []string{"2a02:cafe:12::17", "fd12:3456:789a::5", "fe80::5054:ff:fe12:3456"} {
		c.v6 = append(c.v6, netip.MustParseAddr(s))
	}
	c.macs = []string{"525400a1b2c3", "0242ac1107f3"}
	return c
}

func groups(mac, sep string, n int) string {
	var parts []string
	for i := 0; i < len(mac); i += n {
		parts = append(parts, mac[i:i+n])
	}
	return strings.Join(parts, sep)
}

func words32(a []byte) string {
	var b strings.Builder
	for i := 0; i < len(a); i += 4 {
		fmt.Fprintf(&b, "%08X", binary.LittleEndian.Uint32(a[i:]))
	}
	return b.String()
}

// spellings of everything that must not be left, in lower case.
func (c plantedCluster) spellings() []string {
	all := c.words
	for _, a := range c.v4 {
		b := a.As4()
		all = append(all, a.String(), strings.ReplaceAll(a.String(), ".", "-"), words32(b[:]), fmt.Sprintf("%d.%d.%d.%d.in-addr", b[3], b[2], b[1], b[0]))
	}
	for _, a := range c.v6 {
		b := a.As16()
		all = append(all, a.String(), a.StringExpanded(), hex.EncodeToString(b[:]), words32(b[:]))
	}
	for _, m := range c.macs {
		all = append(all, m, groups(m, ":", 2), groups(m, "-", 2), groups(m, ".", 4))
	}
	for i := range all {
		all[i] = strings.ToLower(all[i])
	}
	return all
}

// lines holds every value in many surroundings.
func (c plantedCluster) lines() []string {
	var all []string
	add := func(format string, values ...any) { all = append(all, fmt.Sprintf(format, values...)) }
	for _, n := range c.names {
		for _, v := range []string{n.Value, strings.ToUpper(n.Value)} {
			add("E1121 09:00:01.000000 1 x.go:17] sync of %s failed: %q not found (%s)", v, v, v)
			add(`level=error obj=%s msg="%s/%s: no" k="a\n%s\t%s"`, v, v, v, v, v)
			add("\x1b[31m%s\x1b[0m %s, [%s] <%s> %s;%s:%s_x=%s|%s.", v, v, v, v, v, v, v, v, v)
		}
		add("%s-7d9c6b8f5-x7k2p %s-x7k2p %s-0 kube-apiserver-%s", n.Value, n.Value, n.Value, n.Value)
		add("/var/log/pods/%s_%s-0_uid/c/0.log /proc/1/%s", n.Value, n.Value, n.Value)
	}
	for _, a := range c.v4 {
		add("from %s:443 to %s, [%s] \"%s\" via %s/24 http://%s:8080/x %s.53 > x", a, a, a, a, a, a, a)
		b := a.As4()
		dashes := strings.ReplaceAll(a.String(), ".", "-")
		add("lookup %d.%d.%d.%d.in-addr.arpa. ip-%s ip-%s.eu-west-1.compute.internal %s.billing-prod.pod.cluster.local ::ffff:%s", b[3], b[2], b[1], b[0], dashes, dashes, dashes, a)
	}
	for _, a := range c.v6 {
		add("from [%s]:443 to %s, %s/64 via %s%%eth0 %s", a, a, a, a, strings.ToUpper(a.StringExpanded()))
		add("url=http://[%s]:80/x (%s)", a, a)
	}
	for _, m := range c.macs {
		add("lladdr %s %s %s %s", groups(m, ":", 2), strings.ToUpper(groups(m, ":", 2)), groups(m, "-", 2), groups(m, ".", 4))
	}
	add("mail to milton.waddams@initech.com, smykowski@initech.com and <smykowski@hr.initech.com>; ssh smykowski@bigiron3.rackhall.initech.internal")
	add("GET https://portal.initech.com/a?b=http%%3A%%2F%%2Fportal.initech.com pull registry.initech.com:5000/app:v1 cert /etc/tls/shop.initech.com.crt")
	add("dial tcp: lookup hydra-db on 10.96.0.10:53: no such host; dial tcp hydra-db:5432; connect to postgres://smykowski:x@hydra-db:5432/d; hostname=hydra-db")
	add("/home/smykowski/.kube/config ledgerd.teamhydra.svc.cluster.local ledgerd.teamhydra.svc pg-main-0.pg-main.billing-prod.svc.cluster.local:5432")
	add("x509: certificate is valid for portal.initech.com, *.initech.com, not mail.initech.com; subject CN=portal.initech.com DNS:hydra-db")
	add("search billing-prod.svc.cluster.local svc.cluster.local initech.internal")
	return all
}

// files are the lines as logs, kernel text and JSON, by path.
func (c plantedCluster) files(t *testing.T) map[string]string {
	t.Helper()
	lines := c.lines()
	text := strings.Join(lines, "\n") + "\n"
	var ndjson, object strings.Builder
	for _, l := range lines {
		b, err := json.Marshal(map[string]any{"text": l, "nested": `{"a":[` + jsonString(t, l) + `]}`, "yaml": "a:\n  - b: " + l + "\n"})
		if err != nil {
			t.Fatal(err)
		}
		ndjson.Write(append(b, '\n'))
	}
	for _, n := range c.names {
		v := jsonString(t, n.Value)
		fmt.Fprintf(&object, `{"kind":"Pod","metadata":{"name":%s,"namespace":%s,"labels":{"app":%s,%s:"true"}},"spec":{"nodeName":%s,"serviceAccountName":%s,"rules":[{"host":%s}],"subjects":[{"kind":"User","name":%s}]}}`+"\n",
			v, v, v, v, v, v, v, v)
	}
	object.WriteString(`{"metadata":{"name":"x"},"spec":{"providerID":"aws:///eu-west-1a/i-0initech","externalName":"hydra-db"},"status":{"nodeInfo":{"machineID":"hydra-db"},"addresses":[{"type":"Hostname","address":"hydra-db"}]}}` + "\n")
	files := map[string]string{
		"cluster/logs/billing-prod/ledgerd-0/c.log": text, "nodes/worker-eu-17/1/proc/net/dev_snmp6": text, "nodes/cp0/notes.txt": text,
		"nodes/cp0/kmsg.ndjson": ndjson.String(), "cluster/resources/core/v1/pods/teamhydra.ndjson": object.String(),
		"collection/log.ndjson": ndjson.String(),
	}
	c.kernel(files)
	return files
}

func jsonString(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (c plantedCluster) kernel(files map[string]string) {
	put := func(name, format string, values ...any) {
		for _, dir := range []string{"nodes/cp0/0/proc/net/", "nodes/worker-eu-17/netns/4026532507/1/proc/net/"} {
			files[dir+name] += fmt.Sprintf(format+"\n", values...)
		}
	}
	for i, a := range c.v4 {
		b := a.As4()
		put("tcp", "   %d: %s:1F90 %s:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 20", i, words32(b[:]), words32(b[:]))
		put("udp", " %4d: %s:0035 00000000:0000 07 00000000:00000000 00:00000000", i, words32(b[:]))
		put("route", "eth0\t%s\t%s\t0001\t0\t0\t0\tFFFFFFFF\t0\t0\t0", words32(b[:]), words32(b[:]))
		put("arp", "%-16s 0x1         0x2         %s     *        eth0", a, groups(c.macs[0], ":", 2))
		put("fib_trie", "     |-- %s\n        /32 host LOCAL", a)
		put("mcfilter", "  2 eth0 0xefffffff 0x%x      1      0", b)
		put("ip_vs", "TCP  %X:01BB rr\n  -> %X:1770      Masq    1      0          0", b, b)
		put("nf_conntrack", "ipv4 2 tcp 6 100 ESTABLISHED src=%s dst=%s sport=1 dport=2", a, a)
	}
	for i, a := range c.v6 {
		b := a.As16()
		h := hex.EncodeToString(b[:])
		put("tcp6", "   %d: %s:1F90 00000000000000000000000000000000:0000 0A", i, words32(b[:]))
		put("if_inet6", "%s 02 40 20 80     eth0", h)
		put("ipv6_route", "%s 80 %s 00 %s 00000400 00000001 00000000 00000001     eth0", h, h, h)
	}
}

func strictRedactor(t testing.TB, names []pseudonym.Name) *Redactor {
	t.Helper()
	r, err := New(PolicyStrict, Options{Key: pseudonym.Key{1, 2, 3}, Names: names})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func throughStrict(t testing.TB, r *Redactor, path, in string) string {
	t.Helper()
	out, err := io.ReadAll(r.Reader(path, strings.NewReader(in)))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(out)
}

// TestStrictRecall plants names and addresses wherever they may stand and finds
// none of them again, in no spelling.
func TestStrictRecall(t *testing.T) {
	c := plantCluster()
	r := strictRedactor(t, c.names)
	for path, in := range c.files(t) {
		out := throughStrict(t, r, path, in)
		left := strings.ToLower(r.Path(path) + "\n" + out)
		for _, s := range c.spellings() {
			if i := strings.Index(left, s); i >= 0 {
				t.Errorf("%s: %s is left in %q", path, s, left[max(0, i-80):min(len(left), i+len(s)+40)])
			}
		}
		if strings.Count(in, "\n") != strings.Count(out, "\n") {
			t.Errorf("%s: %d lines became %d", path, strings.Count(in, "\n"), strings.Count(out, "\n"))
		}
		if strings.HasSuffix(path, "json") {
			for line := range bytes.Lines([]byte(out)) {
				if !json.Valid(line) {
					t.Errorf("%s: no JSON: %.200s", path, line)
				}
			}
		}
	}
	summary, err := json.Marshal(r.Summary())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.spellings() {
		if bytes.Contains(bytes.ToLower(summary), []byte(s)) {
			t.Errorf("%s is left in the summary", s)
		}
	}
}

// TestStrictPrecision holds that what names nobody stays.
func TestStrictPrecision(t *testing.T) {
	const stays = `v1.2.3 1.2.3 1.28.4-gke.100 2.46 Chrome/120.0.6099.109 1.3.6.1.4.1.311 go1.26.8 linux/amd64
2f6f5b0c-8a3e-4d0e-9b7c-111111111111 sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 image@sha256:9f86d0
2026-11-21T09:00:01.123456Z 09:00:01 12:34:56.789 1763715601.123 0x1f90 00000000:00000000 ffffffff 100% 1e-9
eth0 cni0 veth9acf25ad docker0 lo ens5 br-3f9a cali1234 tunl0 wlan0 eth0.100 bond0:1
0.0.0.0 0.0.0.0:8080 127.0.0.1 127.0.0.53:53 255.255.255.0 255.255.255.255 224.0.0.22 169.254.169.254 :: ::1 [::]:80 ff02::1 00:00:00:00:00:00 ff:ff:ff:ff:ff:ff 33:33:00:00:00:01 01:00:5e:00:00:fb
server.go:123 main.rs lib.so.6 install.sh setup.py README.md app.conf kubelet.service system.slice tls.crt ca.pem config.yaml my.json index.html
metadata.name spec.template.spec.containers[0].image status.podIP involvedObject.name net.ipv4.tcp_tw_reuse kernel.pid_max
k8s.io/client-go node.kubernetes.io/not-ready app.kubernetes.io/name networking.k8s.io/v1 github.com/spf13/cobra golang.org/x/net docker.io/library/nginx:1.25 quay.io/a/b ghcr.io/c/d registry.k8s.io/pause:3.10
kube-system default kube-public kubernetes coredns kube-dns.kube-system.svc.cluster.local kubernetes.default.svc.cluster.local system:node-proxier system:serviceaccount:kube-system:default
std::string a::b abc::def foo::bar Foo.Bar com.fasterxml.jackson e.g. i.e. etc. connection refused lookup failed: x search for it hostname: unknown git@github.com:a/b
io.containerd.grpc.v1.cri io.containerd.runtime.v2.task user.max_user_namespaces [REDACTED:token] postgres://[REDACTED:url-password]@ unix:///run/containerd/containerd.sock containerd://9f86d081884c7d65
`
	r := strictRedactor(t, []pseudonym.Name{{Kind: pseudonym.KindObject, Value: "status"}, {Kind: pseudonym.KindObject, Value: "metrics"}, {Kind: pseudonym.KindNamespace, Value: "name"}, {Kind: pseudonym.KindObject, Value: "1"}, {Kind: pseudonym.KindNode, Value: "a"}, {Kind: pseudonym.KindObject, Value: "cafe"}})
	if d := cmp.Diff(stays, throughStrict(t, r, "a.log", stays)); d != "" {
		t.Error(d)
	}
	var doc strings.Builder
	for line := range strings.Lines(stays) {
		fmt.Fprintf(&doc, "{\"text\":%s}\n", jsonString(t, strings.TrimSpace(line)))
	}
	if d := cmp.Diff(doc.String(), throughStrict(t, r, "a.ndjson", doc.String())); d != "" {
		t.Error(d)
	}
}

// TestStrictSame holds that a value has one token in every kind of file.
func TestStrictSame(t *testing.T) {
	r := strictRedactor(t, []pseudonym.Name{{Kind: pseudonym.KindObject, Value: "ledgerd"}, {Kind: pseudonym.KindNode, Value: "worker-eu-17"}, {Kind: pseudonym.KindNamespace, Value: "billing-prod"}})
	name := strings.TrimSpace(throughStrict(t, r, "a.log", "ledgerd\n"))
	addr := strings.TrimSpace(throughStrict(t, r, "a.log", "10.44.7.19\n"))
	asWords := netip.MustParseAddr(addr).As4()
	for path, in := range map[string][2]string{
		"cluster/resources/core/v1/pods/x.ndjson": {`{"metadata":{"name":"ledgerd-7d9c6b8f5-x7k2p"},"status":{"podIP":"10.44.7.19"}}`, `{"metadata":{"name":"` + name + `-7d9c6b8f5-x7k2p"},"status":{"podIP":"` + addr + `"}}`},
		"nodes/n/0/proc/net/tcp":                  {"0: 13072C0A:0050 00000000:0000 0A", "0: " + words32(asWords[:]) + ":0050 00000000:0000 0A"},
		"b.txt":                                   {"ledgerd.billing-prod.svc 10.44.7.19:80", name + "." + strings.TrimSpace(throughStrict(t, r, "a.log", "billing-prod\n")) + ".svc " + addr + ":80"},
		"nodes/n/0/proc/net/arp":                  {"10.44.7.19 0x1", addr + " 0x1"},
	} {
		if got := strings.TrimSpace(throughStrict(t, r, path, in[0]+"\n")); got != in[1] {
			t.Errorf("%s: %s became %s, not %s", path, in[0], got, in[1])
		}
	}
	if got := r.Path("cluster/logs/billing-prod/ledgerd-0/c.log"); !strings.Contains(got, name+"-0") {
		t.Error(got)
	}
	// A subnet still holds its hosts.
	subnet := netip.MustParsePrefix(strings.TrimSpace(throughStrict(t, r, "a.log", "10.44.0.0/16\n")))
	if !subnet.Contains(netip.MustParseAddr(addr)) || subnet != subnet.Masked() {
		t.Errorf("%s does not hold %s", subnet, addr)
	}
	route := strings.Fields(throughStrict(t, r, "nodes/n/0/proc/net/route", "eth0\t00002C0A\t00000000\t0001\t0\t0\t0\t0000FFFF\n"))
	if b := subnet.Addr().As4(); route[1] != words32(b[:]) {
		t.Errorf("the route is to %s, not to %s", route[1], words32(b[:]))
	}
}

// TestStrictTwice holds that names and hosts that were mapped stay as they are.
func TestStrictTwice(t *testing.T) {
	c := plantCluster()
	r := strictRedactor(t, c.names)
	for _, n := range c.names {
		for _, in := range []string{n.Value + " x", n.Value + "-7d9c6b8f5-x7k2p", "http://" + n.Value + ":80/", n.Value + ".svc.cluster.local", "smykowski@initech.com /home/plumbergh/ lookup hydra-db on x"} {
			once := throughStrict(t, r, "a.log", in)
			if twice := throughStrict(t, strictRedactor(t, nil), "a.log", once); twice != once {
				t.Errorf("%q became %q and then %q", in, once, twice)
			}
		}
	}
}

// TestStrictWindows holds that where a stream is cut does not matter.
func TestStrictWindows(t *testing.T) {
	c := plantCluster()
	r := strictRedactor(t, c.names)
	line := strings.Join(c.lines(), " ")
	whole := throughStrict(t, r, "a.log", strings.Repeat(line+"\n", 3))
	long := throughStrict(t, r, "a.log", strings.Repeat(line+" ", 300))
	if want := strings.Repeat(strings.TrimSuffix(whole[:len(whole)/3], "\n")+" ", 300); long != want {
		i := 0
		for i < len(long) && i < len(want) && long[i] == want[i] {
			i++
		}
		t.Errorf("a long line differs at byte %d: %.100q, not %.100q", i, long[i:], want[i:])
	}
}
