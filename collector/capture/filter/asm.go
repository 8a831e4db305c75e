package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// node is a condition on a packet, ready to be laid out as instructions.
type node interface {
	emit(a *assembler, yes, no label)
}

type (
	constant bool
	not      struct{ of node }
	all      []node
	either   []node
	// run is code that stores something and goes on.
	run []bpf.Instruction
	// test runs code, then compares A with val, or with X.
	test struct {
		code []bpf.Instruction
		cond bpf.JumpTest
		val  uint32
		x    bool
	}
)

func equal(code []bpf.Instruction, val uint32) node {
	return test{code: code, cond: bpf.JumpEqual, val: val}
}

func greater(code []bpf.Instruction, val uint32) node {
	return test{code: code, cond: bpf.JumpGreaterThan, val: val}
}

// masked compares only the bits of mask. If that is none, the load may still
// find the packet too short; libpcap's optimizer leaves it out where the
// offset is fixed, and we do the same.
func masked(code []bpf.Instruction, val, mask uint32) node {
	switch {
	case mask == 0 && pure(code):
		return constant(val == 0)
	case mask == ^uint32(0):
		return equal(code, val)
	}
	return equal(append(code, and(mask)), val)
}

func load(off uint32, size int) []bpf.Instruction {
	return []bpf.Instruction{bpf.LoadAbsolute{Off: off, Size: size}}
}

func and(mask uint32) bpf.Instruction { return bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask} }

// label names a place in the program. All jumps go forward.
type label int

// op is a step whose jumps still name labels.
type op struct {
	code    []bpf.Instruction
	test    *test // after the code; nil: none
	jump    bool
	yes, no label // a jump without a test takes yes
	bind    label
}

type assembler struct {
	ops    []op
	labels int
}

const noLabel label = 0

func (a *assembler) label() label { a.labels++; return label(a.labels) }

func (a *assembler) bind(l label) { a.ops = append(a.ops, op{bind: l}) }

func (c constant) emit(a *assembler, yes, no label) {
	if c {
		no = yes
	}
	a.ops = append(a.ops, op{jump: true, yes: no})
}

func (n not) emit(a *assembler, yes, no label) { n.of.emit(a, no, yes) }

func (ns all) emit(a *assembler, yes, no label) {
	for _, n := range ns[:len(ns)-1] {
		next := a.label()
		n.emit(a, next, no)
		a.bind(next)
	}
	ns[len(ns)-1].emit(a, yes, no)
}

func (ns either) emit(a *assembler, yes, no label) {
	for _, n := range ns[:len(ns)-1] {
		next := a.label()
		n.emit(a, yes, next)
		a.bind(next)
	}
	ns[len(ns)-1].emit(a, yes, no)
}

func (r run) emit(a *assembler, yes, _ label) {
	a.ops = append(a.ops, op{code: r}, op{jump: true, yes: yes})
}

func (t test) emit(a *assembler, yes, no label) {
	a.ops = append(a.ops, op{code: t.code, test: &t, jump: true, yes: yes, no: no})
}

// assemble lays out n as a program that returns snaplen or 0. It works from
// the end: every jump then knows its distance, and a conditional one that
// cannot reach (eight bits) gets an unconditional one to step on.
func assemble(n node, snaplen uint32) []bpf.Instruction {
	a := &assembler{}
	yes, no := a.label(), a.label()
	simplify(n).emit(a, yes, no)
	a.bind(yes)
	a.ops = append(a.ops, op{code: []bpf.Instruction{bpf.RetConstant{Val: snaplen}}})
	a.bind(no)
	a.ops = append(a.ops, op{code: []bpf.Instruction{bpf.RetConstant{}}})

	ops := shareLoads(a.ops, a.labels)
	l := layout{place: make([]int, a.labels+1)}
	for i := len(ops) - 1; i >= 0; i-- {
		l.add(ops[i])
	}
	slices.Reverse(l.reversed)
	return clearScratch(l.reversed)
}

type layout struct {
	reversed []bpf.Instruction
	place    []int // label → instructions from its place to the end
}

func (l *layout) add(o op) {
	switch {
	case o.bind != noLabel:
		l.place[o.bind] = len(l.reversed)
	case o.test != nil:
		l.branch(o)
	case o.jump:
		if n := l.skip(o.yes); n > 0 {
			l.reversed = append(l.reversed, bpf.Jump{Skip: uint32(n)})
		}
	}
	for _, in := range slices.Backward(o.code) {
		l.reversed = append(l.reversed, in)
	}
}

// skip is the distance from an instruction added now to the label.
func (l *layout) skip(to label) int { return len(l.reversed) - l.place[to] }

func (l *layout) branch(o op) {
	const reach = 255
	yes, no := l.skip(o.yes), l.skip(o.no)
	if yes > reach-2 || no > reach-2 {
		l.reversed = append(l.reversed, bpf.Jump{Skip: uint32(l.skip(o.no))})
		l.reversed = append(l.reversed, bpf.Jump{Skip: uint32(l.skip(o.yes))})
		yes, no = 0, 1
	}
	if o.test.x {
		l.reversed = append(l.reversed, bpf.JumpIfX{Cond: o.test.cond, SkipTrue: uint8(yes), SkipFalse: uint8(no)})
	} else {
		l.reversed = append(l.reversed, bpf.JumpIf{Cond: o.test.cond, Val: o.test.val, SkipTrue: uint8(yes), SkipFalse: uint8(no)})
	}
}
