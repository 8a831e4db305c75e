package filter

import (
	"encoding/binary"
	"math/rand/v2"
)

// packets makes synthetic packets of a link, from the small pools of addresses
// and ports that the expressions under test speak of.
//
// Some are cut short if the caller wants so. tcpdump's optimizer leaves out
// loads whose outcome cannot matter, and with them the rejection of packets
// that end before: on such stumps, contradictory expressions may differ.
func packets(l Link, n int, stumps bool) [][]byte {
	g := generator{rand.New(rand.NewPCG(1, uint64(l))), stumps}
	out := make([][]byte, n)
	for i := range out {
		out[i] = g.packet(l)
	}
	return out
}

type generator struct {
	*rand.Rand
	stumps bool
}

func pick[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) packet(l Link) []byte {
	ethertype := pick[uint16](g, etherIP, etherIP, etherIP, etherIP6, etherIP6, etherARP, etherRARP, 0x8100, 0x88cc, 40)
	var p []byte
	if l == Ethernet {
		p = g.bytes(12)
		p = binary.BigEndian.AppendUint16(p, ethertype)
	}
	switch ethertype {
	case etherIP:
		p = g.ip4(p)
	case etherIP6:
		p = g.ip6(p)
	case etherARP, etherRARP:
		p = append(p, g.bytes(14)...)
		p = append(p, g.addr4()...)
		p = append(p, g.bytes(6)...)
		p = append(p, g.addr4()...)
	default:
		p = append(p, g.bytes(60)...)
	}
	p = append(p, g.bytes(40+g.IntN(80))...)
	if g.stumps && g.IntN(8) == 0 {
		p = p[:max(40+14, g.IntN(len(p)))]
	}
	return p
}

func (g generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g generator) addr4() []byte {
	return pick(g, []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}, []byte{10, 1, 2, 3}, []byte{192, 168, 1, 7}, []byte{0, 0, 0, 10}, []byte{10, 1, 0, 0}, g.bytes(4))
}

func (g generator) addr6() []byte {
	a := make([]byte, 16)
	copy(a, pick(g, []byte{0x20, 1, 0xd, 0xb8}, []byte{0xfe, 0x80}, []byte{0xfd, 0, 0, 0, 0x12, 0x34}))
	a[15] = byte(g.IntN(4))
	if g.IntN(3) == 0 {
		a[7] = byte(g.Uint32())
	}
	return a
}

func (g generator) proto() byte {
	return pick[byte](g, 6, 6, 6, 17, 17, 17, 132, 1, 58, 2, 50, 51, 103, 47, 89, byte(g.Uint32()))
}

func (g generator) ip4(p []byte) []byte {
	words := pick(g, 5, 5, 5, 6, 8, 15, g.IntN(16))
	h := g.bytes(20)
	h[0] = byte(0x40 | words)
	binary.BigEndian.PutUint16(h[6:], pick[uint16](g, 0, 0, 0, 0x4000, 0x2000, 0x2010, 100, 0x1fff))
	h[8], h[9] = byte(g.IntN(65)), g.proto()
	copy(h[12:], g.addr4())
	copy(h[16:], g.addr4())
	p = append(p, h...)
	if words > 5 {
		p = append(p, g.bytes(4*words-20)...)
	}
	return g.transport(p)
}

func (g generator) ip6(p []byte) []byte {
	h := g.bytes(8)
	h[0], h[6] = 0x60|byte(g.IntN(16)), pick(g, g.proto(), g.proto(), 44)
	p = append(p, h...)
	p = append(p, g.addr6()...)
	p = append(p, g.addr6()...)
	if h[6] == 44 {
		p = append(p, append([]byte{g.proto()}, g.bytes(7)...)...)
	}
	return g.transport(p)
}

// transport looks like TCP, UDP and ICMP at once.
func (g generator) transport(p []byte) []byte {
	h := g.bytes(20)
	port := func() uint16 {
		return pick[uint16](g, 53, 80, 443, 8080, 22, 90, 0x0800, 0x8000, 0x0300, uint16(g.IntN(200)), uint16(g.Uint32()))
	}
	binary.BigEndian.PutUint16(h, port())
	binary.BigEndian.PutUint16(h[2:], port())
	h[12], h[13] = 0x50, pick[byte](g, 2, 0x12, 0x10, 0x18, 0x11, 4, byte(g.Uint32()))
	return append(p, h...)
}
