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
		return placed{p.port(q, t), t.pos}
	case "proto":
		return placed{p.proto(q, t), t.pos}
	}
	return placed{p.address(q, t), t.pos}
}

func wanted(q qual) string {
	switch q.typ {
	case "port":
		return "a port number or name"
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

func (p *parser) proto(q qual, t token) pred {
	n, named := t.num, t.kind == word || t.kind == quoted
	switch {
	case t.kind != number && !named:
		p.fail(t.pos, "expected "+wanted(q)+" here")
	case q.proto == "link":
		if named {
			n = p.ethernetProtocol(t)
		}
		if n > 65535 {
			p.fail(t.pos, "an ethertype is at most 65535")
		}
		return ethertype(n)
	case q.proto == "iso":
		o, ok := osiProtocol(t.text)
		if named && !ok {
			p.fail(t.pos, "not an OSI protocol that is known here: clnp, esis or isis, or a number")
		}
		if !named {
			o = osi(p.octet(t))
		}
		return o
	case q.proto == "isis":
		if named {
			p.fail(t.pos, "expected the number of a PDU type here")
		}
		return isis{p.octet(t)}
	case q.proto != "" && q.proto != "ip" && q.proto != "ip6":
		p.fail(t.pos, "only ip, ip6, ether, iso and isis may stand before proto")
	case named:
		var ok bool
		if n, ok = protocolNumber(t.text); !ok {
			p.fail(t.pos, "not a protocol that is known here; give its number")
		}
	}
	t.num = n
	return inner{family: q.proto, number: p.octet(t)}
}

func (p *parser) ethernetProtocol(t token) uint32 {
	if t.text == "loopback" {
		return 0x9000
	}
	n, ok := networkProtocol(t.text)
	if !ok {
		p.fail(t.pos, "not an Ethernet protocol that is known here; give its number")
	}
	return n
}

func (p *parser) octet(t token) uint32 {
	if t.num > 255 {
		p.fail(t.pos, "a protocol number is at most 255")
	}
	return t.num
}

// address: a host or a net of any family.
func (p *parser) address(q qual, t token) pred {
	if q.typ == "" && q.proto == "radio" {
		p.fail(t.pos, "\"radio\" is for 802.11 links, which are not supported")
	}
	if q.proto == "decnet" {
		return p.decnet(q, t)
	}
	if q.proto == "link" && (t.kind == number || t.kind == dotted || t.kind == ip6addr) {
		p.fail(t.pos, "expected an Ethernet address such as 00:11:22:33:44:55 here")
	}
	switch t.kind {
	case number, dotted:
		return p.address4(q, t)
	case ip6addr:
		return p.address6(q, t)
	case mac:
		if q.proto != "link" || q.typ == "net" {
			p.fail(t.pos, "an Ethernet address needs ether host, ether src or ether dst before it")
		}
		a, _ := parseMAC(t.text)
		return hostsMAC{q.dir, a}
	}
	return p.named(q, t)
}

// Limits of what names may expand to.
const (
	maxNamed    = 256  // addresses of one name
	maxAllNamed = 1024 // of all names of an expression
)

// named is a host given by name: any of its addresses that fit.
func (p *parser) named(q qual, t token) pred {
	switch {
	case q.typ == "net":
		p.fail(t.pos, "names of networks are not looked up: give an address")
	case q.proto == "link":
		p.fail(t.pos, "names of Ethernet hosts are not looked up: give an address such as 00:11:22:33:44:55")
	case q.proto != "" && q.proto != "ip" && q.proto != "ip6" && q.proto != "arp" && q.proto != "rarp":
		p.fail(t.pos, "only ip, ip6, arp and rarp may stand before a host")
	case p.resolve == nil:
		p.fail(t.pos, "names are not looked up: give an address")
	}
	if p.err != nil {
		return always{}
	}
	addrs, err := p.resolve(t.text)
	if p.names += len(addrs); err != nil {
		p.fail(t.pos, err.Error())
	} else if len(addrs) > maxNamed || p.names > maxAllNamed {
		p.fail(t.pos, fmt.Sprintf("this name stands for %d addresses, which is too much for a filter", len(addrs)))
	}
	var any pred
	for _, a := range addrs {
		one := hostOf(q, a.Unmap())
		switch {
		case one == nil:
		case any == nil:
			any = one
		default:
			any = join("or", any, one)
		}
	}
	if any == nil {
		p.fail(t.pos, "this name has no address"+map[bool]string{true: " of the family that " + q.proto + " asks for"}[q.proto != ""])
		return always{}
	}
	return any
}

func hostOf(q qual, a netip.Addr) pred {
	switch {
	case a.Is4() && q.proto != "ip6":
		return hosts4{proto: q.proto, dir: q.dir, addr: binary.BigEndian.Uint32(a.AsSlice()), mask: ^uint32(0)}
	case a.Is6() && (q.proto == "" || q.proto == "ip6"):
		return newHosts6(q.dir, a, 128)
	}
	return nil
}

// decnet: AREA.NODE.
func (p *parser) decnet(q qual, t token) pred {
	area, node, two := strings.Cut(t.text, ".")
	a, errA := strconv.ParseUint(area, 10, 6)
	n, errN := strconv.ParseUint(node, 10, 10)
	if t.kind != dotted || !two || errA != nil || errN != nil {
		p.fail(t.pos, "expected a DECnet address, AREA.NODE, here")
	}
	return hostsDecnet{q.dir, uint32(a<<10 | n)}
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
	return newHosts6(q.dir, a, bits)
}

func newHosts6(dir string, a netip.Addr, bits int) hosts6 {
	h := hosts6{dir: dir}
	raw := a.As16()
	for i := range h.addr {
		h.addr[i] = binary.BigEndian.Uint32(raw[4*i:])
		h.mask[i] = ^uint32(0) << (32 - min(max(bits-32*i, 0), 32))
	}
	return h
}
