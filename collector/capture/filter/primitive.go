package filter

import "golang.org/x/net/bpf"

type (
	always   struct{}
	negation struct{ of pred }
	joined   struct {
		op   string // and, or
		l, r pred
	}
	protocol  string // a protocol's name on its own
	ethertype uint32
	inner     struct {
		family string // "" ip ip6
		number uint32
	}
	ports struct {
		proto, dir string
		lo, hi     uint32
	}
	hosts4 struct {
		proto, dir string
		addr, mask uint32
	}
	hosts6 struct {
		dir        string
		addr, mask [4]uint32
	}
	hostsMAC struct {
		dir  string
		addr [6]byte
	}
	hostsDecnet struct {
		dir  string
		addr uint32
	}
	broadcast string // the protocol: "", link, ip
	multicast string
	// metadata is what the kernel knows of a packet beside its bytes.
	metadata struct {
		ext bpf.Extension
		val uint32
	}
)

func join(op string, l, r pred) pred { return joined{op, l, r} }

func (always) lower(*scope) node { return constant(true) }

func (n negation) lower(s *scope) node { return not{n.of.lower(s)} }

func (j joined) lower(s *scope) node {
	l := j.l.lower(s)
	r := j.r.lower(s)
	if j.op == "and" {
		return all{l, r}
	}
	return either{l, r}
}

const (
	protoTCP      = 6
	protoUDP      = 17
	protoFragment = 44
	protoSCTP     = 132
	osiCLNP       = 0x81
	osiESIS       = 0x82
	osiISIS       = 0x83
)

func (e ethertype) lower(s *scope) node { return s.carries(uint32(e)) }

func (p protocol) lower(s *scope) node {
	if e, ok := networkProtocol(string(p)); ok {
		return s.carries(e)
	}
	if i, ok := p.inner(); ok {
		return i.lower(s)
	}
	if o, ok := osiProtocol(string(p)); ok {
		return o.lower(s)
	}
	return isisTypes(string(p)).lower(s)
}

// networkProtocol gives the ethertype or SAP of what a link carries.
func networkProtocol(name string) (uint32, bool) {
	e, ok := map[string]uint32{
		"ip": etherIP, "ip6": etherIP6, "arp": etherARP, "rarp": etherRARP, "atalk": etherTalk, "aarp": etherAARP, "decnet": etherDN,
		"sca": 0x6007, "lat": 0x6004, "mopdl": 0x6001, "moprc": 0x6002, "iso": sapISO, "stp": sapSTP, "ipx": sapIPX, "netbeui": sapNetBEUI,
	}[name]
	return e, ok
}

func osiProtocol(name string) (osi, bool) {
	o, ok := map[string]osi{"clnp": osiCLNP, "esis": osiESIS, "isis": osiISIS}[name]
	return o, ok
}

func isisTypes(name string) isis {
	return map[string]isis{
		"l1": {26, 24, 18, 15, 17}, "l2": {27, 25, 20, 16, 17}, "iih": {17, 15, 16}, "lsp": {18, 20},
		"snp": {27, 26, 24, 25}, "csnp": {24, 25}, "psnp": {26, 27},
	}[name]
}

// inner is the protocol as one that IP carries.
func (p protocol) inner() (inner, bool) {
	i, ok := map[protocol]inner{
		"tcp": {"", protoTCP}, "udp": {"", protoUDP}, "sctp": {"", protoSCTP}, "icmp": {"ip", 1}, "icmp6": {"ip6", 58},
		"igmp": {"ip", 2}, "igrp": {"ip", 9}, "pim": {"", 103}, "vrrp": {"ip", 112}, "carp": {"ip", 112}, "ah": {"", 51}, "esp": {"", 50},
	}[p]
	return i, ok
}

// firstFragment holds unless the packet is a later fragment, which has no
// transport header.
func firstFragment(s *scope) node {
	return not{test{code: s.network(6, 2), cond: bpf.JumpBitsSet, val: 0x1fff}}
}

func (i inner) lower(s *scope) node {
	v4 := func() node { return all{s.carries(etherIP), equal(s.network(9, 1), i.number)} }
	// IPv6: directly, or directly behind a fragment header.
	v6 := func() node {
		return all{s.carries(etherIP6), either{
			equal(s.network(6, 1), i.number),
			all{equal(s.network(6, 1), protoFragment), equal(s.network(40, 1), i.number)},
		}}
	}
	switch i.family {
	case "ip":
		return v4()
	case "ip6":
		return v6()
	}
	return either{v4(), v6()}
}

func (p ports) lower(s *scope) node { return either{p.lower6(s), p.lower4(s)} }

func (p ports) lower4(s *scope) node {
	return all{s.carries(etherIP), p.transport(s.network(9, 1)), firstFragment(s), p.match(s.transport4)}
}

func (p ports) lower6(s *scope) node {
	return all{s.carries(etherIP6), p.transport(s.network(6, 1)), p.match(s.transport6)}
}

func (p ports) transport(next []bpf.Instruction) node {
	numbers := map[string][]uint32{"": {protoSCTP, protoTCP, protoUDP}, "tcp": {protoTCP}, "udp": {protoUDP}, "sctp": {protoSCTP}}[p.proto]
	var ns either
	for _, n := range numbers {
		ns = append(ns, equal(next, n))
	}
	return ns
}

func (p ports) match(at func(off uint32, size int) []bpf.Instruction) node {
	return directed(p.dir, func(dst bool) node {
		off := uint32(0)
		if dst {
			off = 2
		}
		if p.lo == p.hi {
			return equal(at(off, 2), p.lo)
		}
		return all{test{code: at(off, 2), cond: bpf.JumpGreaterOrEqual, val: p.lo}, not{greater(at(off, 2), p.hi)}}
	})
}

// directed applies a test to the source, the destination, either or both.
func directed(dir string, at func(dst bool) node) node {
	switch dir {
	case "src":
		return at(false)
	case "dst":
		return at(true)
	case "and":
		return all{at(false), at(true)}
	}
	return either{at(false), at(true)}
}

func (h hosts4) lower(s *scope) node {
	family := func(ethertype, src, dst uint32) node {
		return all{s.carries(ethertype), directed(h.dir, func(d bool) node {
			off := src
			if d {
				off = dst
			}
			return masked(s.network(off, 4), h.addr&h.mask, h.mask)
		})}
	}
	switch {
	case h.proto == "ip", h.proto == "" && s.labels > 0:
		return family(etherIP, 12, 16)
	case h.proto == "arp":
		return family(etherARP, 14, 24)
	case h.proto == "rarp":
		return family(etherRARP, 14, 24)
	}
	return either{family(etherIP, 12, 16), family(etherARP, 14, 24), family(etherRARP, 14, 24)}
}

func (h hosts6) lower(s *scope) node {
	return all{s.carries(etherIP6), directed(h.dir, func(dst bool) node {
		off := uint32(8)
		if dst {
			off += 16
		}
		var words all
		for i := range h.addr {
			words = append(words, masked(s.network(off+4*uint32(i), 4), h.addr[i]&h.mask[i], h.mask[i]))
		}
		return words
	})}
}

func (h hostsMAC) lower(s *scope) node {
	if s.header != ethernetHeader {
		return s.without("Ethernet addresses need an Ethernet header")
	}
	return all{s.hasFrame(), directed(h.dir, func(dst bool) node {
		off := uint32(6)
		if dst {
			off = 0
		}
		a := h.addr
		low := uint32(a[2])<<24 | uint32(a[3])<<16 | uint32(a[4])<<8 | uint32(a[5])
		return all{equal(s.start.load(off+2, 4), low), equal(s.start.load(off, 2), uint32(a[0])<<8|uint32(a[1]))}
	})}
}

// DECnet addresses stand at four places: in long and short headers, each with
// or without a byte of padding before.
func (h hostsDecnet) lower(s *scope) node {
	return all{s.carries(etherDN), directed(h.dir, func(dst bool) node {
		short, long := uint32(3), uint32(15)
		if dst {
			short, long = 1, 7
		}
		addr := h.addr>>8&0xff | h.addr&0xff<<8
		return either{
			all{masked(s.network(2, 1), 2, 7), equal(s.network(2+short, 2), addr)},
			all{masked(s.network(2, 2), 0x8102, 0xff07), equal(s.network(3+short, 2), addr)},
			all{masked(s.network(2, 1), 6, 7), equal(s.network(2+long, 2), addr)},
			all{masked(s.network(2, 2), 0x8106, 0xff07), equal(s.network(3+long, 2), addr)},
		}
	})}
}

func (b broadcast) lower(s *scope) node {
	if b == "ip" { // no interface, no netmask: only the two addresses that need none
		dst := s.network(16, 4)
		return all{s.carries(etherIP), either{equal(dst, 0), equal(dst, ^uint32(0))}}
	}
	if s.header != ethernetHeader {
		return s.without("broadcast needs an Ethernet header; or write ip broadcast")
	}
	return hostsMAC{"dst", [6]byte{255, 255, 255, 255, 255, 255}}.lower(s)
}

func (m multicast) lower(s *scope) node {
	switch {
	case m == "ip":
		return all{s.carries(etherIP), test{code: s.network(16, 1), cond: bpf.JumpGreaterOrEqual, val: 224}}
	case m == "ip6":
		return all{s.carries(etherIP6), equal(s.network(24, 1), 255)}
	case s.header != ethernetHeader:
		return s.without("multicast needs an Ethernet header; or write ip multicast or ip6 multicast")
	}
	return all{s.hasFrame(), test{code: s.start.load(0, 1), cond: bpf.JumpBitsSet, val: 1}}
}

func (m metadata) lower(s *scope) node {
	if !s.live {
		return s.fail("only a live capture knows this of a packet, a file does not")
	}
	return equal([]bpf.Instruction{bpf.LoadExtension{Num: m.ext}}, m.val)
}
