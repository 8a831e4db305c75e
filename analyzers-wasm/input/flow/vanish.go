package flow

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/casefile-io/casefile/sdk/abi"
)

// slack is how far from the time that is worked out a packet may come, at
// least, when it is asked whether a capture ran then.
const slack = 10e6

// step is what was learned of the way to a destination: where it goes on.
type step struct {
	next          *place
	delta, spread int64
	torn          bool // not always there
}

// stepKey is a place and a destination.
type stepKey struct {
	place uint32
	proto uint8
	dst   addr
	port  int
	v6    bool
}

// search looks for packets that vanished.
type search struct {
	s     *Scanner
	both  map[uint32]bool // places that see both directions
	steps map[stepKey]*step
	found map[*flow][]abi.Vanished
	ends  []lastSight
}

// lastSight is where a connection was seen last.
type lastSight struct {
	c  connection
	at int
}

// compare finds, for every flow, packets that a later place should have seen.
func (s *Scanner) compare() map[*flow][]abi.Vanished {
	if len(s.places) < 2 && !s.twins {
		return nil
	}
	v := &search{s: s, both: map[uint32]bool{}, steps: map[stepKey]*step{}, found: map[*flow][]abi.Vanished{}}
	for _, f := range s.flows {
		if f.ends[0].packets > 0 && f.ends[1].packets > 0 {
			v.both[f.place.number] = true
		}
	}
	for _, c := range s.connections(s.prints.byFlow(len(s.flows))) {
		v.connection(c)
	}
	for _, e := range v.ends {
		v.lost(e)
	}
	return v.found
}

func (v *search) connection(c connection) {
	if len(c) == 1 {
		v.ends = append(v.ends, lastSight{c, 0})
		return
	}
	there, back := v.s.ways(c)
	order, known := v.s.order(c, there, back)
	for k := range known {
		if known[k] {
			v.between(c, there, back, order[k:], 0)
			v.learn(c, there, order[k], order[k+1])
		}
	}
	v.ends = append(v.ends, lastSight{c, order[len(order)-1]})
	order, known = v.s.order(c, back, there)
	for k := range known {
		if known[k] {
			v.between(c, back, there, order[k:], 1)
		}
	}
}

// between looks for packets of the first sight that no later one has.
func (v *search) between(c connection, w, other *way, order []int, dir uint8) {
	x, y := order[0], order[1]
	m := w.meet(x, y)
	delta, spread := m.min, m.max-m.min
	if m.n == 0 {
		fro := other.meet(x, y)
		if fro.n == 0 || !v.both[c[y].flow.place.number] {
			return
		}
		delta, spread = fro.min, 1e9 // by which time they should have come is not known well
	}
	list := w.sights[x]
	arrived := make([]bool, len(list))
	drops := int64(-1)
	for _, z := range order[1:] {
		w.seen(x, z, arrived)
		if d := c[z].flow.place.file.drops; drops < 0 || d < drops {
			drops = d
		}
	}
	var gone abi.Vanished
	for i, mark := range list {
		fp := v.s.prints.at(mark.at)
		if !c[y].flow.place.file.ran(fp.nanos+delta, spread) {
			continue
		}
		if gone.Of++; !arrived[i] {
			note(&gone, fp.number)
		}
	}
	v.tell(c[x], dir, &gone, drops, c[y].flow.place, c[y].flow)
}

// ran says whether a capture surely saw what was there at that time.
func (f *file) ran(at, spread int64) bool {
	margin := int64(slack) + min(spread, 1e9)
	return at >= f.from+margin && at <= f.to-margin && (f.blind == 0 || at <= f.blind-margin)
}

func note(v *abi.Vanished, number uint32) {
	v.Packets++
	if n := int(number); v.First == 0 || n < v.First {
		v.First = n
	}
}

// tell adds what was found to the flow.
func (v *search) tell(see sight, dir uint8, gone *abi.Vanished, drops int64, before *place, next *flow) {
	if gone.Packets -= drops; gone.Packets <= 0 {
		return
	}
	f := see.flow
	gone.From = "a"
	if (dir == 1) != see.flip {
		gone.From = "b"
	}
	gone.At, gone.Before = f.place.name(), before.name()
	if f.place == before && next != nil {
		gone.At += f.direction(gone.From)
		gone.Before += next.direction(gone.From)
	}
	v.found[f] = append(v.found[f], *gone)
}

func (p *place) name() string {
	node := cmp.Or(p.file.Node, p.file.Name, p.file.Path)
	if p.file.Netns != 0 {
		node += "/" + strconv.FormatUint(p.file.Netns, 10)
	}
	return node + " " + cmp.Or(p.device, p.file.Name)
}

// direction tells two ways through one device apart.
func (f *flow) direction(from string) string {
	return [...]string{"", " in", " out", ""}[f.ends[from[0]-'a'].dir&3]
}

// seen marks which packets of x were seen at z: as they were, or cut or joined
// by a device that does the work of TCP.
func (w *way) seen(x, z int, arrived []bool) {
	theirs := w.sights[z]
	known := make([]bool, len(theirs))
	w.both(x, z, func(i, j int) { arrived[i], known[j] = true, true })
	var rest []*footprint
	for j, k := range known {
		if fp := w.s.prints.at(theirs[j].at); !k && fp.length > 0 {
			rest = append(rest, fp)
		}
	}
	if len(rest) == 0 {
		return
	}
	base := rest[0].seq
	spans := spansOf(rest, base)
	for i, mark := range w.sights[x] {
		if fp := w.s.prints.at(mark.at); !arrived[i] && fp.length > 0 {
			arrived[i] = covered(spans, fp, base)
		}
	}
}

// span is bytes that were sent with the same time stamp, by their distance
// from a sequence number.
type span struct {
	tsval    uint32
	from, to int64
}

func spanOf(p *footprint, base uint32) span {
	from := int64(int32(p.seq - base))
	return span{p.tsval, from, from + int64(p.length)}
}

func (s span) compare(o span) int {
	return cmp.Or(cmp.Compare(s.tsval, o.tsval), cmp.Compare(s.from, o.from))
}

// spansOf joins segments; the spans are sorted, and do not touch each other.
func spansOf(segments []*footprint, base uint32) []span {
	spans := make([]span, len(segments))
	for i, p := range segments {
		spans[i] = spanOf(p, base)
	}
	slices.SortFunc(spans, span.compare)
	joined := spans[:1]
	for _, s := range spans[1:] {
		if last := &joined[len(joined)-1]; s.tsval == last.tsval && s.from <= last.to {
			last.to = max(last.to, s.to)
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

// covered says whether one span holds all of p.
func covered(spans []span, p *footprint, base uint32) bool {
	need := spanOf(p, base)
	at, exact := slices.BinarySearchFunc(spans, need, span.compare)
	if !exact {
		at--
	}
	return at >= 0 && spans[at].tsval == need.tsval && spans[at].to >= need.to
}

// learn notes where packets to a destination go on to, when it stays the same.
func (v *search) learn(c connection, w *way, x, y int) {
	m := w.meet(x, y)
	key, ok := keyOfStep(c[x])
	next, same := keyOfStep(c[y])
	if m.n == 0 || !ok || !same || key.dst != next.dst || key.port != next.port {
		return
	}
	to := c[y].flow.place
	switch st := v.steps[key]; {
	case st == nil:
		v.steps[key] = &step{next: to, delta: m.min, spread: m.max - m.min}
	case st.next != to:
		st.torn = true
	default:
		st.delta, st.spread = min(st.delta, m.min), max(st.spread, m.max-m.min)
	}
}

// keyOfStep gives the destination of a connection's packets from A.
func keyOfStep(see sight) (stepKey, bool) {
	f := see.flow
	end := 1
	if see.flip {
		end = 0
	}
	k := stepKey{place: f.place.number, proto: f.key.proto(), dst: f.key.hi, port: int(f.key.tail >> 32 & 0xffff), v6: f.key.v6()}
	if (end == 0) == f.aLow {
		k.dst, k.port = f.key.lo, int(f.key.tail>>48)
	}
	return k, f.tunnel == 0
}

// lost looks at a connection of which the next place saw nothing at all,
// although it saw others to the same destination.
func (v *search) lost(e lastSight) {
	see := e.c[e.at]
	key, ok := keyOfStep(see)
	st := v.steps[key]
	if !ok || st == nil || st.torn {
		return
	}
	for _, other := range e.c {
		if other.flow.place == st.next {
			return
		}
	}
	from := uint8(0)
	if see.flip {
		from = 1
	}
	var gone abi.Vanished
	for _, mark := range see.marks {
		fp := v.s.prints.at(mark)
		if fp.from == from && st.next.file.ran(fp.nanos+st.delta, st.spread) {
			gone.Of++
			note(&gone, fp.number)
		}
	}
	v.tell(see, 0, &gone, st.next.file.drops, st.next, nil)
}
