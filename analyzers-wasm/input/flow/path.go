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
	found    []bool // which of the first's were seen by the second
	left     []bool // which of the second's were not seen by the first
}

// way is one direction of a connection: the footprints of each sight, sorted
// by hash.
type way struct {
	s      *Scanner
	sights [][]uint32
	meets  map[[2]int]*meeting
}

func (s *Scanner) way(c connection, dir uint8) *way {
	w := &way{s: s, meets: map[[2]int]*meeting{}}
	for _, see := range c {
		from := dir
		if see.flip {
			from = 1 - dir
		}
		var list []uint32
		for _, i := range see.marks {
			if s.prints.at(i).from == from {
				list = append(list, i)
			}
		}
		slices.SortFunc(list, func(a, b uint32) int {
			return cmp.Or(cmp.Compare(s.prints.at(a).hash, s.prints.at(b).hash), cmp.Compare(a, b))
		})
		w.sights = append(w.sights, list)
	}
	return w
}

// meet matches the packets of two sights: the nth of a hash with the nth.
func (w *way) meet(x, y int) *meeting {
	if m := w.meets[[2]int{x, y}]; m != nil {
		return m
	}
	a, b, at := w.sights[x], w.sights[y], w.s.prints.at
	m := &meeting{min: math.MaxInt64, max: math.MinInt64, x: math.MaxUint32, found: make([]bool, len(a)), left: make([]bool, len(b))}
	for i := range m.left {
		m.left[i] = true
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		p, q := at(a[i]), at(b[j])
		if p.hash != q.hash {
			if p.hash < q.hash {
				i++
			} else {
				j++
			}
			continue
		}
		m.n++
		m.found[i], m.left[j] = true, false
		m.min, m.max = min(m.min, q.nanos-p.nanos), max(m.max, q.nanos-p.nanos)
		m.ttl += int64(p.ttl) - int64(q.ttl)
		if a[i] < m.x {
			m.x, m.y = a[i], b[j]
		}
		i++
		j++
	}
	w.meets[[2]int{x, y}] = m
	return m
}

// order sorts the sights from A's to B's end. Of two that stand side by side
// with nothing to tell which comes first, known is false.
func (s *Scanner) order(c connection, there, back *way) (order []int, known []bool) {
	for i := range c {
		at := len(order)
		for at > 0 && s.nearer(c, there, back, i, order[at-1]) > 0 {
			at--
		}
		order = slices.Insert(order, at, i)
	}
	for k := range max(len(order)-1, 0) {
		known = append(known, s.nearer(c, there, back, order[k], order[k+1]) > 0)
	}
	return order, known
}

// nearer is positive when x is nearer to A than y, negative when it is
// farther, and 0 when that is not known. Routers count hops down; between
// bridges and the ends of a link, time tells: on one node by its clock, on two
// by the sum of both ways, in which the difference of their clocks is nothing.
func (s *Scanner) nearer(c connection, there, back *way, x, y int) int64 {
	to, fro := there.meet(x, y), back.meet(x, y)
	switch f, g := c[x].flow.place.file, c[y].flow.place.file; {
	case to.n > 0 && to.ttl != 0:
		return to.ttl
	case fro.n > 0 && fro.ttl != 0:
		return -fro.ttl
	case f == g && to.n > 0:
		return int64(to.y) - int64(to.x)
	case f == g && fro.n > 0:
		return int64(fro.x) - int64(fro.y)
	case to.n > 0 && fro.n > 0:
		return to.min - fro.max
	case f.Node == g.Node && f.Node != "" && to.n > 0:
		return to.min
	case f.Node == g.Node && f.Node != "" && fro.n > 0:
		return -fro.max
	}
	return 0
}
