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
	var p []byte
	if l == Ethernet {
		p = g.ethernet(nil, 3)
	} else if g.IntN(2) == 0 {
		p = g.ip4(nil, 2)
	} else {
		p = g.ip6(nil, 2)
	}
	p = append(p, g.bytes(40+g.IntN(80))...)
	if g.stumps && g.IntN(8) == 0 {
		p = p[:max(40+14, g.IntN(len(p)))]
	}
	return p
}

func u16(p []byte, v ...uint16) []byte {
	for _, n := range v {
		p = binary.BigEndian.AppendUint16(p, n)
	}
	return p
}

// ethernet is a frame with at most so many headers that hold others.
func (g generator) ethernet(p []byte, deep int) []byte {
	return g.ethertype(append(append(p, g.mac()...), g.mac()...), deep)
}

func (g generator) mac() []byte {
	return pick(g, []byte{0, 0x11, 0x22, 0x33, 0x44, 0x55}, []byte{0, 0x11, 0x22, 0x33, 0x44, 0x66}, []byte{255, 255, 255, 255, 255, 255},
		[]byte{1, 0x80, 0xc2, 0, 0, 0}, g.bytes(6))
}

// ethertype is a type and what it says.
func (g generator) ethertype(p []byte, deep int) []byte {
	if deep > 0 && g.IntN(3) == 0 {
		return g.tunnel(p, deep-1)
	}
	switch g.IntN(10) {
	case 0, 1, 2:
		return g.ip4(u16(p, etherIP), deep)
	case 3, 4:
		return g.ip6(u16(p, etherIP6), deep)
	case 5:
		return g.arp(u16(p, pick[uint16](g, etherARP, etherRARP)))
	case 6, 7:
		return g.logicalLink(p)
	case 8:
		return g.decnet(u16(p, etherDN))
	}
	return u16(p, pick[uint16](g, 0x88cc, etherTalk, etherAARP, etherIPX, 0x6001, 0x6002, 0x6004, 0x6007, 0x9000, etherPPPoD, 0x600, 1500, 1501, uint16(g.Uint32())))
}

func (g generator) tunnel(p []byte, deep int) []byte {
	switch g.IntN(5) {
	case 0, 1:
		p = u16(p, pick[uint16](g, 0x8100, 0x8100, 0x88a8, 0x9100), pick[uint16](g, 5, 100, 0x2064, 0xe005, uint16(g.Uint32())))
		return g.ethertype(p, deep)
	case 2:
		p = u16(p, etherMPLS)
		for labels := g.IntN(3); labels >= 0; labels-- {
			label := pick[uint32](g, 16, 1024, 100000, g.Uint32()>>12)
			last := uint32(0)
			if labels == 0 || g.IntN(8) == 0 {
				last = 0x100
			}
			p = binary.BigEndian.AppendUint32(p, label<<12|last|g.Uint32()&0xff)
		}
		return g.ip(p, deep)
	case 3:
		p = u16(p, etherPPPoS, 0x1100, pick[uint16](g, 5, 0x27, uint16(g.Uint32())), uint16(g.Uint32()))
		switch g.IntN(4) {
		case 0:
			return g.ip4(u16(p, 0x21), deep)
		case 1:
			return g.ip6(u16(p, 0x57), deep)
		case 2:
			return g.ip(append(u16(p, pppMPLS), 0, 0x40, pick[byte](g, 0, 1), 64), deep)
		}
		return u16(p, pick[uint16](g, 0xc021, 0x23, 0x27, 0x29, 0x2b, 0x31, etherIP))
	}
	return g.geneve(p, deep)
}

// geneve is over either IP, with options, of an Ethernet frame or a bare packet.
func (g generator) geneve(p []byte, deep int) []byte {
	if g.IntN(2) == 0 {
		p = u16(p, etherIP)
		h := g.bytes(20)
		h[0], h[6], h[7], h[9] = 0x45, 0, 0, protoUDP
		p = append(p, h...)
	} else {
		h := append(g.bytes(8), append(g.addr6(), g.addr6()...)...)
		h[0], h[6] = 0x60, protoUDP
		p = append(u16(p, etherIP6), h...)
	}
	options := g.IntN(3)
	p = u16(p, uint16(g.Uint32()), pick[uint16](g, genevePort, genevePort, genevePort, 53), 0, 0)
	p = append(p, pick[byte](g, 0, 0, 0, 0x40)|byte(options), 0)
	inner := pick[uint16](g, etherTEB, etherTEB, etherIP, etherIP6, etherARP)
	p = append(u16(p, inner), 0, 0, pick[byte](g, 5, 7, 11), 0)
	p = append(p, g.bytes(4*options)...)
	switch inner {
	case etherTEB:
		return g.ethernet(p, deep)
	case etherIP:
		return g.ip4(p, deep)
	case etherIP6:
		return g.ip6(p, deep)
	}
	return g.arp(p)
}

// logicalLink is an 802.3 length and 802.2, perhaps SNAP.
func (g generator) logicalLink(p []byte) []byte {
	p = u16(p, pick[uint16](g, 40, 100, 1500))
	switch g.IntN(6) {
	case 0: // OSI, IS-IS
		p = append(p, sapISO, sapISO, 3, pick[byte](g, osiCLNP, osiESIS, osiISIS, osiISIS, osiISIS))
		p = append(p, g.bytes(3)...)
		return append(p, byte(14+g.IntN(16)))
	case 1: // SNAP
		p = append(p, 0xaa, 0xaa, 3, 0, 0, 0)
		return u16(p, pick[uint16](g, etherIP, etherAARP, etherIPX, etherTalk))
	case 2:
		return u16(append(p, 0xaa, 0xaa, 3, 8, 0, 7), pick[uint16](g, etherTalk, etherAARP))
	case 3:
		return append(p, 0xff, 0xff)
	}
	sap := pick[byte](g, sapSTP, sapIPX, sapNetBEUI, sapIP, 0xe0, byte(g.Uint32()))
	return append(p, sap, sap, pick[byte](g, 3, 0, 1, 5, 9, 0x63, 0x73, 0x43, 0x0f, 0x6f, 0xe3, 0xaf, 0x87, byte(g.Uint32())))
}

func (g generator) decnet(p []byte) []byte {
	p = append(p, g.bytes(2)...)
	if g.IntN(2) == 0 {
		p = append(p, 0x81)
	}
	addr := func() []byte { return pick(g, []byte{5, 4}, []byte{6, 4}) }
	if g.IntN(2) == 0 {
		return append(append(append(p, 2), addr()...), addr()...)
	}
	p = append(append(p, 6), g.bytes(6)...)
	p = append(append(p, addr()...), g.bytes(6)...)
	return append(p, addr()...)
}

func (g generator) arp(p []byte) []byte {
	p = append(p, g.bytes(14)...)
	p = append(p, g.addr4()...)
	p = append(p, g.bytes(6)...)
	return append(p, g.addr4()...)
}

func (g generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g generator) addr4() []byte {
	return pick(g, []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}, []byte{10, 1, 2, 3}, []byte{192, 168, 1, 7}, []byte{0, 0, 0, 10}, []byte{10, 1, 0, 0},
		[]byte{255, 255, 255, 255}, []byte{0, 0, 0, 0}, []byte{224, 0, 0, 251}, g.bytes(4))
}

func (g generator) addr6() []byte {
	a := make([]byte, 16)
	copy(a, pick(g, []byte{0x20, 1, 0xd, 0xb8}, []byte{0xfe, 0x80}, []byte{0xfd, 0, 0, 0, 0x12, 0x34}, []byte{255, 2}))
	a[15] = byte(g.IntN(4))
	if g.IntN(3) == 0 {
		a[7] = byte(g.Uint32())
	}
	return a
}

func (g generator) proto() byte {
	return pick[byte](g, 6, 6, 6, 17, 17, 17, 132, 1, 58, 2, 9, 50, 51, 103, 112, 47, 89, byte(g.Uint32()))
}

func (g generator) ip(p []byte, deep int) []byte {
	if g.IntN(2) == 0 {
		return g.ip4(p, deep)
	}
	return g.ip6(p, deep)
}

func (g generator) ip4(p []byte, deep int) []byte {
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
	return g.transport(p, deep)
}

// ip6 may have an extension header: hop by hop, routing, fragment, AH, options.
func (g generator) ip6(p []byte, deep int) []byte {
	h := g.bytes(8)
	h[0], h[6] = 0x60|byte(g.IntN(16)), pick(g, g.proto(), g.proto(), 44, pick[byte](g, 0, 43, 51, 60))
	p = append(p, h...)
	p = append(p, g.addr6()...)
	p = append(p, g.addr6()...)
	switch h[6] {
	case 0, 43, 44, 51, 60:
		p = append(p, append([]byte{g.proto(), 0}, g.bytes(6)...)...)
	}
	return g.transport(p, deep)
}

// transport looks like TCP, UDP, SCTP and ICMP at once, and may hold Geneve.
func (g generator) transport(p []byte, deep int) []byte {
	h := g.bytes(20)
	port := func() uint16 {
		return pick[uint16](g, 53, 80, 443, 8080, 22, 90, 20, 69, 0x0800, 0x8000, 0x0300, uint16(g.IntN(200)), uint16(g.Uint32()))
	}
	binary.BigEndian.PutUint16(h, port())
	binary.BigEndian.PutUint16(h[2:], port())
	h[12], h[13] = 0x50, pick[byte](g, 2, 0x12, 0x10, 0x18, 0x11, 4, byte(g.Uint32()))
	if deep > 0 && g.IntN(6) == 0 {
		binary.BigEndian.PutUint16(h[2:], genevePort)
		h[8], h[9] = 0, 0
		copy(h[10:], []byte{0x65, 0x58, 0, 0, 5, 0})
		return g.ethernet(append(p, h[:16]...), deep-1)
	}
	return append(p, h...)
}
