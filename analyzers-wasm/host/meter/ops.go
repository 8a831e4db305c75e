package meter

// Instructions that the rewriter writes or has to know.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableSet     = 0x26
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI64LtS       = 0x53
	opI64Sub       = 0x7d
	opI64ShrU      = 0x88
	opI64Shl       = 0x86
	opI64ExtendU   = 0xad
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd

	vectorConst = 0x0c
	emptyType   = 0x40
)

// Instructions behind opMisc.
const (
	miscMemoryInit = 8 + iota
	miscDataDrop
	miscMemoryCopy
	miscMemoryFill
	miscTableInit
	miscElemDrop
	miscTableCopy
	miscTableGrow
	miscTableSize
	miscTableFill
)

// immediates skips what follows an instruction that is no control structure,
// and refuses instructions that core WebAssembly 2.0 does not have.
func (r *reader) immediates(op byte) {
	switch {
	case op == opUnreachable || op == opNop || op == opReturn || op == 0x1a || op == 0x1b || op == opRefIsNull:
	case op == opSelectTyped:
		if n := r.byte(); n != 1 {
			r.fail("select of %d types", n)
		}
		r.valueType()
	case op >= opLocalGet && op <= opTableSet || op == opBr || op == opBrIf || op == opCall || op == opRefFunc:
		r.u32()
	case op == opCallIndirect:
		r.u32()
		r.u32()
	case op >= 0x28 && op <= 0x3e: // loads and stores
		r.u32()
		r.u32()
	case op == 0x3f || op == opMemoryGrow:
		r.zero()
	case op == opI32Const:
		r.signed(32)
	case op == opI64Const:
		r.signed(64)
	case op == opF32Const:
		r.bytes(4)
	case op == opF64Const:
		r.bytes(8)
	case op >= 0x45 && op <= 0xc4: // numbers
	case op == opRefNull:
		r.refType()
	default:
		r.fail("instruction %#x is of a proposal that is not supported", op)
	}
}

// misc reads an instruction behind opMisc.
func (r *reader) misc() byte {
	op := r.byte()
	switch {
	case op < miscMemoryInit: // conversions
	case op == miscMemoryInit:
		r.u32()
		r.zero()
	case op == miscMemoryCopy:
		r.zero()
		r.zero()
	case op == miscMemoryFill:
		r.zero()
	case op == miscTableInit || op == miscTableCopy:
		r.u32()
		r.u32()
	case op <= miscTableFill:
		r.u32()
	default:
		r.fail("instruction 0xfc %#x is of a proposal that is not supported", op)
	}
	return op
}

// vector skips a vector instruction. From 0x80 its number takes two bytes, of
// which wazero reads the second as a nop: any other byte there would be an
// instruction that is seen by one of the two only.
func (r *reader) vectorInstruction() {
	op := r.byte()
	if op >= 0x80 {
		if b := r.byte(); b != 1 {
			r.fail("instruction 0xfd %#x %#x is of a proposal that is not supported", op, b)
		}
	}
	switch {
	case op <= 0x0b || op == 0x5c || op == 0x5d: // loads and stores
		r.u32()
		r.u32()
	case op == vectorConst || op == 0x0d:
		r.bytes(16)
	case op >= 0x15 && op <= 0x22: // lanes
		r.byte()
	case op >= 0x54 && op <= 0x5b: // loads and stores of lanes
		r.u32()
		r.u32()
		r.byte()
	}
}
