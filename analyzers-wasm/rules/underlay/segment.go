package underlay

import (
	"encoding/binary"
	"net/netip"
)

// Link types that are decoded.
const (
	linkEthernet = 1
	linkRaw12    = 12
	linkRaw      = 101
	linkSLL      = 113
	linkIPv4     = 228
	linkIPv6     = 229
	linkSLL2     = 276
)

const (
	finFlag = 1
	synFlag = 2
	rstFlag = 4
	ackFlag = 16
)

// tcpSegment is what a packet's headers say; payload is the length that was
// sent, although the bytes may have been cut.
type tcpSegment struct {
	src, dst netip.AddrPort
	seq      uint32
	payload  int
	flags    uint8
}

// decodeTCP reads the headers of a packet; false if it is no whole TCP
// segment: other protocols, fragments, tunnels.
func decodeTCP(linkType uint16, b []byte, wire int) (tcpSegment, bool) {
	offset, proto, ok := linkHeader(linkType, b)
	if !ok || offset > len(b) {
		return tcpSegment{}, false
	}
	b, wire = b[offset:], wire-offset
	if proto == 0 && len(b) > 0 { // raw: the version tells
		proto = map[byte]uint16{4: 0x0800, 6: 0x86dd}[b[0]>>4]
	}
	switch proto {
	case 0x0800:
		return decodeIPv4(b, wire)
	case 0x86dd:
		return decodeIPv6(b, wire)
	}
	return tcpSegment{}, false
}

func linkHeader(linkType uint16, b []byte) (offset int, proto uint16, ok bool) {
	switch {
	case linkType == linkRaw || linkType == linkRaw12 || linkType == linkIPv4 || linkType == linkIPv6:
		return 0, 0, true
	case linkType == linkSLL && len(b) >= 16:
		return 16, binary.BigEndian.Uint16(b[14:]), true
	case linkType == linkSLL2 && len(b) >= 20:
		return 20, binary.BigEndian.Uint16(b), true
	case linkType != linkEthernet || len(b) < 14:
		return 0, 0, false
	}
	offset, proto = 14, binary.BigEndian.Uint16(b[12:])
	for range 2 { // VLAN tags
		if proto == 0x8100 || proto == 0x88a8 {
			if len(b) < offset+4 {
				return 0, 0, false
			}
			proto = binary.BigEndian.Uint16(b[offset+2:])
			offset += 4
		}
	}
	return offset, proto, true
}

func decodeIPv4(b []byte, wire int) (tcpSegment, bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return tcpSegment{}, false
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if total == 0 {
		total = wire // segmentation is left to the device
	}
	fragment := binary.BigEndian.Uint16(b[6:]) & 0x3fff // offset and more fragments
	if header < 20 || header > len(b) || b[9] != 6 || fragment != 0 {
		return tcpSegment{}, false
	}
	return decodeSegment(netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[header:], total-header)
}

func decodeIPv6(b []byte, wire int) (tcpSegment, bool) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return tcpSegment{}, false
	}
	length, next, rest := int(binary.BigEndian.Uint16(b[4:])), b[6], b[40:]
	if length == 0 {
		length = wire - 40
	}
	for range 6 { // extension headers
		if next != 0 && next != 43 && next != 60 {
			break
		}
		if len(rest) < 8 {
			return tcpSegment{}, false
		}
		n := int(rest[1])*8 + 8
		if n > len(rest) {
			return tcpSegment{}, false
		}
		next, rest, length = rest[0], rest[n:], length-n
	}
	if next != 6 {
		return tcpSegment{}, false
	}
	return decodeSegment(netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), rest, length)
}

func decodeSegment(src, dst netip.Addr, b []byte, length int) (tcpSegment, bool) {
	if len(b) < 14 {
		return tcpSegment{}, false
	}
	header := int(b[12]>>4) * 4
	if header < 20 || length < header {
		return tcpSegment{}, false
	}
	return tcpSegment{
		src: netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)), dst: netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:])),
		seq: binary.BigEndian.Uint32(b[4:]), payload: length - header, flags: b[13],
	}, true
}
