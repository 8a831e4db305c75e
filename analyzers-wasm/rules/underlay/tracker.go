package underlay

import (
	"io"
	"net/netip"
	"slices"
	"time"
)

// Bounds on what is remembered of a capture.
const (
	maxFlows       = 65536
	maxHoles       = 32
	maxPacketsKept = 8 // of each flow, for evidence
)

// A segment that fills a hole this long after the hole appeared was sent again
// by somebody whose first try was lost before the place of the capture; one
// that comes sooner was overtaken on its way.
const reordering = 20 * time.Millisecond

// flowKey is one direction of a connection as one interface sees it. A packet
// that crosses two interfaces of one file (a veth and a bridge), or goes out
// and comes in on loopback, is thus not taken for two.
type flowKey struct {
	iface     uint32
	direction uint8
	src, dst  netip.AddrPort
}

// flow is what was seen of one direction.
type flow struct {
	key      flowKey
	segments int // with data, SYN or FIN
	again    int // of them sent once more
	syn      int // of them SYN
	packets  []int

	open  bool
	isn   uint32
	synAt bool // isn is known
	next  uint32
	holes []hole
}

// hole is a range of sequence numbers that was skipped.
type hole struct {
	from, to uint32
	since    int64
}

func before(a, b uint32) bool { return int32(a-b) < 0 }

// retransmitted takes the next segment and says whether it was sent before.
func (f *flow) retransmitted(s tcpSegment, nanos int64) bool {
	if s.flags&rstFlag != 0 {
		return false
	}
	if s.flags&synFlag != 0 {
		f.segments++
		if f.synAt && s.seq == f.isn {
			f.syn++
			return true
		}
		f.open, f.synAt, f.isn, f.next, f.holes = true, true, s.seq, s.seq+1, nil
		return false
	}
	n := uint32(s.payload) + uint32(s.flags&finFlag)
	end := s.seq + n
	keepAlive := s.payload <= 1 && s.flags&finFlag == 0 && f.open && s.seq == f.next-1
	if n == 0 || keepAlive {
		return false
	}
	f.segments++
	switch {
	case !f.open:
		f.open, f.next = true, end
		return false
	case !before(s.seq, f.next):
		if s.seq != f.next && len(f.holes) < maxHoles {
			f.holes = append(f.holes, hole{f.next, s.seq, nanos})
		}
		f.next = end
		return false
	}
	if before(f.next, end) {
		f.next = end
	}
	for i, h := range f.holes {
		if before(s.seq, h.to) && before(h.from, end) {
			f.fill(i, s.seq, end)
			return nanos-h.since > int64(reordering)
		}
	}
	return true
}

// fill takes the range out of a hole.
func (f *flow) fill(i int, from, to uint32) {
	h := f.holes[i]
	f.holes = slices.Delete(f.holes, i, i+1)
	if before(h.from, from) {
		f.holes = append(f.holes, hole{h.from, from, h.since})
	}
	if before(to, h.to) && len(f.holes) < maxHoles {
		f.holes = append(f.holes, hole{to, h.to, h.since})
	}
}

// tracker follows every flow of a file.
type tracker struct {
	flows    map[flowKey]*flow
	order    []*flow
	overflow bool // more flows than are followed
}

func (t *tracker) take(p *packet) {
	s, ok := decodeTCP(p.linkType, p.data, p.length)
	if !ok {
		return
	}
	key := flowKey{p.iface, p.direction, s.src, s.dst}
	f := t.flows[key]
	if f == nil {
		if len(t.order) == maxFlows {
			t.overflow = true
			return
		}
		f = &flow{key: key}
		t.flows[key] = f
		t.order = append(t.order, f)
	}
	if f.retransmitted(s, p.nanos) {
		f.again++
		if len(f.packets) < maxPacketsKept {
			f.packets = append(f.packets, p.number)
		}
	}
}

// captureStat is what a capture file says of retransmissions. Each direction
// of a connection is counted on the interface that saw most of it.
type captureStat struct {
	segments, again, syn int
	worst                *flow
	packets              []int // the first ones sent again
}

// scan reads a pcapng stream; what was read before an error counts.
func scan(r io.Reader) (captureStat, error) {
	t := tracker{flows: map[flowKey]*flow{}}
	err := readPackets(r, t.take)
	best := map[[2]netip.AddrPort]*flow{}
	for _, f := range t.order {
		way := [2]netip.AddrPort{f.key.src, f.key.dst}
		if b := best[way]; b == nil || f.segments > b.segments {
			best[way] = f
		}
	}
	var s captureStat
	for _, f := range t.order {
		if best[[2]netip.AddrPort{f.key.src, f.key.dst}] != f {
			continue
		}
		s.segments, s.again, s.syn = s.segments+f.segments, s.again+f.again, s.syn+f.syn
		if f.again > 0 && (s.worst == nil || f.again > s.worst.again) {
			s.worst = f
		}
		s.packets = append(s.packets, f.packets...)
	}
	slices.Sort(s.packets)
	s.packets = s.packets[:min(len(s.packets), maxEvidence)]
	return s, err
}
