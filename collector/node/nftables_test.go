//go:build linux

package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const rulesOfAllKinds = `
table ip nat {
	comment "of the proxy"
	map services { type inet_proto . ipv4_addr . inet_service : verdict; comment "by address"; elements = {
		tcp . 10.96.0.1 . 443 comment "default/kubernetes:https" : goto svc, udp . 10.96.0.10 . 53 : drop } }
	map backends { type mark : ipv4_addr . inet_service; elements = { 0x1 : 10.244.1.5 . 8080 } }
	set nets { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 192.168.7.1-192.168.7.9 } }
	set seen { type ipv4_addr; flags dynamic,timeout; timeout 3h; size 1000; elements = { 10.244.9.9 timeout 1h } }
	set counted { type ipv4_addr . inet_service; counter; elements = { 10.0.0.9 . 80 counter packets 3 bytes 180 } }
	chain svc {
		ip protocol tcp counter packets 5 bytes 300 dnat to 10.244.1.5:8080 comment "to the pod"
	}
	chain pre { type nat hook prerouting priority dstnat; policy accept
		ip daddr . meta l4proto . th dport vmap { 10.96.0.2 . tcp . 80 : jump svc }
		meta l4proto . ip daddr . th dport vmap @services
		ip saddr @nets counter packets 0 bytes 0 accept
		ip saddr 10.0.0.0/8 meta mark set 0x4000 return
		ip saddr 172.16.0.0/12 ip daddr != 172.16.0.0/12 tcp dport 1000-2000 redirect to :15001
		tcp dport { 22, 80-90 } ct state established,related log prefix "casefile: " group 2
		iifname "eth*" oifname "eth0" add @seen { ip saddr } limit rate 5/second burst 7 packets accept
		fib daddr type local numgen random mod 3 vmap { 0 : accept, 1 : drop }
		ct status dnat quota over 25 mbytes drop
		dnat ip to numgen inc mod 2 map { 0 : 10.244.0.1, 1 : 10.244.0.2 }
	}
}
table inet filter {
	counter hits { packets 7 bytes 700; comment "of hits" }
	quota q { over 10 mbytes }
	limit l { rate 400/minute }
	ct helper ftp { type "ftp" protocol tcp; l3proto ip; }
	chain in { type filter hook input priority -5; policy drop;
		meta nfproto ipv6 ip6 saddr fe80::/10 ip6 daddr ff02::1 icmpv6 type 135 accept
		ip6 saddr fd00:1:2::/48 tcp dport 443 counter name "hits" reject with tcp reset
		ether saddr 02:00:00:00:00:01 ip saddr 1.2.3.4 accept
		tcp flags & (syn|ack) == syn tcp option maxseg size set 1400
		ip protocol icmp reject with icmpx type admin-prohibited
		meta mark 0x100-0x200 drop
		ip saddr 10.5.5.5 ip daddr 10.5.5.6 drop
		meta skuid 1000 socket transparent 1 mark set 0x77 notrack
		tcp dport 99 synproxy mss 1460 wscale 7
	}
	chain forward_ { type filter hook forward priority filter
		tcp dport 80 counter
	}
}
table ip6 mangle {
	chain out { type route hook output priority mangle
		ip6 daddr fd00::1 meta mark set 0x5
	}
}
table arp a {
	chain in { type filter hook input priority 0
		arp operation request arp saddr ip 10.7.7.7 drop
	}
}
table bridge b {
	chain f { type filter hook forward priority 0
		ether type ip6 ip6 daddr fd01::9 counter packets 0 bytes 0 drop
	}
}
table netdev n {
	chain i { type filter hook ingress device "lo" priority 3
		ip saddr 10.6.6.6 drop
	}
}
`

// nftObject is one of nft -j list ruleset.
type nftObject map[string]map[string]any

func fromNFT(t *testing.T, netns string) []nftObject {
	t.Helper()
	var list struct{ Nftables []nftObject }
	out := sh(t, "ip netns exec "+netns+" nft -j -a list ruleset")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list.Nftables
}

func TestNFTablesAgainstTool(t *testing.T) {
	ns, pid := oneNamespace(t, "n")
	feed(t, ns, rulesOfAllKinds, "nft", "-f", "-")
	const pfx = "nodes/n1/"
	sink, results := inSpace(t, pid, func(g *gatherer) { g.netfilter(t.Context(), pfx, false, false) })
	allOK(t, results)
	got := rows[nftRow](t, sink, pfx+"nftables.ndjson")
	compareRuleset(t, fromNFT(t, ns), got)
	if want := sh(t, "ip netns exec "+ns+" nft -a list ruleset"); !sameButTime(want, string(sink.files[pfx+"nftables.txt"])) {
		t.Errorf("nftables.txt: %s", cmp.Diff(want, string(sink.files[pfx+"nftables.txt"])))
	}
	if hex := bytes.Contains(sink.files[pfx+"nftables.ndjson"], []byte("0af4")); hex {
		t.Error("an address in hex")
	}
}

// sameButTime compares rulesets whose timeouts run.
func sameButTime(a, b string) bool {
	strip := func(s string) (out []string) {
		for line := range strings.Lines(s) {
			if !strings.Contains(line, "expires") {
				out = append(out, line)
			}
		}
		return out
	}
	return slices.Equal(strip(a), strip(b)) && len(a) > 1000
}

// compareRuleset holds everything but the expressions against nft -j.
func compareRuleset(t *testing.T, tool []nftObject, ours []nftRow) {
	t.Helper()
	var want []string
	for _, o := range tool {
		for kind, v := range o {
			switch kind {
			case "table", "chain", "rule":
				want = append(want, jsonLine(kind, v["family"], v["table"], v["name"], v["chain"], v["handle"], v["type"], v["hook"], v["prio"], v["policy"], v["comment"], counterIn(v["expr"])))
			case "set", "map":
				want = append(want, jsonLine(kind, v["family"], v["table"], v["name"], v["handle"], typeOf(v["type"]), typeOf(v["map"]), v["size"], v["comment"]))
				elems, _ := v["elem"].([]any)
				for _, e := range elems {
					want = append(want, jsonLine("element", v["family"], v["table"], v["name"], elementOf(e)))
				}
			case "counter", "quota", "limit", "ct helper":
				want = append(want, jsonLine(kind, v["family"], v["table"], v["name"], v["handle"], v["packets"], v["bytes"], v["rate"], v["comment"]))
			}
		}
	}
	got := lines(ours, func(r nftRow) string {
		var counter *string
		if r.Counter != nil {
			counter = ptr(fmt.Sprint(r.Counter.Packets, " ", r.Counter.Bytes))
		}
		anonymous := strings.HasPrefix(r.Set, "__")
		switch {
		case anonymous:
			return ""
		case r.Kind == "table":
			return jsonLine(r.Kind, r.Family, nil, r.Table, nil, r.Handle, nil, nil, nil, nil, nil, nil) // nft -j leaves its comment out
		case r.Kind == "chain":
			if r.Family == "netdev" != (len(r.Devices) == 1 && r.Devices[0] == "lo") {
				t.Errorf("devices of %+v", r)
			}
			return jsonLine(r.Kind, r.Family, r.Table, r.Chain, nil, r.Handle, opt(r.Type), opt(r.Hook), r.Priority, opt(r.Policy), opt(r.Comment), nil)
		case r.Kind == "rule":
			return jsonLine(r.Kind, r.Family, r.Table, nil, r.Chain, r.Handle, nil, nil, nil, nil, opt(r.Comment), counter)
		case r.Kind == "set", r.Kind == "map":
			var size any
			if r.Size > 0 {
				size = r.Size
			}
			return jsonLine(r.Kind, r.Family, r.Table, r.Set, r.Handle, r.Type, r.DataType, size, opt(r.Comment))
		case r.Kind == "element":
			key := r.Key
			if r.KeyEnd != "" {
				key += "-" + r.KeyEnd
			}
			return jsonLine("element", r.Family, r.Table, r.Set, fmt.Sprint(strings.TrimPrefix(key, "0x"), "|", r.Data+r.Verdict, "|", r.Comment, "|", counter != nil))
		}
		var packets, bytes, rate any
		if r.Counter != nil {
			packets, bytes = r.Counter.Packets, r.Counter.Bytes
		}
		switch r.Type {
		case "limit":
			rate = r.Params["rate"]
		case "quota":
			bytes = uint64(r.Params["quotaBytes"].(float64))
		}
		return jsonLine(strings.ReplaceAll(r.Type, "-", " "), r.Family, r.Table, r.Name, r.Handle, packets, bytes, rate, opt(r.Comment))
	})
	compare(t, "the ruleset", want, got)
}

func jsonLine(v ...any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func ptr(s string) *string { return &s }

func opt(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// counterIn finds the counter among a rule's expressions of nft -j.
func counterIn(exprs any) any {
	list, _ := exprs.([]any)
	for _, e := range list {
		if c, ok := e.(map[string]any)["counter"].(map[string]any); ok {
			return fmt.Sprint(c["packets"], " ", c["bytes"])
		}
	}
	return nil
}

func typeOf(v any) string {
	if list, ok := v.([]any); ok {
		var names []string
		for _, n := range list {
			names = append(names, n.(string))
		}
		return strings.Join(names, " . ")
	}
	s, _ := v.(string)
	return s
}

// elementOf writes an element of nft -j: a value, an object of it, or [key, data].
func elementOf(v any) string {
	data := ""
	if pair, ok := v.([]any); ok {
		v, data = pair[0], elementValue(pair[1])
	}
	comment, counted := "", false
	if m, ok := v.(map[string]any); ok && m["elem"] != nil {
		e := m["elem"].(map[string]any)
		v, counted = e["val"], e["counter"] != nil
		comment, _ = e["comment"].(string)
	}
	return fmt.Sprint(elementValue(v), "|", data, "|", comment, "|", counted)
}

func elementValue(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for kind, x := range v {
			list, _ := x.([]any)
			var parts []string
			for _, p := range list {
				parts = append(parts, elementValue(p))
			}
			switch kind {
			case "concat":
				return strings.Join(parts, " . ")
			case "range":
				return strings.Join(parts, "-")
			case "prefix":
				p := netip.MustParsePrefix(fmt.Sprintf("%v/%v", x.(map[string]any)["addr"], x.(map[string]any)["len"]))
				last := p.Addr().As4()
				for i := p.Bits(); i < 32; i++ {
					last[i/8] |= 0x80 >> (i % 8)
				}
				return p.Addr().String() + "-" + netip.AddrFrom4(last).String()
			case "goto", "jump":
				return kind + " " + x.(map[string]any)["target"].(string)
			}
			return kind
		}
	case float64:
		return fmt.Sprint(v) // a mark too, which ours writes as nft's text does
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// The expressions are held against the listing of the kernel's bytecode that
// nft makes for those who debug it: same ones, same order, same registers.
func TestNFTExpressionsAgainstTool(t *testing.T) {
	ns, pid := oneNamespace(t, "x")
	feed(t, ns, rulesOfAllKinds, "nft", "-f", "-")
	sink, results := inSpace(t, pid, func(g *gatherer) { g.netfilter(t.Context(), "", false, true) })
	allOK(t, results)
	var want []string
	for line := range strings.Lines(sh(t, "ip netns exec "+ns+" nft --debug=netlink list ruleset")) {
		if code, ok := strings.CutPrefix(line, "  [ "); ok {
			want = append(want, codeLine(code))
		}
	}
	var got []string
	values := map[string]bool{}
	for _, r := range rows[nftRow](t, sink, "nftables.ndjson") {
		var said []string
		for _, e := range r.Exprs {
			if r.Kind == "rule" {
				line := textOf(e, "expr")
				for _, reg := range []string{"sreg", "dreg", "addrReg", "portReg"} {
					if n, ok := e[reg].(float64); ok {
						line += fmt.Sprintf(" %v", n)
					}
				}
				got = append(got, line)
			}
			for _, name := range []string{"field", "key", "maskValue", "value", "set"} {
				if s := textOf(e, name); s != "" && (name != "key" || e["field"] == nil) {
					said = append(said, s)
				}
			}
		}
		values[strings.Join(said, " ")] = true
	}
	compare(t, "the expressions", want, got)
	for _, said := range []string{
		"ip protocol tcp 10.244.1.5 8080",
		"ip saddr 10.0.0.0/8 0x4000 mark return",
		"ip saddr ip saddr /12 172.16.0.0 ip daddr ip daddr /12 172.16.0.0 meta l4proto tcp th dport 1000 2000 15001",
		"meta l4proto tcp th dport __set0 ct state ct state established,related 0",
		"meta iifname eth* meta oifname eth0 ip saddr seen accept",
		"meta nfproto ipv6 ip6 saddr ip6 saddr /10 fe80:: ip6 daddr ff02::1 meta l4proto ipv6-icmp 135 accept",
		"meta nfproto ipv6 ip6 saddr fd00:1:2::/48 meta l4proto tcp th dport 443",
		"meta iiftype 1 ether saddr . ether type 02:00:00:00:00:01 . ip ip saddr 1.2.3.4 accept",
		"arp operation 1 arp saddr ip 10.7.7.7 drop",
		"meta mark meta mark 0x100 0x200 drop",
		"meta nfproto ipv4 ip saddr 10.5.5.5 ip daddr 10.5.5.6 drop",
	} {
		if !values[said] {
			t.Errorf("no rule says %q", said)
		}
	}
	if t.Failed() {
		for v := range values {
			t.Log(v)
		}
	}
}

// codeLine takes the expression and its registers from "payload load 4b @ … => reg 1 ]".
func codeLine(code string) string {
	f := strings.Fields(code)
	line := f[0]
	var regs []string
	for i, w := range f {
		if slices.Contains(strings.Fields("reg (reg hton(reg ntoh(reg reg_key dreg"), w) && i+1 < len(f) {
			n := strings.Trim(f[i+1], "(),]")
			regs = append(regs, n)
		}
	}
	switch f[0] {
	case "bitwise", "byteorder": // reg D = ( reg S …
		if len(regs) == 2 {
			regs = []string{regs[1], regs[0]}
		}
	case "immediate", "lookup": // 0 is the verdict
		regs = slices.DeleteFunc(regs, func(r string) bool { return r == "0" })
	case "nat", "redir": // from and to
		regs = slices.Compact(regs)
	}
	return strings.TrimSpace(line + " " + strings.Join(regs, " "))
}
