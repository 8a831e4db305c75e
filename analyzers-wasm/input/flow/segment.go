package flow

func (t *tracker) segment(f *flow, from uint8, h *headers, p *packet) {
	fwd, rev := &f.ends[from], &f.ends[1-from]
	m := analyse(&fwd.direction, &rev.direction, h, p.nanos, f.rtt)
	if m != 0 {
		fwd.mark(m, p.number)
	}
	if h.length > 0 || h.tcpFlags&(flagSYN|flagFIN) != 0 {
		fwd.segments++
	}
	if h.tcpFlags&(flagSYN|flagFIN|flagRST) != 0 {
		f.control(from, h, p)
	} else if !f.acked && h.tcpFlags&flagACK != 0 {
		f.acked = !f.synced || rev.syns > 0 || h.length > 0
	}
	if f.rtt == 0 && f.syn != 0 && h.tcpFlags&(flagSYN|flagACK) == flagACK {
		f.rtt = p.nanos - f.syn
	}
	if len(h.payload) > 0 {
		switch {
		case h.sport == portDNS || h.dport == portDNS:
			t.dnsSegment(f, from, h, p)
		case f.extra != nil || h.payload[0]-20 < 4:
			t.tls(f, from, h)
		}
	}
}

// control looks at the flags that begin and end a connection.
func (f *flow) control(from uint8, h *headers, p *packet) {
	e := &f.ends[from]
	if h.tcpFlags&flagSYN != 0 {
		f.synced = true
		e.syns++
		if h.tcpFlags&flagACK == 0 {
			f.syn = p.nanos
		}
	}
	if h.tcpFlags&flagFIN != 0 {
		e.fin = true
	}
	if h.tcpFlags&flagRST != 0 && f.reset == 0 {
		f.reset, f.resets = from+1, uint32(p.number)
	}
}

// mark counts what the analysis says.
func (e *end) mark(m marks, number int) {
	if m&(markRetrans|markFast|markSpurious) != 0 {
		if int(e.retrans) < len(e.retransmitted) {
			e.retransmitted[e.retrans] = uint32(number)
		}
		e.retrans++
	}
	for _, c := range [...]struct {
		mark marks
		n    *uint32
	}{{markFast, &e.fast}, {markSpurious, &e.spurious}, {markOutOfOrder, &e.outOfOrder}, {markLost, &e.lost}, {markDuplicateACK, &e.dupACK},
		{markZeroWindow, &e.zeroWindow}, {markWindowFull, &e.full}, {markKeepAlive, &e.keepAlive}, {markRetrans, &e.again}} {
		if m&c.mark != 0 {
			*c.n++
		}
	}
}
