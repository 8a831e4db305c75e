package flow

import (
	"fmt"
	"io"

	"github.com/casefile-io/casefile/sdk/abi"
)

// What a file may have open at a time.
const (
	bufferRoom   = 32 << 20 // bytes of messages and handshakes that are not whole yet
	maxICMP      = 16       // errors kept of a flow: the first ones and the last
	textRoom     = 64 << 20 // bytes of names and answers of DNS, of all files
	maxErrors    = 100_000  // ICMP errors kept, of all files
	flowsChunk   = 256
	queriesChunk = 64
	fragSlots    = 64
)

// flow is one row while it grows.
type flow struct {
	key    key
	place  *place
	twin   *flow // the same packets on their other way through the device
	index  uint32
	aLow   bool // A is the lower end of the key
	synced bool // a SYN was seen
	acked  bool // the handshake was completed, or data went without one
	reset  uint8
	packet uint32 // the first one
	first  int64
	last   int64
	syn    int64 // time of the last SYN
	rtt    int64
	resets uint32 // packet of the first reset
	tunnel uint8
	ends   [2]end // A, B
	extra  *extra
}

// end is one side of a flow.
type end struct {
	direction
	packets, bytes   int64
	segments         int64
	retrans, fast    uint32
	spurious, dupACK uint32
	outOfOrder, lost uint32
	zeroWindow, full uint32
	keepAlive        uint32
	syns             uint32
	retransmitted    [5]uint32 // packets of the first
	fin              bool
	dir              uint8 // in or out, as the device sees it
	again            uint32
}

// extra is what few flows have.
type extra struct {
	sni, alert string
	icmp       []abi.ICMPError
	tls        [2]tlsState
	dns        [2]*stream
}

func (f *flow) more() *extra {
	if f.extra == nil {
		f.extra = &extra{}
	}
	return f.extra
}

// tracker follows the flows of one file.
type tracker struct {
	s       *Scanner
	file    *file
	r       *reader
	table   table
	buffers int // bytes that streams may still hold
	frags   [fragSlots]piece
	from    int // the file's first flow in s.flows
	lost    int
	devices int // packets of devices beyond the bound
	asked   int
	cut     int // DNS messages that were cut
	mute    int // DNS messages for the text of which there was no room
	untold  int // flows without their ICMP errors
	strange int // packets of link types that are not decoded, and one of these
	link    uint16
	h       headers
	msg     message
	queries map[queryKey]*query
}

func newTracker(s *Scanner, f *file, in io.Reader) *tracker {
	s.in.Reset(in)
	return &tracker{s: s, file: f, table: newTable(s.seed), r: &reader{in: s.in}, buffers: bufferRoom, queries: map[queryKey]*query{}}
}

// piece remembers whose the later fragments of a datagram are.
type piece struct {
	src, dst addr
	id       uint32
	flow     *flow
	end      uint8
}

// take reads one packet.
func (t *tracker) take(p *packet) {
	if t.file.from == 0 || p.nanos < t.file.from {
		t.file.from = p.nanos
	}
	t.file.to = max(t.file.to, p.nanos)
	proto, at, ok := network(p.iface.link, p.data)
	if !ok {
		if !known(p.iface.link) {
			t.strange, t.link = t.strange+1, p.iface.link
		}
		return
	}
	pl, dir := t.place(p)
	if pl == nil {
		t.devices++
		return
	}
	h := &t.h
	h.tunnel = 0
	if !h.ip(proto, p.data[at:], p.wire-at) {
		return
	}
	for range maxTunnels + 1 {
		t.headers(h, pl, dir, p)
		if h.proto == protoTCP || !h.inner() {
			return
		}
	}
}

// headers takes one layer of headers to its flow.
func (t *tracker) headers(h *headers, pl *place, dir uint8, p *packet) {
	if h.later {
		t.piece(h, p)
		return
	}
	k, fromLow := keyOf(h, pl.number)
	hash := k.hash(t.s.seed)
	s := t.table.find(&k, hash)
	f := s.flow
	if f != nil && h.tcpFlags&(flagSYN|flagACK) == flagSYN && h.proto == protoTCP && h.whole && f.reused(h, fromLow) {
		t.end(f)
		if f = t.begin(&k, fromLow, h, pl, p); f != nil {
			s.flow = f
		}
	} else if f == nil {
		if f = t.begin(&k, fromLow, h, pl, p); f != nil {
			t.table.put(s, hash, f)
		}
	}
	if f == nil {
		t.lost++
		return
	}
	from := uint8(0)
	if fromLow != f.aLow {
		from = 1
	}
	if dir != 0 {
		if f, from = t.way(f, from, fromLow, dir, h, pl, p); f == nil {
			t.lost++
			return
		}
	}
	t.count(f, from, h, p)
}

// way finds the flow of packets that go this way through the device.
func (t *tracker) way(f *flow, from uint8, fromLow bool, dir uint8, h *headers, pl *place, p *packet) (*flow, uint8) {
	e := &f.ends[from]
	if e.dir == 0 {
		e.dir = dir
	}
	if e.dir == dir {
		return f, from
	}
	if f.twin == nil {
		f.twin = t.begin(&f.key, fromLow, h, pl, p)
		if f.twin == nil {
			return nil, 0
		}
		t.s.twins = true
	}
	f = f.twin
	from = 0
	if fromLow != f.aLow {
		from = 1
	}
	f.ends[from].dir = dir
	return f, from
}

// reused says whether a SYN begins another connection between the same ports.
func (f *flow) reused(h *headers, fromLow bool) bool {
	from := 0
	if fromLow != f.aLow {
		from = 1
	}
	d := &f.ends[from].direction
	return d.seen && d.base != h.seq
}

// begin makes a flow; nil if there are too many.
func (t *tracker) begin(k *key, fromLow bool, h *headers, pl *place, p *packet) *flow {
	if len(t.s.flows) >= t.s.lim.Rows {
		return nil
	}
	if len(t.s.chunk) == 0 {
		t.s.chunk = make([]flow, flowsChunk)
	}
	f := &t.s.chunk[0]
	t.s.chunk = t.s.chunk[1:]
	f.key, f.place, f.index, f.first, f.last, f.packet, f.tunnel = *k, pl, uint32(len(t.s.flows)), p.nanos, p.nanos, uint32(p.number), h.tunnel
	f.aLow = fromLow
	if h.proto == protoTCP && h.tcpFlags&(flagSYN|flagACK) == flagSYN|flagACK {
		f.aLow = !fromLow
	}
	for i := range f.ends {
		f.ends[i].window, f.ends[i].scale = ^uint32(0), scaleUnknown
	}
	t.s.flows = append(t.s.flows, f)
	return f
}

// end frees what only a flow that goes on needs.
func (t *tracker) end(f *flow) {
	for ; f != nil; f = f.twin {
		if f.extra != nil {
			t.closeTLS(f.extra)
			for _, d := range f.extra.dns {
				if d != nil {
					d.free(&t.buffers)
				}
			}
			f.extra.dns = [2]*stream{}
		}
	}
}

// count adds a packet to its flow.
func (t *tracker) count(f *flow, from uint8, h *headers, p *packet) {
	e := &f.ends[from]
	e.packets++
	e.bytes += int64(h.length)
	f.last = max(f.last, p.nanos)
	f.first = min(f.first, p.nanos)
	if h.fragment {
		t.frags[h.id%fragSlots] = piece{h.src, h.dst, h.id, f, from}
	}
	switch h.proto {
	case protoTCP:
		if h.whole {
			t.segment(f, from, h, p)
		}
	case protoUDP:
		if h.whole && (h.sport == portDNS || h.dport == portDNS) {
			t.datagram(f, from, h, p)
		}
	case protoICMP, protoICMPv6:
		t.icmp(f.place, h, p)
	}
	t.s.print(f, from, h, p)
}

// piece counts a fragment to the flow of its first one.
func (t *tracker) piece(h *headers, p *packet) {
	if s := &t.frags[h.id%fragSlots]; s.flow != nil && s.id == h.id && s.src == h.src && s.dst == h.dst {
		s.flow.ends[s.end].packets++
		s.flow.last = max(s.flow.last, p.nanos)
	}
}

// finish ends the file; whole when it was read to its end.
func (t *tracker) finish(whole bool) {
	for _, f := range t.s.flows[t.from:] {
		t.end(f)
	}
	f := t.file
	f.drops = max(int64(min(t.r.drops, 1<<62)), f.Dropped)
	if t.r.start != 0 {
		f.from = min(f.from, t.r.start)
	}
	if f.Started != 0 {
		f.from = min(f.from, f.Started)
	}
	if whole {
		f.to = max(f.to, t.r.end, f.Ended)
	}
	lack := func(of *[]string, n int, format string, args ...any) {
		if n > 0 {
			*of = append(*of, fmt.Sprintf(format, args...))
		}
	}
	lack(&f.missing, t.strange, "%d packets of link types that are not decoded, %d among them", t.strange, t.link)
	lack(&f.missing, t.r.unread, "%d packets in blocks of an old kind; convert the file with editcap -F pcapng", t.r.unread)
	lack(&f.missing, t.r.badIface, "%d packets of interfaces that the file does not describe", t.r.badIface)
	lack(&f.missing, t.lost, "more than %d flows: %d packets of others were left out", t.s.lim.Rows, t.lost)
	lack(&f.unasked, t.asked, "more than %d DNS queries: %d others were left out", t.s.lim.Queries, t.asked)
	lack(&f.unasked, t.mute, "the names and answers in DNS messages take more than %d MiB: %d messages were left out", textRoom>>20, t.mute)
	lack(&f.missing, t.untold, "more than %d ICMP errors: %d flows are without theirs", maxErrors, t.untold)
	lack(&f.missing, t.devices, "more than %d devices: %d packets of others were left out", maxPlaces, t.devices)
	lack(&f.unasked, t.cut, "%d DNS messages were cut by the length that was captured of each packet", t.cut)
}
