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

// queryKey finds the query of a flow with an id that is not answered yet.
type queryKey struct {
	flow uint32
	id   uint16
}

const maxMessage = math.MaxUint16 + 2 // with its length before it, over TCP

// datagram takes a DNS message over UDP.
func (t *tracker) datagram(f *flow, from uint8, h *headers, p *packet) {
	whole := len(h.payload) == h.length
	err := t.msg.parse(h.payload)
	if !whole && (err != nil || t.msg.response) {
		t.cut++
	}
	if err == nil {
		t.message(f, from, p)
	}
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
	used := 0
	for data := s.data; len(data) >= 2; data = s.data[used:] {
		n := 2 + int(be16(data))
		whole := n <= len(data)
		if !whole && !s.broken() {
			break
		}
		err := t.msg.parse(data[2:min(n, len(data))])
		if err != nil || !whole {
			if !whole {
				t.cut++
			}
			s.cut = true // where the next message begins is not known
		}
		if err == nil {
			t.message(f, from, p)
		}
		if s.broken() {
			s.free(&t.buffers)
			return
		}
		used += n
	}
	if used > 0 {
		s.take(used, &t.buffers)
	}
}

// message takes the query or answer that was parsed last.
func (t *tracker) message(f *flow, from uint8, p *packet) {
	m, key := &t.msg, queryKey{f.index, t.msg.id}
	q := t.queries[key]
	if m.response {
		if q == nil || q.from == from || len(m.name) > 0 && string(m.name) != q.name {
			return
		}
		q.answer, q.answered, q.rcode, q.truncated = p.number, p.nanos, m.rcode, m.truncated
		q.answers = t.kept(m.answers())
		delete(t.queries, key)
		return
	}
	if q != nil && q.from == from && q.name == string(m.name) && q.qtype == m.qtype {
		q.tries++
		q.last = p.nanos
		return
	}
	if len(t.s.dns) >= t.s.lim.Queries {
		t.asked++
		return
	}
	name, ok := t.s.name(m.name)
	if !ok {
		t.mute++
		return
	}
	if len(t.s.asking) == 0 {
		t.s.asking = make([]query, queriesChunk)
	}
	q, t.s.asking = &t.s.asking[0], t.s.asking[1:]
	*q = query{flow: f, from: from, id: m.id, qtype: m.qtype, name: name, packet: p.number, first: p.nanos, last: p.nanos, tries: 1}
	t.queries[key] = q
	t.s.dns = append(t.s.dns, q)
}

// name gives a name as text, unless there is no room for it; most names are
// asked for often.
func (s *Scanner) name(b []byte) (string, bool) {
	name, ok := s.names[string(b)]
	if !ok && s.hold(len(b)) {
		name, ok = string(b), true
		s.names[name] = name
	}
	return name, ok
}

// kept gives the answers back if there is room for them.
func (t *tracker) kept(answers []string) []string {
	need := 0
	for _, a := range answers {
		need += 16 + len(a)
	}
	if !t.s.hold(need) {
		t.mute++
		return nil
	}
	return answers
}

// hold takes room for text.
func (s *Scanner) hold(bytes int) bool {
	if bytes > s.texts {
		return false
	}
	s.texts -= bytes
	return true
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
