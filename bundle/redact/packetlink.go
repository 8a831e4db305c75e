package redact

import (
	"encoding/binary"
	"slices"
)

// rewriter rewrites a packet for the strict policy: what is kept of it (no
// more than the cutter keeps) has its addresses and names mapped in place, and
// its checksums mended. It walks by itself, so that nothing stays that it does
// not understand. Its methods are like those of the cutter.
type rewriter struct {
	names   *pseudonyms
	payload string
	inner   bool // within a tunnel or an ICMP error
	headers bool // headers only
	padded  bool // bytes follow an inner packet, so it must keep its length
	message *message
}

// message is the DNS message that a packet ended with and the one that takes
// its place.
type message struct{ old, new []byte }

// grown is by how much a packet is longer for its new message.
func (m *message) grown() int { return len(m.new) - len(m.old) }

func (m *message) change() sum { return sumOf(m.new).minus(sumOf(m.old)) }

// link rewrites a packet in place. Of it n bytes stay, then comes r.message.
func (r rewriter) link(kind uint16, p part) (n int, ok bool) {
	switch kind {
	case linkEthernet:
		n, ok = r.ethernet(p)
	case linkRaw:
		if n, ok = r.ip(p); !ok {
			n = 0
		}
	case linkSLL2:
		n, ok = r.cooked(p)
	}
	if !ok {
		*r.message = message{}
	}
	return n, ok
}

func (r rewriter) ethernet(p part) (int, bool) {
	const maxTags = 4
	n := 14
	if len(p.old) < n {
		return 0, false // it may end within an address
	}
	r.names.mac(p, 0)
	r.names.mac(p, 6)
	kind := binary.BigEndian.Uint16(p.old[12:])
	for tags := 0; tags < maxTags && (kind == etherVLAN || kind == etherQinQ || kind == etherOldQinQ); tags++ {
		if len(p.old) < n+4 {
			return n, false
		}
		kind = binary.BigEndian.Uint16(p.old[n+2:])
		n += 4
	}
	return r.network(p, n, kind)
}

// cooked rewrites a packet with the header that Linux gives those of any
// device. The address in it is that of the link layer, in 8 bytes: of tunnels
// the IPv4 address or the beginning of the IPv6 address.
func (r rewriter) cooked(p part) (int, bool) {
	const header, address = 20, 12
	if len(p.old) < header {
		return 0, false
	}
	switch p.old[11] {
	case 6:
		r.names.mac(p, address)
		p.from(address + 6).upto(2).blank()
	case 4:
		r.names.ipv4(p, address)
		p.from(address + 4).upto(4).blank()
	default:
		p.from(address).upto(8).blank()
	}
	return r.network(p, header, binary.BigEndian.Uint16(p.old))
}

// network goes on after a link header of n bytes.
func (r rewriter) network(p part, n int, kind uint16) (int, bool) {
	switch kind {
	case etherIPv4, etherIPv6:
		more, ok := r.ip(p.from(n))
		if !ok {
			return n, false
		}
		return n + more, true
	case etherARP, etherRARP:
		return n + r.arp(p.from(n)), true
	}
	return n, true
}

// arp keeps requests and answers for IPv4 on Ethernet, nothing of others.
func (r rewriter) arp(p part) int {
	const size = 28
	if len(p.old) < size || !slices.Equal(p.old[:6], []byte{0, 1, 8, 0, 6, 4}) {
		return 0
	}
	r.names.mac(p, 8)
	r.names.ipv4(p, 14)
	r.names.mac(p, 18)
	r.names.ipv4(p, 24)
	return size
}

// tunnel keeps a tunnel's header of n bytes and what stays of the packet that
// it holds.
func (r rewriter) tunnel(p part, n int, kind uint16) int {
	r.inner = true
	more := 0
	switch kind {
	case etherBridged:
		more, _ = r.ethernet(p.from(n))
	case etherIPv4, etherIPv6:
		more, _ = r.ip(p.from(n))
	}
	return n + more
}

// vxlan keeps the header, and what is in it if that is a frame.
func (r rewriter) vxlan(p part) int {
	if !isVXLAN(p.old) {
		return 0
	}
	return r.tunnel(p, headerVXLAN, etherBridged)
}

// geneve keeps the header without its options: among those in use are
// addresses of services.
func (r rewriter) geneve(p part) int {
	const fixed = 8
	n, kind, ok := headerGeneve(p.old)
	if !ok {
		return 0
	}
	p.upto(n).from(fixed).blank()
	return r.tunnel(p, n, kind)
}

// gre keeps the header, and what is in it if it is the first tunnel.
func (r rewriter) gre(p part) int {
	n, kind, ok := headerGRE(p.old)
	if !ok || r.inner || r.headers {
		return min(n, len(p.old))
	}
	kept := r.tunnel(p, n, kind)
	if hasSum := p.old[0]&0x80 != 0; hasSum {
		p.upto(n).mend(4, p.change(kept).plus(r.message.change()))
	}
	return kept
}
