package pseudonym

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func known() []Name {
	return []Name{{KindObject, "web"}, {KindNamespace, "shop"}, {KindNode, "n1.prod.acme.corp"}, {KindNode, "cf-n1"}, {KindObject, "status"}, {KindUser, "jane@acme.example"},
		{KindNode, "ip-10-0-1-23.eu-west-1.compute.internal"}, {KindObject, "web-7d9c6b8f5-bcdfg"}, {KindObject, "kube-apiserver-cf-n1"}, {KindObject, "agent"}, {KindNode, "node-exporter"},
		{KindObject, "web-front"}, {KindObject, "shop"}}
}

// shape puts {kind} in the place of tokens and addresses.
func shape(b []byte) string {
	s := regexp.MustCompile(`(node|ns|host|user|obj|id)-[a-z2-7]{8}`).ReplaceAllString(string(b), "{$1}")
	return regexp.MustCompile(`(\d+)\.\d+\.\d+\.\d+`).ReplaceAllString(s, "{$1}")
}

func TestText(t *testing.T) {
	m := newMapper(t, known()...)
	for in, want := range map[string]string{
		"http://web.shop.svc.cluster.local:8080/x":        "http://{obj}.{ns}.svc.cluster.local:8080/x",
		"web-7d9c6b8f5-bcdfg web-7d9c6b8f5-xxxxx web-0":   "{obj}-7d9c6b8f5-bcdfg {obj}-7d9c6b8f5-xxxxx {obj}-0",
		"Web WEB web2 xweb web_x web-front web-frontend":  "{obj} {obj} web2 xweb {obj}_x {obj} {obj}-frontend",
		"n1 n1.prod.acme.corp cf-n1 kube-apiserver-cf-n1": "{node} {node}.{host}.{host}.corp {node} kube-apiserver-{node}",
		"status agent status-7d9c6b8f5-bcdfg agent-57hxs": "status agent {obj}-7d9c6b8f5-bcdfg {obj}-57hxs",
		`\nweb \u001b[31mweb \\nweb %2Fweb \x1b[1;31mweb`: `\n{obj} \u001b[31m{obj} \\n{obj} %2F{obj} \x1b[1;31m{obj}`,
		"jane@acme.example bob.x+y@mail.acme.com":         "{user}@{host}.example {user}@{host}.{host}.com",
		"postgres://app:[REDACTED:url]@db:5432/x":         "postgres://{user}:[REDACTED:url]@{host}:5432/x",
		"dial tcp db.acme.de:80; lookup mydb on x":        "dial tcp {host}.{host}.de:80; lookup {host} on x",
		"ip-10-0-1-23.eu-west-1.compute.internal":         "ip-10-96-63-116.eu-west-1.compute.internal",
		"acme.com.crt www.acme.co.uk *.acme.org api.dev":  "{host}.com.crt {host}.{host}.co.uk *.{host}.org api.dev",
		"node-exporter":                                    "{node}",
		"shop/web":                                         "{ns}/{obj}",
		"\xffweb\xfe \x00web":                              "\xff{obj}\xfe \x00{obj}",
		"/home/jane/x /home/root/x /home/":                 "/home/{user}/x /home/root/x /home/",
		"https://abc.s3.eu-west-1.amazonaws.com/x":         "https://{host}.{host}.eu-west-1.amazonaws.com/x",
		"registry.acme.com:5000/team/app:v1.2":             "{host}.{host}.com:5000/team/app:v1.2",
		"10.244.3.7:80 10.244.3.7.8080 1.2.3.4.5.6 1.2.3.": "{10}:80 {10}.8080 1.2.3.4.5.6 1.2.3.",
	} {
		if got := shape(m.Text(nil, []byte(in), map[string]int{})); got != shape([]byte(want)) {
			t.Errorf("%q became %q, not %q", in, got, want)
		}
	}
}

// TestKinds holds that a value that is several things is the first of them, and
// that its token is the same whatever it is.
func TestKinds(t *testing.T) {
	m := newMapper(t, known()...)
	if got := m.Text(nil, []byte("shop"), map[string]int{}); !bytes.HasPrefix(got, []byte("ns-")) {
		t.Errorf("a namespace and an object is %s", got)
	}
	host, ns := newMapper(t).Host(nil, []byte("shop")), m.Host(nil, []byte("shop"))
	if string(host[len("host"):]) != string(ns[len("ns"):]) {
		t.Errorf("%s and %s", host, ns)
	}
}

func TestPath(t *testing.T) {
	m := newMapper(t, append(known(), Name{KindNamespace, "metrics"}, Name{KindNode, "worker"})...)
	for in, want := range map[string]string{
		"cluster/logs/shop/web-7d9c6b8f5-bcdfg/c.log":           "cluster/logs/{ns}/{obj}-7d9c6b8f5-bcdfg/c.log",
		"cluster/logs/metrics/agent-57hxs/c.log.part0001":       "cluster/logs/{ns}/{obj}-57hxs/c.log.part0001",
		"cluster/logs/kube-system/coredns-6d5f99fbd8-94hkv/c":   "cluster/logs/kube-system/coredns-6d5f99fbd8-94hkv/c",
		"cluster/resources/core/v1/pods/metrics.ndjson":         "cluster/resources/core/v1/pods/{ns}.ndjson",
		"cluster/resources/core/v1/nodes/_cluster.ndjson":       "cluster/resources/core/v1/nodes/_cluster.ndjson",
		"cluster/resources/billing.acme.com/v1/x/shop.ndjson":   "cluster/resources/{host}.{host}.com/v1/x/{ns}.ndjson",
		"nodes/worker/1/proc/net/netstat":                       "nodes/{node}/1/proc/net/netstat",
		"nodes/n9/netns/4026532507/net/links.ndjson":            "nodes/{host}/netns/4026532507/net/links.ndjson",
		"captures/pod_metrics_web-0/worker__4026532807.pcapng":  "captures/pod_{ns}_{obj}-0/{node}__4026532807.pcapng",
		"captures/node_worker/capture.json":                     "captures/node_{node}/capture.json",
		"collection/results.ndjson":                             "collection/results.ndjson",
		"nodes/n1.prod.acme.corp/0/proc/sys/net/ipv4/conf/eth0": "nodes/{node}.{host}.{host}.corp/0/proc/sys/net/ipv4/conf/eth0",
	} {
		if got := shape([]byte(m.Path(in))); got != want {
			t.Errorf("%s became %s, not %s", in, got, want)
		}
		if once := m.Path(in); m.Path(once) != once {
			t.Errorf("%s became %s and then %s", in, once, m.Path(once))
		}
	}
	long := strings.Repeat("a.", 120) + "acme.com"
	if got := m.Path("nodes/" + long + "/x"); len(got) > 300 {
		t.Errorf("a path of %d bytes", len(got))
	}
}

func TestHost(t *testing.T) {
	m := newMapper(t, known()...)
	for in, want := range map[string]string{
		"web.shop.svc.cluster.local.":            "{obj}.{ns}.svc.cluster.local.",
		"_https._tcp.web.shop.svc.cluster.local": "_https._tcp.{obj}.{ns}.svc.cluster.local",
		"kubernetes.default.svc.cluster.local":   "kubernetes.default.svc.cluster.local",
		"api.acme.example":                       "{host}.{host}.example",
		"cluster.local":                          "cluster.local",
		"db":                                     "{host}",
		"":                                       "",
		".":                                      ".",
		"a..b":                                   "{host}..{host}",
		"10-244-1-5.shop.pod.cluster.local":      "10-192-3-5.{ns}.pod.cluster.local",
		"registry.k8s.io":                        "registry.k8s.io",
		"in-addr.arpa":                           "in-addr.arpa",
		"status.shop.svc":                        "{obj}.{ns}.svc",
		"mysql-0.web.shop.svc.cluster.local":     "{host}.{obj}.{ns}.svc.cluster.local",
		"web-0.web.shop.svc":                     "{obj}-0.{obj}.{ns}.svc",
		"1.0.0.127.in-addr.arpa":                 "1.0.0.127.in-addr.arpa",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
	} {
		got := m.Host(nil, []byte(in))
		if strings.HasPrefix(in, "10-244") {
			if !bytes.HasPrefix(got, []byte("10-")) || bytes.HasPrefix(got, []byte("10-244-")) {
				t.Errorf("%q became %q", in, got)
			}
		} else if shape(got) != shape([]byte(want)) {
			t.Errorf("%q became %q, not %q", in, got, want)
		}
		if strings.Count(string(got), ".") != strings.Count(in, ".") {
			t.Errorf("%q became %q: other labels", in, got)
		}
	}
	zone := m.Host(nil, []byte("244.10.in-addr.arpa"))
	a := m.IPv4([4]byte{10, 244, 0, 0})
	if want := fmt.Sprintf("%d.%d.in-addr.arpa", a[1], a[0]); string(zone) != want {
		t.Errorf("the zone is %s, not %s", zone, want)
	}
}

// TestReveal holds that a text turns back, with what the mapper used itself or
// learned from another.
func TestReveal(t *testing.T) {
	m := newMapper(t, known()...)
	const text = "web.shop.svc.cluster.local 10.244.3.7:80 [2001:db8::7]:443 10.0.0.0/8 10.9.0.0/16 52:54:00:12:34:56 5254.0012.3456 jane@acme.example web-7d9c6b8f5-bcdfg ip-10-0-1-23 7.3.244.10.in-addr.arpa /home/bob/x node-exporter kube-apiserver-cf-n1"
	out := m.Text(nil, []byte(text), map[string]int{})
	if d := cmp.Diff(text, string(m.Reveal(nil, out))); d != "" {
		t.Error(d)
	}
	other := newMapper(t)
	other.Learn(m.Used())
	if d := cmp.Diff(text, string(other.Reveal(nil, out))); d != "" {
		t.Error(d)
	}
	const unknown = "obj-aaaaaaaa host-zzzzzzz2 nothing"
	if got := string(m.Reveal(nil, []byte(unknown))); got != unknown {
		t.Errorf("%q became %q", unknown, got)
	}
}

// TestGoroutines is for the race detector.
func TestGoroutines(t *testing.T) {
	m := newMapper(t, known()...)
	in := []byte("web.shop 10.1.2.3 2001:db8::1 db.acme.com 52:54:00:12:34:56 jane@x.acme.com")
	want := m.Text(nil, in, map[string]int{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				if got := m.Text(nil, in, map[string]int{}); !bytes.Equal(got, want) {
					t.Errorf("%s is not %s", got, want)
				}
				m.Used()
			}
		})
	}
	wg.Wait()
}

// TestBounds holds that no text makes it slow or large: what looks like the
// beginning of something, over and over.
func TestBounds(t *testing.T) {
	m := newMapper(t, Name{KindObject, strings.Repeat("a-", 100) + "b"}, Name{KindObject, "web"})
	for _, s := range []string{"a-", "a.", "1.", "a:", "::", "00:", "a@", "a_", "\\n", "%2F", "\x1b[", "http://", "lookup ", "host=", "search a.b ", "ip-", "aaaa.", "web-"} {
		in := []byte(strings.Repeat(s, 200_000/len(s)))
		if out := m.Text(nil, in, map[string]int{}); len(out) > 20*len(in) {
			t.Errorf("%q: %d bytes became %d", s, len(in), len(out))
		}
	}
	if _, err := New(Key{1}, make([]Name, MaxNames+1)); err == nil {
		t.Error("a dictionary without bound")
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"web.shop.svc 10.1.2.3/24 52:54:00:12:34:56 fe80::1%eth0", "a@b.acme.com", "http://u:p@h:1/", `\nweb`, "\x1b[31mweb", "search a.b c.d", "7.3.244.10.in-addr.arpa", "ip-10-0-1-23"} {
		f.Add([]byte(s), uint16(3))
	}
	m := newMapper(f, known()...)
	f.Fuzz(func(t *testing.T, in []byte, at uint16) {
		before := bytes.Clone(in)
		out := m.Text(nil, in, map[string]int{})
		if !bytes.Equal(in, before) {
			t.Fatal("the input was written to")
		}
		if bytes.Count(out, []byte("\n")) != bytes.Count(in, []byte("\n")) {
			t.Fatalf("%q became %q: other lines", in, out)
		}
		if again := m.Text(nil, in, map[string]int{}); !bytes.Equal(out, again) {
			t.Fatalf("%q became %q and %q", in, out, again)
		}
		if cut := int(at); cut > 0 && cut < len(in) && in[cut-1] <= ' ' {
			pieces, next := m.Window(nil, in, 0, cut, map[string]int{})
			if pieces, _ = m.Window(pieces, in, next, len(in), map[string]int{}); !bytes.Equal(pieces, out) {
				t.Fatalf("%q in two pieces, cut at %d: %q is not %q", in, cut, pieces, out)
			}
		}
		m.Reveal(nil, out)
	})
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"web.shop.svc.cluster.local", "7.3.244.10.in-addr.arpa", "1.0.ip6.arpa", "10.0.0.1.nip.io", "_a._b.c", "..", "*.x.com."} {
		f.Add([]byte(s))
	}
	m := newMapper(f, known()...)
	f.Fuzz(func(t *testing.T, name []byte) {
		out := m.Host(nil, name)
		if bytes.Count(out, []byte(".")) != bytes.Count(name, []byte(".")) && bytes.IndexByte(name, ':') < 0 {
			t.Fatalf("%q became %q: other labels", name, out)
		}
		m.Path(string(name))
	})
}
