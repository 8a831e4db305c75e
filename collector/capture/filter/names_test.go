package filter

import (
	"errors"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func resolver(name string) ([]netip.Addr, error) {
	addrs := map[string][]string{
		"pod/shop/web-0":   {"10.0.0.1"},
		"service/shop/web": {"10.0.0.1", "fe80::1", "::ffff:10.0.0.2"},
		"node-1.example":   {"fe80::1"},
		"empty":            {},
	}[name]
	if addrs == nil {
		return nil, errors.New("no such name: " + name)
	}
	var out []netip.Addr
	for _, a := range addrs {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

// TestResolve: a name is as good as its addresses.
func TestResolve(t *testing.T) {
	o := Options{Resolve: resolver}
	for _, c := range []struct{ name, same string }{
		{"host pod/shop/web-0", "host 10.0.0.1"},
		{"src pod/shop/web-0", "src 10.0.0.1"},
		{"host service/shop/web", "host 10.0.0.1 or fe80::1 or 10.0.0.2"},
		{"ip host service/shop/web", "ip host 10.0.0.1 or 10.0.0.2"},
		{"ip6 dst host service/shop/web", "ip6 dst host fe80::1"},
		{"arp host service/shop/web", "arp host 10.0.0.1 or 10.0.0.2"},
		{"not src host service/shop/web and tcp port 80", "not src host (10.0.0.1 or fe80::1 or 10.0.0.2) and tcp port 80"},
		{"host (pod/shop/web-0 or node-1.example)", "host 10.0.0.1 or fe80::1"},
		{"src and dst host service/shop/web", "src and dst host (10.0.0.1 or fe80::1 or 10.0.0.2)"},
		{`host \node-1.example`, "host fe80::1"},
		{"len/2 > 40 and host node-1.example", "len / 2 > 40 and host fe80::1"},
	} {
		for _, l := range []Link{Ethernet, RawIP} {
			a, err := o.Compile(c.name, l, 0)
			if err != nil {
				t.Errorf("%q: %v", c.name, err)
				continue
			}
			b, err := o.Compile(c.same, l, 0)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a, b) {
				t.Errorf("%q is not the same as %q", c.name, c.same)
			}
		}
	}
	for expr, want := range map[string]string{
		"host nobody": "no such name: nobody", "host empty": "has no address", "ip host node-1.example": "of the family that ip asks for",
		"tcp host pod/shop/web-0": "may stand before", "net pod/shop/web-0": "not looked up", "ether host pod/shop/web-0": "not looked up",
		"host pod/shop/": "no such name: pod/shop", "host tcp/1": "an address",
	} {
		if _, err := o.CompileAny(expr, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", expr, err, want)
		}
	}
}

func TestResolveIsBounded(t *testing.T) {
	many := Options{Resolve: func(string) ([]netip.Addr, error) { return make([]netip.Addr, maxNamed), nil }}
	if _, err := many.CompileAny("host a or b or c or d or e or f", 0); err == nil {
		t.Error("names without a limit")
	}
}

// TestServices asks tcpdump about every name in our tables. Its own are those
// of the machine, so names that it does not know are left out.
func TestServices(t *testing.T) {
	needTcpdump(t)
	known, pkts := 0, packets(Ethernet, 300, false)
	hosts, err := os.ReadFile("/etc/services")
	if err != nil {
		t.Skip(err)
	}
	names := regexp.MustCompile(`([^\s=]+)=`).FindAllStringSubmatch(services, -1)
	for i, m := range names {
		if i%8 != 0 && !strings.HasPrefix(m[1], "d") { // each costs a process
			continue
		}
		e := `port \` + m[1]
		text, err := tcpdump(form{Ethernet, false}, e)
		if err != nil && !strings.Contains(string(hosts), m[1]) {
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", e, err)
			continue
		}
		known++
		agree(t, form{Ethernet, false}, e, parseDDD(t, text), append(pkts, portPackets(m[1])...))
	}
	if known < 40 {
		t.Errorf("only %d of %d names were compared", known, len(names))
	}
}

// portPackets are from the port that we take name for, in each protocol.
func portPackets(name string) (out [][]byte) {
	port, _, _ := servicePort(name)
	for _, proto := range []byte{protoTCP, protoUDP, protoSCTP} {
		for _, p := range []uint32{port, port + 1} {
			b := make([]byte, 60)
			b[12], b[14], b[23], b[34], b[35] = 8, 0x45, proto, byte(p>>8), byte(p)
			out = append(out, b)
		}
	}
	return out
}

// TestEveryWord: the expressions held against tcpdump use every word of the
// language that we support, so that none can be left out of the comparison.
func TestEveryWord(t *testing.T) {
	used := map[string]bool{}
	for _, e := range expressions(t) {
		toks, err := lex(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, tok := range toks {
			used[tok.text] = true
		}
	}
	source, err := os.ReadFile("words.go")
	if err != nil {
		t.Fatal(err)
	}
	words := 0
	for _, m := range regexp.MustCompile(`[a-z][a-z0-9-]*`).FindAllString(string(source), -1) {
		if _, not := unsupported(m); reserved(m) && !not {
			if words++; !used[m] {
				t.Errorf("no expression uses %q", m)
			}
		}
	}
	for name := range constants() {
		if words++; !used[name] {
			t.Errorf("no expression uses %q", name)
		}
	}
	if words < 120 {
		t.Errorf("only %d words", words)
	}
}

// TestBounded: no text of the length allowed takes long.
func TestBounded(t *testing.T) {
	for _, e := range []string{
		strings.Repeat("(", MaxExpression), strings.Repeat("len+", MaxExpression/4-1) + "len=1", strings.Repeat("ip[", MaxExpression/3),
		strings.Repeat("port 1 or ", MaxExpression/10-1) + "ip", strings.Repeat("geneve and ", MaxExpression/11-1) + "ip",
		strings.Repeat("vlan and ", MaxExpression/9-1) + "ip", strings.Repeat("-", MaxExpression), strings.Repeat("!", MaxExpression),
		"host " + strings.Repeat("a or ", MaxExpression/5-3) + "a", strings.Repeat("1 ", MaxExpression/2), strings.Repeat(":", MaxExpression),
		strings.Repeat("a/", MaxExpression/2), strings.Repeat("((1)+", 1000) + "1", "host (" + strings.Repeat("not ", 60) + "1.1.1.1)",
		strings.Repeat("1.1.1.1 or ", 700), "portrange " + strings.Repeat("1-", 4000) + "1",
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = Options{Resolve: resolver}.CompileAny(e, 0)
		}()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%.40q… hangs", e)
		}
	}
}

// BenchmarkSize tells how our programs compare in length with tcpdump's, over
// all expressions.
func BenchmarkSize(b *testing.B) {
	oracle := readOracle(b)
	var ours, theirs, worst float64
	for b.Loop() {
		ours, theirs, worst = 0, 0, 0
		for _, f := range forms() {
			for _, e := range expressions(b) {
				text := oracle[f.String()+" "+e]
				raw, err := f.compile(e)
				if err != nil || strings.HasPrefix(text, refusal) {
					continue
				}
				want := parseDDD(b, text)
				ours += float64(len(raw))
				theirs += float64(len(want))
				worst = max(worst, float64(len(raw))/float64(len(want)))
			}
		}
	}
	b.ReportMetric(ours, "instructions")
	b.ReportMetric(theirs, "of-tcpdump")
	b.ReportMetric(ours/theirs, "ratio")
	b.ReportMetric(worst, "worst-ratio")
}
