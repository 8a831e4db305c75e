package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"
)

// parsed is a pcapng file as a reader of its own sees it.
type parsed struct {
	ifaces  []parsedIface
	packets []parsedPacket
	names   map[string]string
	stats   map[uint32]parsedStats
}

type parsedIface struct {
	link    uint16
	snaplen uint32
	opts    map[uint16][]byte
}

type parsedPacket struct {
	iface, orig, flags uint32
	nanos              int64
	data               []byte
}

type parsedStats struct {
	received, dropped uint64
	comment           string
}

var le = binary.LittleEndian

// parsePcapng reads strictly: any length or padding that is off is an error.
func parsePcapng(b []byte) (*parsed, error) {
	p := &parsed{names: map[string]string{}, stats: map[uint32]parsedStats{}}
	for first := true; len(b) > 0; first = false {
		if len(b) < 12 {
			return nil, fmt.Errorf("%d bytes are left", len(b))
		}
		typ, n := le.Uint32(b), le.Uint32(b[4:])
		if n < 12 || n%4 != 0 || int(n) > len(b) || le.Uint32(b[n-4:]) != n {
			return nil, fmt.Errorf("block %#x of length %d", typ, n)
		}
		if first != (typ == blockSection) {
			return nil, fmt.Errorf("block %#x at the wrong place", typ)
		}
		if err := p.block(typ, b[8:n-4]); err != nil {
			return nil, fmt.Errorf("block %#x: %w", typ, err)
		}
		b = b[n:]
	}
	return p, nil
}

func (p *parsed) block(typ uint32, body []byte) error {
	switch typ {
	case blockSection:
		if le.Uint32(body) != byteOrderMagic || le.Uint32(body[4:]) != 1 {
			return fmt.Errorf("magic or version")
		}
		_, err := options(body[16:])
		return err
	case blockInterface:
		opts, err := options(body[8:])
		p.ifaces = append(p.ifaces, parsedIface{le.Uint16(body), le.Uint32(body[4:]), opts})
		return err
	case blockPacket:
		n := le.Uint32(body[12:])
		padded := (n + 3) / 4 * 4
		if int(20+padded) > len(body) {
			return fmt.Errorf("packet of %d bytes", n)
		}
		opts, err := options(body[20+padded:])
		if err != nil || len(opts[optPacketFlags]) != 4 || le.Uint32(body) >= uint32(len(p.ifaces)) {
			return fmt.Errorf("options or interface: %w", err)
		}
		p.packets = append(p.packets, parsedPacket{le.Uint32(body), le.Uint32(body[16:]), le.Uint32(opts[optPacketFlags]),
			int64(uint64(le.Uint32(body[4:]))<<32 | uint64(le.Uint32(body[8:]))), body[20 : 20+n]})
		return nil
	case blockNames:
		return p.nameRecords(body)
	case blockStatistics:
		opts, err := options(body[12:])
		if err != nil || len(opts[optStatsReceived]) != 8 || len(opts[optStatsDropped]) != 8 {
			return fmt.Errorf("options: %w", err)
		}
		p.stats[le.Uint32(body)] = parsedStats{le.Uint64(opts[optStatsReceived]), le.Uint64(opts[optStatsDropped]), string(opts[optComment])}
		return nil
	}
	return fmt.Errorf("unknown")
}

func (p *parsed) nameRecords(body []byte) error {
	for {
		typ, n := le.Uint16(body), int(le.Uint16(body[2:]))
		if typ == 0 {
			return nil
		}
		size := map[uint16]int{nameRecord4: 4, nameRecord6: 16}[typ]
		value := body[4 : 4+n]
		a, ok := netip.AddrFromSlice(value[:size])
		if !ok || value[n-1] != 0 {
			return fmt.Errorf("name record %d %x", typ, value)
		}
		p.names[a.String()] = string(value[size : n-1])
		body = body[4+(n+3)/4*4:]
	}
}

func options(b []byte) (map[uint16][]byte, error) {
	out := map[uint16][]byte{}
	for {
		if len(b) < 4 {
			return nil, fmt.Errorf("options do not end")
		}
		code, n := le.Uint16(b), int(le.Uint16(b[2:]))
		if code == optEnd {
			if len(b) != 4 {
				return nil, fmt.Errorf("%d bytes behind the options", len(b)-4)
			}
			return out, nil
		}
		if 4+(n+3)/4*4 > len(b) {
			return nil, fmt.Errorf("option %d of %d bytes", code, n)
		}
		out[code] = b[4 : 4+n]
		b = b[4+(n+3)/4*4:]
	}
}

func TestPcapngGolden(t *testing.T) {
	var b blocks
	b.section("", "")
	b.iface("eth0", "", "tcp", linkEthernet, 96)
	b.packet(0, 1<<40+5, 1500, 1|1<<2, []byte{1, 2, 3, 4, 5})
	b.names([]netip.Addr{netip.MustParseAddr("10.0.0.1")}, func(netip.Addr) string { return "pod" })
	b.statistics(0, 7, 3, 2, "")
	const want = "0a0d0d0a2c0000004d3c2b1a01000000ffffffffffffffff" + "0400080063617365" + "66696c65" + "00000000" + "2c000000" +
		"01000000300000000100000060000000" + "0200040065746830" + "0900010009000000" + "0b00040000746370" + "00000000" + "30000000" +
		"0600000034000000" + "00000000" + "00010000" + "05000000" + "05000000" + "dc050000" + "0102030405000000" + "0200040005000000" + "00000000" + "34000000" +
		"040000001c000000" + "01000800" + "0a000001" + "706f6400" + "00000000" + "1c000000" +
		"0500000034000000" + "00000000" + "00000000" + "07000000" + "04000800" + "0300000000000000" + "05000800" + "0200000000000000" + "00000000" + "34000000"
	got := hex.EncodeToString(b.buf)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := parsePcapng(b.buf); err != nil {
		t.Error(err)
	}
}

func FuzzPcapng(f *testing.F) {
	f.Add("eth0", "port 53", []byte{1, 2, 3}, int64(1), uint32(60), "web-0")
	f.Add("", "", []byte{}, int64(0), uint32(0), "")
	f.Fuzz(func(t *testing.T, name, filter string, data []byte, nanos int64, orig uint32, host string) {
		var b blocks
		b.section("", "")
		b.iface(name, host, filter, linkRaw, 128)
		before := len(b.buf)
		b.packet(0, nanos, orig, 2, data)
		if n := len(b.buf) - before; n != packetSize(len(data)) {
			t.Fatalf("a packet of %d bytes takes %d, not %d", len(data), n, packetSize(len(data)))
		}
		b.names([]netip.Addr{netip.MustParseAddr("fe80::1")}, func(netip.Addr) string { return host })
		b.statistics(0, nanos, 1, 2, host)
		p, err := parsePcapng(b.buf)
		if err != nil {
			t.Fatal(err)
		}
		got := p.packets[0]
		if !bytes.Equal(got.data, data) || got.nanos != nanos || got.orig != orig || got.flags != 2 {
			t.Fatalf("%+v", got)
		}
		if n := p.ifaces[0].opts[optIfName]; string(n) != name[:min(len(name), 65535)] {
			t.Fatalf("name %q", n)
		}
	})
}
