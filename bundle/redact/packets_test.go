package redact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// capture writes a pcapng file with one interface of the link type.
func capture(link uint16, frames ...[]byte) []byte {
	le := binary.LittleEndian
	section := le.AppendUint32(nil, byteOrderMagic)
	section = le.AppendUint32(section, 1)
	section = le.AppendUint64(section, 999)
	section = append(section, option(4, "casefile")...)
	out := appendBlock(nil, blockSection, section)
	iface := le.AppendUint16(nil, link)
	iface = append(iface, 0, 0, 0, 0, 4, 0)
	iface = append(iface, option(2, "eth0")...)
	out = appendBlock(out, blockInterface, iface)
	for _, f := range frames {
		out = appendBlock(out, blockPacket, packetBlock(0, f, option(2, "\x01\x00\x00\x00")))
	}
	stats := append(make([]byte, 12), option(5, "\x07\x00\x00\x00\x00\x00\x00\x00")...)
	return appendBlock(out, blockStatistics, stats)
}

func packetBlock(iface uint32, frame, options []byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, iface)
	b = le.AppendUint64(b, 0x0102030405060708)
	b = le.AppendUint32(b, uint32(len(frame)))
	b = le.AppendUint32(b, uint32(len(frame)+7)) // the snaplen cut seven
	b = append(b, frame...)
	b = append(b, make([]byte, (4-len(frame)%4)%4)...)
	return append(b, options...)
}

func option(code uint16, value string) []byte {
	b := binary.LittleEndian.AppendUint16(nil, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	b = append(b, make([]byte, (4-len(value)%4)%4)...)
	return append(b, 0, 0, 0, 0)
}

// frames reads the packets of a capture back, by code of the test.
func frames(t testing.TB, file []byte) (packets [][]byte, originals []uint32) {
	t.Helper()
	le := binary.LittleEndian
	for len(file) > 0 {
		size := le.Uint32(file[4:])
		if int(size) > len(file) || le.Uint32(file[size-4:]) != size {
			t.Fatal("block lengths differ")
		}
		if le.Uint32(file) == blockPacket {
			n := le.Uint32(file[20:])
			packets = append(packets, file[28:28+n])
			originals = append(originals, le.Uint32(file[24:]))
			if !bytes.Contains(file[28+n:size], []byte("\x02\x00\x04\x00\x01\x00\x00\x00")) {
				t.Error("the options of a packet are lost")
			}
		}
		file = file[size:]
	}
	return packets, originals
}

func be16(v ...uint16) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func eth(kind uint16, payload []byte) []byte {
	return join([]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02"), be16(kind), payload)
}

func ip4(proto byte, fragment uint16, payload []byte) []byte {
	h := join([]byte{0x45, 0}, be16(uint16(20+len(payload)), 7, fragment), []byte{64, proto, 0, 0}, []byte{10, 0, 0, 1, 10, 0, 0, 2})
	return append(h, payload...)
}

func ip6(next byte, payload []byte) []byte {
	return join([]byte{0x60, 0, 0, 0}, be16(uint16(len(payload))), []byte{next, 64}, make([]byte, 32), payload)
}

func tcp(port uint16, payload string) []byte {
	return join(be16(40000, port), make([]byte, 8), []byte{0x80, 0x18}, make([]byte, 6), []byte("\x01\x01\x08\x0aTTTTEEEE"), []byte(payload))
}

func udp(port uint16, payload []byte) []byte {
	return join(be16(40000, port, uint16(8+len(payload)), 0), payload)
}

const query = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04kube\x03dns\x00\x00\x01\x00\x01"

// TestCuts says for each form of packet how much of it stays, by policy.
func TestCuts(t *testing.T) {
	secret := "GET / HTTP/1.1\r\nCookie: " + planted + "\r\n"
	hello := "\x16\x03\x01\x00\x08\x01\x00\x00\x04helo"
	vxlan := func(inner []byte) []byte { return join([]byte{8, 0, 0, 0, 0, 0, 1, 0}, inner) }
	cases := []struct {
		name          string
		link          uint16
		packet        []byte
		none, usually int
	}{
		{"http", 1, eth(0x0800, ip4(6, 0, tcp(80, secret))), 66, 66},
		{"http over IPv6", 1, eth(0x86DD, ip6(6, tcp(80, secret))), 86, 86},
		{"IPv6 extensions", 1, eth(0x86DD, ip6(0, join([]byte{60, 0}, make([]byte, 6), []byte{6, 1}, make([]byte, 14), tcp(80, secret)))), 86 + 24, 86 + 24},
		{"IPv6 fragment, first", 1, eth(0x86DD, ip6(44, join([]byte{6, 0, 0, 1}, make([]byte, 4), tcp(80, secret)))), 86 + 8, 86 + 8},
		{"IPv6 fragment, later", 1, eth(0x86DD, ip6(44, join([]byte{6, 0, 0, 0x10}, make([]byte, 4), []byte(secret)))), 14 + 48, 14 + 48},
		{"IPv4 fragment, later", 1, eth(0x0800, ip4(6, 0x0010, []byte(secret))), 34, 34},
		{"VLAN", 1, eth(0x88A8, join(be16(5, 0x8100, 6, 0x0800), ip4(6, 0, tcp(80, secret)))), 74, 74},
		{"raw IP", 101, ip4(6, 0, tcp(80, secret)), 52, 52},
		{"SLL2", 276, join(be16(0x0800), make([]byte, 18), ip4(6, 0, tcp(80, secret))), 72, 72},
		{"ARP with padding", 1, eth(0x0806, append(make([]byte, 28), secret...)), 42, 42},
		{"TCP padding", 1, append(eth(0x0800, ip4(6, 0, tcp(80, ""))), secret...), 66, 66},
		{"IGMP padding", 1, append(eth(0x0800, ip4(2, 0, []byte("igmp"))), secret...), 38, 38},
		{"IPv6 padding", 1, append(eth(0x86DD, ip6(50, []byte("esp."))), secret...), 58, 58},
		{"DNS", 1, eth(0x0800, ip4(17, 0, udp(53, []byte(query)))), 42, 42 + len(query)},
		{"DNS and more", 1, eth(0x0800, ip4(17, 0, udp(53, []byte(query+secret)))), 42, 42 + len(query)},
		{"DNS over TCP", 1, eth(0x0800, ip4(6, 0, tcp(53, "\x00\x1a"+query+secret))), 66, 66 + 2 + len(query)},
		{"no DNS on port 53", 1, eth(0x0800, ip4(17, 0, udp(53, []byte(secret)))), 42, 42},
		{"UDP", 1, eth(0x0800, ip4(17, 0, udp(9999, []byte(query+secret)))), 42, 42},
		{"TLS", 1, eth(0x0800, ip4(6, 0, tcp(443, hello+"\x15\x03\x03\x00\x02\x01\x00"+"\x17\x03\x03\x00\x20"+secret))), 66, 66 + 13 + 7},
		{"TLS, encrypted handshake", 1, eth(0x0800, ip4(6, 0, tcp(443, "\x14\x03\x03\x00\x01\x01\x16\x03\x03\x00\x20"+planted+planted))), 66, 66 + 6 + 5},
		{"ICMP echo", 1, eth(0x0800, ip4(1, 0, join([]byte{8, 0, 0, 0, 0, 1, 0, 1}, []byte(secret)))), 42, 42},
		{"ICMP error", 1, eth(0x0800, ip4(1, 0, join([]byte{3, 4, 0, 0, 0, 0, 5, 0xaa}, ip4(6, 0, tcp(80, secret))))), 42, 42 + 52},
		{"ICMPv6 too big", 1, eth(0x86DD, ip6(58, join([]byte{2, 0, 0, 0, 0, 0, 5, 0}, ip6(17, udp(53, []byte(query+secret)))))), 62, 62 + 48},
		{"ICMPv6 echo", 1, eth(0x86DD, ip6(58, join([]byte{128, 0, 0, 0, 0, 0, 0, 1}, []byte(secret)))), 62, 62},
		{"VXLAN", 1, eth(0x0800, ip4(17, 0, udp(8472, vxlan(eth(0x0800, ip4(6, 0, tcp(80, secret))))))), 42 + 8 + 66, 42 + 8 + 66},
		{"VXLAN, DNS in it", 1, eth(0x0800, ip4(17, 0, udp(4789, vxlan(eth(0x0800, ip4(17, 0, udp(53, []byte(query)))))))), 42 + 8 + 42, 42 + 8 + 42 + len(query)},
		{"VXLAN in VXLAN", 1, eth(0x0800, ip4(17, 0, udp(4789, vxlan(eth(0x0800, ip4(17, 0, udp(4789, vxlan([]byte(secret))))))))), 42 + 8 + 42, 42 + 8 + 42},
		{"Geneve", 1, eth(0x0800, ip4(17, 0, udp(6081, join([]byte{1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0}, eth(0x0800, ip4(6, 0, tcp(80, secret))))))), 42 + 12 + 66, 42 + 12 + 66},
		{"IP in IP", 1, eth(0x0800, ip4(4, 0, ip4(6, 0, tcp(80, secret)))), 34 + 52, 34 + 52},
		{"VXLAN, not", 1, eth(0x0800, ip4(17, 0, udp(4789, []byte(secret)))), 42, 42},
		{"Geneve of another version", 1, eth(0x0800, ip4(17, 0, udp(6081, []byte("\x40"+secret)))), 42, 42},
		{"GRE", 1, eth(0x0800, ip4(47, 0, join([]byte{0xB0, 0, 0x65, 0x58}, make([]byte, 12), eth(0x0800, ip4(6, 0, tcp(80, secret)))))), 34 + 16 + 66, 34 + 16 + 66},
		{"GRE in GRE", 1, eth(0x0800, ip4(47, 0, join([]byte{0, 0, 8, 0}, ip4(47, 0, join([]byte{0, 0, 8, 0}, ip4(6, 0, tcp(80, secret))))))), 34 + 4 + 24, 34 + 4 + 24},
		{"GRE with a source route", 1, eth(0x0800, ip4(47, 0, join([]byte{0x40, 0, 8, 0}, []byte(secret)))), 38, 38},
		{"GRE of something else", 1, eth(0x0800, ip4(47, 0, join([]byte{0, 0, 0x88, 0xBE}, []byte(secret)))), 38, 38},
		{"RARP with padding", 1, eth(0x8035, append(make([]byte, 28), secret...)), 42, 42},
		{"neighbour solicitation", 1, eth(0x86DD, ip6(58, join([]byte{135}, make([]byte, 23), []byte("\x01\x01macmac")))), 54 + 32, 54 + 32},
		{"ICMPv6 redirect", 1, eth(0x86DD, ip6(58, join([]byte{137}, make([]byte, 39), []byte("\x02\x01macmac\x04\x0f\x00\x00\x00\x00\x00\x00"), ip6(6, tcp(80, secret))))), 54 + 48, 54 + 56 + 72},
		{"ESP", 1, eth(0x0800, ip4(50, 0, []byte(secret))), 42, 42},
		{"unknown protocol", 1, eth(0x0800, ip4(99, 0, []byte(secret))), 34, 34},
		{"unknown ethertype", 1, eth(0x88CC, []byte(secret)), 14, 14},
		{"garbled IP", 1, eth(0x0800, []byte("\x53"+secret)), 14, 14},
		{"garbled IPv4 length", 1, eth(0x0800, join([]byte{0x45, 0, 0, 5}, []byte(secret))), 14, 14},
		{"garbled TCP", 1, eth(0x0800, ip4(6, 0, []byte(strings.Repeat("\x00", 20)+secret))), 14, 14},
		{"short frame", 1, []byte("abc"), 3, 3},
		{"empty", 1, nil, 0, 0},
		{"unknown link", 113, []byte(secret), 0, 0},
	}
	for _, c := range cases {
		for payload, want := range map[string]int{PayloadNone: c.none, PayloadDefault: c.usually, PayloadFull: len(c.packet)} {
			out, err := io.ReadAll(newRedactor(t, payload).Reader("captures/a/b.pcapng", bytes.NewReader(capture(c.link, c.packet))))
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, payload, err)
				continue
			}
			got, originals := frames(t, out)
			if len(got) != 1 || len(got[0]) != want || !bytes.HasPrefix(c.packet, got[0]) || originals[0] != uint32(len(c.packet)+7) {
				t.Errorf("%s, payload %s: %d bytes kept of %d (original %v), want %d", c.name, payload, len(got[0]), len(c.packet), originals, want)
			}
			if payload != PayloadFull && bytes.Contains(out, []byte(planted)) {
				t.Errorf("%s, payload %s: secret survives", c.name, payload)
			}
		}
	}
}

func TestCapturesFull(t *testing.T) {
	in := capture(1, eth(0x0800, ip4(6, 0, tcp(80, planted))), []byte("x"))
	out, err := io.ReadAll(newRedactor(t, PayloadFull).Reader("captures/a/b.pcapng", bytes.NewReader(in)))
	for i := range 8 {
		in[16+i] = 0xff // the length of the section is not given
	}
	if err != nil || !bytes.Equal(in, out) {
		t.Errorf("bytes changed, or %v", err)
	}
}

func TestCapturesRefused(t *testing.T) {
	good := capture(1, eth(0x0800, ip4(6, 0, tcp(80, planted))))
	flip := func(at int, with ...byte) []byte {
		b := slices.Clone(good)
		copy(b[at:], with)
		return b
	}
	head := int(binary.LittleEndian.Uint32(good[4:]))
	bad := map[string][]byte{
		"empty": nil, "text": []byte("password=hunter2"), "classic pcap": append([]byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00"), make([]byte, 16)...),
		"big endian": flip(8, 0x1a, 0x2b, 0x3c, 0x4d), "version 2": flip(12, 2), "no section": good[head:], "two lengths": flip(head-4, 1),
		"odd length": flip(4, 13), "huge block": flip(4, 0, 0, 0, 0x7f), "short block": flip(4, 8),
		"TLS keys":       appendBlock(slices.Clone(good), 0x0A, []byte("TLSK\x00\x00\x00\x00")),
		"simple packet":  appendBlock(slices.Clone(good), 3, make([]byte, 8)),
		"custom block":   appendBlock(slices.Clone(good), 0xBAD, make([]byte, 8)),
		"no interface":   appendBlock(slices.Clone(good), blockPacket, packetBlock(1, []byte("x"), nil)),
		"short packet":   appendBlock(slices.Clone(good), blockPacket, make([]byte, 16)),
		"short names":    appendBlock(slices.Clone(good), blockNames, []byte("abc\x00abc")[:4]),
		"long option":    appendBlock(slices.Clone(good), blockStatistics, append(make([]byte, 12), 1, 0, 99, 0)),
		"secret comment": appendBlock(slices.Clone(good), blockStatistics, append(make([]byte, 12), option(1, "password="+planted)...)),
		"too long":       appendBlock(slices.Clone(good), blockPacket, packetBlock(0, nil, nil)[:20]),
	}
	binary.LittleEndian.PutUint32(bad["too long"][len(bad["too long"])-12:], 1000)
	r := newRedactor(t, "")
	var borders []int
	for n := 0; n < len(good); n += int(binary.LittleEndian.Uint32(good[n+4:])) {
		borders = append(borders, n)
	}
	for n := 1; n < len(good); n++ {
		cut := good[:n]
		out, err := io.ReadAll(r.Reader("captures/a/b.pcapng", bytes.NewReader(cut)))
		if !errors.Is(err, ErrRedaction) && !slices.Contains(borders, n) {
			t.Errorf("cut at %d: %v", n, err)
		}
		if bytes.Contains(out, []byte(planted)) {
			t.Errorf("cut at %d: secret survives", n)
		}
	}
	for name, in := range bad {
		out, err := io.ReadAll(newRedactor(t, PayloadFull).Reader("captures/a/b.pcapng", bytes.NewReader(in)))
		if !errors.Is(err, ErrRedaction) {
			t.Errorf("%s: %v with %d bytes", name, err, len(out))
		}
	}
}

// FuzzCapture: whatever lies before and after it, payload that is neither DNS
// nor a TLS handshake does not survive, and what comes out is a capture that
// redacts to itself.
func FuzzCapture(f *testing.F) {
	f.Add(capture(1, eth(0x0800, ip4(17, 0, udp(53, []byte(query))))), uint16(1), []byte{0x45})
	f.Add(capture(101, ip6(58, make([]byte, 60))), uint16(101), []byte{0x60})
	f.Add([]byte{}, uint16(276), be16(0x0800))
	r := newRedactor(f, "")
	f.Fuzz(func(t *testing.T, file []byte, link uint16, noise []byte) {
		if bytes.Contains(file, []byte(planted[:4])) || bytes.Contains(noise, []byte(planted[:4])) {
			return
		}
		secret := eth(0x0800, ip4(6, 0, tcp(80, planted)))
		if link == 101 {
			secret = secret[14:]
		}
		in := slices.Concat(capture(link, noise, join(secret, noise)), file)
		out, err := io.ReadAll(r.Reader("captures/a/b.pcapng", bytes.NewReader(in)))
		if bytes.Contains(out, []byte(planted)) {
			t.Fatal("secret survives")
		}
		if err != nil {
			if !errors.Is(err, ErrRedaction) {
				t.Fatal(err)
			}
			return
		}
		if len(out) > len(in) {
			t.Fatalf("%d bytes became %d", len(in), len(out))
		}
		again, err := io.ReadAll(r.Reader("captures/a/b.pcapng", bytes.NewReader(out)))
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("not idempotent: %v", err)
		}
	})
}
