package redact

import "encoding/binary"

// transport rewrites what follows the IP header.
func (r rewriter) transport(proto byte, p part, s pseudo) (int, bool) {
	switch proto {
	case protoTCP:
		return r.tcp(p, s)
	case protoUDP:
		return r.udp(p, s), true
	case protoICMP:
		return r.icmp(p), true
	case protoICMPv6:
		return r.icmpv6(p, s), true
	case protoIGMP:
		return r.igmp(p), true
	case protoGRE:
		return r.gre(p), true
	case protoIPIP, protoIPv6:
		if r.inner {
			return 0, true
		}
		r.inner = true
		n, _ := r.ip(p)
		return n, true
	}
	return min(len(p.old), fixedHeader(proto)), true
}

func (r rewriter) tcp(p part, s pseudo) (int, bool) {
	const header, check = 20, 16
	if s.length < header {
		return 0, false
	}
	n := len(p.old) // ports and what the snaplen left of the header
	if n >= header {
		size := int(p.old[12]>>4) * 4
		if size < header {
			return 0, false
		}
		n = min(size, n)
		tcpOptions(p.upto(n).from(header))
	}
	s.mendTransport(p, check, protoTCP, p.change(n), s.change)
	if n < header || r.payload == PayloadNone || r.headers || isDNS(p.old) {
		return n, true
	}
	return n + tlsHeads(p.old[n:]), true
}

// tcpOptions keeps what connections are made of and puts padding in place of
// all others: some tell the address that a client has behind a proxy, or by
// another path.
func tcpOptions(p part) {
	const end, pad = 0, 1
	for len(p.old) > 0 {
		size := len(p.old)
		switch p.old[0] {
		case end:
			p.blank()
			return
		case pad:
			size = 1
		default:
			known := size >= 2 && knownOption(p.old)
			if size >= 2 && p.old[1] >= 2 {
				size = min(size, int(p.old[1]))
			}
			if !known {
				fill(p.new[:size], pad)
			}
		}
		p = p.from(size)
	}
}

// knownOption says whether b begins with an option of TCP that stays, of the
// length that it has; the snaplen may have cut it.
func knownOption(b []byte) bool {
	const segment, scale, mayAck, ack, timestamps = 2, 3, 4, 5, 8
	switch size := b[1]; b[0] {
	case segment:
		return size == 4
	case scale:
		return size == 3
	case mayAck:
		return size == 2
	case ack:
		return size%8 == 2 && size > 2
	case timestamps:
		return size == 10
	}
	return false
}

func (r rewriter) udp(p part, s pseudo) int {
	const header, check = 8, 6
	if len(p.old) < header {
		return min(len(p.old), check)
	}
	size := int(binary.BigEndian.Uint16(p.old[4:]))
	r.padded = r.padded || size != len(p.old)
	if size >= header && size < len(p.old) {
		p = p.upto(size)
	}
	body, to, n := p.from(header), binary.BigEndian.Uint16(p.old[2:]), header
	switch {
	case r.headers:
	case isDNS(p.old):
		if r.payload == PayloadDefault && !s.fragment && !r.padded {
			r.dns(body.old)
		}
	case r.inner:
	case to == portVXLAN, to == portVXLANLinux:
		n += r.vxlan(body)
	case to == portGeneve:
		n += r.geneve(body)
	}
	outer := s.change
	if grown := r.message.grown(); grown != 0 {
		p.put(4, uint16(size+grown))
		outer = outer.plus(sum(size + grown)).minus(sum(size))
	}
	if binary.BigEndian.Uint16(p.old[check:]) == 0 {
		return n // none was made
	}
	s.mendTransport(p, check, protoUDP, p.change(n).plus(r.message.change()), outer)
	if binary.BigEndian.Uint16(p.new[check:]) == 0 {
		p.put(check, 0xFFFF) // zero would say that there is none
	}
	return n
}

// igmp keeps the group, which may be an address of another kind in a message
// that is not known.
func (r rewriter) igmp(p part) int {
	const known, header = 4, 8
	if len(p.old) < header {
		return min(len(p.old), known)
	}
	switch p.old[0] {
	case 0x22: // a report of version 3, whose groups are payload
		return header
	case 0x11, 0x12, 0x16, 0x17:
		r.names.ipv4(p, 4)
		p.mend(2, p.change(header))
		return header
	}
	return known
}

// tlsHeads says how many bytes of a TCP payload stay of TLS: alerts, changes of
// cipher, and of the first handshake message its record header, type and
// length. Its body has names in it, and is cut with all that follows.
func tlsHeads(b []byte) int {
	const (
		header, message                = 5, 4
		changeCipher, alert, handshake = 20, 21, 22
	)
	n := 0
	for kept := tlsRecords(b); n+header <= kept; {
		r := b[n:]
		size := int(binary.BigEndian.Uint16(r[3:]))
		switch {
		case r[0] == handshake && handshakeType(r[header:]):
			return n + header + message
		case r[0] == handshake, r[0] == alert && size != 2: // encrypted
			return n + header
		}
		n = min(kept, n+header+size)
	}
	return n
}
