package host

import "fmt"

// Bounds of one function, and of all. What a compiler takes for a function
// grows with its blocks times its variables, and with how they are nested, so
// that these have bounds of their own. TestRealModules knows what big programs
// in Go, Rust and C need; Go nests a block for every place that a call can
// come back to.
const (
	maxBody    = 256 << 10
	maxCode    = 48 << 20 // of all bodies
	maxLocals  = 1000     // with parameters
	maxBlocks  = 12_000   // and branches
	maxNesting = 4000     // blocks, ifs and loops in each other
	maxLoops   = 32       // loops in each other
	maxTargets = 10_000   // of all br_tables of a function
	maxWork    = 1_500_000
	maxDepths  = 12_000_000
)

// shape is what a function costs a compiler.
type shape struct {
	size, locals           int
	blocks, nesting, loops int
	targets                int
	depths                 int // sum of the nesting of all blocks
}

func (s shape) check(i uint32) error {
	for _, c := range []struct {
		what     string
		n, limit int
	}{
		{"local variables", s.locals, maxLocals},
		{"blocks and branches", s.blocks, maxBlocks},
		{"blocks in each other", s.nesting, maxNesting},
		{"loops in each other", s.loops, maxLoops},
		{"targets of br_table", s.targets, maxTargets},
		{"blocks times variables", s.blocks * s.locals, maxWork},
		{"nested blocks in all", s.depths, maxDepths},
	} {
		if c.n > c.limit {
			return fmt.Errorf("function %d has %d %s, more than %d", i, c.n, c.what, c.limit)
		}
	}
	return nil
}

// Instructions whose operands the walk has to know.
const (
	opBlockByte, opLoopByte, opIfByte, opElseByte, opEndByte = 0x02, 0x03, 0x04, 0x05, 0x0b
	opBrTableByte                                            = 0x0e
)

// walk goes over the instructions of a function.
func (s *shape) walk(r *wasmReader) error {
	loops := []bool{false} // of the open blocks, whether each is a loop
	inLoops := 0
	for len(loops) > 0 && r.err == nil {
		switch op := r.byte(); op {
		case opBlockByte, opLoopByte, opIfByte:
			r.skipLEB() // a type; a signed number
			loops = append(loops, op == opLoopByte)
			if op == opLoopByte {
				inLoops++
			}
			s.blocks++
			s.depths += len(loops)
			s.nesting, s.loops = max(s.nesting, len(loops)-1), max(s.loops, inLoops)
			if s.nesting > maxNesting || s.loops > maxLoops {
				return nil // enough to refuse it
			}
		case opEndByte:
			if loops[len(loops)-1] {
				inLoops--
			}
			loops = loops[:len(loops)-1]
		case opBrTableByte:
			n := r.u32()
			s.targets += int(n)
			for i := uint32(0); i <= n && r.err == nil; i++ {
				r.u32()
			}
			s.blocks++
		case 0x0c, 0x0d:
			r.u32()
			s.blocks++
		default:
			r.operands(op)
		}
	}
	if r.err == nil && len(r.b) > 0 {
		return errTruncated
	}
	return r.err
}

// operands steps over what follows an instruction.
func (r *wasmReader) operands(op byte) {
	switch {
	case op == 0x10, op >= 0x20 && op <= 0x26, op == 0xd2, op == 0x3f, op == 0x40, op == 0xd0: // call, variables, tables, memory, ref
		r.skipLEB()
	case op == 0x11: // call_indirect
		r.skipLEB()
		r.skipLEB()
	case op == 0x1c: // select of types
		r.bytes(r.u32())
	case op >= 0x28 && op <= 0x3e: // loads and stores
		r.skipLEB()
		r.skipLEB()
	case op == 0x41, op == 0x42:
		r.skipLEB()
	case op == 0x43:
		r.bytes(4)
	case op == 0x44:
		r.bytes(8)
	case op == 0xfc:
		r.miscOperands(r.u32())
	case op == 0xfd:
		r.vectorOperands(r.u32())
	case op <= 0x01, op == opElseByte, op == 0x0f, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
	default:
		if r.err == nil {
			r.err = fmt.Errorf("instruction %#x is of a proposal that is not supported", op)
		}
	}
}

func (r *wasmReader) miscOperands(op uint32) {
	switch {
	case op <= 7: // saturating conversions
	case op == 8, op == 10, op == 12, op == 14: // two indexes
		r.skipLEB()
		r.skipLEB()
	case op <= 17:
		r.skipLEB()
	default:
		if r.err == nil {
			r.err = fmt.Errorf("instruction 0xfc %d is of a proposal that is not supported", op)
		}
	}
}

func (r *wasmReader) vectorOperands(op uint32) {
	switch {
	case op <= 11, op == 92, op == 93: // loads and stores
		r.skipLEB()
		r.skipLEB()
	case op == 12, op == 13:
		r.bytes(16)
	case op >= 21 && op <= 34:
		r.byte()
	case op >= 84 && op <= 91:
		r.skipLEB()
		r.skipLEB()
		r.byte()
	}
}

// skipLEB steps over a number of up to 64 bits.
func (r *wasmReader) skipLEB() {
	for range 10 {
		if b := r.byte(); b < 0x80 || r.err != nil {
			return
		}
	}
	r.err = errTruncated
}
