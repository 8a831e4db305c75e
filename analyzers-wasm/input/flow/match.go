package flow

import (
	"encoding/binary"
	"slices"
)

// footprint is what is kept of a packet to find it again at other places. What
// a router or a NAT changes is not in it: addresses, ports, checksums, TTL.
type footprint struct {
	hash   uint64
	nanos  int64
	flow   uint32
	number uint32
	seq    uint32
	length uint32 // of payload; 0 where ranges say nothing
	tsval  uint32
	ttl    uint8
	from   uint8
}

// prints are the footprints of all files, in their order.
type prints struct {
	chunks [][]footprint
	n      int
}

const (
	printChunk = 4096
	indexBits  = 22 // of the number of a footprint
	maxShared  = 64 // flows with the same footprint: more say nothing
	maxSights  = 64 // places of one connection
)

func (s *Scanner) print(f *flow, from uint8, h *headers, p *packet) {
	hash := uint64(h.proto)
	fp := footprint{nanos: p.nanos, flow: f.index, number: uint32(p.number), ttl: h.ttl, from: from}
	switch {
	case h.proto == protoTCP && h.whole:
		fp.seq, fp.length, fp.tsval = h.seq, uint32(h.length), h.tsval
		hash = mix(hash^(uint64(h.seq)<<32|uint64(h.ack)), uint64(h.window)<<48|uint64(h.tcpFlags)<<40|uint64(h.length))
		hash = mix(hash, uint64(h.tsval)<<32^uint64(h.tsecr)^uint64(h.id)<<20)
	case h.proto == protoUDP && h.whole:
		hash = mix(hash^uint64(h.length)<<32^uint64(h.id), first16(h.payload))
	case h.proto == protoICMP && len(h.transport) >= 8 && (h.transport[0] == 8 || h.transport[0] == 0),
		h.proto == protoICMPv6 && len(h.transport) >= 8 && h.transport[0]>>1 == 64: // echo
		hash = mix(hash^uint64(h.length)<<32^uint64(h.id), uint64(h.transport[0])<<32|uint64(be32(h.transport[4:])))
	default:
		return
	}
	if fp.hash = hash; s.prints.n == s.lim.Prints {
		if file := f.place.file; file.blind == 0 {
			file.blind = p.nanos
		}
		return
	}
	if s.prints.n%printChunk == 0 {
		s.prints.chunks = append(s.prints.chunks, make([]footprint, 0, printChunk))
	}
	last := &s.prints.chunks[len(s.prints.chunks)-1]
	*last = append(*last, fp)
	s.prints.n++
}

func first16(b []byte) uint64 {
	var buf [16]byte
	copy(buf[:], b)
	return mix(binary.LittleEndian.Uint64(buf[:]), binary.LittleEndian.Uint64(buf[8:]))
}

func (p *prints) at(i uint32) *footprint { return &p.chunks[i/printChunk][i%printChunk] }

// byFlow lists the footprints of every flow, in the order of packets.
func (p *prints) byFlow(flows int) [][]uint32 {
	ends := make([]uint32, flows+1)
	for _, c := range p.chunks {
		for i := range c {
			ends[c[i].flow+1]++
		}
	}
	for i := 1; i <= flows; i++ {
		ends[i] += ends[i-1]
	}
	order := make([]uint32, p.n)
	next := slices.Clone(ends[:flows])
	for i := range uint32(p.n) {
		f := p.at(i).flow
		order[next[f]] = i
		next[f]++
	}
	lists := make([][]uint32, flows)
	for f := range lists {
		lists[f] = order[ends[f]:ends[f+1]]
	}
	return lists
}

// connection is the flows of one connection, as its places see it.
type connection []sight

// sight is one of them; flip when its A is the others' B.
type sight struct {
	flow  *flow
	flip  bool
	marks []uint32 // footprints
}

// pair is two flows that share n footprints; flip when one's A is the other's B.
type pair struct {
	a, b uint32
	n    int
	flip bool
}

// shared finds the flows that share footprints.
func (p *prints) shared() []pair {
	keys := make([]uint64, p.n) // the first bits of the hash, and which footprint
	for i := range keys {
		keys[i] = p.at(uint32(i)).hash&^(1<<indexBits-1) | uint64(i)
	}
	sortHigh(keys)
	links := keys[:0] // overwrites what was looked at
	for from := 0; from < len(keys); {
		to := from + 1
		for to < len(keys) && keys[to]>>indexBits == keys[from]>>indexBits {
			to++
		}
		for i := from + 1; i < to && to-from <= maxShared; i++ { // a chain is enough to hold them together
			a, b := p.at(uint32(keys[i-1]&(1<<indexBits-1))), p.at(uint32(keys[i]&(1<<indexBits-1)))
			if a.flow != b.flow && a.hash == b.hash {
				link := uint64(min(a.flow, b.flow))<<32 | uint64(max(a.flow, b.flow))<<1
				if a.from != b.from {
					link |= 1
				}
				links = append(links, link)
			}
		}
		from = to
	}
	slices.Sort(links)
	return count(links)
}

// count makes pairs of sorted links; the last bit of a link says flip.
func count(links []uint64) []pair {
	var out []pair
	for len(links) > 0 {
		a, b := uint32(links[0]>>32), uint32(links[0])>>1
		n, flips := 0, 0
		for n < len(links) && links[n]>>1 == links[0]>>1 {
			flips += int(links[n] & 1)
			n++
		}
		out = append(out, pair{a, b, n, flips*2 > n})
		links = links[n:]
	}
	return out
}

// sortHigh sorts by all bits but the last ones, which are in order: in an even
// number of passes, so that the result stands in keys.
func sortHigh(keys []uint64) {
	const digit = 11
	from, to := keys, make([]uint64, len(keys))
	for shift := indexBits; shift < 64; shift += digit {
		var next [1 << digit]int
		for _, k := range from {
			next[k>>shift&(1<<digit-1)]++
		}
		sum := 0
		for d, n := range next {
			next[d], sum = sum, sum+n
		}
		for _, k := range from {
			d := k >> shift & (1<<digit - 1)
			to[next[d]] = k
			next[d]++
		}
		from, to = to, from
	}
}

// connections groups the flows that share footprints.
func (s *Scanner) connections(lists [][]uint32) []connection {
	u := newUnion(len(lists))
	for _, p := range s.prints.shared() {
		if p.n >= min(2, len(lists[p.a]), len(lists[p.b])) && s.alike(p.a, p.b) {
			u.join(p.a, p.b, p.flip)
		}
	}
	byRoot := map[uint32]int{}
	var out []connection
	for i := range uint32(len(lists)) {
		if len(lists[i]) == 0 {
			continue
		}
		root, flip := u.find(i)
		at, ok := byRoot[root]
		if !ok {
			at = len(out)
			byRoot[root] = at
			out = append(out, nil)
		}
		if len(out[at]) < maxSights {
			out[at] = append(out[at], sight{s.flows[i], flip, lists[i]})
		}
	}
	return out
}

// alike says whether two flows may be the same connection.
func (s *Scanner) alike(a, b uint32) bool {
	f, g := s.flows[a], s.flows[b]
	return f.key.proto() == g.key.proto() && f.key.v6() == g.key.v6()
}

// union is a forest of flows that belong together, each with whether it is
// the other way round than its root.
type union struct {
	parent []uint32
	flip   []bool
}

func newUnion(n int) *union {
	u := &union{parent: make([]uint32, n), flip: make([]bool, n)}
	for i := range u.parent {
		u.parent[i] = uint32(i)
	}
	return u
}

func (u *union) find(i uint32) (root uint32, flip bool) {
	for root = i; u.parent[root] != root; root = u.parent[root] {
		flip = flip != u.flip[root]
	}
	for at, f := i, flip; u.parent[at] != root && at != root; { // shorten the way
		up, own := u.parent[at], u.flip[at]
		u.parent[at], u.flip[at] = root, f
		at, f = up, f != own
	}
	return root, flip
}

func (u *union) join(a, b uint32, flip bool) {
	ra, fa := u.find(a)
	rb, fb := u.find(b)
	if ra != rb {
		u.parent[rb], u.flip[rb] = ra, fa != fb != flip
	}
}
