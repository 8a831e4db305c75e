package filter

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

// refusals are expressions with the place and reason of their refusal. The
// third is for what tcpdump takes and we do not, as the package comment says.
func refusals() (both, onRaw, ours []refused) {
	both = []refused{
		{"port", 4, "a port number"},
		{"port httpp", 5, "this is not one"},
		{"port 80-90", 5, "a port number"},
		{"port 65536", 5, "at most 65535"},
		{"portrange 1-65536", 10, "range of ports"},
		{"portrange a-b", 10, "range of ports"},
		{"portrange http", 10, "range of ports"},
		{"portrange 10.0.0.1", 10, "range of ports"},
		{"port ::1", 5, "a port number"},
		{"tcp port tftp", 9, "this port is udp"},
		{"udp port ssh", 9, "this port is tcp"},
		{"sctp port ssh", 10, "this port is tcp"},
		{"ip port 80", 8, "no ports"},
		{"icmp port 80", 10, "no ports"},
		{"ether port 80", 11, "no ports"},
		{"tcp or 80", 7, "none to take over"},
		{"(port 53) or 80", 13, "none to take over"},
		{"port 53 or (tcp or 80)", 19, "none to take over"},
		{"10.0.0.1", 0, "before an address"},
		{"::1", 0, "before an address"},
		{"00:11:22:33:44:55", 0, "before an Ethernet address"},
		{"80", 0, "this is a number"},
		{"tcp and", 7, "missing here"},
		{"tcp and or udp", 8, "cannot stand at this place"},
		{"host", 4, "an address"},
		{"host tcp", 5, "an address"},
		{"(tcp", 4, "expected \")\""},
		{"tcp)", 3, "expected \"and\""},
		{"tcp udp", 4, "expected \"and\""},
		{"host foo.invalid", 5, "not looked up"},
		{"net foo", 4, "not looked up"},
		{"ether host foo", 11, "not looked up"},
		{"host 10.0.0.256", 5, "not an IPv4 address"},
		{"host 10.0.0.0/8", 5, "net only"},
		{"src 10.0.0.0/8", 4, "net only"},
		{"net 10.1.2/16", 4, "outside the mask"},
		{"net 10/8", 4, "at least one dot"},
		{"net 10.0/33", 9, "0 to 32"},
		{"net 2001:db8::/129", 15, "0 to 128"},
		{"net 2001:db8::1/32", 4, "outside the prefix"},
		{"net 10.1.0.0 mask 255.0.0.0", 4, "outside the mask"},
		{"host ::g", 5, "an address"},
		{"host 1::2::3", 5, "not an IPv6 address"},
		{"tcp host 10.0.0.1", 9, "may stand before"},
		{"ip6 host 10.0.0.1", 9, "may stand before"},
		{"ip host ::1", 8, "may stand before"},
		{"ether host 10.0.0.1", 11, "an Ethernet address"},
		{"ether net 0:1:2:3:4:5", 10, "needs ether host"},
		{"host 0:11:22:33:44:55", 5, "needs ether host"},
		{"ether host 0:11:22:33:44", 11, "an Ethernet address"},
		{"ether host 0:11:22:33:44:55:66", 11, "an Ethernet address"},
		{"ether", 5, "after ether"},
		{"ether and ip", 6, "after ether"},
		{"ip proto tcp", 9, `\tcp`},
		{"src proto 6", 4, "no direction"},
		{"ip proto nonsense", 9, "give its number"},
		{"ether proto nonsense", 12, "give its number"},
		{"iso proto nonsense", 10, "clnp, esis or isis"},
		{"tcp proto 6", 10, "may stand before proto"},
		{"arp proto 6", 10, "may stand before proto"},
		{"llc nonsense", 4, "not a type of LLC frame"},
		{"vlan 4096", 5, "at most 4095"},
		{"mpls 1048576", 5, "at most 1048575"},
		{"pppoes 65536", 7, "at most 65535"},
		{"geneve 16777216", 7, "at most 16777215"},
		{"vxlan", 0, "not a word"},
		{"mpls and arp", 9, "only ip and ip6"},
		{"mpls and vlan", 9, "no vlan behind mpls"},
		{"pppoes and vlan", 11, "needs an Ethernet header"},
		{"pppoes and broadcast", 11, "needs an Ethernet header"},
		{"pppoes and ether host 0:1:2:3:4:5", 22, "need an Ethernet header"},
		{"ip6 broadcast", 4, "may stand before broadcast"},
		{"tcp multicast", 4, "may stand before multicast"},
		{"gateway 10.0.0.1", 0, "/etc/ethers"},
		{"gateway foo", 0, "/etc/ethers"},
		{"frobnicate", 0, "not a word"},
		{"IP", 0, "not a word"},
		{"tcp[13] & 2", 0, "compare it"},
		{"tcp[13] & 2 != 0 and len", 21, "compare it"},
		{"tcp[13:3] = 1", 7, "1, 2 or 4"},
		{"tcp[13 = 1", 7, "expected \"]\""},
		{"tcp[] = 1", 4, "expected a number"},
		{"ip[8] / 0 = 1", 6, "division by zero"},
		{"ip[8] % 0 = 1", 6, "division by zero"},
		{"len >> 32 = 0", 4, "31 bits"},
		{"len << 32 = 0", 4, "31 bits"},
		{"len << (16 + 16) = 0", 4, "31 bits"},
		{"len == ", 7, "expected a number"},
		{"len = = 1", 6, "expected a number"},
		{"radio[0] = 1", 0, "no offsets into this"},
		{"ah[0] = 1", 0, "no offsets into this"},
		{"iso[0] = 1", 0, "no offsets into this"},
		{"less tcp", 5, "number of bytes"},
		{"byte 0 ! 1", 7, "expected =, < or >"},
		{"len = 4294967296", 6, "32 bits"},
		{"port 080", 5, "32 bits"},
		{"tcp; udp", 3, "no meaning"},
		{"$12", 0, "no meaning"},
		{`\`, 0, "follow the backslash"},
		{"type mgt", 0, "802.11"},
		{"subtype beacon", 0, "802.11"},
		{"dir nods", 0, "802.11"},
		{"wlan addr1 0:1:2:3:4:5", 5, "802.11"},
		{"wlan ra 0:1:2:3:4:5", 5, "802.11"},
		{"ta 0:1:2:3:4:5", 0, "802.11"},
		{"radio", 0, "802.11"},
		{"lane", 0, "ATM"},
		{"tcp or vpi 3", 7, "ATM"},
		{"oamf4", 0, "ATM"},
		{"fisu", 0, "SS7"},
		{"sio 1", 0, "SS7"},
		{"on em0", 0, "pflog"},
		{"rnr 1", 0, "pflog"},
		{"action pass", 0, "pflog"},
	}
	onRaw = []refused{
		{"vlan 100", 0, "needs an Ethernet header"},
		{"mpls", 0, "needs an Ethernet header"},
		{"llc", 0, "needs an Ethernet header"},
		{"tcp and broadcast", 8, "needs an Ethernet header"},
		{"multicast", 0, "needs an Ethernet header"},
		{"ether host 00:11:22:33:44:55", 11, "need an Ethernet header"},
	}
	ours = []refused{
		{"inbound", 0, "only a live capture"},
		{"outbound", 0, "only a live capture"},
		{"ifindex 1", 0, "only a live capture"},
		{"protochain 6", 0, "needs a loop"},
		{"ip6 protochain 6", 4, "needs a loop"},
		{"host localhost", 5, "not looked up"},
		{"proto 256", 6, "at most 255"},
		{"ether proto 65536", 12, "at most 65535"},
		{"tcp[70000] = 1", 0, "beyond the largest"},
		{"ether[-1] = 1", 0, "before the packet"},
		{"byte 0 & 1", 7, "ether[OFFSET]"},
		{"decnet host 1.2.3", 12, "AREA.NODE"},
		{"net 10.0.0.0 mask 255.0", 18, "expected a mask"},
		{strings.Repeat("not ", 5000) + "tcp", MaxExpression, "longer than"},
		{strings.Repeat("not ", 500) + "tcp", 4 * (maxDepth - 1), "too deeply"},
	}
	return both, onRaw, ours
}

type refused struct {
	expr string
	pos  int
	msg  string
}

func (c refused) check(t *testing.T, l Link) {
	t.Helper()
	_, err := Compile(c.expr, l, 0)
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%q: %v, want an error of this package", c.expr, err)
	} else if e.Pos != c.pos || !strings.Contains(e.Msg, c.msg) {
		t.Errorf("%q: at %d %q, want at %d %q", c.expr, e.Pos, e.Msg, c.pos, c.msg)
	}
}

func TestRefuses(t *testing.T) {
	both, onRaw, ours := refusals()
	for _, c := range slices.Concat(both, ours) {
		c.check(t, Ethernet)
		if !strings.HasPrefix(c.expr, "mpls and") && !strings.HasPrefix(c.expr, "pppoes and") {
			c.check(t, RawIP)
		}
	}
	for _, c := range onRaw {
		c.check(t, RawIP)
	}
}

// TestTcpdumpRefuses what we refuse, or it is on the list of exceptions.
func TestTcpdumpRefuses(t *testing.T) {
	needTcpdump(t)
	both, onRaw, ours := refusals()
	refuses := func(l Link, c refused, want bool) {
		t.Helper()
		if program, err := tcpdump(form{l, aboutMetadata(c.expr)}, c.expr); (err != nil) != want {
			t.Errorf("%q: tcpdump says %q %v", c.expr, program, err)
		}
	}
	for _, c := range both {
		refuses(Ethernet, c, true)
	}
	for _, c := range onRaw {
		refuses(RawIP, c, true)
	}
	for _, c := range ours[:len(ours)-3] {
		refuses(Ethernet, c, false)
	}
}

func TestErrorText(t *testing.T) {
	_, err := Compile("tcp and port httpp and something much longer than fits", Ethernet, 0)
	const want = `filter at column 14 ("httpp and something much…"): expected a port number or name here; this is not one`
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestSnaplen(t *testing.T) {
	for in, want := range map[int]int{96: 96, 0: MaxSnaplen, -1: MaxSnaplen, 1 << 30: MaxSnaplen} {
		raw, err := Compile("", Ethernet, in)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := machine(t, raw).Run(make([]byte, 60)); n != want || err != nil {
			t.Errorf("snaplen %d: kept %d bytes, want %d", in, n, want)
		}
	}
}

// TestFarJumps needs more instructions between a test and its end than a
// conditional jump reaches.
func TestFarJumps(t *testing.T) {
	var ports []string
	for p := 1000; p < 1400; p++ {
		ports = append(ports, fmt.Sprint(p))
	}
	expr := "tcp dst port " + strings.Join(ports, " or ") + " and not src port 7"
	raw, err := Compile(expr, Ethernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) < 600 {
		t.Fatalf("only %d instructions", len(raw))
	}
	vm := machine(t, raw)
	for src, dsts := range map[uint16]map[uint16]bool{9: {999: false, 1000: true, 1075: true, 1399: true, 1400: false}, 7: {1000: false, 1399: false}} {
		for dst, want := range dsts {
			p := make([]byte, 54)
			p[12], p[14], p[23] = 8, 0x45, protoTCP
			p[34], p[35], p[36], p[37] = byte(src>>8), byte(src), byte(dst>>8), byte(dst)
			if n, err := vm.Run(p); (n != 0) != want || err != nil {
				t.Errorf("port %d to %d: %d %v, want %v", src, dst, n, err, want)
			}
		}
	}
	var hosts []string
	for i := range 400 {
		hosts = append(hosts, fmt.Sprintf("fe80::%x:%x", i, i))
	}
	long := "host " + strings.Join(hosts, " or ")
	if _, err := Compile(long, Ethernet, 0); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("a program of too many instructions: %v", err)
	}
	half := "host " + strings.Join(hosts[:150], " or ")
	if _, err := Compile(half, Ethernet, 0); err != nil {
		t.Error(err)
	}
	if _, err := CompileAny(half, 0); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("a joined program of too many instructions: %v", err)
	}
}

// TestAny holds the joined program against those of the links. The machine
// knows no hardware types: the loads of them are replaced by what they load.
func TestAny(t *testing.T) {
	for _, e := range append(expressions(t), "") {
		joined, err := CompileAny(e, 77)
		if err != nil {
			t.Fatal(err)
		}
		for hatype, l := range map[uint16]Link{1: Ethernet, 772: Ethernet, 65534: RawIP, 768: RawIP, 823: RawIP} {
			if got, ok := LinkOf(hatype); !ok || got != l {
				t.Errorf("LinkOf(%d) = %v %v", hatype, got, ok)
			}
			single, err := CompileLive(e, l, 77)
			if err != nil && l == RawIP && strings.Contains(err.Error(), "an Ethernet header") {
				continue // see TestAnyWithoutEthernet
			} else if err != nil {
				t.Fatal(err)
			}
			a, b := machine(t, as(t, single, hatype, 0)), machine(t, as(t, joined, hatype, 0))
			for _, p := range packets(l, 200, false) {
				x, _ := a.Run(p)
				if y, err := b.Run(p); x != y || err != nil {
					t.Fatalf("%q on %d: %d, joined %d %v", e, hatype, x, y, err)
				}
			}
		}
	}
}

// TestAnyWithoutEthernet: what asks for an Ethernet header is false on a tunnel.
func TestAnyWithoutEthernet(t *testing.T) {
	for e, want := range map[string]bool{
		"ether host 0:1:2:3:4:5": false, "not ether host 0:1:2:3:4:5": true, "vlan 5": false, "vlan or ip": true, "broadcast": false,
		"multicast or tcp": true, "multicast and tcp": false, "mpls": false, "llc": false, "not llc i": true, "ip": true,
	} {
		joined, err := CompileAny(e, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 60)
		p[0], p[9] = 0x45, protoTCP
		if n, err := machine(t, as(t, joined, 65534, 0)).Run(p); (n != 0) != want || err != nil {
			t.Errorf("%q: %d %v, want %v", e, n, err, want)
		}
	}
}

func TestAnyLeavesOut(t *testing.T) {
	joined, err := CompileAny("", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hatype uint16
		typ    uint32
		want   int
	}{
		{1, 0, MaxSnaplen}, {1, packetOutgoing, MaxSnaplen}, {772, 0, MaxSnaplen}, {772, packetOutgoing, 0},
		{65534, packetOutgoing, MaxSnaplen}, {801, 0, 0}, {32, 0, 0}, {280, 0, 0},
	} {
		if n, err := machine(t, as(t, joined, c.hatype, c.typ)).Run(make([]byte, 60)); n != c.want || err != nil {
			t.Errorf("hardware type %d, packet type %d: %d %v, want %d", c.hatype, c.typ, n, err, c.want)
		}
	}
}

func as(t *testing.T, raw []bpf.RawInstruction, hatype uint16, typ uint32) []bpf.RawInstruction {
	t.Helper()
	return metadataValues{hatype: uint32(hatype), typ: typ, index: 1}.put(t, raw)
}

// FuzzCompile: whatever the text, there is a valid program of bounded size or
// an error with a position inside the text.
func FuzzCompile(f *testing.F) {
	for _, e := range expressions(f) {
		f.Add(e)
	}
	f.Add("((((ip[ip[ip[0]]]))))=1 and (host (not 1.2.3.4 or ::1))")
	f.Add("host pod/shop/web-0 or service/shop/web")
	f.Add("\\")
	o := Options{Resolve: func(name string) ([]netip.Addr, error) {
		return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(len(name))}), netip.IPv6Loopback()}, nil
	}}
	pkts := [][][]byte{packets(Ethernet, 3, true), packets(RawIP, 3, true)}
	f.Fuzz(func(t *testing.T, expr string) {
		joined, errAny := o.CompileAny(expr, 0)
		checkResult(t, expr, joined, errAny)
		for _, l := range []Link{Ethernet, RawIP} {
			file, err := o.Compile(expr, l, 0)
			checkResult(t, expr, file, err)
			live, errLive := o.CompileLive(expr, l, 0)
			checkResult(t, expr, live, errLive)
			if errLive != nil && errAny == nil && l == Ethernet {
				t.Fatalf("%q: compiles joined but not alone: %v", expr, errLive)
			}
			if err == nil && errLive != nil && !strings.Contains(errLive.Error(), "4096") && !strings.Contains(errLive.Error(), "scratch") && !strings.Contains(errLive.Error(), "nested") {
				t.Fatalf("%q: compiles for a file but not live: %v", expr, errLive)
			}
			if err != nil {
				continue
			}
			vm := machine(t, file)
			for _, p := range pkts[l] {
				if _, err := vm.Run(p); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func checkResult(t *testing.T, expr string, raw []bpf.RawInstruction, err error) {
	t.Helper()
	if err == nil {
		if err := verify(raw); err != nil {
			t.Fatalf("%q: the kernel would refuse the program: %v", expr, err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Pos < 0 || e.Pos > len(expr) || e.Error() == "" {
		t.Fatalf("%q: %#v", expr, err)
	}
}
