package flow

import (
	"cmp"
	"math"
	"slices"
)

// meeting is what the packets that two places saw, one way, say of the places.
type meeting struct {
	n        int
	min, max int64 // from the first's clock to the second's
	ttl      int64 // by how much it is lower at the second, summed up
	x, y     uint32
}

// mark is a footprint and its hash.
type mark struct {
	hash uint64
	at   uint32
}

// way is one direction of a connection: the footprints of each sight, sorted
// by hash.
type way struct {
	s      *Scanner
	sights [][]mark
	meets  map[[2]int]*meeting
}

// ways gives both directions.
func (s *Scanner) ways(c connection) (there, back *way) {
	there, back = &way{s: s, meets: map[[2]int]*meeting{}}, &way{s: s, meets: map[[2]int]*meeting{}}
	for _, see := range c {
		marks, a, b := make([]mark, len(see.marks)), 0, len(see.marks)
		for _, i := range see.marks {
			if fp := s.prints.at(i); fp.from == 0 {
				marks[a] = mark{fp.hash, i}
				a++
			} else {
				b--
				marks[b] = mark{fp.hash, i}
			}
		}
		lists := [2][]mark{marks[:a], marks[a:]}
		for _, list := range lists {
			slices.SortFunc(list, func(a, b mark) int {
				if a.hash != b.hash {
					return cmp.Compare(a.hash, b.hash)
				}
				return cmp.Compare(a.at, b.at)
			})
		}
		if see.flip {
			lists[0], lists[1] = lists[1], lists[0]
		}
		there.sights, back.sights = append(there.sights, lists[0]), append(back.sights, lists[1])
	}
	return there, back
}

// both matches the packets of two sights: the nth of a hash with the nth.
func (w *way) both(x, y int, each func(i, j int)) {
	a, b := w.sights[x], w.sights[y]
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i].hash < b[j].hash:
			i++
		case a[i].hash > b[j].hash:
			j++
		default:
			each(i, j)
			i++
			j++
		}
	}
}

// meet says what the packets of two sights have in common.
func (w *way) meet(x, y int) *meeting {
	if m := w.meets[[2]int{x, y}]; m != nil {
		return m
	}
	a, b, at := w.sights[x], w.sights[y], w.s.prints.at
	m := &meeting{min: math.MaxInt64, max: math.MinInt64, x: math.MaxUint32}
	w.both(x, y, func(i, j int) {
		p, q := at(a[i].at), at(b[j].at)
		m.n++
		m.min, m.max = min(m.min, q.nanos-p.nanos), max(m.max, q.nanos-p.nanos)
		m.ttl += int64(p.ttl) - int64(q.ttl)
		if a[i].at < m.x {
			m.x, m.y = a[i].at, b[j].at
		}
	})
	w.meets[[2]int{x, y}] = m
	return m
}

// order sorts the sights as the packets of w come by; other is the other way.
// Of two that stand side by side with nothing to tell which comes first, known
// is false.
func (s *Scanner) order(c connection, w, other *way) (order []int, known []bool) {
	for i := range c {
		at := len(order)
		for at > 0 && earlier(c, w, other, i, order[at-1]) > 0 {
			at--
		}
		order = slices.Insert(order, at, i)
	}
	for k := range max(len(order)-1, 0) {
		known = append(known, earlier(c, w, other, order[k], order[k+1]) > 0)
	}
	return order, known
}

// earlier is positive when packets come by x before y, negative when after it,
// and 0 when that is not known. Routers count hops down; between bridges and
// the ends of a link, time tells: on one node by its clock, on two by the sum
// of both ways, in which the difference of their clocks is nothing. When no
// packet was seen by both, the way back tells, the other way round.
func earlier(c connection, w, other *way, x, y int) int64 {
	to, fro := w.meet(x, y), other.meet(x, y)
	p, q := c[x].flow.place, c[y].flow.place
	sameNode := p.file.Node == q.file.Node && p.file.Node != ""
	if to.n > 0 {
		switch {
		case to.ttl != 0:
			return to.ttl
		case p.file == q.file:
			return int64(to.y) - int64(to.x)
		case fro.n > 0:
			return to.min - fro.max
		case sameNode:
			return to.min
		}
		return 0
	}
	switch {
	case fro.n == 0 || p == q:
		return 0
	case fro.ttl != 0:
		return -fro.ttl
	case p.file == q.file:
		return int64(fro.x) - int64(fro.y)
	case sameNode:
		return -fro.max
	}
	return 0
}
