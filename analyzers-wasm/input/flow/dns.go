package flow

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

const (
	portDNS     = 53
	dnsHeader   = 12
	maxAnswers  = 64
	maxPointers = 32
	maxText     = 255
	maxEscaped  = 4 * maxText // a name as text
)

var errDNS = errors.New("not a DNS message")

// message is what is read of a DNS message. It is used again for the next one.
type message struct {
	id        uint16
	response  bool
	truncated bool
	rcode     uint8
	name      []byte
	qtype     uint16
	count     int    // of answers
	at        int    // where they begin
	whole     []byte // the message, or what there is of it
}

// parse reads a message with one question, as all are.
func (m *message) parse(b []byte) error {
	if len(b) < dnsHeader {
		return errDNS
	}
	flags, questions := be16(b[2:]), be16(b[4:])
	*m = message{id: be16(b), response: flags&0x8000 != 0, truncated: flags&0x0200 != 0, rcode: uint8(flags & 15), name: m.name[:0],
		count: min(int(be16(b[6:])), maxAnswers), at: dnsHeader, whole: b}
	if flags>>11&15 != 0 || questions > 1 { // other than QUERY
		return errDNS
	}
	if questions == 0 {
		if !m.response {
			return errDNS
		}
		return nil
	}
	name, next, err := appendName(m.name, b, dnsHeader)
	if err != nil || next+4 > len(b) {
		return errDNS
	}
	m.name, m.qtype, m.at = name, be16(b[next:]), next+4
	return nil
}

// appendName reads a name, following pointers back only.
func appendName(out, b []byte, at int) (name []byte, next int, err error) {
	start, lowest, pointers := len(out), at, 0
	for {
		if at >= len(b) {
			return nil, 0, errDNS
		}
		n := int(b[at])
		switch {
		case n == 0:
			if next == 0 {
				next = at + 1
			}
			if len(out) == start {
				out = append(out, '.')
			}
			return out, next, nil
		case n >= 0xc0:
			if at+2 > len(b) {
				return nil, 0, errDNS
			}
			to := int(be16(b[at:]) & 0x3fff)
			if next == 0 {
				next = at + 2
			}
			if pointers++; to >= lowest || pointers > maxPointers {
				return nil, 0, errDNS
			}
			at, lowest = to, to
			continue
		case n >= 0x40 || at+1+n > len(b) || len(out)-start+n > maxEscaped:
			return nil, 0, errDNS
		}
		if len(out) > start {
			out = append(out, '.')
		}
		for _, c := range b[at+1 : at+1+n] {
			switch {
			case c == '.' || c == '\\':
				out = append(out, '\\', c)
			case c <= ' ' || c >= 0x7f:
				out = fmt.Appendf(out, "\\%03d", c)
			default:
				out = append(out, c)
			}
		}
		at += 1 + n
	}
}

// skipName passes over a name.
func skipName(b []byte, at int) (next int, ok bool) {
	for at < len(b) {
		switch n := int(b[at]); {
		case n == 0:
			return at + 1, true
		case n >= 0xc0:
			return at + 2, true
		default:
			at += 1 + n
		}
	}
	return 0, false
}

// answers gives the records of the answer section as text, up to one that
// cannot be read.
func (m *message) answers() []string {
	var list []string
	var buf [2 * maxText]byte
	b, at := m.whole, m.at
	for range m.count {
		next, ok := skipName(b, at)
		if !ok || next+10 > len(b) {
			break
		}
		typ, n := be16(b[next:]), int(be16(b[next+8:]))
		if at = next + 10; at+n > len(b) {
			break
		}
		text := append(append(buf[:0], dnsType(typ)...), ' ')
		if text, ok = appendData(text, b[:at+n], at, typ); !ok {
			break
		}
		list, at = append(list, string(text)), at+n
	}
	return list
}

// appendData reads the data of a record, which go from at to the end of b.
func appendData(out, b []byte, at int, typ uint16) ([]byte, bool) {
	data := b[at:]
	skip := 0
	switch typ {
	case 1, 28:
		ip, ok := netip.AddrFromSlice(data)
		if !ok || ip.Is4() != (typ == 1) {
			return nil, false
		}
		return ip.AppendTo(out), true
	case 15: // preference
		skip = 2
	case 33: // priority, weight, port
		skip = 6
	case 2, 5, 6, 12, 39:
	case 16:
		if len(data) > 0 && int(data[0]) < len(data) {
			return strconv.AppendQuote(out, clean(data[1:1+data[0]])), true
		}
		fallthrough
	default:
		return fmt.Appendf(out, "(%d bytes)", len(data)), true
	}
	if len(data) <= skip {
		return nil, false
	}
	for i := 0; i < skip; i += 2 {
		out = append(strconv.AppendUint(out, uint64(be16(data[i:])), 10), ' ')
	}
	out, _, err := appendName(out, b, at+skip)
	return out, err == nil
}

func dnsType(t uint16) string {
	switch t {
	case 1:
		return "A"
	case 28:
		return "AAAA"
	}
	if name, ok := map[uint16]string{2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 33: "SRV", 35: "NAPTR",
		39: "DNAME", 41: "OPT", 43: "DS", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 251: "IXFR",
		252: "AXFR", 255: "ANY", 257: "CAA"}[t]; ok {
		return name
	}
	return fmt.Sprintf("TYPE%d", t)
}

func dnsRcode(c uint8) string {
	names := [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("RCODE%d", c)
}
