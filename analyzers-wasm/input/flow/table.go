package flow

import "math/bits"

// key names a flow at a place: the lower end first, so that both directions
// have the same one.
type key struct {
	lo, hi addr
	tail   uint64 // port of lo, port of hi, place, family, in a tunnel, protocol
}

// keyOf gives the key, and whether the packet comes from its lower end.
func keyOf(h *headers, place uint32) (k key, fromLow bool) {
	sport, dport := uint64(h.sport), uint64(h.dport)
	k.tail = uint64(place)<<10 | uint64(h.proto)
	if h.v6 {
		k.tail |= 1 << 9
	}
	if h.tunnel != 0 {
		k.tail |= 1 << 8
	}
	low := h.src.lo < h.dst.lo
	if h.src.lo == h.dst.lo {
		low = h.src.hi < h.dst.hi || h.src.hi == h.dst.hi && sport <= dport
	}
	if low {
		k.lo, k.hi = h.src, h.dst
		k.tail |= sport<<48 | dport<<32
	} else {
		k.lo, k.hi = h.dst, h.src
		k.tail |= dport<<48 | sport<<32
	}
	return k, low
}

// maxPlaces bounds the devices of all files; 22 bits of a key are theirs.
const maxPlaces = 10_000

// mix is a hash of two words; its quality is that of a wide product.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd1b54a32d192ed03)
	return hi ^ lo
}

func (k *key) hash(seed uint64) uint64 {
	h := mix(k.lo.lo^seed, k.hi.lo^k.tail)
	if k.tail&(1<<9) != 0 {
		h = mix(h^k.lo.hi, k.hi.hi^seed)
	}
	return mix(h, k.tail^seed)
}

// table finds flows by key: open addressing, at most half full.
type table struct {
	seed  uint64
	slots []slot
	used  int
}

type slot struct {
	hash uint32
	flow *flow
}

func newTable(seed uint64) table { return table{seed: seed, slots: make([]slot, 1024)} }

// equal is == without the call that the compiler makes of it.
func (k *key) equal(l *key) bool {
	return k.tail == l.tail && k.lo.lo == l.lo.lo && k.hi.lo == l.hi.lo && k.lo.hi == l.lo.hi && k.hi.hi == l.hi.hi
}

// find gives the slot of the key: that of its flow, or the free one where it
// would go.
func (t *table) find(k *key, hash uint64) *slot {
	mask := uint64(len(t.slots) - 1)
	for i := hash >> 32; ; i++ {
		s := &t.slots[i&mask]
		if s.flow == nil || s.hash == uint32(hash) && s.flow.key.equal(k) {
			return s
		}
	}
}

// put fills a free slot.
func (t *table) put(s *slot, hash uint64, f *flow) {
	s.hash, s.flow = uint32(hash), f
	if t.used++; t.used*2 > len(t.slots) {
		t.grow()
	}
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]slot, 2*len(old))
	mask := uint64(len(t.slots) - 1)
	for _, s := range old {
		if s.flow == nil {
			continue
		}
		i := s.flow.key.hash(t.seed) >> 32
		for t.slots[i&mask].flow != nil {
			i++
		}
		t.slots[i&mask] = s
	}
}
