package flow

import "github.com/casefile-io/casefile/sdk/abi"

// icmp ties an error to the flow of the packet that it quotes, which is as the
// sender of the error saw it.
func (t *tracker) icmp(pl *place, h *headers, p *packet) {
	b := h.transport
	if len(b) < 8 {
		return
	}
	e := abi.ICMPError{Packet: p.number, Time: epoch(p.nanos), From: h.src.text(h.v6), Type: int(b[0]), Code: int(b[1])}
	proto := uint16(etherIPv4)
	if h.proto == protoICMP {
		switch b[0] {
		case 3, 4, 5, 11, 12:
		default:
			return
		}
		if b[0] == 3 && b[1] == 4 {
			e.MTU = int(be16(b[6:]))
		}
	} else {
		proto = etherIPv6
		if b[0] < 1 || b[0] > 4 {
			return
		}
		if b[0] == 2 {
			e.MTU = int(be32(b[4:]))
		}
	}
	var quoted headers
	if !quoted.ip(proto, b[8:], 1<<16) || quoted.later {
		return
	}
	k, fromLow := keyOf(&quoted, pl.number)
	if h.tunnel != 0 {
		k.tail |= 1 << 8
	}
	hash := k.hash(t.s.seed)
	s := t.table.find(&k, hash)
	f := s.flow
	if f == nil {
		quoted.tunnel, quoted.tcpFlags = h.tunnel, 0
		if f = t.begin(&k, fromLow, &quoted, pl, p); f == nil {
			t.lost++
			return
		}
		t.table.put(s, hash, f)
	}
	e.About = "a"
	if fromLow != f.aLow {
		e.About = "b"
	}
	x := f.more()
	switch n := len(x.icmp); {
	case n < maxICMP && t.s.errors < maxErrors:
		t.s.errors++
		x.icmp = append(x.icmp, e)
	case n > 0:
		x.icmp[n-1] = e
	default:
		t.untold++
	}
}
