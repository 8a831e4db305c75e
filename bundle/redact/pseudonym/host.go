package pseudonym

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strconv"
)

// Host appends the pseudonym of a DNS name, label by label, so that it has as
// many as before: names that the API server knows, addresses and ends that say
// nothing become what they become everywhere. A name by itself is one label.
func (m *Mapper) Host(dst, name []byte) []byte {
	if len(name) == 0 || len(name) > 4*maxNameLength {
		return append(dst, name...)
	}
	if a, err := netip.ParseAddr(string(name)); err == nil && a.Zone() == "" {
		return m.appendAddr(dst, a)
	}
	if out, ok := m.reverse(dst, name, false); ok {
		return out
	}
	var buf [maxNameLength]byte
	lower := appendLower(buf[:0], name)
	end, kind := m.suffixOf(lower)
	if kind == public {
		return append(dst, name...)
	}
	i := 0
	if a, n := parseQuadPrefix(name[:end]); n > 0 { // 10.0.0.1.nip.io
		if dst, i = netip.AddrFrom4(m.IPv4(a)).AppendTo(dst), n; i <= end {
			dst = append(dst, '.')
		}
	}
	cloud := bytes.HasSuffix(lower, []byte("amazonaws.com")) || bytes.HasSuffix(lower, []byte("compute.internal"))
	for i < end {
		j := i
		for j < end && name[j] != '.' {
			j++
		}
		if l := name[i:j]; cloud && isRegion(l) {
			dst = append(dst, l...)
		} else {
			dst = m.label(dst, l)
		}
		if j < end {
			dst = append(dst, '.')
		}
		i = j + 1
	}
	if end < len(name) {
		dst = append(dst, name[end:]...)
	}
	return dst
}

func (m *Mapper) appendAddr(dst []byte, a netip.Addr) []byte {
	if a.Is4() {
		return netip.AddrFrom4(m.IPv4(a.As4())).AppendTo(dst)
	}
	return netip.AddrFrom16(m.IPv6(a.As16())).AppendTo(dst)
}

// suffixOf says where the longest end of a name begins that is in the list.
func (m *Mapper) suffixOf(lower []byte) (int, suffix) {
	trimmed := bytes.TrimRight(lower, ".")
	for i := 0; i < len(trimmed); {
		if kind := m.words.suffixes[string(trimmed[i:])]; kind != 0 && (i > 0 || bytes.IndexByte(trimmed, '.') >= 0 || kind == public) {
			return i, kind
		}
		dot := bytes.IndexByte(trimmed[i:], '.')
		if dot < 0 {
			break
		}
		i += dot + 1
	}
	return len(trimmed), 0
}

// label appends the pseudonym of one label of a DNS name.
func (m *Mapper) label(dst, l []byte) []byte {
	switch {
	case len(l) == 0 || l[0] == '_' || l[0] == '*' || m.isWholeToken(l) || len(l) <= 3 && len(bytes.Trim(l, "0123456789")) == 0:
		return append(dst, l...)
	}
	if out, ok := m.dashed(dst, l, false); ok {
		return out
	}
	if e := m.dict.exact(l); e != nil {
		m.use(e)
		return append(dst, e.as...)
	}
	if n := generatedSuffix(l); n > 0 {
		base := l[:len(l)-n]
		if m.isWholeToken(base) {
			return append(dst, l...)
		}
		if e := m.dict.exact(base); e != nil {
			m.use(e)
			return append(append(dst, e.as...), l[len(base):]...)
		}
	}
	return m.issue(dst, KindHost, l)
}

// isRegion says whether a label is that of a region of a cloud: eu-west-1.
func isRegion(l []byte) bool {
	parts := bytes.Split(l, []byte("-"))
	return len(parts) >= 3 && len(parts) <= 4 && len(parts[0]) == 2 && len(parts[len(parts)-1]) == 1 && parts[len(parts)-1][0] <= '9'
}

// parseQuadPrefix reads four numbers with a dot behind each.
func parseQuadPrefix(name []byte) (a [4]byte, n int) {
	if name = bytes.TrimRight(name, "."); len(name) == 0 || class[name[0]]&digit == 0 {
		return a, 0
	}
	i := 0
	for k := range 4 {
		dot := bytes.IndexByte(name[i:], '.')
		if dot < 0 && k == 3 {
			dot = len(name) - i
		}
		if dot <= 0 || dot > 3 {
			return a, 0
		}
		v := octet(name[i : i+dot])
		if v < 0 {
			return a, 0
		}
		a[k] = byte(v)
		i += dot + 1
	}
	return a, i
}

// looksLikeHost says whether the form of a name shows that it is a host: it
// ends as hosts do and not as files and fields do.
func (m *Mapper) looksLikeHost(name []byte) bool {
	if len(name) > maxNameLength || len(name) < 4 {
		return false
	}
	return m.endsAsHost(name) && m.isHost(name)
}

// endsAsHost says whether the last label of a name is in the list of suffixes.
func (m *Mapper) endsAsHost(name []byte) bool {
	const longest = 16
	last := name[bytes.LastIndexByte(name, '.')+1:]
	if len(last) > longest || len(last) < 2 || class[last[0]]&digit != 0 {
		return false
	}
	var buf [longest]byte
	return m.words.suffixes[string(appendLower(buf[:0], last))] != 0
}

func (m *Mapper) isHost(name []byte) bool {
	var buf [maxNameLength]byte
	lower := appendLower(buf[:0], name)
	if bytes.HasSuffix(lower, []byte(".arpa")) {
		return true
	}
	end, kind := m.suffixOf(lower)
	switch kind {
	case strong, public:
		return true
	case weak, rare:
	default:
		return false
	}
	mixed := !bytes.Equal(lower, name) && !bytes.Equal(bytes.ToUpper(name), name)
	labels, ordinary := 0, 0
	for l := range bytes.SplitSeq(bytes.TrimRight(lower[:end], "."), []byte(".")) {
		if labels++; m.words.ordinary(l) {
			ordinary++
		}
		if labels == 1 && (string(l) == "com" || string(l) == "org" || string(l) == "io" || string(l) == "net") {
			return false // the name of a Java package
		}
	}
	if kind == rare {
		return labels >= 2 && ordinary == 0 && !mixed
	}
	return ordinary < labels && !mixed
}

// reverse maps the address in a name below in-addr.arpa or ip6.arpa, whole or
// the zone of a prefix.
func (m *Mapper) reverse(dst, name []byte, back bool) ([]byte, bool) {
	trimmed := bytes.TrimRight(name, ".")
	var buf [maxNameLength]byte
	if len(trimmed) > maxNameLength || len(trimmed) < 9 {
		return dst, false
	}
	lower := appendLower(buf[:0], trimmed)
	if rest, ok := bytes.CutSuffix(lower, []byte(".in-addr.arpa")); ok {
		labels := bytes.Split(rest, []byte("."))
		if len(labels) > 4 {
			return dst, false
		}
		var a [4]byte
		for i, l := range labels {
			v := octet(l)
			if v < 0 {
				return dst, false
			}
			a[len(labels)-1-i] = byte(v)
		}
		if back {
			a = m.IPv4Back(a)
		} else {
			a = m.IPv4(a)
		}
		for i := len(labels) - 1; i >= 0; i-- {
			dst = append(strconv.AppendUint(dst, uint64(a[i]), 10), '.')
		}
		return append(dst, name[len(rest)+1:]...), true
	}
	rest, ok := bytes.CutSuffix(lower, []byte(".ip6.arpa"))
	if !ok || len(rest) > 63 || len(rest)%2 == 0 {
		return dst, false
	}
	return m.reverse6(dst, rest, name[len(rest)+1:], back)
}

func (m *Mapper) reverse6(dst, nibbles, end []byte, back bool) ([]byte, bool) {
	var digits [32]byte
	copy(digits[:], "00000000000000000000000000000000")
	n := (len(nibbles) + 1) / 2
	for i, c := range nibbles {
		if i%2 == 1 && c != '.' || i%2 == 0 && !isHexByte(c) {
			return dst, false
		}
		if i%2 == 0 {
			digits[n-1-i/2] = c
		}
	}
	var a [16]byte
	if _, err := hex.Decode(a[:], digits[:]); err != nil {
		return dst, false
	}
	if back {
		a = m.IPv6Back(a)
	} else {
		a = m.IPv6(a)
	}
	hex.Encode(digits[:], a[:])
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, digits[i], '.')
	}
	return append(dst, end...), true
}

// dashed maps 10-0-1-23, ip-10-0-1-23 and ec2-10-0-1-23.
func (m *Mapper) dashed(dst, l []byte, back bool) ([]byte, bool) {
	digits := l
	for _, p := range []string{"ip-", "ec2-"} {
		if len(l) > len(p) && equalLower([]byte(p), l[:len(p)]) {
			digits = l[len(p):]
		}
	}
	var a [4]byte
	n, at := 0, 0
	for i := 0; i <= len(digits); i++ {
		if i < len(digits) && digits[i] != '-' {
			continue
		}
		v := octet(digits[at:i])
		if n == 4 || v < 0 {
			return dst, false
		}
		a[n] = byte(v)
		n, at = n+1, i+1
	}
	if n != 4 {
		return dst, false
	}
	if back {
		a = m.IPv4Back(a)
	} else {
		a = m.IPv4(a)
	}
	dst = append(dst, l[:len(l)-len(digits)]...)
	for i, b := range a {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = strconv.AppendUint(dst, uint64(b), 10)
	}
	return dst, true
}

// octet reads a number of an address, -1 if it is none.
func octet(b []byte) int {
	v := 0
	for _, c := range b {
		if class[c]&digit == 0 {
			return -1
		}
		v = 10*v + int(c-'0')
	}
	if len(b) == 0 || len(b) > 3 || len(b) > 1 && b[0] == '0' || v > 255 {
		return -1
	}
	return v
}
