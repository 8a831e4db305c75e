package pseudonym

import "net/netip"

// Text appends src with everything mapped that stands in it, and counts what it
// mapped in found, by rule.
func (m *Mapper) Text(dst, src []byte, found map[string]int) []byte {
	for i := 0; i < len(src); {
		j := i
		for j < len(src) && isNameByte(src[j]) {
			j++
		}
		if j == i {
			dst = append(dst, src[i])
			i++
			continue
		}
		dst = m.word(dst, src[i:j], found)
		i = j
	}
	return dst
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == ':'
}

func (m *Mapper) word(dst, word []byte, found map[string]int) []byte {
	a, err := netip.ParseAddr(string(word))
	switch {
	case err == nil && a.Is4():
		found["ipv4"]++
		return netip.AddrFrom4(m.IPv4(a.As4())).AppendTo(dst)
	case err == nil:
		found["ipv6"]++
		return netip.AddrFrom16(m.IPv6(a.As16())).AppendTo(dst)
	}
	if k, ok := m.names[string(word)]; ok {
		found["name"]++
		return m.issue(dst, k, word)
	}
	return append(dst, word...)
}

func (m *Mapper) issue(dst []byte, k Kind, value []byte) []byte {
	t := m.tokens.token(value)
	token := string(k) + "-" + string(t[:])
	m.used.add(token, string(value))
	return append(dst, token...)
}

// Token returns the token of a value of a kind.
func (m *Mapper) Token(k Kind, value string) string { return string(m.issue(nil, k, []byte(value))) }

// Host appends the DNS name with its labels mapped.
func (m *Mapper) Host(dst, name []byte) []byte { return m.Text(dst, name, map[string]int{}) }

// Path maps a path of a bundle. Tokens may stand in paths.
func (m *Mapper) Path(p string) string { return string(m.Text(nil, []byte(p), map[string]int{})) }

// Reveal appends src with tokens and addresses turned back.
func (m *Mapper) Reveal(dst, src []byte) []byte { return append(dst, src...) }
