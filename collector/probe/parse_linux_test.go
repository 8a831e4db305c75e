package probe

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
)

func TestParseRequest(t *testing.T) {
	for text, want := range map[string]Request{
		"dns:web":                                {Kind: "dns", Host: "web"},
		"dns:web.shop.svc.,n=20,edns=1232,tcp":   {Kind: "dns", Host: "web.shop.svc.", Count: 20, EDNS: 1232, TCP: true},
		"dns:web@pod/shop/web-0":                 {Kind: "dns", Host: "web", From: "pod/shop/web-0"},
		"tcp:db:5432":                            {Kind: "tcp", Host: "db", Port: 5432},
		"tcp:10.0.0.1:80,n=2,timeout=2s@node/n1": {Kind: "tcp", Host: "10.0.0.1", Port: 80, Count: 2, Timeout: 2 * time.Second, From: "node/n1"},
		"tcp:[fd00::1]:80":                       {Kind: "tcp", Host: "fd00::1", Port: 80},
		"tcp:service/shop/web":                   {Kind: "tcp", Host: "service/shop/web"},
		"tcp:pod/shop/web-0:8080":                {Kind: "tcp", Host: "pod/shop/web-0", Port: 8080},
		"tcp:mesh":                               {Kind: "tcp", Host: "mesh", Port: DefaultMesh},
		"tcp:podmesh:8080,k=5":                   {Kind: "tcp", Host: "podmesh", Port: 8080, Fanout: 5},
		"mtu:fd00::1":                            {Kind: "mtu", Host: "fd00::1"},
		"mtu:node/n2":                            {Kind: "mtu", Host: "node/n2"},
		"path:example.com:443":                   {Kind: "path", Host: "example.com", Port: 443},
		"path:10.0.0.1":                          {Kind: "path", Host: "10.0.0.1"},
		"clock":                                  {Kind: "clock"},
		"http://u:p@web.shop/a,b?x=1@pod/shop/c": {Kind: "http", Host: "web.shop", URL: "http://u:p@web.shop/a,b?x=1", From: "pod/shop/c"},
		"https://[fd00::1]:8443/":                {Kind: "http", Host: "fd00::1", URL: "https://[fd00::1]:8443/"},
		"http:https://web/":                      {Kind: "http", Host: "web", URL: "https://web/"},
	} {
		got, err := ParseRequest(text)
		want.Text = text
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"":                         "there is no probe",
		"icmp:10.0.0.1":            `there is no probe "icmp"`,
		"dns:":                     "a name is 1 to 253",
		"dns:10.0.0.1":             "this is an address",
		"dns:a b":                  "is no name",
		"tcp:web":                  "the port is missing",
		"tcp:web:http":             `"http" is no port`,
		"tcp:web:0":                "is no port",
		"tcp:web:99999":            "is no port",
		"tcp:pod/web:80":           "neither pod/NAMESPACE/NAME",
		"tcp:service/web:80":       "a service is service/NAMESPACE/NAME",
		"tcp:deploy/a/b:80":        "neither pod",
		"tcp:mesh@node/n1":         "from every node",
		"mtu:mesh":                 "only tcp knows a mesh",
		"dns:web@pod/web":          "neither pod/NAMESPACE/NAME",
		"dns:web,n=0":              `the option "n=0"`,
		"dns:web,n=1000":           "n=1…100",
		"tcp:web:80,edns=1232":     `the option "edns=1232"`,
		"tcp:web:80,timeout=1h":    "timeout is 1ms to 15s",
		"http:web":                 "begins with http://",
		"http://":                  "begins with http://",
		"ftp://web/":               "there is no probe",
		"clock:x":                  "clock takes nothing",
		"clock@pod/a/b":            "clock takes nothing",
		strings.Repeat("x", 3_000): "more than 2048 bytes",
	} {
		if _, err := ParseRequest(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", text, err, want)
		}
	}
}

func TestParseResolv(t *testing.T) {
	r := ParseResolv(`# made by hand
nameserver 10.96.0.10
nameserver fd96::a
nameserver nonsense
nameserver 1.1.1.1
nameserver 2.2.2.2
domain old.test
search shop.svc.cluster.local svc.cluster.local  cluster.local
 options ndots:9
options ndots:99 timeout:0 attempts:7 rotate single-request edns0 trust-ad
`)
	if len(r.Servers) != 3 || r.Servers[1].String() != "[fd96::a]:53" || r.NDots != 15 || r.Timeout != time.Second || r.Attempts != 5 || !r.Single || !r.EDNS || !r.Rotate {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff([]string{"shop.svc.cluster.local", "svc.cluster.local", "cluster.local"}, r.Search); diff != "" {
		t.Error(diff)
	}
	if r := ParseResolv(""); len(r.Servers) != 1 || r.Servers[0].String() != "127.0.0.1:53" || r.NDots != 1 || r.Timeout != 5*time.Second || r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
}

func TestHostsFile(t *testing.T) {
	text := "127.0.0.1 localhost # the machine\n::1 localhost\n# 10.0.0.1 db\n10.0.0.2\tweb.test Web\nnonsense db\n"
	for name, want := range map[string]string{"localhost": "127.0.0.1 ::1", "web": "10.0.0.2", "WEB.test.": "10.0.0.2", "db": "", "the": ""} {
		if got := strings.Join(hostsFile(text, name), " "); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestReadBelow holds that links of a container's root stay in it.
func TestReadBelow(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/etc", 0o755), os.Symlink("/run/resolv.conf", dir+"/etc/resolv.conf"), os.Symlink("../../../../../../etc/passwd", dir+"/etc/hosts"),
		os.Mkdir(dir+"/run", 0o755), os.WriteFile(dir+"/run/resolv.conf", []byte("nameserver 10.9.9.9\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if r, err := readResolv(dir); err != nil || r.Servers[0].Addr().String() != "10.9.9.9" {
		t.Errorf("%+v %v", r, err)
	}
	if text, err := readBelow(dir, "etc/hosts", 100); err != nil || text != "" {
		t.Errorf("a link led out: %q %v", text, err)
	}
	if _, err := readBelow(dir, "etc", 100); err == nil {
		t.Error("a folder was read")
	}
	if err := errors.Join(os.Remove(dir+"/run/resolv.conf"), syscall.Mkfifo(dir+"/run/resolv.conf", 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := readResolv(dir); err == nil {
		t.Error("a pipe was read")
	}
}

func TestNames(t *testing.T) {
	r := ParseResolv("search a.test b.test\noptions ndots:2")
	for name, want := range map[string][2]string{
		"web":     {"web.a.test web.b.test web", "web.a.test web.b.test web"},
		"x.y.z":   {"x.y.z x.y.z.a.test x.y.z.b.test", "x.y.z"}, // glibc goes on, musl does not
		"x.y":     {"x.y.a.test x.y.b.test x.y", "x.y.a.test x.y.b.test x.y"},
		"x.y.z.":  {"x.y.z", "x.y.z"},
		"single.": {"single", "single"},
	} {
		if got := strings.Join(r.Names(name), " "); got != want[0] {
			t.Errorf("glibc, %s: %s", name, got)
		}
		if got := strings.Join(r.MuslNames(name), " "); got != want[1] {
			t.Errorf("musl, %s: %s", name, got)
		}
	}
}

func TestHistogram(t *testing.T) {
	var s samples
	for i := range 100 {
		s.add(time.Duration(i+1) * time.Millisecond)
	}
	h := s.histogram()
	if h.Count != 100 || h.P50 != 50_000 || h.P95 != 95_000 || h.P99 != 99_000 || h.Max != 100_000 {
		t.Errorf("%+v", h)
	}
	total := 0
	for _, b := range h.Buckets {
		total += b.Count
	}
	if total != 100 || h.Buckets[0] != (Bucket{1_000, 1}) {
		t.Errorf("%+v", h.Buckets)
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{"dns:web@pod/a/b", "tcp:[fd00::1]:80,n=3", "http://a:b@c/d?e", "tcp:mesh,k=3", "clock"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRequest(text)
		if err == nil && r.Kind == "http" {
			if _, err := ParseURL(r.URL); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

func FuzzParseResolv(f *testing.F) {
	f.Add("nameserver 10.0.0.1\nsearch a b\noptions ndots:5", "web")
	f.Add("search .\n", "a.b.")
	f.Fuzz(func(t *testing.T, text, name string) {
		r := ParseResolv(text)
		if len(r.Servers) == 0 || len(r.Servers) > maxNameservers || r.NDots > maxNDots || r.Attempts > maxAttempts || len(r.Search) > maxSearch {
			t.Errorf("%+v", r)
		}
		if names := r.Names(name); len(names) > maxSearch+2 {
			t.Errorf("%d names", len(names))
		}
		r.MuslNames(name)
	})
}

func FuzzParseReply(f *testing.F) {
	q := question{"web.test", dnsmessage.TypeA, 7}
	b, err := q.query(1232)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	b[2] |= 0x80
	f.Add(b)
	_, full := dnsServer{}.answer(b, true)
	f.Add(full)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReply(b, q)
		if err == nil && (len(r.answers) > maxAnswers || len(b) < 12 || binary.BigEndian.Uint16(b) != 7) {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzParseSockError(f *testing.F) {
	b := make([]byte, 16+28)
	rand.NewChaCha8([32]byte{1}).Read(b)
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) {
		if e, ok := parseSockError(b); ok {
			_, _ = e.text(), e.by()
		}
	})
}
