package redact

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// flip is a mapper that turns over bits, which keeps prefixes as well.
type flip struct{}

const (
	flipMAC = "\x00\x55\xaa\x5a\xa5\x3c"
	flip4   = "\x21\x5a\x77\x91"
	flip6   = "\x00\x00\x35\x9b\x5a\xa5\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa"
)

func xor(b []byte, with string) {
	for i := range b {
		b[i] ^= with[i]
	}
}

func (flip) MAC(a [6]byte) [6]byte {
	if a[0]&1 == 0 && a != [6]byte{} {
		xor(a[:], flipMAC)
	}
	return a
}

func (flip) IPv4(a [4]byte) [4]byte {
	if a[0] != 0 && a[0] != 127 && a[0] < 224 {
		xor(a[:], flip4)
	}
	return a
}

func (flip) IPv6(a [16]byte) [16]byte {
	if a[0] != 0xff && a != [16]byte{} {
		xor(a[:], flip6)
	}
	return a
}

func (flip) Host(dst, name []byte) []byte {
	labels := bytes.Split(name, []byte("."))
	for i, l := range labels {
		if string(l) != "com" && !bytes.HasPrefix(l, []byte("host-")) {
			labels[i] = fmt.Appendf(nil, "host-%08x", crc32.ChecksumIEEE(bytes.ToLower(l)))
		}
	}
	return append(dst, bytes.Join(labels, []byte("."))...)
}

func (flip) Text(dst, src []byte, found map[string]int) []byte {
	found["name"] += bytes.Count(src, []byte("acme"))
	return append(dst, bytes.ReplaceAll(src, []byte("acme"), []byte("ns-00000001"))...)
}

// Addresses that a packet must not be left with.
const (
	mac1, mac2 = "\x00\x16\x3e\xa1\xb2\xc3", "\x00\x16\x3e\xd4\xe5\xf6"
	ip1, ip2   = "\xc6\x33\x64\x4d", "\xcb\x00\x71\x99"
	ip3        = "\xc6\x33\x64\x21"
	far1, far2 = "\x20\x01\x0d\xb8\xde\xad\xbe\xef\x00\x16\x3e\xff\xfe\xa1\xb2\xc3", "\x20\x01\x0d\xb8\xca\xfe\xba\xbe\x00\x16\x3e\xff\xfe\xd4\xe5\xf6"
	far3       = "\x20\x01\x0d\xb8\xde\xad\x12\x34\x56\x78\x9a\xbc\xde\xf0\x13\x57"
)

func plantedAddresses() []string { return []string{mac1, mac2, ip1, ip2, ip3, far1, far2, far3} }

func link2(kind uint16, payload []byte) []byte {
	return join([]byte(mac1+mac2), be16(kind), payload)
}

func from4(proto byte, payload []byte, options ...byte) []byte {
	head := 20 + len(options)
	h := join([]byte{0x40 | byte(head/4), 0}, be16(uint16(head+len(payload)), 7, 0), []byte{64, proto, 0, 0}, []byte(ip1+ip2), options)
	return append(h, payload...)
}

func from6(next byte, payload []byte) []byte {
	return join([]byte{0x60, 0, 0, 0}, be16(uint16(len(payload))), []byte{next, 64}, []byte(far1+far2), payload)
}

// answer is a DNS message with every kind of record that is understood.
func answer() []byte {
	b := []byte("\x12\x34\x81\xa0\x00\x01\x00\x07\x00\x01\x00\x02\x03www\x04acme\x03com\x00\x00\x01\x00\x01")
	record := func(kind uint16, data string) {
		b = append(b, "\xc0\x0c"...)
		b = append(append(b, be16(kind, 1, 0, 60, uint16(len(data)))...), data...)
	}
	record(1, ip2)
	record(28, far2)
	record(5, "\x04cdn9\xc0\x10")
	record(15, "\x00\x0a\x04mail\xc0\x10")
	record(33, "\x00\x01\x00\x02\x1f\x90\x05node7\x04acme\x03com\x00")
	record(16, "\x0fkey of acme and")
	record(257, "\x00\x05issueacme.com")                                                                                         // CAA, not known
	record(6, "\x03ns1\xc0\x10\x04root\xc0\x10\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05") // SOA
	record(65, "\x00\x01\x04edge\x04acme\x03com\x00\x00\x04\x00\x04"+ip1)                                                        // HTTPS with an address
	return append(b, "\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x0b\x00\x08\x00\x07\x00\x01\x18\x00\xc6\x33\x64"...)              // client subnet
}

// packetForm is a packet and how much of it strict keeps. When keep is negative, the
// length changes.
type packetForm struct {
	name  string
	link  uint16
	frame []byte
	keep  int
}

func packetForms() []packetForm {
	web := "GET / HTTP/1.1\r\nHost: acme\r\n" + planted
	segment := tcp(80, web)
	vx := func(inner []byte) []byte { return join([]byte{8, 0, 0, 0, 0, 0, 1, 0}, inner) }
	lookup := udp(53, answer())
	in4, in6 := link2(0x0800, from4(6, segment)), link2(0x86DD, from6(6, segment))
	quote4, quote6 := from4(6, segment), from6(17, lookup)
	route0 := join([]byte{6, 4, 0, 1, 0, 0, 0, 0}, []byte(far3+far1), segment)
	route4 := join([]byte{6, 5, 4, 1, 1, 0, 0, 0}, []byte(far1+far3), []byte{5, 6, 0xde, 0xad, 0xbe, 0xef, 0xaa, 0xaa}, segment)
	home := join([]byte{6, 2, 1, 0, 0xC9, 16}, []byte(far3), []byte{0, 0}, segment)
	hop := join([]byte{58, 0, 5, 2, 0, 0, 1, 0}, []byte{131, 0, 0, 0, 0, 0, 0, 0}, []byte("\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\xa1\xb2\xc3"))
	discovery := func(kind byte, parts ...string) []byte {
		return from6(58, join([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, []byte(strings.Join(parts, ""))))
	}
	lla1, lla2 := "\x01\x01"+mac1, "\x02\x01"+mac2
	return []packetForm{
		{"TCP", 1, in4, 66},
		{"TCP over IPv6", 1, in6, 86},
		{"TCP with an address in an option", 1, link2(0x0800, from4(6, join(be16(40000, 80), make([]byte, 8), []byte{0xa0, 0x18}, make([]byte, 6), []byte("\xfe\x08\x00\x50"+ip3+"\x1e\x08\x31\x02"+ip3+"\x02\x04\x05\xb4"), []byte(web)))), 74},
		{"TLS", 1, link2(0x0800, from4(6, tcp(443, "\x15\x03\x03\x00\x02\x01\x00\x16\x03\x01\x00\x10\x01\x00\x00\x0c"+planted))), 66 + 7 + 9},
		{"TLS, encrypted", 1, link2(0x0800, from4(6, tcp(443, "\x14\x03\x03\x00\x01\x01\x15\x03\x03\x00\x1a"+planted+planted))), 66 + 6 + 5},
		{"DNS over TCP", 1, link2(0x0800, from4(6, tcp(53, "\x00\x1a"+query))), 66},
		{"raw", 101, from4(6, segment), 52},
		{"raw IPv6", 101, from6(6, segment), 72},
		{"VLAN", 1, link2(0x88A8, join(be16(5, 0x8100, 6, 0x0800), from4(6, segment))), 74},
		{"SLL2", 276, join(be16(0x0800, 0, 0, 3, 1), []byte{0, 6}, []byte(mac1+"\xaa\xaa"), from4(6, segment)), 72},
		{"SLL2, tunnel", 276, join(be16(0x0800, 0, 0, 3, 768), []byte{0, 4}, []byte(ip3+"\xaa\xaa\xaa\xaa"), from4(6, segment)), 72},
		{"SLL2, IPv6 tunnel", 276, join(be16(0x86DD, 0, 0, 3, 769), []byte{0, 16}, []byte(far3[:8]), from6(6, segment)), 92},
		{"ARP", 1, link2(0x0806, []byte("\x00\x01\x08\x00\x06\x04\x00\x01"+mac1+ip1+"\x00\x00\x00\x00\x00\x00"+ip2+"padding "+ip3)), 42},
		{"RARP", 1, link2(0x8035, []byte("\x00\x01\x08\x00\x06\x04\x00\x03"+mac1+ip1+mac1+ip2)), 42},
		{"ARP of another kind", 1, link2(0x0806, []byte("\x00\x20\x08\x00\x08\x04\x00\x01"+mac1+ip1+mac1+mac2+ip2)), 14},
		{"source route", 1, link2(0x0800, from4(6, segment, []byte("\x83\x07\x04"+ip3+"\x01")...)), 74},
		{"record route", 1, link2(0x0800, from4(6, segment, []byte("\x07\x07\x08"+ip3+"\x94\x04\x00\x00\x44\x08\x09\x01"+ip3+"\x00")...)), 86},
		{"IPv4 fragment", 1, link2(0x0800, join([]byte{0x45, 0}, be16(60, 7, 0x2000), []byte{64, 17, 0, 0}, []byte(ip1+ip2), udp(53, []byte(query)))), 42},
		{"IPv6 routing, type 0", 1, link2(0x86DD, from6(43, route0)), 86 + 40},
		{"IPv6 routing, segments", 1, link2(0x86DD, from6(43, route4)), 86 + 48},
		{"IPv6 routing, not known", 1, link2(0x86DD, from6(43, join([]byte{6, 2, 3, 1, 0, 0, 0, 0}, []byte(far3), segment))), 14},
		{"IPv6 home address", 1, link2(0x86DD, from6(60, home)), 86 + 24},
		{"IPv6 options", 1, link2(0x86DD, from6(0, join([]byte{6, 2, 0x1e, 20}, []byte(far3+ip3), segment))), 86 + 24},
		{"IPv6 fragment, later", 1, link2(0x86DD, from6(44, join([]byte{6, 0, 0, 0x10}, make([]byte, 4), []byte(far3)))), 62},
		{"ESP", 1, link2(0x0800, from4(50, []byte("spi.seq."+far3))), 42},
		{"SCTP", 1, link2(0x0800, from4(132, join(be16(1, 2), make([]byte, 8), []byte{1, 0, 0, 40}, make([]byte, 16), []byte("\x00\x05\x00\x08"+ip3)))), 46},
		{"UDP", 1, link2(0x0800, from4(17, udp(9999, []byte(web)))), 42},
		{"mDNS", 1, link2(0x0800, from4(17, udp(5353, answer()))), 42},
		{"DHCP", 1, link2(0x0800, from4(17, udp(67, []byte(ip3+mac1)))), 42},
		{"DNS", 1, link2(0x0800, from4(17, lookup)), -1},
		{"DNS over IPv6", 1, link2(0x86DD, from6(17, lookup)), -1},
		{"DNS with more behind it", 1, link2(0x0800, from4(17, udp(53, join(answer(), []byte(ip3))))), 42},
		{"DNS with a garbled record", 1, link2(0x0800, from4(17, udp(53, bytes.Replace(answer(), []byte("\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10"), []byte("\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x0f"), 1)))), 42},
		{"VXLAN", 1, link2(0x0800, from4(17, udp(4789, vx(in6)))), 50 + 86},
		{"VXLAN, DNS in it", 1, link2(0x86DD, from6(17, udp(4789, vx(link2(0x0800, from4(17, lookup)))))), -1},
		{"VXLAN, DNS and padding in it", 1, link2(0x0800, from4(17, udp(4789, vx(join(link2(0x0800, from4(17, lookup)), []byte{0}))))), 50 + 42},
		{"VXLAN, not", 1, link2(0x0800, from4(17, udp(4789, in4))), 42},
		{"Geneve", 1, link2(0x0800, from4(17, udp(6081, join([]byte{2, 0, 0x65, 0x58, 0, 0, 1, 0, 1, 0x4b, 1, 1}, []byte(ip3), in4)))), 58 + 66},
		{"GRE", 1, link2(0x0800, from4(47, join([]byte{0xA0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 7}, from4(6, segment)))), 46 + 52},
		{"GRE of Ethernet, DNS in it", 1, link2(0x0800, from4(47, join([]byte{0x80, 0, 0x65, 0x58, 0, 0, 0, 0}, link2(0x0800, from4(17, lookup))))), -1},
		{"GRE with a source route", 1, link2(0x0800, from4(47, join([]byte{0x40, 0, 8, 0, 0, 0, 0, 0}, []byte(ip3), from4(6, segment)))), 38},
		{"IP in IP", 1, link2(0x0800, from4(4, from4(6, segment))), 34 + 52},
		{"6in4", 1, link2(0x0800, from4(41, from6(17, lookup))), -1},
		{"ICMP echo", 1, link2(0x0800, from4(1, join([]byte{8, 0, 0, 0, 0, 1, 0, 1}, []byte(web)))), 42},
		{"ICMP unreachable", 1, link2(0x0800, from4(1, join([]byte{3, 4, 0, 0, 0, 0, 5, 0xaa}, quote4))), 42 + 52},
		{"ICMP redirect", 1, link2(0x0800, from4(1, join([]byte{5, 1, 0, 0}, []byte(ip3), quote4))), 42 + 52},
		{"ICMP router advertisement", 1, link2(0x0800, from4(1, join([]byte{9, 0, 0, 0, 1, 2, 0, 60}, []byte(ip3)))), 42},
		{"ICMP, not known", 1, link2(0x0800, from4(1, join([]byte{99, 0, 0, 0}, []byte(ip3)))), 38},
		{"ICMPv6 too big", 1, link2(0x86DD, from6(58, join([]byte{2, 0, 0, 0, 0, 0, 5, 0}, quote6))), 62 + 48},
		{"solicitation", 1, link2(0x86DD, discovery(135, far3, lla1)), 54 + 32},
		{"advertisement", 1, link2(0x86DD, discovery(136, far3, lla2, "\x63\x01"+mac1)), 54 + 40},
		{"router advertisement", 1, link2(0x86DD, discovery(134, "\x00\x00\x00\x00\x00\x00\x00\x00", lla1, "\x03\x04\x40\xc0\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00", far3[:8], "\x00\x00\x00\x00\x00\x00\x00\x00",
			"\x18\x02\x38\x00\x00\x00\x00\x01", far3[:7], "\x00", "\x19\x03\x00\x00\x00\x00\x00\x01", far3, "\x1f\x02\x00\x00\x00\x00\x00\x01\x04acme\x00\x00\x00", "\x05\x01\x00\x00\x00\x00\x05\xdc")), 54 + 16 + 8 + 32 + 16 + 24 + 16 + 8},
		{"redirect", 1, link2(0x86DD, discovery(137, far3, far2, lla2, "\x04\x0e\x00\x00\x00\x00\x00\x00", string(from6(6, segment)))), 54 + 40 + 8 + 8 + 72},
		{"MLD report", 1, link2(0x86DD, from6(0, hop)), 54 + 8 + 24},
		{"MLD report, version 2", 1, link2(0x86DD, discovery(143, "")), 62},
		{"MLD report with sources", 1, link2(0x86DD, from6(58, join([]byte{143, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1}, []byte("\xff\x0e\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09"+far3+ip3)))), 54 + 8 + 20 + 20},
		{"IGMP", 1, link2(0x0800, from4(2, []byte("\x16\x00\x00\x00\xef\x01\x02\x03"))), 42},
		{"IGMP, version 3", 1, link2(0x0800, from4(2, []byte("\x22\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x01\xef\x01\x02\x03"+ip3))), 42},
		{"LLDP", 1, link2(0x88CC, []byte(mac1+"acme")), 14},
		{"garbled", 1, link2(0x0800, []byte("\x53"+ip3)), 14},
		{"short frame", 1, []byte(mac1 + mac2), 0},
		{"unknown link", 113, []byte(mac1 + mac2), 0},
	}
}

// strictly redacts packets with the mapper flip.
func strictly(t testing.TB, r *Redactor, file []byte) ([]byte, counts) {
	t.Helper()
	c := counts{}
	p := &reader{redactor: r, path: "x", counts: c, step: newPackets(bytes.NewReader(file), r.scanner, r.payload, c, flip{})}
	out, err := io.ReadAll(p)
	if err != nil {
		t.Fatal(err)
	}
	return out, c
}

// TestStrictForms: of every form of packet as much is kept as is known, without
// an address or name, and all checksums over it are as good as they were.
func TestStrictForms(t *testing.T) {
	breaks := map[string]func([]byte, site){
		"good": func([]byte, site) {},
		"bad":  func(b []byte, s site) { binary.BigEndian.PutUint16(b[s.at:], binary.BigEndian.Uint16(b[s.at:])+0x77) },
		"zero": func(b []byte, s site) { b[s.at], b[s.at+1] = 0, 0 },
		"partial": func(b []byte, s site) {
			if s.pseudo != nil {
				binary.BigEndian.PutUint16(b[s.at:], slow(s.pseudo))
			}
		},
	}
	r := newRedactor(t, PayloadDefault)
	for _, f := range packetForms() {
		for how, apply := range breaks {
			in := seal(f.link, slices.Clone(f.frame))
			for _, s := range sites(f.link, in) {
				apply(in, s)
			}
			testStrictForm(t, r, f, how, in)
		}
	}
}

func testStrictForm(t *testing.T, r *Redactor, f packetForm, how string, in []byte) {
	t.Helper()
	name := f.name + ", checksums " + how
	file, _ := strictly(t, r, capture(f.link, in))
	packets, originals := frames(t, file)
	got := packets[0]
	if f.keep < 0 {
		if grown := len(got) - len(in); grown == 0 || int(originals[0]) != len(in)+7+grown {
			t.Errorf("%s: %d bytes became %d, on the wire %d", name, len(in), len(got), originals[0])
		}
	} else if len(got) != f.keep || int(originals[0]) != len(in)+7 {
		t.Errorf("%s: %d bytes kept of %d, %d on the wire, want %d", name, len(got), len(in), originals[0], f.keep)
	}
	checkGone(t, name, got)
	whole := got
	if f.keep >= 0 {
		whole = join(got, in[len(got):]) // what was cut is covered as it was
	}
	if diff := cmp.Diff(states(f.link, in, len(got)), states(f.link, whole, len(got))); diff != "" {
		t.Errorf("%s: checksums changed:\n%s%s", name, diff, hex.Dump(got))
	}
}

// checkGone looks for what may not be in a packet: names, and of addresses
// any four bytes, in both orders.
func checkGone(t *testing.T, name string, got []byte) {
	t.Helper()
	secrets := []string{"acme", "mail", "node7", planted}
	for _, a := range plantedAddresses() {
		for ; len(a) >= 4; a = a[1:] {
			secrets = append(secrets, a[:4])
		}
	}
	for _, secret := range secrets {
		backwards := []byte(secret)
		slices.Reverse(backwards)
		if bytes.Contains(got, []byte(secret)) || bytes.Contains(got, backwards) {
			t.Errorf("%s: %x survives in\n%s", name, secret, hex.Dump(got))
			return
		}
	}
}

// TestStrictCut: wherever the snaplen has cut a packet, nothing survives and
// the checksums that are left say the same about the packet on the wire.
func TestStrictCut(t *testing.T) {
	r := newRedactor(t, PayloadDefault)
	for _, f := range packetForms() {
		in := seal(f.link, slices.Clone(f.frame))
		for n := range in {
			file, _ := strictly(t, r, capture(f.link, in[:n]))
			packets, _ := frames(t, file)
			got, name := packets[0], fmt.Sprintf("%s, cut at %d", f.name, n)
			checkGone(t, name, got)
			if len(got) > n {
				t.Errorf("%s: %d bytes kept", name, len(got))
				continue
			}
			whole := join(got, in[len(got):])
			if diff := cmp.Diff(states(f.link, in, len(got)), states(f.link, whole, len(got))); diff != "" {
				t.Errorf("%s: checksums changed:\n%s%s", name, diff, hex.Dump(got))
			}
		}
	}
}

// TestStrictNone: with payload none, no more is kept than the standard policy
// keeps, and as little of it survives.
func TestStrictNone(t *testing.T) {
	r := newRedactor(t, PayloadNone)
	for _, f := range packetForms() {
		in := seal(f.link, slices.Clone(f.frame))
		file, _ := strictly(t, r, capture(f.link, in))
		packets, _ := frames(t, file)
		c := cutter{payload: PayloadNone}
		if most, _ := c.link(f.link, in); len(packets[0]) > most {
			t.Errorf("%s: %d bytes kept, standard keeps %d", f.name, len(packets[0]), most)
		}
		checkGone(t, f.name, packets[0])
	}
}
