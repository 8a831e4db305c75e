package flow

import (
	"math"

	"github.com/casefile-io/casefile/sdk/abi"
)

// query is a DNS query and what came of it.
type query struct {
	flow   *flow
	from   uint8 // which end asks
	id     uint16
	qtype  uint16
	name   string
	packet int
	first  int64
	last   int64 // the last try
	tries  int

	answer    int // packet
	answered  int64
	rcode     uint8
	answers   []string
	truncated bool
}

const maxMessage = math.MaxUint16 + 2 // with its length before it, over TCP

// datagram takes a DNS message over UDP.
func (t *tracker) datagram(f *flow, from uint8, h *headers, p *packet) {
	whole := len(h.payload) == h.length
	m, err := parseDNS(h.payload, whole)
	if !whole && (err != nil || m.response) {
		t.cut++
	}
	if err != nil && !m.response {
		return
	}
	t.message(f, from, &m, p)
}

// dnsSegment takes the messages that a segment of TCP completes.
func (t *tracker) dnsSegment(f *flow, from uint8, h *headers, p *packet) {
	x := f.more()
	s := x.dns[from]
	if s == nil {
		s = newStream(h.seq, maxMessage)
		if d := &f.ends[from].direction; f.synced && d.seen {
			s.next = d.base + 1
		}
		x.dns[from] = s
	}
	if s.broken() {
		return
	}
	s.push(h.seq, h.payload, h.length, &t.buffers)
	for len(s.data) >= 2 {
		n := 2 + int(be16(s.data))
		whole := n <= len(s.data)
		if !whole && !s.broken() {
			return
		}
		m, err := parseDNS(s.data[2:min(n, len(s.data))], whole)
		if err != nil || !whole {
			if !whole {
				t.cut++
			}
			s.cut = true // where the next message begins is not known
		}
		if err == nil {
			t.message(f, from, &m, p)
		}
		if s.broken() {
			s.free(&t.buffers)
			return
		}
		s.take(n, &t.buffers)
	}
}

// message takes a query or an answer.
func (t *tracker) message(f *flow, from uint8, m *message, p *packet) {
	x := f.more()
	q := x.queries[m.id]
	if m.response {
		if q == nil || q.answer != 0 || q.from == from || m.name != "" && m.name != q.name {
			return
		}
		q.answer, q.answered, q.rcode, q.answers, q.truncated = p.number, p.nanos, m.rcode, m.answers, m.truncated
		return
	}
	if q != nil && q.answer == 0 && q.from == from && q.name == m.name && q.qtype == m.qtype {
		q.tries++
		q.last = p.nanos
		return
	}
	if len(t.s.dns) >= t.s.lim.Queries {
		t.asked++
		return
	}
	q = &query{flow: f, from: from, id: m.id, qtype: m.qtype, name: m.name, packet: p.number, first: p.nanos, last: p.nanos, tries: 1}
	if x.queries == nil {
		x.queries = map[uint16]*query{}
	}
	x.queries[m.id] = q
	t.s.dns = append(t.s.dns, q)
}

func (q *query) row() abi.DNS {
	f := q.flow
	client, port := f.address(int(q.from))
	server, _ := f.address(int(1 - q.from))
	d := abi.DNS{Node: f.place.file.Node, Netns: f.place.file.Netns, Capture: f.place.file.Name, Path: f.place.file.Path, Device: f.place.device,
		Proto: protoName(f.key.proto()), Client: client, Port: port, Server: server, ID: int(q.id), Name: q.name, Type: dnsType(q.qtype),
		First: epoch(q.first), Tries: q.tries, Packet: q.packet}
	if q.answer != 0 {
		d.Answer, d.Latency, d.Time = q.answer, seconds(q.answered-q.last), seconds(q.answered-q.first)
		d.Rcode, d.Answers, d.Truncated = dnsRcode(q.rcode), q.answers, q.truncated
	}
	return d
}
