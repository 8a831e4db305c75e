package redact

import "slices"

// maxRemembered bounds the pseudonyms of addresses that are kept at hand.
const maxRemembered = 16 << 10

// pseudonyms puts those of addresses into packets, and remembers them: a
// capture has few addresses and each of them often.
type pseudonyms struct {
	mapper mapper
	macs   map[[6]byte][6]byte
	v4     map[[4]byte][4]byte
	v6     map[[16]byte][16]byte
}

func newPseudonyms(m mapper) *pseudonyms {
	return &pseudonyms{mapper: m, macs: map[[6]byte][6]byte{}, v4: map[[4]byte][4]byte{}, v6: map[[16]byte][16]byte{}}
}

func (s *pseudonyms) mac(p part, at int) {
	a := remember(s.macs, [6]byte(p.old[at:]), s.mapMAC)
	copy(p.new[at:], a[:])
}

func (s *pseudonyms) ipv4(p part, at int) {
	a := remember(s.v4, [4]byte(p.old[at:]), s.mapper.IPv4)
	copy(p.new[at:], a[:])
}

func (s *pseudonyms) ipv6(p part, at int) {
	a := remember(s.v6, [16]byte(p.old[at:]), s.mapIPv6)
	copy(p.new[at:], a[:])
}

func remember[A comparable](known map[A]A, a A, f func(A) A) A {
	b, ok := known[a]
	if !ok {
		if b = f(a); len(known) >= maxRemembered {
			clear(known)
		}
		known[a] = b
	}
	return b
}

// solicited is what groups of neighbour discovery begin with; the last three
// bytes are those of an address.
const solicited = "\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff"

// mapIPv6 maps an address. Multicast stays, but a solicited-node group gives
// away the end of an address, so that is mapped.
func (s *pseudonyms) mapIPv6(a [16]byte) [16]byte {
	b := s.mapper.IPv6(a)
	if b == a && string(a[:len(solicited)]) == solicited {
		end := s.groupEnd([3]byte(a[13:]))
		copy(b[13:], end[:])
	}
	return b
}

// mapMAC maps an address, and the end of that of a solicited-node group.
func (s *pseudonyms) mapMAC(a [6]byte) [6]byte {
	b := s.mapper.MAC(a)
	if b == a && a[0] == 0x33 && a[1] == 0x33 && a[2] == 0xFF {
		end := s.groupEnd([3]byte(a[3:]))
		copy(b[3:], end[:])
	}
	return b
}

// groupEnd maps the last three bytes of a solicited-node group as those of a
// link-local address of its own, one to one.
func (s *pseudonyms) groupEnd(end [3]byte) [3]byte {
	a := [16]byte{0: 0xfe, 1: 0x80, 8: 0xff, 9: 0x02}
	copy(a[13:], end[:])
	b := s.mapper.IPv6(a)
	return [3]byte(b[13:])
}

// prefix maps an IPv6 prefix of so many bits in up to 16 bytes, and keeps zero
// what lies beyond it.
func (s *pseudonyms) prefix(p part, bits int) {
	var a [16]byte
	n := copy(a[:], p.old)
	a = network(a, bits)
	b := network(remember(s.v6, a, s.mapIPv6), bits)
	copy(p.new[:n], b[:])
}

func network(a [16]byte, bits int) [16]byte {
	for i := range a {
		if keep := bits - i*8; keep < 8 {
			a[i] &= ^byte(0xFF >> max(keep, 0))
		}
	}
	return a
}

// host maps a name as a part of an object's path or as a host name, by what
// the mapper knows it as.
func (s *pseudonyms) host(name []byte, found map[string]int) []byte {
	if text := s.mapper.Text(nil, name, found); !slices.Equal(text, name) {
		return text
	}
	return s.mapper.Host(nil, name)
}
