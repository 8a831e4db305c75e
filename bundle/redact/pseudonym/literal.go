package pseudonym

import (
	"bytes"
	"net/netip"
	"strconv"
)

// ipv4 maps the address that begins with the digits at src[i:]. Three parts are
// a version; with five the last is a port, as tcpdump prints it.
func (s *scan) ipv4(i int) int {
	src := s.src
	if i > 0 && src[i-1] == '.' && i > 1 && class[src[i-2]]&digit != 0 {
		return 0
	}
	a, end := parseQuad(src, i)
	if end == 0 {
		return 0
	}
	if end+1 < len(src) && src[end] == '.' {
		switch c := class[src[end+1]]; {
		case c&digit != 0:
			j := end + 1
			for j < len(src) && class[src[j]]&digit != 0 {
				j++
			}
			if j-end > 6 || j < len(src) && (class[src[j]]&alnum != 0 || src[j] == '.' && j+1 < len(src) && class[src[j+1]]&alnum != 0) {
				return 0
			}
		case c&alnum != 0:
			if to := s.dotted(i, end); to > 0 { // 4.3.2.1.in-addr.arpa
				return to
			}
		}
	}
	s.addresses++
	out := s.address4(a)
	if n := s.zeroBits(end, 32); n > 0 {
		keepZeros(out[:], a[:], n)
	}
	return s.set(netip.AddrFrom4(out).AppendTo(s.put(i)), end)
}

func (s *scan) address4(a [4]byte) [4]byte {
	if s.back {
		return s.m.IPv4Back(a)
	}
	return s.m.IPv4(a)
}

func (s *scan) address6(a [16]byte) [16]byte {
	if s.back {
		return s.m.IPv6Back(a)
	}
	return s.m.IPv6(a)
}

// parseQuad reads an address in dotted form, 0 if there is none.
func parseQuad(src []byte, i int) (a [4]byte, end int) {
	for n := range 4 {
		v, j := 0, i
		for j < len(src) && j-i < 4 && class[src[j]]&digit != 0 {
			v = 10*v + int(src[j]-'0')
			j++
		}
		if j == i || v > 255 || j-i > 1 && src[i] == '0' || j-i > 3 {
			return a, 0
		}
		a[n] = byte(v)
		if n < 3 && (j >= len(src) || src[j] != '.') {
			return a, 0
		}
		i = j + 1
	}
	if end = i - 1; end < len(src) && class[src[end]]&alnum != 0 {
		return a, 0
	}
	return a, end
}

// zeroBits reads the length of a prefix, /24 or /255.255.255.0, at src[i:] and
// returns how many bits are left for hosts.
func (s *scan) zeroBits(i, bits int) int {
	if i+1 >= len(s.src) || s.src[i] != '/' {
		return 0
	}
	j := i + 1
	for j < len(s.src) && class[s.src[j]]&alnum != 0 {
		j++
	}
	n, err := strconv.Atoi(string(s.src[i+1 : min(j, i+5)]))
	if bits == 32 && j < len(s.src) && s.src[j] == '.' {
		if mask, end := parseQuad(s.src, i+1); end > 0 {
			n, err = commonBits(&[16]byte{mask[0], mask[1], mask[2], mask[3]}, &[16]byte{255, 255, 255, 255}), nil
		}
	}
	if err != nil || n < 0 || n >= bits {
		return 0
	}
	return bits - n
}

// keepZeros zeroes the last n bits of a pseudonym if they are zero in a.
func keepZeros(out, a []byte, n int) {
	masked := bytes.Clone(out)
	for i := len(a) - 1; i >= 0 && n > 0; i, n = i-1, n-8 {
		mask := byte(0xff)
		if n < 8 {
			mask = 1<<n - 1
		}
		if a[i]&mask != 0 {
			return
		}
		masked[i] &^= mask
	}
	copy(out, masked)
}

// ipv6 maps the address that begins at src[i:]. Without a digit in it, such as
// abc::def, it is rather the name of something in a program.
func (s *scan) ipv6(i int) int {
	src := s.src
	j, colons, groups, hasDigit := i, 0, 0, false
	for j < len(src) && j-i < 46 {
		c := src[j]
		if isHexByte(c) {
			hasDigit = hasDigit || c <= '9'
		} else if c == ':' {
			if colons++; j == i || src[j-1] != ':' {
				groups++
			}
		} else if c != '.' {
			break
		}
		j++
	}
	for j > i && (src[j-1] == '.' || src[j-1] == ':' && (j-2 < i || src[j-2] != ':')) {
		j--
	}
	if colons < 2 || j < len(src) && class[src[j]]&letter != 0 || i > 0 && src[i-1] == ':' || !hasDigit && groups < 3 {
		return 0
	}
	a, err := netip.ParseAddr(string(src[i:j]))
	if err != nil {
		if dot := bytes.IndexByte(src[i:j], '.'); dot > 0 { // tcpdump's port
			j = i + dot
			a, err = netip.ParseAddr(string(src[i:j]))
		}
		if err != nil {
			return 0
		}
	}
	if a.Is4() {
		return 0
	}
	s.addresses++
	from := a.As16()
	out := s.address6(from)
	if n := s.zeroBits(j, 128); n > 0 {
		keepZeros(out[:], from[:], n)
	}
	if out == from {
		return s.set(append(s.put(i), src[i:j]...), j)
	}
	return s.set(netip.AddrFrom16(out).AppendTo(s.put(i)), j)
}

// mac maps a hardware address at src[i:], in any of its spellings.
func (s *scan) mac(i int) int {
	src := s.src
	var a [6]byte
	digits, j, step := 0, i, 2
	sep := byte(0)
	for j < len(src) && digits < 12 {
		switch c := src[j]; {
		case sep != 0 && digits%step == 0:
			if c != sep {
				return 0
			}
			j++
		case sep == 0 && (digits == 2 && (c == ':' || c == '-') || digits == 4 && c == '.'):
			sep, step = c, digits
			j++
		}
		if j >= len(src) {
			return 0
		}
		v := unhex(src[j])
		if v < 0 {
			return 0
		}
		a[digits/2] = a[digits/2]<<4 | byte(v)
		digits++
		j++
	}
	if digits < 12 || sep == 0 || j < len(src) && (class[src[j]]&alnum != 0 || src[j] == sep && j+1 < len(src) && class[src[j+1]]&alnum != 0) ||
		i > 1 && src[i-1] == sep && class[src[i-2]]&alnum != 0 {
		return 0
	}
	out := s.m.MAC(a)
	if s.back {
		out, _ = s.m.macBack(a)
	}
	if out == a {
		return j
	}
	s.macs++
	return s.set(spellMAC(s.put(i), out, src[i:j]), j)
}

// spellMAC appends a in the spelling of like.
func spellMAC(dst []byte, a [6]byte, like []byte) []byte {
	var plain [12]byte
	appendMAC(plain[:0], a, 0)
	upper := bytes.ContainsAny(like, "ABCDEF")
	n := 0
	for _, c := range like {
		if isHexByte(c) {
			c = plain[n]
			if n++; upper && c >= 'a' {
				c -= 'a' - 'A'
			}
		}
		dst = append(dst, c)
	}
	return dst
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// dashedAddress maps what clouds call their machines: ip-10-0-1-23.
func (s *scan) dashedAddress(i, j int) int {
	end := j
	for end < len(s.src) && end-j < 17 && (class[s.src[end]]&digit != 0 || s.src[end] == '-') {
		end++
	}
	if end < len(s.src) && class[s.src[end]]&alnum != 0 {
		return 0
	}
	out, ok := s.m.dashed(s.put(i), s.src[i:end], s.back)
	if !ok {
		return 0
	}
	s.addresses++
	return s.set(out, end)
}
