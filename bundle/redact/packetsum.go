package redact

import "encoding/binary"

// part is a piece of a packet as it came and as it goes; both are of one
// length. What is read of it is read as it came, so nothing is mapped twice.
type part struct{ old, new []byte }

func (p part) from(n int) part { return part{p.old[n:], p.new[n:]} }
func (p part) upto(n int) part { return part{p.old[:n], p.new[:n]} }

// blank leaves nothing of the part but its length.
func (p part) blank() { clear(p.new) }

// put writes a 16 bit field.
func (p part) put(at int, v uint16) { binary.BigEndian.PutUint16(p.new[at:], v) }

// sum is a 16 bit sum in one's complement. Packets, and what is in tunnels,
// begin at even places, so that sums of parts add up.
type sum uint16

func (s sum) plus(t sum) sum {
	n := uint32(s) + uint32(t)
	return sum(n + n>>16)
}

func (s sum) minus(t sum) sum { return s.plus(^t) }

// sumOf adds up bytes; an odd last one is the high half of a word.
func sumOf(b []byte) sum {
	var n uint64
	for ; len(b) >= 4; b = b[4:] {
		n += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		n += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		n += uint64(b[0]) << 8
	}
	for n > 0xFFFF {
		n = n>>16 + n&0xFFFF
	}
	return sum(n)
}

// change is how much the sum over the first n bytes differs from what it was.
func (p part) change(n int) sum { return sumOf(p.new[:n]).minus(sumOf(p.old[:n])) }

// none says whether a change is zero, of which one's complement has two.
func (s sum) none() bool { return s == 0 || s == 0xFFFF }

// mend brings the checksum at a place in line with a change of what it covers
// (RFC 1624): a good one stays good and a bad one bad. One that is cut off, or
// that nothing changed for, is left alone.
func (p part) mend(at int, change sum) {
	if len(p.old) < at+2 || change.none() {
		return
	}
	was := sum(binary.BigEndian.Uint16(p.old[at:]))
	p.put(at, uint16(^(^was).plus(change)))
}

// pseudo is what a checksum of the transport layer covers besides its own
// bytes.
type pseudo struct {
	addresses sum // of both addresses as they came
	change    sum // of the addresses
	length    int // of the transport packet on the wire, also when it was cut
	fragment  bool
}

// partial says whether the checksum at a place is one that the kernel left for
// the network card to complete: the sum of the pseudo header and no more.
func (s pseudo) partial(p part, at int, proto byte) bool {
	if s.fragment || len(p.old) < at+2 {
		return false
	}
	rest := s.addresses.plus(sum(proto)).plus(sum(s.length >> 16)).plus(sum(s.length & 0xFFFF))
	if sum(binary.BigEndian.Uint16(p.old[at:])) != rest {
		return false
	}
	whole := len(p.old) == s.length && rest.plus(sumOf(p.old)).none()
	return !whole
}

// mendTransport mends the checksum of TCP, UDP or ICMPv6 after a change of its
// own bytes and one of the pseudo header.
func (s pseudo) mendTransport(p part, at int, proto byte, own, outer sum) {
	if !s.partial(p, at, proto) {
		p.mend(at, own.plus(outer))
		return
	}
	if !outer.none() {
		p.put(at, uint16(sum(binary.BigEndian.Uint16(p.old[at:])).plus(outer)))
	}
}
