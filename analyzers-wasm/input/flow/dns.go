package flow

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	portDNS     = 53
	dnsHeader   = 12
	maxAnswers  = 64
	maxPointers = 32
	maxText     = 255
)

var errDNS = errors.New("not a DNS message")

// message is what is read of a DNS message.
type message struct {
	id        uint16
	response  bool
	truncated bool
	rcode     uint8
	name      string
	qtype     uint16
	answers   []string
	cut       bool // bytes of it were not captured
}

// parseDNS reads a message with one question, as all are. whole says that b is
// all of it.
func parseDNS(b []byte, whole bool) (message, error) {
	if len(b) < dnsHeader {
		return message{}, errDNS
	}
	flags, questions, answers := be16(b[2:]), be16(b[4:]), be16(b[6:])
	m := message{id: be16(b), response: flags&0x8000 != 0, truncated: flags&0x0200 != 0, rcode: uint8(flags & 15), cut: !whole}
	if flags>>11&15 != 0 || questions > 1 { // other than QUERY
		return message{}, errDNS
	}
	at := dnsHeader
	if questions == 1 {
		name, next, err := dnsName(b, at)
		if err != nil || next+4 > len(b) {
			return message{}, errDNS
		}
		m.name, m.qtype, at = name, be16(b[next:]), next+4
	} else if !m.response {
		return message{}, errDNS
	}
	if !m.response {
		return m, nil
	}
	for range min(int(answers), maxAnswers) {
		text, next, err := dnsAnswer(b, at)
		if err != nil {
			if whole {
				return m, errDNS
			}
			break
		}
		m.answers, at = append(m.answers, text), next
	}
	return m, nil
}

// dnsName reads a name, following pointers back only.
func dnsName(b []byte, at int) (name string, next int, err error) {
	var out strings.Builder
	lowest, pointers := at, 0
	for {
		if at >= len(b) {
			return "", 0, errDNS
		}
		n := int(b[at])
		switch {
		case n == 0:
			if next == 0 {
				next = at + 1
			}
			if out.Len() == 0 {
				return ".", next, nil
			}
			return out.String(), next, nil
		case n >= 0xc0:
			if at+2 > len(b) {
				return "", 0, errDNS
			}
			to := int(be16(b[at:]) & 0x3fff)
			if next == 0 {
				next = at + 2
			}
			if pointers++; to >= lowest || pointers > maxPointers {
				return "", 0, errDNS
			}
			at, lowest = to, to
			continue
		case n >= 0x40 || at+1+n > len(b) || out.Len()+n > 4*maxText:
			return "", 0, errDNS
		}
		if out.Len() > 0 {
			out.WriteByte('.')
		}
		for _, c := range b[at+1 : at+1+n] {
			switch {
			case c == '.' || c == '\\':
				out.WriteByte('\\')
				out.WriteByte(c)
			case c <= ' ' || c >= 0x7f:
				fmt.Fprintf(&out, "\\%03d", c)
			default:
				out.WriteByte(c)
			}
		}
		at += 1 + n
	}
}

// dnsAnswer reads one resource record as text.
func dnsAnswer(b []byte, at int) (text string, next int, err error) {
	_, at, err = dnsName(b, at)
	if err != nil || at+10 > len(b) {
		return "", 0, errDNS
	}
	typ, n := be16(b[at:]), int(be16(b[at+8:]))
	at += 10
	if at+n > len(b) {
		return "", 0, errDNS
	}
	name := dnsType(typ)
	data := b[at : at+n]
	rest, err := dnsData(b, at, typ, data)
	if err != nil {
		return "", 0, err
	}
	return name + " " + rest, at + n, nil
}

func dnsData(b []byte, at int, typ uint16, data []byte) (string, error) {
	named := func(skip int) (string, error) {
		if len(data) <= skip {
			return "", errDNS
		}
		name, _, err := dnsName(b[:at+len(data)], at+skip)
		return name, err
	}
	switch typ {
	case 1, 28:
		if ip, ok := netip.AddrFromSlice(data); ok && ip.Is4() == (typ == 1) {
			return ip.String(), nil
		}
		return "", errDNS
	case 2, 5, 12, 39:
		return named(0)
	case 6:
		return named(0)
	case 15:
		name, err := named(2)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d %s", be16(data), name), nil
	case 33:
		name, err := named(6)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d %d %d %s", be16(data), be16(data[2:]), be16(data[4:]), name), nil
	case 16:
		if len(data) > 0 && int(data[0]) < len(data) {
			return strconv.Quote(clean(data[1 : 1+data[0]])), nil
		}
	}
	return fmt.Sprintf("(%d bytes)", len(data)), nil
}

func dnsType(t uint16) string {
	if name, ok := map[uint16]string{1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
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
