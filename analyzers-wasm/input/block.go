package input

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/casefile-io/casefile/sdk/abi"
)

// group is the inputs that read the same rows, and what they want of them
// together, so that a row is scanned once.
type group struct {
	outs    []*output
	modules [][]int // which of outs belong to one module
	shape   *shape
	pickers []*picker
	free    sync.Pool // of blocks
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
	of := map[*Projection]int{}
	for i, o := range outs {
		g.pickers = append(g.pickers, newPicker(o.want, g.shape))
		if _, seen := of[o.p]; !seen {
			of[o.p] = len(g.modules)
			g.modules = append(g.modules, nil)
		}
		g.modules[of[o.p]] = append(g.modules[of[o.p]], i)
	}
	return g
}

// block is a handful of rows on their way from one source to the inputs of a
// group; each input takes a block at a time, so that its rows lie side by side.
type block struct {
	g      *group
	path   string
	origin origin
	lines  []byte // whole lines of a file
	next   int    // how far they were scanned
	nr     int    // number of the next line
	text   []byte // of rows that were made
	rows   []blockRow
	vals   []value // of all rows
	takes  []take  // of each input of the group
	flaws  flaws
	ahead  bool          // it is scanned before its file's turn: what is held is dear
	wait   bool          // the next line has too many parts for that
	ready  chan struct{} // closed once it was scanned
}

// blockRow is one row of a block.
type blockRow struct {
	start, end int // in text, or in lines
	root       int32
	line       bool // in lines
	spot       spot
}

// spot is where in its source a row is from. A row that was made may say more
// than its text does; full is for those.
type spot struct {
	line, packet int
	full         *abi.ReportedEvidence
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

// take says which rows of a block an input gets.
type take struct {
	none bool
	skip []bool // nil for none

	cost   uint64 // of where or match
	failed int    // rows for which where failed
	reason string // of the first
}

// Bounds of a block; one row may be larger.
const (
	blockRows   = 256
	blockBytes  = 256 << 10
	blockValues = 100_000
)

func newBlock(g *group) *block { return &block{g: g, takes: make([]take, len(g.outs))} }

// block gives an empty block for a file.
func (g *group) block(path string, o origin) *block {
	b, ok := g.free.Get().(*block)
	if !ok {
		b = newBlock(g)
	}
	b.reset(path, o)
	return b
}

// reset makes the block empty, for what comes from a path.
func (b *block) reset(path string, o origin) {
	b.path, b.origin, b.next, b.ahead = path, o, 0, false
	b.clear()
	b.lines = b.lines[:0]
	for i := range b.takes {
		b.takes[i].none = false
	}
	if cap(b.lines) > 2*blockBytes {
		b.lines = nil
	}
}

// clear lets the rows go.
func (b *block) clear() {
	b.text, b.rows, b.vals, b.flaws, b.wait = b.text[:0], b.rows[:0], b.vals[:0], flaws{}, false
	for i := range b.takes {
		b.takes[i] = take{none: b.takes[i].none, skip: b.takes[i].skip[:0]}
	}
	if cap(b.text) > 4*blockBytes || cap(b.vals) > 2*blockValues {
		b.text, b.vals = nil, nil
	}
}

func (b *block) full() bool {
	return len(b.rows) >= blockRows || len(b.text) >= blockBytes || len(b.vals) >= blockValues
}

// add scans one more row, whose text is copied, and says whether it is sound.
func (b *block) add(text []byte, at spot) bool {
	start := len(b.text)
	b.text = append(b.text, text...)
	if !b.scan(b.text[start:], blockRow{start: start, end: len(b.text), spot: at}) {
		b.text = b.text[:start]
		return false
	}
	return true
}

func (b *block) scan(text []byte, r blockRow) bool {
	d := document{vals: b.vals}
	if b.ahead {
		d.most = blockValues
	}
	err := d.parse(text, b.g.shape)
	b.vals = d.vals
	if b.wait = b.ahead && errors.Is(err, errParts); b.wait {
		return false
	}
	if err != nil {
		b.flaws.damaged(r.spot.line, err)
		return false
	}
	r.root = d.root
	b.rows = append(b.rows, r)
	return true
}

func (b *block) document(r *blockRow) document {
	text := b.text
	if r.line {
		text = b.lines
	}
	return document{text: text[r.start:r.end], vals: b.vals, root: r.root}
}

// sift asks every where for the rows that its input takes.
func (b *block) sift() {
	for i, o := range b.g.outs {
		t := &b.takes[i]
		if o.where == nil || t.none {
			continue
		}
		for len(t.skip) < len(b.rows) {
			t.skip = append(t.skip, false)
		}
		for j := range b.rows {
			if t.skip[j] {
				continue
			}
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

// deliver hands the rows to an input of the group.
func (b *block) deliver(i int) {
	o, t := b.g.outs[i], &b.takes[i]
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
		o.fill(b.path, fmt.Sprintf("where and match took more than %d steps; the rest was left out", o.p.lim.Steps))
		return
	}
	for j := range b.rows {
		if o.full {
			return
		}
		if j < len(t.skip) && t.skip[j] {
			continue
		}
		r := &b.rows[j]
		d := b.document(r)
		o.put(b.g.pickers[i], &d, b.path, b.origin, r.spot)
	}
}

// flaws are what is wrong with lines of a file.
type flaws struct {
	bad     int
	reasons []string // of the first
	cut     int      // lines that were too long
	cutLine int      // the first of them
}

func (f *flaws) damaged(line int, err error) {
	if f.bad++; f.bad <= maxBadPerFile {
		f.reasons = append(f.reasons, fmt.Sprintf("line %d %v", line, err))
	}
}

func (f *flaws) add(g flaws) {
	f.reasons = append(f.reasons, g.reasons[:min(len(g.reasons), max(0, maxBadPerFile-f.bad))]...)
	f.bad += g.bad
	if f.cut == 0 {
		f.cutLine = g.cutLine
	}
	f.cut += g.cut
}

// tell writes the flaws down for an input.
func (f *flaws) tell(o *output, path string) {
	for _, reason := range f.reasons {
		o.lacks(path, reason)
	}
	if f.bad > maxBadPerFile {
		o.lacks(path, fmt.Sprintf("%d damaged lines in all", f.bad))
	}
	if f.cut > 0 {
		o.lacks(path, fmt.Sprintf("%d lines were cut off after %d bytes, the first is line %d", f.cut, maxLogLine, f.cutLine))
	}
}

// isBlank says whether a line holds nothing.
func isBlank(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }
