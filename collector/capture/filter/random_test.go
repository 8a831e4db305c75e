package filter

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	long = flag.Duration("long", 0, "go on with TestRandomExpressions for so long")
	seed = flag.Uint64("seed", 7, "of TestRandomExpressions")
)

// TestRandomExpressions asks the installed tcpdump about expressions nobody
// thought of. Each side may refuse; the one that refuses must have a reason
// that the other need not share.
func TestRandomExpressions(t *testing.T) {
	needTcpdump(t)
	g := newExprGenerator(*seed)
	pkts := map[Link][][]byte{Ethernet: packets(Ethernet, 2000, false), RawIP: packets(RawIP, 1000, false)}
	compared, until := 0, time.Now().Add(*long)
	for n := 0; n < 400 || time.Now().Before(until); n++ {
		e := g.expr(3)
		f := []form{{Ethernet, false}, {Ethernet, true}, {RawIP, false}}[min(g.IntN(5), 2)]
		if g.IntN(3) == 0 {
			f = form{Ethernet, false}
		}
		if muddled(f, e) {
			continue
		}
		text, err := tcpdump(f, e)
		_, ours := f.compile(e)
		switch {
		case err != nil && ours == nil && !excused(err.Error()):
			t.Errorf("%s: tcpdump refuses %q: %v", f, e, err)
		case err == nil && ours != nil && !excused(ours.Error()):
			t.Errorf("%s %q: %v", f, e, ours)
		case err == nil && ours == nil:
			compared++
			agree(t, f, e, parseDDD(t, text), pkts[f.link])
		}
	}
	t.Logf("%d programs compared", compared)
	if compared < 250 {
		t.Errorf("only %d programs were compared", compared)
	}
}

// muddled are expressions in which tcpdump looks at something else than the
// text says. Right of geneve, for packets that are in no tunnel, and of vlan in
// a live capture, it adds to offsets what arithmetic left in scratch memory.
// Right of pppoes and geneve, its tests for the direction and the interface
// read other metadata, further on by the length of the headers.
func muddled(f form, e string) bool {
	arithmetic := func(s string) bool { return strings.Contains(s, "[") || strings.Contains(s, "len") }
	_, inside, _ := strings.Cut(e, "geneve")
	_, session, _ := strings.Cut(e, "pppoes")
	return arithmetic(e[:max(0, strings.LastIndex(e, "geneve"))]) || aboutMetadata(inside) || aboutMetadata(session) ||
		f.live && arithmetic(e[:max(0, strings.LastIndex(e, "vlan"))])
}

// excused are refusals that are one side's own.
func excused(msg string) bool {
	return slices.ContainsFunc([]string{
		"division by zero", "modulus by zero", // tcpdump takes the first number in a divisor for all of it
		"too many registers", // tcpdump's are never given back after an index
		"optimizer loop", "shift by more than",
		"before the packet", "more instructions than", "nested too deeply",
	}, func(s string) bool { return strings.Contains(msg, s) })
}

type exprGenerator struct{ *rand.Rand }

func newExprGenerator(seed uint64) exprGenerator {
	return exprGenerator{rand.New(rand.NewPCG(seed, 7))}
}

func (g exprGenerator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g exprGenerator) expr(depth int) string {
	if depth > 0 {
		switch g.IntN(6) {
		case 0, 1:
			return g.expr(depth-1) + g.one(" and ", " and ", " or ", " && ", "||") + g.expr(depth-1)
		case 2:
			return g.one("not ", "!", "not not ") + "(" + g.expr(depth-1) + ")"
		case 3:
			return "(" + g.expr(depth-1) + ")" + g.one(" and ", " or ", " and not ") + g.expr(depth-1)
		}
	}
	switch g.IntN(12) {
	case 0, 1:
		return g.port()
	case 2, 3:
		return g.host()
	case 4, 5, 6:
		return g.protocol()
	case 7, 8:
		return g.encapsulation()
	case 9, 10:
		return g.arith(2) + g.one(" = ", " == ", " != ", " < ", " > ", " <= ", ">=") + g.arith(2)
	}
	return g.one("less 60", "greater 100", "len > 80", "length <= 64", "byte 0 = 1", "byte 12 > 7", "byte 20 < 64", "inbound", "outbound",
		"ifindex 1", "broadcast", "multicast", "ether broadcast", "ether multicast", "ip broadcast", "ip multicast", "ip6 multicast")
}

func (g exprGenerator) dir() string {
	return g.one("", "", "src ", "dst ", "src or dst ", "src and dst ", "dst or src ", "dst and src ")
}

func (g exprGenerator) port() string {
	if g.IntN(3) == 0 {
		return g.one("", "tcp ", "udp ") + g.dir() + "portrange " + g.one("1-90", "80-60", "50-60 or 70-80", "8080", "ssh-http", "20-ssh")
	}
	return g.one("", "tcp ", "udp ", "sctp ") + g.dir() + "port " + g.one("53", "80", "443 or 22", "(53 or 80)", "!80", "(90)", "domain", "http",
		"53 or (icmp) or 80", "http or 53", "0x35", "065")
}

func (g exprGenerator) host() string {
	switch g.IntN(5) {
	case 0:
		return g.one("", "ip6 ") + g.dir() + g.one("net 2001:db8::/32", "host fe80::1", "net fd00:0:1234::/47", "host ::ffff:10.0.0.1 or fe80::2", "net ::/0")
	case 1:
		return "ether " + g.one("host ", "src ", "dst ", "src or dst ", "src and dst host ") +
			g.one("0:11:22:33:44:55", "00-11-22-33-44-66", "0011.2233.4455", "001122334466", "ff:ff:ff:ff:ff:ff or 0:11:22:33:44:55", "(0.11.22.33.44.55 or 1:80:c2:0:0:0)")
	case 2:
		return "decnet " + g.one("host ", "src ", "dst host ") + g.one("1.5", "1.6", "63.1023")
	}
	return g.one("", "ip ", "arp ", "rarp ") + g.dir() + g.one("host ", "host ", "net ") +
		g.one("10.0.0.1", "10.0.0.1 or 10.0.0.2", "10.1", "10", "255.255.255.255", "(10.0.0.1 or not 10.0.0.2)", "10.0.0.1 and 10.1.2.3")
}

func (g exprGenerator) protocol() string {
	switch g.IntN(6) {
	case 0:
		return "ether proto " + g.one(`\ip`, `\ip6`, `\arp`, `\rarp`, `\atalk`, `\aarp`, `\decnet`, `\ipx`, `\iso`, `\stp`, `\netbeui`, `\lat`, `\sca`, `\mopdl`,
			`\moprc`, "loopback", "0x88cc", "0x8100", "6", "0xfe", "0x42", "1500", "1501", "0xe0", `\ip or 0x806`)
	case 1:
		return "llc" + g.one("", " i", " s", " u", " rr", " rnr", " rej", " ui", " ua", " disc", " dm", " sabme", " test", " xid", " frmr", " UI")
	case 2:
		return g.one("clnp", "esis", "isis", "es-is", "is-is", "l1", "l2", "iih", "lsp", "snp", "csnp", "psnp", `iso proto \clnp`, `iso proto \isis`, "iso proto 0x82", "isis proto 18")
	case 3:
		return g.one("proto 47", "ip proto 6 or 17", "ip6 proto 44", `proto \tcp`, "proto gre", `ip proto \vrrp`, `ip6 proto \icmp6`, "ip6 proto ipv6-icmp", `proto \sctp or 50`)
	}
	return g.one("ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp", "icmp", "icmp6", "igmp", "igrp", "pim", "vrrp", "carp", "ah", "esp", "ip", "ip6", "tcp", "udp",
		"atalk", "aarp", "decnet", "sca", "lat", "mopdl", "moprc", "iso", "stp", "ipx", "netbeui")
}

func (g exprGenerator) encapsulation() string {
	return g.one("vlan", "vlan 5", "vlan 100", "vlan and vlan", "vlan 5 and vlan 100", "mpls", "mpls 1024", "mpls 100000 and mpls 1024", "mpls and mpls",
		"pppoed", "pppoes", "pppoes 5", "pppoes 0x27", "geneve", "geneve 5", "geneve 7", "vlan (5)", "geneve 5 and ip", "vlan and ip", "mpls and ip6",
		"pppoes and tcp")
}

func (g exprGenerator) arith(depth int) string {
	if depth > 0 {
		switch g.IntN(5) {
		case 0, 1:
			return g.arith(depth-1) + g.one(" + ", " - ", " * ", " & ", " | ", " / ", " % ", " ^ ", "+", "&") + g.arith(depth-1)
		case 2:
			return "(" + g.arith(depth-1) + ")"
		case 3:
			return g.arith(depth-1) + g.one(" << ", " >> ") + fmt.Sprint(g.IntN(32))
		}
	}
	switch g.IntN(4) {
	case 0:
		return g.one("0", "1", "6", "17", "53", "0xff", "0xf0", "tcp-syn", "icmp-echo", "-1", "100", "2", "4")
	case 1:
		return g.one("len", "len", "-len", "length")
	}
	proto := g.one("ether", "link", "ip", "ip", "ip6", "arp", "rarp", "tcp", "tcp", "udp", "icmp", "icmp6", "igmp", "igrp", "pim", "vrrp", "carp", "sctp",
		"atalk", "decnet", "lat", "sca", "mopdl", "moprc", "ppp", "slip", "fddi")
	index := g.one("0", "1", "2", "6", "8", "9", "12", "13", "16", "20", "tcpflags", "ip[0] & 7", "len & 15", "(ip[0] & 0xf) << 2", "-2 + 4")
	return proto + "[" + index + g.one("", "", ":1", ":2", ":4", " : 2 ") + "]"
}
