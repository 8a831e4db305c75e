package meter

import (
	"encoding/binary"
	"math"
)

// small is the cost up to which a part goes with the one around it.
const small = 32

func (m *module) codeSection(r *reader) []byte {
	out := make([]byte, 0, len(r.b)+len(r.b)/4)
	var body []byte
	count := r.u32()
	out = binary.AppendUvarint(out, uint64(count))
	if uint64(count) != uint64(len(m.functions)) {
		r.fail("%d bodies for %d functions", count, len(m.functions))
	}
	f := &function{module: m}
	for i := 0; i < int(count) && r.err == nil; i++ {
		f.reset(m.types[m.functions[i]])
		f.r = reader{b: r.bytes(r.u32()), err: r.err}
		f.walk()
		if f.r.err != nil {
			r.fail("function %d: %w", i, f.r.err)
			return nil
		}
		body = f.rewrite(body[:0])
		out = binary.AppendUvarint(out, uint64(len(body)))
		out = append(out, body...)
	}
	m.bodies = int(count)
	return out
}

// function is a body while it is rewritten.
type function struct {
	*module
	r       reader
	results []byte
	locals  uint64 // and parameters
	groups  int    // of locals
	start   int    // of the instructions
	parts   []part
	frames  []frame
	points  []point
	current int  // index of a part
	ranges  bool // has instructions that are charged by length
}

// part is a run of instructions that is paid for where it begins.
type part struct {
	cost   uint64
	parent int // that may take over the cost; -1 for none
}

// frame is an open control structure.
type frame struct {
	op    byte
	outer int  // part that goes on behind it
	named bool // by a br_table
}

// point is where a charge goes, in their order.
type point struct {
	at    int
	depth int // number of labels
	part  int // index; -1 for a charge by length
	shift int // of the length to the right, or left if below zero
}

func (f *function) reset(t funcType) {
	f.results, f.locals = t.results, uint64(t.params)
	f.parts, f.frames, f.points = f.parts[:0], f.frames[:0], f.points[:0]
	f.groups, f.ranges = 0, false
}

// open begins a part.
func (f *function) open(parent int) {
	f.current = len(f.parts)
	f.parts = append(f.parts, part{parent: parent})
	f.points = append(f.points, point{f.r.at, len(f.frames), f.current, 0})
}

// byLength has the instruction at a place charged by its last operand.
func (f *function) byLength(at, shift int) {
	f.points = append(f.points, point{at, len(f.frames), -1, shift})
	f.ranges = true
}

func (f *function) walk() {
	r := &f.r
	r.vector(func(int) {
		f.locals += uint64(r.u32())
		r.valueType()
		f.groups++
	})
	if f.locals >= math.MaxUint32 {
		r.fail("too many locals")
	}
	f.start = r.at
	f.frames = append(f.frames, frame{op: opBlock})
	f.open(-1)
	for r.err == nil && len(f.frames) > 0 {
		f.instruction()
	}
	if r.err == nil && r.more() {
		r.fail("instructions behind the end")
	}
	for i := len(f.parts) - 1; i > 0; i-- {
		if p := &f.parts[i]; p.parent >= 0 && p.cost <= small {
			f.parts[p.parent].cost += p.cost
			p.cost = 0
		}
	}
}

func (f *function) instruction() {
	r := &f.r
	at := r.at
	op := r.byte()
	if !free(op) {
		f.parts[f.current].cost++
	}
	switch op {
	case opBlock:
		f.enter(op)
	case opLoop:
		f.enter(op)
		f.open(-1)
	case opIf:
		f.enter(op)
		f.open(f.current)
	case opElse:
		top := &f.frames[len(f.frames)-1]
		if top.op != opIf {
			r.fail("else without if")
		}
		top.op = opElse
		f.open(top.outer)
	case opEnd:
		f.end()
	case opBrTable:
		f.brTable()
	case opBrIf:
		r.u32()
		f.open(f.current)
	case opMisc:
		f.misc(at)
	case opVector:
		r.vectorInstruction()
	case opMemoryGrow:
		r.zero()
		f.byLength(at, -13)
	case opGlobalGet, opGlobalSet:
		f.checkGlobal(r, r.u32())
	case opLocalGet, opLocalSet, opLocalTee:
		if n := r.u32(); uint64(n) >= f.locals {
			r.fail("local variable %d; there are %d", n, f.locals)
		}
	default:
		r.immediates(op)
	}
}

// free tells the instructions that only structure the code.
func free(op byte) bool {
	return op == opNop || op == opBlock || op == opLoop || op == opElse || op == opEnd
}

// enter begins a control structure.
func (f *function) enter(op byte) {
	f.blockType()
	f.frames = append(f.frames, frame{op: op, outer: f.current})
}

// blockType reads the type of a control structure: nothing, one value, or the
// index of a type, which is a signed number.
func (f *function) blockType() {
	r := &f.r
	at := r.at
	b := r.byte()
	if b == emptyType || isValueType(b) {
		return
	}
	r.at = at
	r.signed(33)
	if r.err == nil && r.b[r.at-1]&0x40 != 0 {
		r.fail("block type %#x is of a proposal that is not supported", b)
	}
}

func (f *function) end() {
	top := f.frames[len(f.frames)-1]
	f.frames = f.frames[:len(f.frames)-1]
	f.current = top.outer
	if top.named && top.op != opLoop && len(f.frames) > 0 {
		f.open(-1)
	}
}

// brTable marks the labels that it names: what stands behind them is reached
// in turns, and pays for itself.
func (f *function) brTable() {
	r := &f.r
	name := func(int) {
		label := r.u32()
		if uint64(label) >= uint64(len(f.frames)) {
			r.fail("branch to label %d; there are %d", label, len(f.frames))
			return
		}
		f.frames[len(f.frames)-1-int(label)].named = true
	}
	r.vector(name)
	name(0)
}

func (f *function) misc(at int) {
	switch op := f.r.misc(); op {
	case miscMemoryInit, miscMemoryCopy, miscMemoryFill:
		f.byLength(at, 3)
	case miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
		f.byLength(at, 0)
	}
}
