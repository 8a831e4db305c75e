package redact

import "encoding/binary"

const headerVXLAN = 8

// isVXLAN says whether b begins with the header of VXLAN: its one flag is set,
// and what is reserved at the end is zero.
func isVXLAN(b []byte) bool {
	return len(b) >= headerVXLAN && b[0]&0x08 != 0 && b[7] == 0
}

// headerGeneve gives the length of a Geneve header and the protocol in it.
func headerGeneve(b []byte) (n int, kind uint16, ok bool) {
	if len(b) < 8 || b[0]>>6 != 0 {
		return 0, 0, false
	}
	n = 8 + int(b[0]&0x3F)*4
	return n, binary.BigEndian.Uint16(b[2:]), len(b) >= n
}

// headerGRE gives the length of a GRE header and the protocol in it. It is not
// ok, and n is what may be kept, when the header is cut, has a source route or
// is of another version.
func headerGRE(b []byte) (n int, kind uint16, ok bool) {
	const sum, route, key, sequence = 0x80, 0x40, 0x20, 0x10
	n = 4
	if len(b) < n || b[0]&route != 0 || b[1]&7 != 0 {
		return n, 0, false
	}
	for _, flag := range []byte{sum, key, sequence} {
		if b[0]&flag != 0 {
			n += 4
		}
	}
	if len(b) < n {
		return 4, 0, false
	}
	return n, binary.BigEndian.Uint16(b[2:]), true
}

// icmpError says whether a type of ICMP message quotes a packet.
func icmpError(kind byte) bool {
	return kind == 3 || kind == 4 || kind == 5 || kind == 11 || kind == 12
}

func icmpv6Error(kind byte) bool { return kind < 128 }

// isDiscovery says whether a type of ICMPv6 message is one of neighbour
// discovery or group membership, which is all header but for the packet that
// a redirect quotes.
func isDiscovery(kind byte) bool { return kind >= 130 && kind <= 137 || kind == 143 }

// maxDiscovery bounds such a message, in bytes.
const maxDiscovery = 256

// redirected finds the option of a redirect in which it quotes a packet; when
// there is none, the end of the options.
func redirected(b []byte) (at int, ok bool) {
	const redirect, header, quote = 137, 40, 4
	if b[0] != redirect || len(b) < header {
		return len(b), false
	}
	for at = header; at+8 <= len(b) && b[at+1] != 0; at += int(b[at+1]) * 8 {
		if b[at] == quote {
			return at, true
		}
	}
	return min(at, len(b)), false
}

// discovery keeps a message, and of the packet that a redirect quotes the
// headers.
func (c cutter) discovery(b []byte) int {
	n, quoted := redirected(b)
	if !quoted || c.payload == PayloadNone || c.headers {
		return n
	}
	c.inner, c.headers = true, true
	more, _ := c.ip(b[n+8:])
	return n + 8 + more
}
