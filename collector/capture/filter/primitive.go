package filter

import "golang.org/x/net/bpf"

type (
	always   struct{}
	negation struct{ of pred }
	joined   struct {
		op   string // and, or
		l, r pred
	}
	protocol string // a protocol's name on its own
	inner    struct {
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
)

func join(op string, l, r pred) pred { return joined{op, l, r} }

func (always) lower(link) node { return constant(true) }

func (n negation) lower(l link) node { return not{n.of.lower(l)} }

func (j joined) lower(l link) node { return lowerJoined(j.op, j.l.lower(l), j.r.lower(l)) }

func lowerJoined(op string, a, b node) node {
	if op == "and" {
		return all{a, b}
	}
	return either{a, b}
}

const (
	protoTCP      = 6
	protoUDP      = 17
	protoFragment = 44
	protoSCTP     = 132
)

func (p protocol) lower(l link) node {
	switch p {
	case "ip":
		return l.carries(etherIP)
	case "ip6":
		return l.carries(etherIP6)
	case "arp":
		return l.carries(etherARP)
	case "rarp":
		return l.carries(etherRARP)
	}
	return p.inner().lower(l)
}

// inner is the protocol as one that IP carries.
func (p protocol) inner() inner {
	return map[protocol]inner{
		"tcp": {"", protoTCP}, "udp": {"", protoUDP}, "sctp": {"", protoSCTP}, "icmp": {"ip", 1}, "icmp6": {"ip6", 58},
		"igmp": {"ip", 2}, "pim": {"", 103}, "ah": {"", 51}, "esp": {"", 50},
	}[p]
}

// firstFragment holds unless the packet is a later fragment, which has no
// transport header.
func firstFragment(l link) node {
	return not{test{code: load(l.net+6, 2), cond: bpf.JumpBitsSet, val: 0x1fff}}
}

func (i inner) lower(l link) node {
	v4 := all{l.carries(etherIP), equal(load(l.net+9, 1), i.number)}
	// IPv6: directly, or directly behind a fragment header.
	v6 := all{l.carries(etherIP6), either{
		equal(load(l.net+6, 1), i.number),
		all{equal(load(l.net+6, 1), protoFragment), equal(load(l.net+40, 1), i.number)},
	}}
	switch i.family {
	case "ip":
		return v4
	case "ip6":
		return v6
	}
	return either{v4, v6}
}

func (p ports) lower(l link) node {
	numbers := []uint32{protoTCP, protoUDP, protoSCTP}
	switch p.proto {
	case "tcp":
		numbers = numbers[:1]
	case "udp":
		numbers = numbers[1:2]
	case "sctp":
		numbers = numbers[2:]
	}
	transport := func(off uint32) node {
		var ns either
		for _, n := range numbers {
			ns = append(ns, equal(load(off, 1), n))
		}
		return ns
	}
	v4 := all{l.carries(etherIP), transport(l.net + 9), firstFragment(l), p.match(func(off uint32) []bpf.Instruction {
		return []bpf.Instruction{bpf.LoadMemShift{Off: l.net}, bpf.LoadIndirect{Off: l.net + off, Size: 2}}
	})}
	v6 := all{l.carries(etherIP6), transport(l.net + 6), p.match(func(off uint32) []bpf.Instruction {
		return load(l.net+40+off, 2)
	})}
	return either{v6, v4}
}

func (p ports) match(at func(off uint32) []bpf.Instruction) node {
	return directed(p.dir, func(dst bool) node {
		off := uint32(0)
		if dst {
			off = 2
		}
		if p.lo == p.hi {
			return equal(at(off), p.lo)
		}
		return all{test{code: at(off), cond: bpf.JumpGreaterOrEqual, val: p.lo}, not{test{code: at(off), cond: bpf.JumpGreaterThan, val: p.hi}}}
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

func (h hosts4) lower(l link) node {
	family := func(ethertype, src, dst uint32) node {
		return all{l.carries(ethertype), directed(h.dir, func(d bool) node {
			off := src
			if d {
				off = dst
			}
			return masked(l.net+off, h.addr, h.mask)
		})}
	}
	ip, arp, rarp := family(etherIP, 12, 16), family(etherARP, 14, 24), family(etherRARP, 14, 24)
	switch h.proto {
	case "ip":
		return ip
	case "arp":
		return arp
	case "rarp":
		return rarp
	}
	return either{ip, arp, rarp}
}

func (h hosts6) lower(l link) node {
	return all{l.carries(etherIP6), directed(h.dir, func(dst bool) node {
		off := l.net + 8
		if dst {
			off += 16
		}
		var words all
		for i := range h.addr {
			words = append(words, masked(off+4*uint32(i), h.addr[i], h.mask[i]))
		}
		return words
	})}
}

func masked(off, val, mask uint32) node {
	switch mask {
	case 0:
		return constant(true)
	case ^uint32(0):
		return equal(load(off, 4), val)
	}
	return equal(append(load(off, 4), and(mask)), val&mask)
}
