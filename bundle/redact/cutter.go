package redact

import "encoding/binary"

// Link types.
const (
	linkEthernet = 1
	linkRaw      = 101
	linkSLL2     = 276
)

// Ethernet and IP protocol numbers, and ports.
const (
	etherIPv4, etherIPv6, etherARP           = 0x0800, 0x86DD, 0x0806
	etherVLAN, etherQinQ, etherOldQinQ       = 0x8100, 0x88A8, 0x9100
	etherBridged, etherRARP                  = 0x6558, 0x8035
	protoHopByHop, protoICMP, protoIGMP      = 0, 1, 2
	protoIPIP, protoTCP, protoUDP            = 4, 6, 17
	protoIPv6, protoRouting, protoFragment   = 41, 43, 44
	protoGRE, protoESP, protoAH, protoICMPv6 = 47, 50, 51, 58
	protoDestination, protoSCTP              = 60, 132

	portDNS, portVXLAN, portVXLANLinux, portGeneve = 53, 4789, 8472, 6081
)

// cutter finds how many bytes of a packet are kept. Its methods take the bytes
// from their own header on, and say whether they could be parsed; a packet
// that cannot keeps its link header only. A packet cut short by the snaplen
// parses as far as it goes.
type cutter struct {
	payload string
	inner   bool // within a tunnel or an ICMP error: no further one is followed
	headers bool // headers only, whatever the policy
}

func (c cutter) link(kind uint16, b []byte) (int, bool) {
	switch kind {
	case linkEthernet:
		return c.ethernet(b)
	case linkRaw:
		n, ok := c.ip(b)
		if !ok {
			return 0, false
		}
		return n, true
	case linkSLL2:
		const header = 20
		if len(b) < header {
			return len(b), false
		}
		return c.network(b, header, binary.BigEndian.Uint16(b))
	}
	return 0, false
}

func (c cutter) ethernet(b []byte) (int, bool) {
	const maxTags = 4
	n := 14
	if len(b) < n {
		return len(b), false
	}
	kind := binary.BigEndian.Uint16(b[12:])
	for tags := 0; tags < maxTags && (kind == etherVLAN || kind == etherQinQ || kind == etherOldQinQ); tags++ {
		if len(b) < n+4 {
			return n, false
		}
		kind = binary.BigEndian.Uint16(b[n+2:])
		n += 4
	}
	return c.network(b, n, kind)
}

// network goes on after a link header of n bytes.
func (c cutter) network(b []byte, n int, kind uint16) (int, bool) {
	const arp = 28
	switch kind {
	case etherIPv4, etherIPv6:
		more, ok := c.ip(b[n:])
		if !ok {
			return n, false
		}
		return n + more, true
	case etherARP, etherRARP:
		return min(len(b), n+arp), true
	}
	return n, true
}

func (c cutter) ip(b []byte) (int, bool) {
	if len(b) == 0 {
		return 0, false
	}
	switch b[0] >> 4 {
	case 4:
		return c.ipv4(b)
	case 6:
		return c.ipv6(b)
	}
	return 0, false
}

func (c cutter) ipv4(b []byte) (int, bool) {
	if len(b) < 20 {
		return 0, false
	}
	n, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if n < 20 || n > len(b) || total != 0 && total < n {
		return 0, false
	}
	if total != 0 && total < len(b) { // zero: segmentation offload
		b = b[:total]
	}
	if binary.BigEndian.Uint16(b[6:])&0x1FFF != 0 {
		return n, true // a later fragment is all payload
	}
	more, ok := c.transport(b[9], b[n:])
	return n + more, ok
}

func (c cutter) ipv6(b []byte) (int, bool) {
	const header, maxExtensions = 40, 8
	if len(b) < header {
		return 0, false
	}
	if total := header + int(binary.BigEndian.Uint16(b[4:])); total > header && total < len(b) {
		b = b[:total]
	}
	n, next := header, b[6]
	for range maxExtensions {
		size := 0
		switch next {
		case protoHopByHop, protoRouting, protoDestination:
			size = extension(b[n:], 8, 1)
		case protoFragment:
			size = 8
		case protoAH:
			size = extension(b[n:], 4, 2)
		default:
			more, ok := c.transport(next, b[n:])
			return n + more, ok
		}
		if size == 0 || len(b) < n+size {
			return n, len(b) == n
		}
		if next == protoFragment && binary.BigEndian.Uint16(b[n+2:])&0xFFF8 != 0 {
			return n + size, true
		}
		next = b[n]
		n += size
	}
	return 0, false
}

// extension gives the length of an IPv6 extension header, 0 if it is cut.
func extension(b []byte, unit, plus int) int {
	if len(b) < 2 {
		return 0
	}
	return (int(b[1]) + plus) * unit
}

// fixedHeader gives the bytes that are kept of protocols of fixed headers.
func fixedHeader(proto byte) int {
	switch proto {
	case protoIGMP, protoESP:
		return 8
	case protoSCTP:
		return 12
	}
	return 0
}

func (c cutter) transport(proto byte, b []byte) (int, bool) {
	switch proto {
	case protoTCP:
		return c.tcp(b)
	case protoUDP:
		return c.udp(b), true
	case protoICMP:
		return c.icmp(b, icmpError), true
	case protoICMPv6:
		if len(b) > 0 && isDiscovery(b[0]) {
			return c.discovery(b[:min(len(b), maxDiscovery)]), true
		}
		return c.icmp(b, icmpv6Error), true
	case protoGRE:
		return c.gre(b), true
	case protoIPIP, protoIPv6:
		if c.inner {
			return 0, true
		}
		c.inner = true
		n, _ := c.ip(b)
		return n, true
	}
	return min(len(b), fixedHeader(proto)), true
}

func (c cutter) tcp(b []byte) (int, bool) {
	if len(b) < 20 {
		return len(b), true // ports and what the snaplen left of the header
	}
	n := int(b[12]>>4) * 4
	if n < 20 {
		return 0, false
	}
	n = min(n, len(b))
	if c.payload == PayloadNone || c.headers {
		return n, true
	}
	if isDNS(b) {
		return n + dnsStream(b[n:]), true
	}
	return n + tlsRecords(b[n:]), true
}

func (c cutter) udp(b []byte) int {
	const header = 8
	if len(b) < header {
		return len(b)
	}
	if size := int(binary.BigEndian.Uint16(b[4:])); size >= header && size < len(b) {
		b = b[:size]
	}
	body := b[header:]
	switch {
	case c.headers:
	case isDNS(b):
		if c.payload == PayloadDefault {
			return header + dnsMessage(body)
		}
	case c.inner:
	case binary.BigEndian.Uint16(b[2:]) == portVXLAN, binary.BigEndian.Uint16(b[2:]) == portVXLANLinux:
		if isVXLAN(body) {
			return header + c.tunnel(body, headerVXLAN, etherBridged)
		}
	case binary.BigEndian.Uint16(b[2:]) == portGeneve:
		if n, kind, ok := headerGeneve(body); ok {
			return header + c.tunnel(body, n, kind)
		}
	}
	return header
}

// gre keeps the header, and the headers in it if it is the first tunnel.
func (c cutter) gre(b []byte) int {
	n, kind, ok := headerGRE(b)
	if !ok || c.inner || c.headers {
		return min(n, len(b))
	}
	return c.tunnel(b, n, kind)
}

// tunnel keeps a tunnel's header of n bytes and the headers of what it holds.
func (c cutter) tunnel(b []byte, n int, kind uint16) int {
	c.inner = true
	more := 0
	switch kind {
	case etherBridged:
		more, _ = c.ethernet(b[n:])
	case etherIPv4, etherIPv6:
		more, _ = c.ip(b[n:])
	}
	return n + more
}

// icmp keeps the header and, of an error, the headers of the packet in it.
func (c cutter) icmp(b []byte, isError func(byte) bool) int {
	const header = 8
	if len(b) < header || c.payload == PayloadNone || c.headers || !isError(b[0]) {
		return min(len(b), header)
	}
	c.inner, c.headers = true, true
	n, _ := c.ip(b[header:])
	return header + n
}

// isDNS says whether one port of TCP or UDP is that of DNS.
func isDNS(b []byte) bool {
	return binary.BigEndian.Uint16(b) == portDNS || binary.BigEndian.Uint16(b[2:]) == portDNS
}
