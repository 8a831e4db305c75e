package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		expr string
		pos  int
		msg  string
	}{
		{"port", 4, "a port number"},
		{"port http", 5, "not looked up"},
		{"port 80-90", 5, "a port number"},
		{"port 65536", 5, "at most 65535"},
		{"portrange 1-65536", 10, "at most 65535"},
		{"portrange a-b", 10, "range of ports"},
		{"ip port 80", 8, "no ports"},
		{"icmp port 80", 10, "no ports"},
		{"tcp or 80", 7, "none to take over"},
		{"10.0.0.1", 0, "before an address"},
		{"::1", 0, "before an address"},
		{"80", 0, "this is a number"},
		{"tcp and", 7, "missing here"},
		{"tcp and or udp", 8, "not at this place"},
		{"(tcp", 4, "expected \")\""},
		{"tcp)", 3, "expected \"and\""},
		{"tcp udp", 4, "expected \"and\""},
		{"host foo", 5, "not looked up"},
		{"host 10.0.0.256", 5, "not an IPv4 address"},
		{"host 10.0.0.0/8", 5, "net only"},
		{"src 10.0.0.0/8", 4, "net only"},
		{"net 10.1.2/16", 4, "outside the mask"},
		{"net 10/8", 4, "at least one dot"},
		{"net 10.0/33", 9, "0 to 32"},
		{"net 2001:db8::/129", 15, "0 to 128"},
		{"net 2001:db8::1/32", 4, "outside the prefix"},
		{"net 10.0.0.0 mask 255.0", 18, "expected a mask"},
		{"host ::g", 5, "an address"},
		{"tcp host 10.0.0.1", 9, "may stand before"},
		{"ip6 host 10.0.0.1", 9, "may stand before"},
		{"ip host ::1", 8, "may stand before"},
		{"ip proto tcp", 9, `\tcp`},
		{"proto 256", 6, "at most 255"},
		{"src proto 6", 10, "no direction"},
		{"ip proto nonsense", 9, "give its number"},
		{"vlan 100", 0, "not supported"},
		{"ether host 00:11:22:33:44:55", 0, "not supported"},
		{"tcp and broadcast", 8, "not supported"},
		{"inbound", 0, "not supported"},
		{"gateway 10.0.0.1", 0, "not supported"},
		{"frobnicate", 0, "not a word"},
		{"tcp[13] & 2", 0, "compare it"},
		{"tcp[13] & 2 != 0 and len", 21, "compare it"},
		{"tcp[13:3] = 1", 7, "1, 2 or 4"},
		{"tcp[70000] = 1", 0, "beyond the largest"},
		{"ip[8] ^ 1 = 0", 6, "no meaning"},
		{"ip[8] / 0 = 1", 6, "division by zero"},
		{"len >> 32 = 0", 4, "31 bits"},
		{"radio[0] = 1", 0, "offsets into this"},
		{"less tcp", 5, "number of bytes"},
		{"len = 4294967296", 6, "32 bits"},
		{"port 080", 5, "32 bits"},
		{"tcp; udp", 3, "no meaning"},
		{strings.Repeat("not ", 5000) + "tcp", MaxExpression, "longer than"},
		{strings.Repeat("not ", 500) + "tcp", 4 * (maxDepth - 1), "too deeply"},
	} {
		for _, l := range []Link{Ethernet, RawIP} {
			_, err := Compile(c.expr, l, 0)
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%q: %v, want an error of this package", c.expr, err)
			} else if e.Pos != c.pos || !strings.Contains(e.Msg, c.msg) {
				t.Errorf("%q: at %d %q, want at %d %q", c.expr, e.Pos, e.Msg, c.pos, c.msg)
			}
		}
	}
}

func TestErrorText(t *testing.T) {
	_, err := Compile("tcp and port http and something much longer than fits", Ethernet, 0)
	const want = `filter at column 14 ("http and something much …"): expected a port number here; port names are not looked up`
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
	for p := 1000; p < 1150; p++ {
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
	for src, dsts := range map[uint16]map[uint16]bool{9: {999: false, 1000: true, 1075: true, 1149: true, 1150: false}, 7: {1000: false, 1149: false}} {
		for dst, want := range dsts {
			p := make([]byte, 54)
			p[12], p[14], p[23] = 8, 0x45, protoTCP
			p[34], p[35], p[36], p[37] = byte(src>>8), byte(src), byte(dst>>8), byte(dst)
			if n, err := vm.Run(p); (n != 0) != want || err != nil {
				t.Errorf("port %d to %d: %d %v, want %v", src, dst, n, err, want)
			}
		}
	}
	if _, err := Compile(strings.Repeat("port 1 or ", 400)+"port 1", Ethernet, 0); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("a program of too many instructions: %v", err)
	}
	if _, err := CompileAny(strings.Repeat("port 1 or ", 130)+"port 1", 0); err == nil || !strings.Contains(err.Error(), "4096") {
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
			single, err := Compile(e, l, 77)
			if err != nil {
				t.Fatal(err)
			}
			a, b := machine(t, single), machine(t, as(t, joined, hatype, 0))
			for _, p := range packets(l, 200, false) {
				x, _ := a.Run(p)
				if y, err := b.Run(p); x != y || err != nil {
					t.Fatalf("%q on %d: %d, joined %d %v", e, hatype, x, y, err)
				}
			}
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
	ins, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the program does not disassemble")
	}
	for i, in := range ins {
		switch in {
		case bpf.LoadExtension{Num: bpf.ExtLinkLayerType}:
			ins[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: uint32(hatype)}
		case bpf.LoadExtension{Num: bpf.ExtType}:
			ins[i] = bpf.LoadConstant{Dst: bpf.RegA, Val: typ}
		}
	}
	out, err := bpf.Assemble(ins)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzCompile: whatever the text, there is a valid program of bounded size or
// an error with a position inside the text.
func FuzzCompile(f *testing.F) {
	for _, e := range expressions(f) {
		f.Add(e)
	}
	f.Add("((((ip[ip[ip[0]]]))))=1 and (host (not 1.2.3.4 or ::1))")
	f.Add("\\")
	f.Fuzz(func(t *testing.T, expr string) {
		raw, err := CompileAny(expr, 0)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Pos < 0 || e.Pos > len(expr) || e.Error() == "" {
				t.Fatalf("%q: %#v", expr, err)
			}
			return
		}
		if len(raw) > MaxInstructions {
			t.Fatalf("%q: %d instructions", expr, len(raw))
		}
		for _, l := range []Link{Ethernet, RawIP} {
			raw, err := Compile(expr, l, 0)
			if err != nil {
				t.Fatalf("%q: compiles joined but not alone: %v", expr, err)
			}
			vm := machine(t, raw)
			for _, p := range packets(l, 3, true) {
				if _, err := vm.Run(p); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
