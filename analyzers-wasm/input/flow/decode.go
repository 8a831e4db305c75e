package flow

import "encoding/binary"

// Link types that are decoded.
const (
	linkNull     = 0
	linkEthernet = 1
	linkRaw12    = 12
	linkRaw14    = 14
	linkRaw      = 101
	linkLoop     = 108
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

// Protocols of IP.
const (
	protoICMP   = 1
	protoIPIP   = 4
	protoTCP    = 6
	protoUDP    = 17
	protoIPv6   = 41
	protoGRE    = 47
	protoICMPv6 = 58
	protoSCTP   = 132
)

const (
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	etherTEB   = 0x6558
	maxTunnels = 2
	maxTags    = 4
	maxExt     = 8
)

const (
	portVXLAN  = 4789
	portVXLANo = 8472 // of Linux before there was a standard; flannel still uses it
	portGeneve = 6081
)

// Tunnels, as in [abi.Flow].
const (
	tunnelVXLAN uint8 = iota + 1
	tunnelGeneve
	tunnelIPIP
	tunnelGRE
)

// headers is what the headers of a packet say.
type headers struct {
	src, dst  addr
	sport     uint16
	dport     uint16
	proto     uint8
	v6        bool
	tunnel    uint8
	ttl       uint8
	fragment  bool // of a datagram in pieces: this is the first
	later     bool // a later piece, without ports
	whole     bool // the transport header is all there
	tcpFlags  uint8
	id        uint32 // of IP
	length    int    // of the transport's payload, as it was on the wire
	payload   []byte // what was captured of it
	seq, ack  uint32
	window    uint16
	scale     int8 // option of a SYN; -1 without
	stamped   bool
	tsval     uint32
	tsecr     uint32
	transport []byte // from the transport header on, for ICMP
}

// addr is an address: of IPv4 the low 32 bits.
type addr struct{ hi, lo uint64 }

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// network finds the network layer of a packet: its protocol by Ethernet's
// numbers and where it begins. ifindex is of SLL2 only.
func network(link uint16, b []byte) (proto uint16, at int, ok bool) {
	switch link {
	case linkEthernet:
		if len(b) < 14 {
			return 0, 0, false
		}
		return untag(be16(b[12:]), 14, b)
	case linkRaw, linkRaw12, linkRaw14, linkIPv4, linkIPv6:
		return version(b), 0, len(b) > 0
	case linkSLL:
		if len(b) < 16 {
			return 0, 0, false
		}
		return untag(be16(b[14:]), 16, b)
	case linkSLL2:
		if len(b) < 20 {
			return 0, 0, false
		}
		return untag(be16(b), 20, b)
	case linkNull, linkLoop:
		if len(b) < 5 {
			return 0, 0, false
		}
		return version(b[4:]), 4, true
	}
	return 0, 0, false
}

func version(b []byte) uint16 {
	if len(b) > 0 && b[0]>>4 == 6 {
		return etherIPv6
	}
	return etherIPv4
}

// untag passes over VLAN tags.
func untag(proto uint16, at int, b []byte) (uint16, int, bool) {
	for range maxTags {
		if proto != 0x8100 && proto != 0x88a8 && proto != 0x9100 {
			return proto, at, true
		}
		if len(b) < at+4 {
			return 0, 0, false
		}
		proto, at = be16(b[at+2:]), at+4
	}
	return proto, at, true
}

// ip reads the headers from the network layer on; false if it is no IP or is
// cut off before the addresses. wire is the length from here.
func (h *headers) ip(proto uint16, b []byte, wire int) bool {
	switch proto {
	case etherIPv4:
		return h.ip4(b, wire)
	case etherIPv6:
		return h.ip6(b, wire)
	}
	return false
}

func (h *headers) ip4(b []byte, wire int) bool {
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	head, total := int(b[0]&15)*4, int(be16(b[2:]))
	if total == 0 {
		total = wire // segmentation is left to the device
	}
	if head < 20 || total < head {
		return false
	}
	h.v6, h.proto, h.ttl, h.id = false, b[9], b[8], uint32(be16(b[4:]))
	h.src, h.dst = addr{lo: uint64(be32(b[12:]))}, addr{lo: uint64(be32(b[16:]))}
	frag := be16(b[6:])
	h.later, h.fragment = frag&0x1fff != 0, frag&0x3fff == 0x2000
	h.upper(b[min(head, len(b)):min(len(b), max(total, head))], total-head)
	return true
}

func (h *headers) ip6(b []byte, wire int) bool {
	if len(b) < 40 || b[0]>>4 != 6 {
		return false
	}
	length, next := int(be16(b[4:])), b[6]
	if length == 0 {
		length = wire - 40
	}
	h.v6, h.ttl, h.id, h.later, h.fragment = true, b[7], 0, false, false
	h.src = addr{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
	h.dst = addr{binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])}
	b = b[40:]
	b = b[:min(len(b), max(length, 0))]
	for range maxExt {
		var n int
		switch next {
		case 0, 43, 60, 135: // hop by hop, routing, destination, mobility
			if len(b) < 8 {
				h.proto, h.later = next, true
				return true
			}
			n = int(b[1])*8 + 8
		case 51: // authentication
			if len(b) < 8 {
				h.proto, h.later = next, true
				return true
			}
			n = int(b[1])*4 + 8
		case 44:
			if len(b) < 8 {
				h.proto, h.later = next, true
				return true
			}
			off := be16(b[2:])
			h.later, h.fragment = off&^7 != 0, off&^6 == 1
			h.id, n = be32(b[4:]), 8
		default:
			h.proto = next
			h.upper(b, length)
			return true
		}
		next = b[0]
		if h.later {
			h.proto = next
			h.upper(nil, length-n)
			return true
		}
		b, length = b[min(n, len(b)):], length-n
	}
	h.proto, h.later = next, true
	return true
}

// upper reads the transport header; length is the whole of the rest.
func (h *headers) upper(b []byte, length int) {
	h.transport, h.payload, h.length, h.whole, h.sport, h.dport = b, nil, max(length, 0), false, 0, 0
	if h.later {
		return
	}
	switch h.proto {
	case protoTCP:
		h.tcp(b, length)
	case protoUDP:
		if len(b) < 8 {
			h.ports(b)
			return
		}
		h.sport, h.dport = be16(b), be16(b[2:])
		h.length = max(length-8, 0)
		if n := int(be16(b[4:])); n >= 8 && (h.fragment || n-8 < h.length) {
			h.length = n - 8
		}
		h.whole, h.payload = true, b[8:min(len(b), 8+h.length)]
	case protoSCTP:
		h.ports(b)
	}
}

func (h *headers) ports(b []byte) {
	if len(b) >= 4 {
		h.sport, h.dport = be16(b), be16(b[2:])
	}
}

func (h *headers) tcp(b []byte, length int) {
	if len(b) < 20 {
		h.ports(b)
		return
	}
	h.sport, h.dport, h.seq, h.ack, h.tcpFlags, h.window = be16(b), be16(b[2:]), be32(b[4:]), be32(b[8:]), b[13], be16(b[14:])
	head := int(b[12]>>4) * 4
	if head < 20 || length < head {
		return
	}
	h.length = length - head
	h.whole = !h.fragment
	h.stamped, h.scale, h.tsval, h.tsecr = false, -1, 0, 0
	if head == 32 && len(b) >= 32 && be32(b[20:]) == 0x0101080a { // how nearly every segment looks
		h.stamped, h.tsval, h.tsecr = true, be32(b[24:]), be32(b[28:])
	} else if head > 20 {
		h.options(b[20:min(head, len(b))])
	}
	if len(b) > head {
		h.payload = b[head:]
	}
}

func (h *headers) options(b []byte) {
	for len(b) > 0 {
		if b[0] == 1 {
			b = b[1:]
			continue
		}
		if b[0] == 0 || len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		n := int(b[1])
		switch {
		case b[0] == 3 && n == 3:
			h.scale = int8(min(b[2], 14))
		case b[0] == 8 && n == 10:
			h.stamped, h.tsval, h.tsecr = true, be32(b[2:]), be32(b[6:])
		}
		b = b[n:]
	}
}

// inner steps into a tunnel; false if there is none. The headers of the outer
// packet are lost.
func (h *headers) inner() bool {
	if h.later || h.fragment {
		return false
	}
	switch h.proto {
	case protoIPIP, protoIPv6:
		proto := uint16(etherIPv4)
		if h.proto == protoIPv6 {
			proto = etherIPv6
		}
		return h.into(tunnelIPIP, proto, h.transport, h.length)
	case protoGRE:
		return h.gre()
	case protoUDP:
		switch {
		case !h.whole || len(h.payload) < 8:
		case h.dport == portVXLAN || h.dport == portVXLANo:
			if h.payload[0]&0x08 != 0 {
				return h.ethernet(tunnelVXLAN, h.payload[8:], h.length-8)
			}
		case h.dport == portGeneve:
			n := 8 + int(h.payload[0]&0x3f)*4
			if h.payload[0]>>6 == 0 && n <= len(h.payload) {
				if proto := be16(h.payload[2:]); proto != etherTEB {
					return h.into(tunnelGeneve, proto, h.payload[n:], h.length-n)
				}
				return h.ethernet(tunnelGeneve, h.payload[n:], h.length-n)
			}
		}
	}
	return false
}

func (h *headers) gre() bool {
	b := h.transport
	if len(b) < 4 || b[1]&7 != 0 {
		return false
	}
	n := 4
	for _, bit := range [3]byte{0x80, 0x20, 0x10} { // checksum, key, sequence number
		if b[0]&bit != 0 {
			n += 4
		}
	}
	if n > len(b) {
		return false
	}
	if proto := be16(b[2:]); proto != etherTEB {
		return h.into(tunnelGRE, proto, b[n:], h.length-n)
	}
	return h.ethernet(tunnelGRE, b[n:], h.length-n)
}

func (h *headers) ethernet(tunnel uint8, b []byte, wire int) bool {
	proto, at, ok := network(linkEthernet, b)
	return ok && at <= len(b) && h.into(tunnel, proto, b[at:], wire-at)
}

func (h *headers) into(tunnel uint8, proto uint16, b []byte, wire int) bool {
	if !h.ip(proto, b, wire) {
		return false
	}
	h.tunnel = tunnel
	return true
}
