package redact

import "encoding/binary"

func (r rewriter) ip(p part) (int, bool) {
	if len(p.old) == 0 {
		return 0, false
	}
	switch p.old[0] >> 4 {
	case 4:
		return r.ipv4(p)
	case 6:
		return r.ipv6(p)
	}
	return 0, false
}

func (r rewriter) ipv4(p part) (int, bool) {
	const header, check, source, destination = 20, 10, 12, 16
	if len(p.old) < header {
		return 0, false
	}
	n, total := int(p.old[0]&15)*4, int(binary.BigEndian.Uint16(p.old[2:]))
	if n < header || n > len(p.old) || total != 0 && total < n {
		return 0, false
	}
	s := pseudo{length: total - n}
	if total == 0 { // segmentation offload
		s.length = len(p.old) - n
	}
	p = r.end(p, total)
	r.names.ipv4(p, source)
	r.names.ipv4(p, destination)
	last := p.old[destination:header]
	if routed := ipv4Options(p.upto(n).from(header)); routed != nil {
		last = routed
	}
	s.addresses = sumOf(p.old[source:destination]).plus(sumOf(last))
	s.change = sumOf(p.new[source:header]).minus(s.addresses)
	const more, offset = 0x2000, 0x1FFF
	flags := binary.BigEndian.Uint16(p.old[6:])
	s.fragment = flags&(more|offset) != 0
	kept, ok := n, true
	if flags&offset == 0 {
		var rest int
		rest, ok = r.transport(p.old[9], p.from(n), s)
		kept += rest
	}
	if grown := r.message.grown(); grown != 0 && total != 0 {
		p.put(2, uint16(total+grown))
	}
	p.mend(check, p.change(n))
	return kept, ok
}

// end cuts a packet to the length that its header gives. Where bytes follow,
// inside a tunnel, or are missing, no message may change its length: checksums
// around it cover what cannot be moved.
func (r *rewriter) end(p part, total int) part {
	if total == 0 || total == len(p.old) {
		return p
	}
	r.padded = r.padded || r.inner || total > len(p.old)
	return p.upto(min(total, len(p.old)))
}

// ipv4Options keeps the router alert and puts padding in place of all others:
// most have addresses in them. It gives the last address of a source route
// that the packet has not yet come to the end of, which its checksum is about.
func ipv4Options(p part) (last []byte) {
	const end, pad, looseRoute, strictRoute, routerAlert = 0, 1, 131, 137, 148
	for len(p.old) > 0 {
		size := len(p.old)
		switch kind := p.old[0]; kind {
		case end:
			p.blank()
			return last
		case pad:
			p = p.from(1)
			continue
		default:
			if size >= 2 && p.old[1] >= 2 {
				size = min(size, int(p.old[1]))
			}
			if route := kind == looseRoute || kind == strictRoute; route && size >= 7 && int(p.old[2]) < size {
				last = p.old[size-4 : size]
			}
			if kind != routerAlert || size != 4 {
				fill(p.new[:size], pad)
			}
		}
		p = p.from(size)
	}
	return last
}

func fill(b []byte, with byte) {
	for i := range b {
		b[i] = with
	}
}

// ends are the addresses that a checksum above IPv6 is about: those of the
// header, unless an extension header has others.
type ends struct{ source, destination part }

func (e ends) pseudo() (addresses, change sum) {
	addresses = sumOf(e.source.old).plus(sumOf(e.destination.old))
	return addresses, sumOf(e.source.new).plus(sumOf(e.destination.new)).minus(addresses)
}

func (r rewriter) ipv6(p part) (int, bool) {
	const header, source, destination = 40, 8, 24
	if len(p.old) < header {
		return 0, false
	}
	size, wire := int(binary.BigEndian.Uint16(p.old[4:])), len(p.old)
	if size != 0 {
		wire = header + size
	}
	p = r.end(p, wire)
	r.names.ipv6(p, source)
	r.names.ipv6(p, destination)
	e := ends{p.upto(destination).from(source), p.upto(header).from(destination)}
	w := walk{at: header, next: p.old[6]}
	if !r.extensions(p, &w, &e) {
		return w.at, w.kept
	}
	s := pseudo{length: wire - w.at, fragment: w.fragment}
	s.addresses, s.change = e.pseudo()
	more, ok := r.transport(w.next, p.from(w.at), s)
	if grown := r.message.grown(); grown != 0 && size != 0 {
		p.put(4, uint16(size+grown))
	}
	return w.at + more, ok
}

// walk is the state of the walk over extension headers.
type walk struct {
	at       int  // where the next header begins
	next     byte // its protocol
	fragment bool
	kept     bool // the walk ended early, and what lies before at is good
}

// extensions walks to the transport header; false if there is none to be had.
func (r rewriter) extensions(p part, w *walk, e *ends) bool {
	const maxExtensions = 8
	for range maxExtensions {
		size := 0
		switch w.next {
		case protoHopByHop, protoRouting, protoDestination:
			size = extension(p.old[w.at:], 8, 1)
		case protoFragment:
			size = 8
		case protoAH:
			size = extension(p.old[w.at:], 4, 2)
		default:
			return true
		}
		if size == 0 || len(p.old) < w.at+size {
			w.kept = len(p.old) == w.at
			return false
		}
		h := p.upto(w.at + size).from(w.at)
		if !r.extension(w.next, h, e) {
			return false
		}
		laterFragment := false
		if w.next == protoFragment {
			const more, offset = 1, 0xFFF8
			flags := binary.BigEndian.Uint16(h.old[2:])
			w.fragment = w.fragment || flags&(more|offset) != 0
			laterFragment = flags&offset != 0
		}
		w.next = h.old[0]
		w.at += size
		if laterFragment {
			w.kept = true
			return false
		}
	}
	w.at = 0
	return false
}

// extension maps one extension header; false if it cannot.
func (r rewriter) extension(kind byte, p part, e *ends) bool {
	const ahFixed = 12
	switch kind {
	case protoHopByHop, protoDestination:
		r.ipv6Options(p.from(2), e)
	case protoRouting:
		return r.routing(p, e)
	case protoAH:
		if len(p.old) > ahFixed {
			p.from(ahFixed).blank()
		}
	}
	return true
}

// ipv6Options maps a home address, which stands for the source, and keeps
// the options that have no address; padding takes the place of all others.
func (r rewriter) ipv6Options(p part, e *ends) {
	const pad1, padN, tunnelLimit, routerAlert, jumbo, home = 0, 1, 4, 5, 0xC2, 0xC9
	for len(p.old) >= 2 {
		kind, size := p.old[0], min(2+int(p.old[1]), len(p.old))
		option := p.upto(size)
		switch {
		case kind == pad1:
			size = 1
		case kind == tunnelLimit && size == 3, kind == routerAlert && size == 4, kind == jumbo && size == 6:
		case kind == home && size == 18:
			r.names.ipv6(option, 2)
			e.source = option.from(2)
		default:
			option.new[0] = padN
			option.from(2).blank()
		}
		p = p.from(size)
	}
	p.blank()
}

// routing maps the addresses of a routing header: of source routes (type 0),
// of mobile nodes (2) and of segment routing (4), without the values that may
// follow the segments. While there are segments left, the last address is
// the destination.
func (r rewriter) routing(p part, e *ends) bool {
	const source, mobile, segments, fixed, address = 0, 2, 4, 8, 16
	kind, left := p.old[2], p.old[3]
	if kind != source && kind != mobile && kind != segments {
		return false
	}
	count := (len(p.old) - fixed) / address
	if kind == segments {
		count = min(count, int(p.old[4])+1)
	}
	if int(left) > count {
		return false // the addresses are elsewhere
	}
	for i := range count {
		r.names.ipv6(p, fixed+i*address)
	}
	p.from(fixed + count*address).blank()
	if left > 0 && count > 0 {
		last := fixed + (count-1)*address
		if kind == segments {
			last = fixed
		}
		e.destination = p.upto(last + address).from(last)
	}
	return true
}
