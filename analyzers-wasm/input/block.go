package input

import (
	"bytes"
	"fmt"

	"github.com/casefile-io/casefile/sdk/abi"
)

// group is the inputs that read the same rows, and what they want of them
// together, so that a row is scanned once.
type group struct {
	outs    []*output
	shape   *shape
	pickers []*picker
}

func newGroup(outs []*output) *group {
	union := &fields{}
	for _, o := range outs {
		union.merge(o.want)
		if o.where != nil {
			union.merge(o.where.reads)
		}
	}
	g := &group{outs: outs, shape: newShape(union)}
	for _, o := range outs {
		g.pickers = append(g.pickers, newPicker(o.want, g.shape))
	}
	return g
}

// block is a handful of rows on their way from one source to the inputs of a
// group; each input takes a block at a time, so that its rows lie side by side.
type block struct {
	g      *group
	path   string
	origin origin
	text   []byte // of the rows
	rows   []blockRow
	vals   []value // of all of them
	takes  []take  // of each input of the group
	bad    []string
}

// blockRow is one row of a block.
type blockRow struct {
	start, end int // in text
	root       int32
	spot       spot
}

// spot is where in its source a row is from. A row that was made may say more
// than its text does; full is for those.
type spot struct {
	line, packet int
	full         *abi.ReportedEvidence
}

// take says which rows of a block an input gets.
type take struct {
	none bool
	skip []bool // nil for none

	cost   uint64 // of where
	failed int    // rows for which where failed
	reason string // of the first
}

// Bounds of a block; one row may be larger.
const (
	blockRows   = 256
	blockBytes  = 256 << 10
	blockValues = 200_000
)

func (b *block) reset(path string, o origin) {
	b.path, b.origin = path, o
	b.text, b.rows, b.vals, b.bad = b.text[:0], b.rows[:0], b.vals[:0], b.bad[:0]
	for i := range b.takes {
		b.takes[i] = take{}
	}
	if cap(b.text) > 2*blockBytes || cap(b.vals) > 2*blockValues {
		b.text, b.vals = nil, nil // one long row must not be held for good
	}
}

func (b *block) full() bool {
	return len(b.rows) >= blockRows || len(b.text) >= blockBytes || len(b.vals) >= blockValues
}

// add scans one more row and says whether it is sound.
func (b *block) add(text []byte, at spot) bool {
	start := len(b.text)
	b.text = append(b.text, text...)
	d := document{vals: b.vals}
	err := d.parse(b.text[start:], b.g.shape)
	b.vals = d.vals
	if err != nil {
		b.text = b.text[:start]
		b.bad = append(b.bad, fmt.Sprintf("line %d %v", at.line, err))
		return false
	}
	b.rows = append(b.rows, blockRow{start: start, end: len(b.text), root: d.root, spot: at})
	return true
}

func (b *block) document(r *blockRow) document {
	return document{text: b.text[r.start:r.end], vals: b.vals, root: r.root}
}

// sift asks every where for the rows that its input takes.
func (b *block) sift() {
	for i, o := range b.g.outs {
		t := &b.takes[i]
		if o.where == nil || t.none {
			continue
		}
		t.skip = append(t.skip[:0], make([]bool, len(b.rows))...)
		for j := range b.rows {
			d := b.document(&b.rows[j])
			pass, cost, err := o.where.test(&d, b.g.shape, b.origin)
			t.skip[j] = !pass
			t.cost += cost
			if err != nil {
				if t.failed++; t.failed == 1 {
					t.reason = fmt.Sprintf("%s: %v", b.rows[j].spot.in(b.path), err)
				}
			}
		}
	}
}

// in names the spot.
func (s spot) in(path string) string {
	switch {
	case s.packet > 0:
		return fmt.Sprintf("%s packet %d", path, s.packet)
	case s.line > 0:
		return fmt.Sprintf("%s line %d", path, s.line)
	}
	return path
}

// deliver hands the rows to every input of the group.
func (b *block) deliver() {
	b.sift()
	for i, o := range b.g.outs {
		b.deliverTo(i, o)
	}
}

func (b *block) deliverTo(i int, o *output) {
	t := &b.takes[i]
	if t.none || o.full {
		return
	}
	if t.failed > 0 {
		if o.failed == 0 {
			o.reason = t.reason
		}
		o.failed += t.failed
	}
	if o.cost += t.cost; o.cost > o.p.lim.Steps {
		o.fill(b.path, fmt.Sprintf("where took more than %d steps; the rest was left out", o.p.lim.Steps))
		return
	}
	for j := range b.rows {
		if o.full {
			return
		}
		if t.skip != nil && t.skip[j] {
			continue
		}
		r := &b.rows[j]
		d := b.document(r)
		o.put(b.g.pickers[i], &d, b.path, b.origin, r.spot)
	}
}

// made is a row that the host makes rather than reads: a flow, a counter, a
// line of a log, a fact.
type made struct {
	text   []byte // a JSON object; keys that are the host's own are passed over, see origin
	origin origin // whose row it is
	place  abi.ReportedEvidence
}

// feed takes made rows to the inputs of one kind, in the order of the calls:
//
//	f := run.feed(run.flows, (*output).wants)
//	for each capture file: run.begin(run.flows, path), once it is read
//	f.row(made{text, originNode(node, netns), abi.ReportedEvidence{Path: path, Packet: 7}})
//	f.end()
//
// fields, where and form, numbers and caps are the feed's affair. A place needs
// its path and a line or packet; without a value the row itself is shown.
type feed struct {
	b    block
	pick func(*output, string) bool
}

// feed makes a feed to inputs. pick says which of them get the rows of a path;
// nil is all.
func (r *run) feed(outs []*output, pick func(*output, string) bool) *feed {
	f := &feed{pick: pick}
	f.b.g = newGroup(outs)
	f.b.takes = make([]take, len(outs))
	return f
}

// row takes one row; its text is copied.
func (f *feed) row(m made) {
	if f.b.full() || f.b.path != m.place.Path || !f.b.origin.equal(m.origin) {
		f.end()
		f.b.reset(m.place.Path, m.origin)
		for i, o := range f.b.g.outs {
			f.b.takes[i].none = f.pick != nil && !f.pick(o, m.place.Path)
		}
	}
	at := spot{line: m.place.Line, packet: m.place.Packet}
	if m.place.Value != "" || m.place.Delta != nil || m.place.Pointer != "" {
		at.full = &m.place
	}
	if !f.b.add(m.text, at) {
		f.lacks(m.place.Path, "a row of it could not be made") // a fault of ours, or text that is no UTF-8
	}
}

// end hands over what waits.
func (f *feed) end() {
	f.b.deliver()
	f.b.rows = f.b.rows[:0]
}

// lacks writes down for every input of the feed that wants the path what is
// missing there.
func (f *feed) lacks(path, reason string) {
	for _, o := range f.b.g.outs {
		if f.pick == nil || f.pick(o, path) {
			o.lacks(path, reason)
		}
	}
}

// begin notes for every input that wants the path that it is read.
func (r *run) begin(outs []*output, path string) {
	for _, o := range outs {
		if o.wants(path) {
			o.begin(path)
		}
	}
}

// isBlank says whether a line holds nothing.
func isBlank(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }
