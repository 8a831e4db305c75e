package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// TestStrictJSON holds what is a name by its place: ordinary words too.
func TestStrictJSON(t *testing.T) {
	r := strictRedactor(t, []pseudonym.Name{{Kind: pseudonym.KindObject, Value: "status"}, {Kind: pseudonym.KindNamespace, Value: "metrics"}, {Kind: pseudonym.KindNode, Value: "worker"}, {Kind: pseudonym.KindObject, Value: "ledger"}})
	name := func(k pseudonym.Kind, v string) string { return string(r.mapper.Name(nil, k, []byte(v))) }
	status, ns, node, ledger := name(pseudonym.KindObject, "status"), name(pseudonym.KindNamespace, "metrics"), name(pseudonym.KindNode, "worker"), name(pseudonym.KindObject, "ledger")
	for in, want := range map[string]string{
		`{"metadata":{"name":"status","namespace":"metrics"},"spec":{"nodeName":"worker"},"status":{"phase":"status"}}`: `{"metadata":{"name":"` + status + `","namespace":"` + ns + `"},"spec":{"nodeName":"` + node + `"},"status":{"phase":"status"}}`,
		`{"spec":{"selector":{"app":"status"},"ports":[{"name":"status","targetPort":"status"}]}}`:                      `{"spec":{"selector":{"app":"` + status + `"},"ports":[{"name":"status","targetPort":"status"}]}}`,
		`{"involvedObject":{"kind":"Pod","name":"status"},"message":"status of metrics on worker"}`:                     `{"involvedObject":{"kind":"Pod","name":"` + status + `"},"message":"status of metrics on worker"}`,
		`{"name":"status","cells":["status","worker","1/1"]}`:                                                           `{"name":"` + status + `","cells":["` + status + `","worker","1/1"]}`,
		`{"path":"cluster/logs/metrics/status-0/c.log","source":"x"}`:                                                   `{"path":"` + r.Path("cluster/logs/metrics/status-0/c.log") + `","source":"x"}`,
		`{"data":{"ledger":"a","status":"b","ledger.conf":"c"}}`:                                                        `{"data":{"` + ledger + `":"a","status":"b","` + ledger + `.conf":"c"}}`,
		`{"annotation":"{\"name\":\"status\",\"x\":[\"ledger\"]}"}`:                                                     `{"annotation":"{\"name\":\"` + status + `\",\"x\":[\"` + ledger + `\"]}"}`,
		`{"a":"one\nledger\t\u006cedger"}`:                                                                              `{"a":"one\n` + ledger + `\t` + ledger + `"}`,
		`{"a" : [ 1.50, true ,null,-2e5 ] , "b":"" }`:                                                                   `{"a" : [ 1.50, true ,null,-2e5 ] , "b":"" }`,
		`{"namespace":"","nodeName":"default","host":"10.0.0.0","namespaces":["metrics","kube-system"]}`:                `{"namespace":"","nodeName":"default","host":"` + throughStrict(t, r, "a.log", "10.0.0.0") + `","namespaces":["` + ns + `","kube-system"]}`,
	} {
		if d := cmp.Diff(want, strings.TrimSpace(throughStrict(t, r, "cluster/x.ndjson", in+"\n"))); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
	if r.Summary().Rules["ambiguous-name"] == 0 {
		t.Error("words that stay are not counted")
	}
}

// TestStrictRefuses holds that JSON that the second stage cannot read is not
// passed on.
func TestStrictRefuses(t *testing.T) {
	m, err := pseudonym.New(pseudonym.Key{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{`{"a":`, `{"a" 1}`, `["a" "b"]`, `{"a`, `{1:2}`, "\x01", strings.Repeat("[", maxDepth+2)} {
		p := jsonPass{mapper: m, counts: counts{}, fields: map[string]field{}}
		if out, err := p.append(nil, []byte(in)); err == nil {
			t.Errorf("%q became %q", in, out)
		}
	}
}

func TestStandardMapsNothing(t *testing.T) {
	r := newRedactor(t, "")
	if r.Path("nodes/n1/x") != "nodes/n1/x" || r.Text("n1") != "n1" || r.Pseudonyms() != nil {
		t.Error("standard has pseudonyms")
	}
	if s := strictRedactor(t, nil); s.Text("10.1.2.3") == "10.1.2.3" {
		t.Error("strict has none")
	}
}

// TestStrictCertificates holds that certificates go wherever a stream is cut.
func TestStrictCertificates(t *testing.T) {
	r := strictRedactor(t, nil)
	var in, want strings.Builder
	for i := range 200 {
		fmt.Fprintf(&in, "%d\n-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\nnext\n", i, strings.Repeat(planted+"\n", i))
		fmt.Fprintf(&want, "%d\n-----BEGIN CERTIFICATE-----[REDACTED:certificate]-----END CERTIFICATE-----\nnext\n", i)
	}
	once := throughStrict(t, r, "a.log", in.String())
	if once != want.String() {
		t.Errorf("%.600s", once)
	}
	if twice := throughStrict(t, r, "a.log", once); twice != once {
		t.Errorf("once more: %.600s", twice)
	}
}

// TestKernelColumns holds that hex is what the same address is in text.
func TestKernelColumns(t *testing.T) {
	r := strictRedactor(t, nil)
	for path, c := range map[string]struct {
		line string
		at   int
		addr string
	}{
		"tcp":        {"0: 13072C0A:1F90 13072C0A:0050 01", 1, "10.44.7.19"},
		"tcp6":       {"0: 000080FE00000000FF005450563412FE:1F90 00000000000000000000000000000000:0000 01", 1, "fe80::5054:ff:fe12:3456"},
		"if_inet6":   {"fe80000000000000505400fffe123456 02 40 20 80 eth0", 0, "fe80::5054:ff:fe12:3456"},
		"ipv6_route": {"20010db8000000000000000000000000 40 00000000000000000000000000000000 00 fe80000000000000505400fffe123456 00000400 00000001 00000000 00000001 eth0", 0, "2001:db8::/64"},
		"route":      {"eth0 00002C0A 13072C0A 0003 0 0 0 0000FFFF 0 0 0", 1, "10.44.0.0/16"},
		"ip_vs":      {"TCP  0A2C0713:01BB rr", 1, "10.44.7.19"},
	} {
		in := "nodes/n/0/proc/net/" + path
		field := strings.Fields(throughStrict(t, r, in, c.line+"\n"))[c.at]
		field, _, _ = strings.Cut(field, ":")
		text := strings.TrimSpace(throughStrict(t, r, "a.log", c.addr+"\n"))
		addr, _, _ := strings.Cut(text, "/")
		b := netip.MustParseAddr(addr).AsSlice()
		want := fmt.Sprintf("%x", b)
		switch path {
		case "tcp", "tcp6", "route":
			want = words32(b)
		case "ip_vs":
			want = strings.ToUpper(want)
		}
		if field != want {
			t.Errorf("%s: %s, and %s in text", path, field, want)
		}
	}
	const odd = "sl local\n\n x\n0: zz:1 00000000:0000\n0: 0100007F:0035 00000000:0000\n"
	if got := throughStrict(t, r, "nodes/n/0/proc/net/udp", odd); got != odd {
		t.Errorf("%q became %q", odd, got)
	}
}

func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{`{"metadata":{"name":"web","labels":{"a.b/c":"web"}}}`, `[1,"10.1.2.3",{"host":"a.b.com"}]`, `"a\nweb"`, `{"x":"{\"name\":\"web\"}"}`, `{"cells":["web"]}`} {
		f.Add(s)
	}
	r := strictRedactor(f, []pseudonym.Name{{Kind: pseudonym.KindObject, Value: "web"}, {Kind: pseudonym.KindObject, Value: "status"}})
	f.Fuzz(func(t *testing.T, in string) {
		out, err := io.ReadAll(r.Reader("a.json", strings.NewReader(in)))
		if err != nil || !json.Valid([]byte(in)) {
			return
		}
		standard, err := io.ReadAll(newRedactor(t, "").Reader("a.json", strings.NewReader(in)))
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out) {
			t.Fatalf("%q became %q", in, out)
		}
		if a, b := skeleton(standard), skeleton(out); !bytes.Equal(a, b) {
			t.Fatalf("%q became %q: %q is not %q", in, out, b, a)
		}
	})
}

// skeleton is JSON without what is in its strings.
func skeleton(b []byte) []byte {
	var out []byte
	inside := false
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == '\\' && inside:
			i++
		case b[i] == '"':
			inside = !inside
			out = append(out, '"')
		case !inside:
			out = append(out, b[i])
		}
	}
	return out
}

func FuzzKernelColumns(f *testing.F) {
	f.Add("tcp", []byte("0: 13072C0A:1F90 13072C0A:0050 01\n"))
	f.Add("route", []byte("eth0 00002C0A 13072C0A 0003 0 0 0 0000FFFF\n"))
	f.Add("ipv6_route", []byte("20010db8000000000000000000000000 40 00 00 fe80000000000000505400fffe123456\n"))
	m, err := pseudonym.New(pseudonym.Key{1}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string, in []byte) {
		cs := columnsOf("nodes/n/0/proc/net/" + name)
		out := bytes.Clone(in)
		cs.lines(m, out, counts{})
		if len(cs) == 0 && !bytes.Equal(in, out) {
			t.Fatal("a file without columns changed")
		}
		for i := range in {
			if in[i] != out[i] && (!isHexDigit(in[i]) || !isHexDigit(out[i])) {
				t.Fatalf("%q became %q", in, out)
			}
		}
	})
}

func isHexDigit(c byte) bool { return hex4([]byte{'0', '0', '0', c}) >= 0 }
