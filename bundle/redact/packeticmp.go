package redact

import "encoding/binary"

// icmp keeps the header and, of an error, the headers of the packet in it.
func (r rewriter) icmp(p part) int {
	const known, header, redirect = 4, 8, 5
	if len(p.old) < header {
		return min(len(p.old), known)
	}
	kind, n := p.old[0], header
	switch {
	case kind == redirect:
		r.names.ipv4(p, 4)
	case kind > 18 && kind != 42 && kind != 43:
		return known
	}
	if r.inside(icmpError(kind)) {
		n += r.quoted(p.from(header))
	}
	p.mend(2, p.change(n))
	return n
}

// inside says whether the packet that a message quotes is looked into.
func (r rewriter) inside(isError bool) bool {
	return isError && r.payload != PayloadNone && !r.headers
}

// quoted keeps the headers of a packet inside an error.
func (r rewriter) quoted(p part) int {
	r.inner, r.headers = true, true
	n, _ := r.ip(p)
	return n
}

func (r rewriter) icmpv6(p part, s pseudo) int {
	const known, header = 4, 8
	if len(p.old) < header {
		n := min(len(p.old), known)
		p.mend(2, s.change)
		return n
	}
	kind, n := p.old[0], known
	switch {
	case isDiscovery(kind):
		n = r.discovery(p.upto(min(len(p.old), maxDiscovery)))
	case icmpv6Error(kind):
		n = header
		if r.inside(true) {
			n += r.quoted(p.from(header))
		}
	case kind == 128, kind == 129: // echo
		n = header
	}
	p.mend(2, p.change(n).plus(s.change))
	return n
}

// discovery keeps a message of neighbour discovery or group membership, as far
// as it is known.
func (r rewriter) discovery(p part) int {
	const (
		query, report2, solicit, advertise, redirect = 130, 143, 133, 134, 137
		header                                       = 8
	)
	switch p.old[0] {
	case query:
		n := r.addresses(p, header, 1)
		if len(p.old) < n+4 || n == header {
			return n
		}
		return r.addresses(p, n+4, int(binary.BigEndian.Uint16(p.old[n+2:])))
	case 131, 132: // report, done
		return r.addresses(p, header, 1)
	case report2:
		return r.groups(p)
	case solicit:
		return r.options(p, header)
	case advertise:
		return r.after(p, min(len(p.old), 16), 16)
	case 135, 136: // a neighbour's
		return r.after(p, r.addresses(p, header, 1), 24)
	case redirect:
		return r.after(p, r.addresses(p, header, 2), 40)
	}
	return header
}

// after goes on with the options if the header of a message, of which n bytes
// were kept, is whole.
func (r rewriter) after(p part, n, header int) int {
	if n < header {
		return n
	}
	return r.options(p, n)
}

// addresses maps so many addresses from n on, as far as they are there, and
// says where they end.
func (r rewriter) addresses(p part, n, count int) int {
	for ; count > 0 && len(p.old) >= n+16; count-- {
		r.names.ipv6(p, n)
		n += 16
	}
	return n
}

// groups maps the records of a membership report.
func (r rewriter) groups(p part) int {
	const header, record = 8, 20
	n := header
	for range binary.BigEndian.Uint16(p.old[6:]) {
		if len(p.old) < n+record {
			return n
		}
		sources, extra := int(binary.BigEndian.Uint16(p.old[n+2:])), int(p.old[n+1])*4
		end := n + record + sources*16 + extra
		r.names.ipv6(p, n+4)
		n = r.addresses(p, n+record, sources)
		if len(p.old) < end {
			return n
		}
		p.upto(end).from(n).blank()
		n = end
	}
	return n
}

// options maps the options of neighbour discovery from n on. Those that are
// not known keep their type and length. The packet that a redirect quotes
// keeps its headers, and ends the message.
func (r rewriter) options(p part, n int) int {
	const (
		source, target, prefix, redirected, mtu = 1, 2, 3, 4, 5
		route, servers                          = 24, 25
	)
	for len(p.old) >= n+8 {
		size := int(p.old[n+1]) * 8
		if size == 0 {
			return n
		}
		if p.old[n] == redirected {
			if !r.inside(true) {
				return n
			}
			p.upto(n + 8).from(n + 2).blank()
			return n + 8 + r.quoted(p.from(n+8))
		}
		if len(p.old) < n+size {
			return n
		}
		o := p.upto(n + size).from(n)
		switch kind := p.old[n]; {
		case (kind == source || kind == target) && size == 8:
			r.names.mac(o, 2)
		case kind == prefix && size == 32:
			r.names.prefix(o.from(16), int(o.old[2]))
		case kind == route && size <= 24:
			r.names.prefix(o.from(8), int(o.old[2]))
		case kind == servers:
			o.from(r.addresses(o, 8, size/16)).blank()
		case kind == mtu && size == 8:
			o.upto(4).from(2).blank()
		default:
			o.from(2).blank()
		}
		n += size
	}
	return n
}
