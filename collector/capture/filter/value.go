package filter

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// value reads one id and makes the primitive that q and it mean.
func (p *parser) value(q qual) pred {
	t := p.next()
	if p.err != nil {
		return always{}
	}
	if t.kind == end || t.kind == symbol || t.kind == word && reserved(t.text) {
		p.fail(t.pos, "expected "+wanted(q)+" here"+escapeHint(q, t))
		return always{}
	}
	switch q.typ {
	case "port", "portrange":
		return p.port(q, t)
	case "proto":
		return p.proto(q, t)
	}
	return p.address(q, t)
}

func wanted(q qual) string {
	switch q.typ {
	case "port":
		return "a port number"
	case "portrange":
		return "a range of ports, N-M,"
	case "proto":
		return "a protocol number or \\name"
	}
	return "an address"
}

func escapeHint(q qual, t token) string {
	if q.typ == "proto" && t.kind == word {
		return "; a keyword needs a backslash: \\" + t.text
	}
	return ""
}

func (p *parser) port(q qual, t token) pred {
	if q.proto != "" && q.proto != "tcp" && q.proto != "udp" && q.proto != "sctp" {
		p.fail(t.pos, q.proto+" has no ports: use tcp, udp, sctp or nothing before "+q.typ)
		return always{}
	}
	lo, hi, ok := t.num, t.num, t.kind == number
	if from, to, dash := strings.Cut(t.text, "-"); q.typ == "portrange" && !ok && dash {
		a, errA := strconv.ParseUint(from, 10, 32)
		b, errB := strconv.ParseUint(to, 10, 32)
		lo, hi = uint32(min(a, b)), uint32(max(a, b))
		ok = errA == nil && errB == nil
	}
	if !ok {
		p.fail(t.pos, "expected "+wanted(q)+" here; port names are not looked up")
		return always{}
	}
	if hi > 65535 {
		p.fail(t.pos, "a port is at most 65535")
		return always{}
	}
	return ports{proto: q.proto, dir: q.dir, lo: lo, hi: hi}
}

func (p *parser) proto(q qual, t token) pred {
	n, ok := t.num, t.kind == number
	if t.kind == word || t.kind == quoted {
		n, ok = protocolNumber(t.text)
	}
	switch {
	case q.dir != "":
		p.fail(t.pos, "proto has no direction")
	case q.proto != "" && q.proto != "ip" && q.proto != "ip6":
		p.fail(t.pos, "only ip and ip6 may stand before proto")
	case !ok:
		p.fail(t.pos, "not a protocol that is known here; give its number")
	case n > 255:
		p.fail(t.pos, "a protocol number is at most 255")
	}
	return inner{family: q.proto, number: n}
}

func protocolNumber(name string) (uint32, bool) {
	n, ok := map[string]uint32{"icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50,
		"ah": 51, "ipv6-icmp": 58, "ospf": 89, "pim": 103, "vrrp": 112, "sctp": 132}[name]
	return n, ok
}

// address: a host or a net of either family.
func (p *parser) address(q qual, t token) pred {
	switch t.kind {
	case number, dotted:
		return p.address4(q, t)
	case ip6addr:
		return p.address6(q, t)
	}
	p.fail(t.pos, "names are not looked up: give an address")
	return always{}
}

func (p *parser) address4(q qual, t token) pred {
	addr, bits, ok := t.num, 32, true
	if t.kind == dotted {
		addr, bits, ok = parseDotted(t.text)
	} else if q.typ == "net" {
		for addr != 0 && addr>>24 == 0 { // net 10 is 10.0.0.0/8
			addr <<= 8
			bits -= 8
		}
	}
	if !ok {
		p.fail(t.pos, "not an IPv4 address")
		return always{}
	}
	if q.proto != "" && q.proto != "ip" && q.proto != "arp" && q.proto != "rarp" {
		p.fail(t.pos, "only ip, arp and rarp may stand before an IPv4 address")
		return always{}
	}
	mask := ^uint32(0) << (32 - bits)
	if explicit, masked := p.mask(q, t); masked {
		if mask = explicit; addr&^mask != 0 {
			p.fail(t.pos, "bits are set outside the mask; is the mask right?")
		}
	}
	return hosts4{proto: q.proto, dir: q.dir, addr: addr, mask: mask}
}

// mask reads "/BITS" or "mask ADDR" after an IPv4 network.
func (p *parser) mask(q qual, t token) (uint32, bool) {
	if p.accept("/") {
		return ^uint32(0) << (32 - p.prefix(q, t, 32)), true
	}
	if !p.peek().is("mask") {
		return 0, false
	}
	p.next()
	m := p.next()
	mask, bits, ok := parseDotted(m.text)
	if m.kind != dotted || !ok || bits != 32 {
		p.fail(m.pos, "expected a mask such as 255.255.0.0 here")
	} else if q.typ != "net" {
		p.fail(t.pos, "a mask goes with net only: write net before the address")
	}
	return mask, true
}

func (p *parser) prefix(q qual, t token, width int) int {
	n := p.next()
	switch {
	case n.kind != number || int64(n.num) > int64(width):
		p.fail(n.pos, fmt.Sprintf("expected a prefix length of 0 to %d here", width))
		return width
	case t.kind == number:
		p.fail(t.pos, "write the network with at least one dot: 10.0/8")
	case q.typ != "net" && (width == 32 || n.num != 128):
		p.fail(t.pos, "a prefix length goes with net only: write net before the address")
	}
	return int(n.num)
}

// parseDotted reads 2 to 4 numbers; missing ones are zero, bits says how many
// were given.
func parseDotted(s string) (addr uint32, bits int, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return 0, 0, false
	}
	for _, part := range parts {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return 0, 0, false
		}
		addr = addr<<8 | uint32(n)
		bits += 8
	}
	return addr << (32 - bits), bits, true
}

func (p *parser) address6(q qual, t token) pred {
	a, err := netip.ParseAddr(t.text)
	if err != nil || !a.Is6() || a.Zone() != "" {
		p.fail(t.pos, "not an IPv6 address")
		return always{}
	}
	if q.proto != "" && q.proto != "ip6" {
		p.fail(t.pos, "only ip6 may stand before an IPv6 address")
		return always{}
	}
	bits := 128
	if p.accept("/") {
		bits = p.prefix(q, t, 128)
	}
	if p.err == nil && netip.PrefixFrom(a, bits).Masked().Addr() != a {
		p.fail(t.pos, "bits are set outside the prefix; is its length right?")
		return always{}
	}
	h := hosts6{dir: q.dir}
	raw := a.As16()
	for i := range h.addr {
		h.addr[i] = binary.BigEndian.Uint32(raw[4*i:])
		h.mask[i] = ^uint32(0) << (32 - min(max(bits-32*i, 0), 32))
	}
	return h
}
