package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// node is a condition on a packet, ready to be laid out as instructions.
type node interface {
	// emit adds what tests the condition and goes to one of two blocks that
	// are there already; it returns where to begin.
	emit(p *program, yes, no int) int
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

// block is code, then a test or a jump, or a return in the code. Blocks are
// made from the last to the first: all jumps go to lower numbers.
type block struct {
	code    []bpf.Instruction
	test    *test
	yes, no int // where to go; without a test, yes
}

type program struct{ blocks []block }

const (
	reject = iota
	accept
)

func (p *program) add(b block) int {
	p.blocks = append(p.blocks, b)
	return len(p.blocks) - 1
}

func (c constant) emit(_ *program, yes, no int) int {
	if c {
		return yes
	}
	return no
}

func (n not) emit(p *program, yes, no int) int { return n.of.emit(p, no, yes) }

func (ns all) emit(p *program, yes, no int) int {
	for _, n := range slices.Backward(ns) {
		yes = n.emit(p, yes, no)
	}
	return yes
}

func (ns either) emit(p *program, yes, no int) int {
	for _, n := range slices.Backward(ns) {
		no = n.emit(p, yes, no)
	}
	return no
}

func (r run) emit(p *program, yes, _ int) int { return p.add(block{code: r, yes: yes}) }

func (t test) emit(p *program, yes, no int) int {
	return p.add(block{code: t.code, test: &t, yes: yes, no: no})
}

// assemble lays out n as a program that returns snaplen or 0.
func assemble(n node, snaplen uint32) []bpf.Instruction {
	p := &program{}
	p.add(block{code: []bpf.Instruction{bpf.RetConstant{}}})
	p.add(block{code: []bpf.Instruction{bpf.RetConstant{Val: snaplen}}})
	entry := n.emit(p, accept, reject)
	p.thread(entry)
	reached := p.shareLoads(entry)
	p.mergeEqual(reached)
	return clearScratch(p.layout(reached))
}

// layout works from the end: every jump then knows its distance, and a
// conditional one that cannot reach (eight bits) gets an unconditional one to
// step on.
func (p *program) layout(reached []bool) []bpf.Instruction {
	var reversed []bpf.Instruction
	const reach = 255
	place := make([]int, len(p.blocks)) // instructions from a block's begin to the end
	steps := make([]int, len(p.blocks)) // the same for the last jump to it
	jump := func(to int) {
		if n := len(reversed) - place[to]; n > 0 {
			reversed = append(reversed, bpf.Jump{Skip: uint32(n)})
			steps[to] = len(reversed)
		}
	}
	distance := func(to int) int {
		if n := len(reversed) - place[to]; n < reach || steps[to] == 0 {
			return n
		}
		return len(reversed) - steps[to]
	}
	for i, b := range p.blocks {
		if !reached[i] {
			continue
		}
		switch {
		case b.test != nil:
			yes, no := distance(b.yes), distance(b.no)
			if no >= reach { // less the jump of the other side
				jump(b.no)
				yes, no = yes+1, 0
			}
			if yes > reach {
				jump(b.yes)
				yes, no = 0, no+1
			}
			reversed = append(reversed, b.test.jump(yes, no))
		case i > accept:
			jump(b.yes)
		}
		for _, in := range slices.Backward(b.code) {
			reversed = append(reversed, in)
		}
		place[i] = len(reversed)
	}
	slices.Reverse(reversed)
	return reversed
}

func (t *test) jump(yes, no int) bpf.Instruction {
	if t.x {
		return bpf.JumpIfX{Cond: t.cond, SkipTrue: uint8(yes), SkipFalse: uint8(no)}
	}
	return bpf.JumpIf{Cond: t.cond, Val: t.val, SkipTrue: uint8(yes), SkipFalse: uint8(no)}
}
