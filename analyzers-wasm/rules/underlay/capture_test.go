package underlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"
)

// file writes pcapng in either byte order.
type file struct {
	bytes.Buffer
	order binary.AppendByteOrder
}

func (f *file) block(kind uint32, body []byte) {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	n := uint32(len(body) + 12)
	b := f.order.AppendUint32(f.order.AppendUint32(nil, kind), n)
	f.Write(f.order.AppendUint32(append(b, body...), n))
}

func newFile(order binary.AppendByteOrder) *file {
	f := &file{order: order}
	f.block(blockSection, append(f.order.AppendUint32(nil, byteOrderMagic), 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255))
	return f
}

func (f *file) iface(link uint16, resolution byte) {
	b := f.order.AppendUint32(f.order.AppendUint16(f.order.AppendUint16(nil, link), 0), 96)
	if resolution != 0 {
		b = append(f.order.AppendUint16(f.order.AppendUint16(b, optResolution), 1), resolution, 0, 0, 0)
	}
	f.block(blockInterface, b)
}

func (f *file) packet(iface uint32, stamp uint64, data []byte, wire int, direction uint32) {
	b := f.order.AppendUint32(nil, iface)
	b = f.order.AppendUint32(f.order.AppendUint32(b, uint32(stamp>>32)), uint32(stamp))
	b = append(f.order.AppendUint32(f.order.AppendUint32(b, uint32(len(data))), uint32(wire)), data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	if direction != 0 {
		b = f.order.AppendUint32(f.order.AppendUint16(f.order.AppendUint16(b, optFlags), 4), direction)
	}
	f.block(blockPacket, b)
}

func TestReadPackets(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		f := newFile(order)
		f.iface(1, 0)                      // microseconds
		f.iface(101, 9)                    // nanoseconds
		f.iface(101, 0x80|10)              // 1/1024 s
		f.block(0x0bad, []byte("unknown")) // skipped
		f.packet(0, 1_500_000, []byte("abcde"), 1500, 2)
		f.packet(1, 1_763_715_600_123_456_789, []byte("x"), 1, 0)
		f.packet(2, 512, nil, 60, 1)
		f.Write(f.Bytes()[:28]) // another section: interfaces start anew
		whole := bytes.Clone(f.Bytes())
		var got []packet
		if err := readPackets(&f.Buffer, func(p *packet) { p.data = bytes.Clone(p.data); got = append(got, *p) }); err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 || got[0].nanos != 15e8 || got[0].direction != 2 || string(got[0].data) != "abcde" || got[0].length != 1500 ||
			got[1].nanos != 1_763_715_600_123_456_789 || got[1].linkType != 101 || got[2].nanos != 5e8 || got[2].number != 3 {
			t.Errorf("%+v", got)
		}
		n := 0
		err := readPackets(bytes.NewReader(whole[:len(whole)-28-3]), func(*packet) { n++ })
		if !errors.Is(err, io.ErrUnexpectedEOF) || n != 2 {
			t.Errorf("cut off: %d packets, %v", n, err)
		}
		f = newFile(order)
		f.packet(0, 0, nil, 0, 0)
		if err := readPackets(&f.Buffer, func(*packet) {}); !errors.Is(err, errPcapng) {
			t.Errorf("a packet without its interface: %v", err)
		}
	}
	for name, text := range map[string]string{"text": "this is no capture at all", "huge": "\n\r\r\n\xff\xff\xff\x7f\x4d\x3c\x2b\x1a"} {
		if err := readPackets(bytes.NewReader([]byte(text)), func(*packet) {}); !errors.Is(err, errPcapng) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := readPackets(bytes.NewReader(nil), func(*packet) {}); !errors.Is(err, io.EOF) {
		t.Errorf("an empty file: %v", err)
	}
}

func be16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// header is a TCP header; header4 and header6 put IP before it.
func header(seq uint32, flags byte) []byte {
	return join(be16(1000), be16(80), binary.BigEndian.AppendUint32(nil, seq), make([]byte, 4), []byte{5 << 4, flags}, make([]byte, 6))
}

func header4(total int, fragment int, tcp []byte) []byte {
	return join([]byte{0x45, 0}, be16(total), be16(1), be16(fragment), []byte{64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}, tcp)
}

func header6(length int, next byte, rest []byte) []byte {
	src, dst := netip.MustParseAddr("fd00::1").As16(), netip.MustParseAddr("fd00::2").As16()
	return join([]byte{0x60, 0, 0, 0}, be16(length), []byte{next, 64}, src[:], dst[:], rest)
}

func TestDecodeTCP(t *testing.T) {
	mac, syn := make([]byte, 12), header(7, synFlag)
	v4 := header4(1040, 0, syn)
	for name, c := range map[string]struct {
		link    uint16
		data    []byte
		wire    int
		payload int // -1: no TCP
	}{
		"ethernet":          {1, join(mac, be16(0x0800), v4), 1054, 1000},
		"vlan in vlan":      {1, join(mac, be16(0x88a8), be16(1), be16(0x8100), be16(2), be16(0x0800), v4), 1062, 1000},
		"raw 4":             {101, v4, 1040, 1000},
		"raw 6":             {101, header6(520, 6, syn), 560, 500},
		"cooked":            {113, join(make([]byte, 14), be16(0x0800), v4), 1056, 1000},
		"cooked 2":          {276, join(be16(0x86dd), make([]byte, 18), header6(520, 6, syn)), 580, 500},
		"length left out":   {101, header4(0, 0, syn), 64040, 64000},
		"options header":    {101, header6(28, 0, join([]byte{6, 0, 0, 0, 0, 0, 0, 0}, syn)), 68, 0},
		"cut after flags":   {101, v4[:34], 1040, 1000},
		"cut before flags":  {101, v4[:33], 1040, -1},
		"fragment":          {101, header4(1040, 0x2000, syn), 1040, -1},
		"UDP":               {101, header6(28, 17, syn), 68, -1},
		"fragment of v6":    {101, header6(28, 44, join([]byte{6, 0, 0, 0, 0, 0, 0, 0}, syn)), 68, -1},
		"ARP":               {1, join(mac, be16(0x0806), v4), 1054, -1},
		"unknown link":      {999, v4, 1040, -1},
		"nothing":           {1, nil, 0, -1},
		"length too small":  {101, header4(30, 0, syn), 1040, -1},
		"version mismatch":  {1, join(mac, be16(0x86dd), v4), 1054, -1},
		"endless extension": {101, header6(28, 0, []byte{0, 255, 0, 0, 0, 0, 0, 0}), 68, -1},
	} {
		s, ok := decodeTCP(c.link, c.data, c.wire)
		if ok != (c.payload >= 0) || ok && (s.payload != c.payload || s.seq != 7 || s.flags != synFlag || s.src.Port() != 1000 || s.dst.Port() != 80) {
			t.Errorf("%s: %+v %v", name, s, ok)
		}
	}
}

func TestRetransmitted(t *testing.T) {
	type step struct {
		ms      int
		seq     uint32
		payload int
		flags   uint8
		again   bool
	}
	const wrap = 1<<32 - 500
	for name, steps := range map[string][]step{
		"in order":            {{0, 1, 100, ackFlag, false}, {1, 101, 100, ackFlag, false}, {2, 201, 0, ackFlag, false}},
		"again":               {{0, 1, 100, ackFlag, false}, {200, 1, 100, ackFlag, true}},
		"a part again":        {{0, 1, 64000, ackFlag, false}, {200, 1449, 1448, ackFlag, true}},
		"again and more":      {{0, 1, 100, ackFlag, false}, {200, 1, 200, ackFlag, true}, {201, 201, 10, ackFlag, false}},
		"across the wrap":     {{0, wrap, 1000, ackFlag, false}, {1, 500, 10, ackFlag, false}, {200, wrap, 1000, ackFlag, true}},
		"overtaken":           {{0, 1, 100, ackFlag, false}, {1, 201, 100, ackFlag, false}, {2, 101, 100, ackFlag, false}, {300, 101, 100, ackFlag, true}},
		"lost before us":      {{0, 1, 100, ackFlag, false}, {1, 201, 100, ackFlag, false}, {210, 101, 100, ackFlag, true}},
		"half a hole":         {{0, 1, 100, ackFlag, false}, {1, 301, 100, ackFlag, false}, {2, 151, 50, ackFlag, false}, {3, 101, 50, ackFlag, false}, {4, 201, 100, ackFlag, false}, {500, 201, 100, ackFlag, true}},
		"keep-alive":          {{0, 1, 100, ackFlag, false}, {1, 100, 1, ackFlag, false}, {2, 100, 0, ackFlag, false}},
		"FIN again":           {{0, 1, 100, ackFlag, false}, {1, 101, 0, ackFlag | finFlag, false}, {201, 101, 0, ackFlag | finFlag, true}},
		"SYN again":           {{0, 1, 0, synFlag, false}, {1000, 1, 0, synFlag, true}, {1001, 2, 10, ackFlag, false}},
		"port used again":     {{0, 1, 0, synFlag, false}, {1, 2, 100, ackFlag, false}, {9, 9000, 0, synFlag, false}, {10, 9001, 100, ackFlag, false}},
		"older new number":    {{0, 9000, 0, synFlag, false}, {1, 9001, 100, ackFlag, false}, {9, 1, 0, synFlag, false}, {10, 2, 100, ackFlag, false}},
		"reset":               {{0, 1, 100, ackFlag, false}, {1, 1, 100, rstFlag, false}},
		"began in the middle": {{0, 7777, 100, ackFlag, false}, {1, 7877, 100, ackFlag, false}},
	} {
		f := &flow{}
		for i, s := range steps {
			if got := f.retransmitted(tcpSegment{seq: s.seq, payload: s.payload, flags: s.flags}, int64(s.ms)*int64(time.Millisecond)); got != s.again {
				t.Errorf("%s, step %d: %v", name, i, got)
			}
		}
		if len(f.holes) != 0 {
			t.Errorf("%s: holes are left: %v", name, f.holes)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		c := newFile(order)
		c.iface(101, 9)
		for i := range 4 {
			c.packet(0, uint64(i)*1e9, header4(1040, 0, header(uint32(i/2), ackFlag)), 1040, uint32(i%2))
		}
		f.Add(c.Bytes())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, _ := scan(bytes.NewReader(text))
		if s.again > s.segments || s.syn > s.again || len(s.packets) > maxEvidence || (s.again > 0) != (s.worst != nil) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzDecodeTCP(f *testing.F) {
	f.Add(uint16(1), join(make([]byte, 12), be16(0x0800), header4(1040, 0, header(7, synFlag))), 1054)
	f.Add(uint16(101), header6(28, 0, join([]byte{6, 0, 0, 0, 0, 0, 0, 0}, header(1, ackFlag))), 68)
	f.Fuzz(func(t *testing.T, link uint16, b []byte, wire int) {
		if s, ok := decodeTCP(link, b, wire); ok && (s.payload < 0 || !s.src.IsValid()) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzRetransmitted(f *testing.F) {
	f.Add([]byte{0, 10, 16, 10, 10, 16, 0, 10, 16, 30, 5, 1})
	f.Fuzz(func(t *testing.T, steps []byte) {
		fl := &flow{}
		for i := 0; i+2 < len(steps); i += 3 {
			fl.retransmitted(tcpSegment{seq: uint32(int8(steps[i])) * 100, payload: int(steps[i+1]) * 10, flags: steps[i+2]}, int64(i)*int64(time.Millisecond))
			if len(fl.holes) > maxHoles {
				t.Fatalf("%d holes", len(fl.holes))
			}
		}
	})
}
