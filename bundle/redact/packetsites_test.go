package redact

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// site is a checksum in a packet: where it is, which bytes it covers and what
// it covers besides them.
type site struct {
	name         string
	at, from, to int
	pseudo       []byte
}

// sites finds the checksums of a packet that is whole, outer ones first. It is
// a parser of the test's own, that reads all of them in full.
func sites(link uint16, b []byte) (all []site) {
	switch link {
	case linkEthernet:
		return etherSites(b, 0)
	case linkRaw:
		return ipSites(b, 0)
	case linkSLL2:
		return ipSites(b, 20)
	}
	return nil
}

func etherSites(b []byte, n int) []site {
	if len(b) < n+14 {
		return nil
	}
	kind := binary.BigEndian.Uint16(b[n+12:])
	n += 14
	for (kind == 0x8100 || kind == 0x88A8) && len(b) >= n+4 {
		kind = binary.BigEndian.Uint16(b[n+2:])
		n += 4
	}
	if kind != 0x0800 && kind != 0x86DD {
		return nil
	}
	return ipSites(b, n)
}

func ipSites(b []byte, n int) []site {
	if len(b) < n+20 {
		return nil
	}
	if b[n]>>4 == 6 {
		return ip6Sites(b, n)
	}
	head := int(b[n]&15) * 4
	end := n + int(binary.BigEndian.Uint16(b[n+2:]))
	if b[n]>>4 != 4 || end > len(b) || end < n+head || head < 20 {
		return nil
	}
	ip := site{name: "ip", at: n + 10, from: n, to: n + head}
	if binary.BigEndian.Uint16(b[n+6:])&0x3FFF != 0 {
		return []site{ip}
	}
	to := b[n+16 : n+20]
	switch options := b[n+20 : n+head]; {
	case bytes.HasPrefix(options, []byte{131, 7, 4}):
		to = options[3:7]
	case bytes.IndexByte(options, 131) >= 0 || bytes.IndexByte(options, 137) >= 0: // a source route that the tests have no form of
		return []site{ip}
	}
	pseudo := slices.Concat(b[n+12:n+16], to, []byte{0, b[n+9]}, be16(uint16(end-n-head)))
	return append([]site{ip}, transportSites(b[:end], n+head, b[n+9], pseudo)...)
}

func ip6Sites(b []byte, n int) []site {
	if len(b) < n+40 {
		return nil
	}
	end := n + 40 + int(binary.BigEndian.Uint16(b[n+4:]))
	if end > len(b) {
		return nil
	}
	from, to, next, at := b[n+8:n+24], b[n+24:n+40], b[n+6], n+40
	for (next == 0 || next == 43 || next == 44 || next == 60) && at+8 <= end {
		size := 8 + int(b[at+1])*8
		if next == 44 || at+size > end {
			return nil
		}
		switch h := b[at : at+size]; {
		case next == 43 && h[3] == 0: // at its end
		case next == 43 && h[2] == 0 && size%16 == 8 && size > 16:
			to = h[size-16:]
		case next == 43 && h[2] == 4 && size >= 24:
			to = h[8:24]
		case next == 60 && bytes.HasPrefix(h[2:], []byte{1, 0, 0xC9, 16}) && size == 24:
			from = h[6:22]
		case next == 43 || bytes.IndexByte(h, 0xC9) >= 0: // no form of the tests
			return nil
		}
		next, at = b[at], at+size
	}
	pseudo := slices.Concat(from, to, []byte{0, next}, be16(uint16(end-at)))
	return transportSites(b[:end], at, next, pseudo)
}

func transportSites(b []byte, n int, proto byte, pseudo []byte) []site {
	whole := func(name string, at int, pseudo []byte) site { return site{name, n + at, n, len(b), pseudo} }
	switch {
	case proto == 6 && len(b) >= n+20:
		return []site{whole("tcp", 16, pseudo)}
	case proto == 17 && len(b) >= n+8 && int(binary.BigEndian.Uint16(b[n+4:])) == len(b)-n:
		all := []site{whole("udp", 6, pseudo)}
		switch binary.BigEndian.Uint16(b[n+2:]) {
		case 4789:
			return append(all, etherSites(b, n+16)...)
		case 6081:
			return append(all, etherSites(b, n+16+int(b[n+8]&0x3F)*4)...)
		}
		return all
	case proto == 1 && len(b) >= n+8:
		all := []site{whole("icmp", 2, nil)}
		if k := b[n]; k == 3 || k == 5 || k == 11 {
			all = append(all, ipSites(b, n+8)...)
		}
		return all
	case proto == 58 && len(b) >= n+8:
		all := []site{whole("icmpv6", 2, pseudo)}
		if b[n] < 128 {
			all = append(all, ipSites(b, n+8)...)
		}
		return all
	case proto == 2 && len(b) >= n+8:
		return []site{whole("igmp", 2, nil)}
	case proto == 4, proto == 41:
		return ipSites(b, n)
	case proto == 47 && len(b) >= n+4:
		return greSites(b, n)
	}
	return nil
}

func greSites(b []byte, n int) (all []site) {
	inner := n + 4
	if b[n]&0x80 != 0 {
		all = append(all, site{"gre", n + 4, n, len(b), nil})
		inner += 4
	}
	if b[n]&0x20 != 0 {
		inner += 4
	}
	if binary.BigEndian.Uint16(b[n+2:]) == 0x6558 {
		return append(all, etherSites(b, inner)...)
	}
	return append(all, ipSites(b, inner)...)
}

// slow is the sum of RFC 1071, a word at a time.
func slow(parts ...[]byte) uint16 {
	n := 0
	for _, b := range parts {
		for i := range b {
			n += int(b[i]) << (8 * (1 - i%2))
		}
	}
	for n > 0xFFFF {
		n = n&0xFFFF + n>>16
	}
	return uint16(n)
}

// state says what a checksum is like: good, zero, partial, or how far off.
func (s site) state(b []byte) string {
	field := binary.BigEndian.Uint16(b[s.at:])
	switch off := slow(b[s.from:s.to], s.pseudo); {
	case field == 0 && s.name == "udp":
		return s.name + " zero"
	case off == 0xFFFF:
		return s.name + " good"
	case s.pseudo != nil && s.name != "icmpv6" && field == slow(s.pseudo):
		return s.name + " partial"
	default:
		return fmt.Sprintf("%s off by %#x", s.name, ^off)
	}
}

// states says what the checksums in the first n bytes of a packet are like.
func states(link uint16, b []byte, n int) (all []string) {
	for _, s := range sites(link, b) {
		if s.at+2 <= n {
			all = append(all, s.state(b))
		}
	}
	return all
}

// seal gives a packet good checksums.
func seal(link uint16, b []byte) []byte {
	all := sites(link, b)
	slices.Reverse(all)
	for _, s := range all {
		b[s.at], b[s.at+1] = 0, 0
		sum := ^slow(b[s.from:s.to], s.pseudo)
		if sum == 0 && s.name == "udp" {
			sum = 0xFFFF
		}
		binary.BigEndian.PutUint16(b[s.at:], sum)
	}
	return b
}
