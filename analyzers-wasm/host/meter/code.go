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
		f.reset(m.functions[i])
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
	locals  uint64 // and parameters
	start   int    // of the instructions
	groups  int    // of locals
	parts   []part
	frames  []frame
	bulk    []bulk
	current int // index of a part
}

// part is a run of instructions that is paid for where it begins.
type part struct {
	at     int
	cost   uint64
	parent int // that may take over the cost; -1 for none
}

// frame is an open control structure.
type frame struct {
	op    byte
	outer int  // part that goes on behind it
	named bool // by a br_table
}

// bulk is an instruction whose cost hangs on its last operand.
type bulk struct {
	at    int
	shift int // of the operand: right, or left if negative
}

func (f *function) reset(t uint32) {
	f.locals = uint64(f.params[t])
	f.parts, f.frames, f.bulk = f.parts[:0], f.frames[:0], f.bulk[:0]
	f.groups = 0
}

func (f *function) open(parent int) {
	f.parts = append(f.parts, part{at: f.r.at, parent: parent})
	f.current = len(f.parts) - 1
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
	switch op := r.byte(); op {
	case opNop:
	case opBlock:
		f.blockType()
		f.frames = append(f.frames, frame{op: op, outer: f.current})
	case opLoop:
		f.blockType()
		f.frames = append(f.frames, frame{op: op, outer: f.current})
		f.open(-1)
	case opIf:
		f.blockType()
		f.pay(1)
		f.frames = append(f.frames, frame{op: op, outer: f.current})
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
		f.pay(1)
		f.brTable()
	case opBrIf:
		f.pay(1)
		r.u32()
		f.open(f.current)
	case opMisc:
		f.pay(1)
		f.misc(at)
	case opVector:
		f.pay(1)
		r.vectorInstruction()
	case opMemoryGrow:
		f.pay(1)
		r.zero()
		f.bulk = append(f.bulk, bulk{at, -13})
	case opGlobalGet, opGlobalSet:
		f.pay(1)
		f.checkGlobal(r, r.u32())
	case opLocalGet, opLocalGet + 1, opLocalTee:
		f.pay(1)
		if n := r.u32(); uint64(n) >= f.locals {
			r.fail("local variable %d; there are %d", n, f.locals)
		}
	default:
		f.pay(1)
		r.immediates(op)
	}
}

func (f *function) pay(n uint64) { f.parts[f.current].cost += n }

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
		f.bulk = append(f.bulk, bulk{at, 3})
	case miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
		f.bulk = append(f.bulk, bulk{at, 0})
	}
}

// rewrite appends the body with its charges.
func (f *function) rewrite(out []byte) []byte {
	in := f.r.b
	if len(f.bulk) == 0 {
		out = append(out, in[:f.start]...)
	} else {
		items := &reader{b: in}
		items.u32()
		out = binary.AppendUvarint(out, uint64(f.groups)+1)
		out = append(out, in[items.at:f.start]...)
		out = append(out, 1, typeI32)
	}
	at, parts, bulks := f.start, f.parts, f.bulk
	for len(parts) > 0 || len(bulks) > 0 {
		if len(bulks) == 0 || len(parts) > 0 && parts[0].at <= bulks[0].at {
			out = append(out, in[at:parts[0].at]...)
			at = parts[0].at
			if parts[0].cost > 0 {
				out = f.charge(out, parts[0].cost)
			}
			parts = parts[1:]
			continue
		}
		out = append(out, in[at:bulks[0].at]...)
		at = bulks[0].at
		out = f.chargeBulk(out, bulks[0])
		bulks = bulks[1:]
	}
	return append(out, in[at:]...)
}

func (f *function) charge(out []byte, cost uint64) []byte {
	out = f.counter(out, opGlobalGet)
	out = append(out, opI64Const)
	out = appendSigned(out, int64(cost))
	return f.subtract(out)
}

func (f *function) chargeBulk(out []byte, b bulk) []byte {
	out = append(out, opLocalTee)
	out = binary.AppendUvarint(out, f.locals)
	out = f.counter(out, opGlobalGet)
	out = append(out, opLocalGet)
	out = binary.AppendUvarint(out, f.locals)
	out = append(out, opI64ExtendU)
	if b.shift > 0 {
		out = append(out, opI64Const, byte(b.shift), opI64ShrU)
	} else if b.shift < 0 {
		out = append(out, opI64Const, byte(-b.shift), opI64Shl)
	}
	return f.subtract(out)
}

// subtract takes the top of the stack from the counter below it and traps when
// nothing is left.
func (f *function) subtract(out []byte) []byte {
	out = f.counter(append(out, opI64Sub), opGlobalSet)
	out = f.counter(out, opGlobalGet)
	return append(out, opI64Const, 0, opI64LtS, opIf, emptyType, opUnreachable, opEnd)
}

func (f *function) counter(out []byte, op byte) []byte {
	return binary.AppendUvarint(append(out, op), uint64(f.globals))
}

func appendSigned(out []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}
