package meter

import "encoding/binary"

// rewrite appends the body with its charges. Around it stands a block, behind
// which a charge jumps that cannot be paid: one trap for all of them makes less
// machine code, in which the way on is not a jump.
//
//	block block (result …) BODY end return end unreachable
//
// The label of the inner block is that of the function, so that no branch needs
// another number. A body of several results, for whose block there may be no
// type, has a trap at each charge.
func (f *function) rewrite(out []byte) []byte {
	in := f.r.b
	c := charger{function: f, out: f.appendLocals(out), wrapped: len(f.results) < 2}
	if c.wrapped {
		c.out = append(c.out, opBlock, emptyType, opBlock)
		if len(f.results) == 0 {
			c.out = append(c.out, emptyType)
		}
		c.out = append(c.out, f.results...)
	}
	at := f.start
	for _, p := range f.points {
		c.out = append(c.out, in[at:p.at]...)
		at = p.at
		if p.part < 0 {
			c.byLength(p)
		} else if cost := f.parts[p.part].cost; cost > 0 {
			c.part(p, cost)
		}
	}
	c.out = append(c.out, in[at:]...)
	if c.wrapped {
		c.out = append(c.out, opReturn, opEnd, opUnreachable, opEnd)
	}
	return c.out
}

// appendLocals appends the local variables, with one more where lengths have to
// be read twice.
func (f *function) appendLocals(out []byte) []byte {
	if !f.ranges {
		return append(out, f.r.b[:f.start]...)
	}
	own := &reader{b: f.r.b}
	own.u32()
	out = binary.AppendUvarint(out, uint64(f.groups)+1)
	out = append(out, f.r.b[own.at:f.start]...)
	return append(out, 1, typeI32)
}

// charger writes charges.
type charger struct {
	*function
	out     []byte
	wrapped bool
}

func (c *charger) index(op byte, n uint64) {
	c.out = binary.AppendUvarint(append(c.out, op), n)
}

func (c *charger) part(p point, cost uint64) {
	c.index(opGlobalGet, uint64(c.globals))
	c.out = appendSigned(append(c.out, opI64Const), int64(cost))
	c.subtract(p)
}

// byLength reads the length of a range from the top of the stack, and leaves it
// there.
func (c *charger) byLength(p point) {
	c.index(opLocalTee, c.locals)
	c.index(opGlobalGet, uint64(c.globals))
	c.index(opLocalGet, c.locals)
	c.out = append(c.out, opI64ExtendU)
	if p.shift > 0 {
		c.out = append(c.out, opI64Const, byte(p.shift), opI64ShrU)
	} else if p.shift < 0 {
		c.out = append(c.out, opI64Const, byte(-p.shift), opI64Shl)
	}
	c.subtract(p)
}

// subtract takes the top of the stack from the counter below it, and traps when
// that leaves less than nothing.
func (c *charger) subtract(p point) {
	c.out = append(c.out, opI64Sub)
	c.index(opGlobalSet, uint64(c.globals))
	c.index(opGlobalGet, uint64(c.globals))
	c.out = append(c.out, opI64Const, 0, opI64LtS)
	if c.wrapped {
		c.index(opBrIf, uint64(p.depth))
	} else {
		c.out = append(c.out, opIf, emptyType, opUnreachable, opEnd)
	}
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
