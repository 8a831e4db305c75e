// Package meter makes a WebAssembly module count its own steps, so that a host
// can stop it at a given number of them, and that number is the same on every
// machine, with every engine and at every run.
//
//	metered, err := meter.Rewrite(wasm)
//	// compile and instantiate metered, then
//	counter := instance.ExportedGlobal(meter.Global).(api.MutableGlobal)
//	counter.Set(budget)
//	// call _start
//	used := budget - int64(counter.Get()) // below zero: it ran out, which is why it trapped
//
// The counter is a new global behind those of the module, which its code cannot
// name: an index that was out of range before is refused here, since it would
// not be afterwards. Nothing else changes its number: functions, types, memories
// and local variables keep theirs, and no import is added.
//
// # What is charged
//
// The normative text is the section Fuel of sdk/ABI.md. An instruction costs 1,
// those that only structure the code nothing; instructions on whole ranges of
// memory or tables pay for the length too, which is read from the stack before
// they run. A body is cut into parts, each paid for where it begins, before any
// of it runs; a part is entered only there, and left behind by every jump
// back, so that nothing runs unpaid, and what a part overcharges is bounded by
// what conditional jumps leave out of it. Small parts go with the one around
// them: every charge costs time. Where a charge takes the counter below zero,
// the module traps at once, as if by unreachable.
//
// A charge is at most 2^32 for a part and less than 2^46 for a range, and the
// first that does not fit ends the run, so that the counter cannot wrap.
//
// # What is accepted
//
// Core WebAssembly 2.0, which is what wazero accepts by default, but no binary
// that only wazero can read. Anything else is refused. The module is read as far
// as the rewriting needs it; that it is valid is for the engine to find out, from
// the rewritten module, which is valid if and only if the module itself is. Of
// custom sections, the names are kept and the rest is dropped. Time and memory
// are linear in the size of the module; depth and number of things that cost a
// compiler more than that are not limited here.
package meter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Global is the name under which a rewritten module exports its counter, a
// mutable i64: the fuel that is left.
const Global = "casefile:fuel"

// Allowance is what the counter holds at first: all that a start function may
// use, since it runs before a host can set a budget.
const Allowance = 1_000_000_000

const (
	typeI64       = 0x7e
	typeI32       = 0x7f
	typeFuncref   = 0x70
	typeExternref = 0x6f
)

// Sections, by id.
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
)

// Rewrite returns the module with its steps charged. What it refuses is a
// module that is damaged, one of a proposal that it does not know, or one that
// could reach the counter.
func Rewrite(wasm []byte) ([]byte, error) {
	if len(wasm) < 8 || !bytes.Equal(wasm[:8], []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, errors.New("not a WebAssembly module of version 1")
	}
	m := &module{out: make([]byte, 0, len(wasm)+len(wasm)/4+1024)}
	m.out = append(m.out, wasm[:8]...)
	r := &reader{b: wasm, at: 8}
	last := 0
	for r.more() {
		id := r.byte()
		body := r.bytes(r.u32())
		if r.err != nil {
			return nil, r.err
		}
		if id == sectionCustom {
			m.custom(body)
			continue
		}
		place := placeOf(id)
		if place <= last {
			return nil, fmt.Errorf("section %d is unknown or out of order", id)
		}
		m.insert(last, place)
		last = place
		if err := m.section(id, body); err != nil {
			return nil, fmt.Errorf("section %d: %w", id, err)
		}
	}
	m.insert(last, placeOf(sectionData)+1)
	if len(m.functions) != m.bodies {
		return nil, fmt.Errorf("%d functions, but %d bodies", len(m.functions), m.bodies)
	}
	return m.out, nil
}

// placeOf gives the place of a section in a module; 0 for unknown ones. The
// count of data segments stands before the code.
func placeOf(id byte) int {
	order := []byte{sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal, sectionExport,
		sectionStart, sectionElement, sectionDataCount, sectionCode, sectionData}
	return bytes.IndexByte(order, id) + 1
}

// module is what is known of a module while it is rewritten, in the order of
// its sections.
type module struct {
	out       []byte
	types     []funcType
	functions []uint32 // types of its own functions
	imported  uint32   // globals
	globals   uint32   // imported and own: the index of the counter
	bodies    int
}

type funcType struct {
	params  uint32
	results []byte
}

// insert adds the sections of the counter when the module, between two places,
// has none of its own.
func (m *module) insert(last, next int) {
	if p := placeOf(sectionGlobal); last < p && p < next {
		m.globals = m.imported
		m.emit(sectionGlobal, appendCounter([]byte{1}))
	}
	if p := placeOf(sectionExport); last < p && p < next {
		m.emit(sectionExport, m.appendExport([]byte{1}))
	}
}

func (m *module) emit(id byte, body []byte) {
	m.out = append(m.out, id)
	m.out = binary.AppendUvarint(m.out, uint64(len(body)))
	m.out = append(m.out, body...)
}

// custom keeps the names, which traces show. Others are dropped: positions in
// the code, as debuggers want them, hold no longer.
func (m *module) custom(body []byte) {
	r := &reader{b: body}
	if r.name() == "name" {
		m.emit(sectionCustom, body)
	}
}

func (m *module) section(id byte, body []byte) error {
	r := &reader{b: body}
	switch id {
	case sectionType:
		r.vector(func(int) { m.functionType(r) })
	case sectionImport:
		r.vector(func(int) { m.importOne(r) })
	case sectionFunction:
		r.vector(func(int) { m.function(r) })
	case sectionTable:
		r.vector(func(int) { r.refType(); r.limits() })
	case sectionMemory:
		r.vector(func(int) { r.limits() })
	case sectionGlobal:
		body = m.globalSection(r)
	case sectionExport:
		body = m.exportSection(r)
	case sectionStart, sectionDataCount:
		r.u32()
	case sectionElement:
		r.vector(func(int) { m.element(r) })
	case sectionCode:
		body = m.codeSection(r)
	case sectionData:
		r.vector(func(int) { m.data(r) })
	}
	if r.err == nil && r.more() {
		r.fail("%d bytes too many", len(r.b)-r.at)
	}
	if r.err == nil {
		m.emit(id, body)
	}
	return r.err
}

func (m *module) functionType(r *reader) {
	if b := r.byte(); b != 0x60 {
		r.fail("type %#x is of a proposal that is not supported", b)
	}
	var t funcType
	r.vector(func(int) { r.valueType(); t.params++ })
	r.vector(func(int) { t.results = append(t.results, r.valueType()) })
	m.types = append(m.types, t)
}

func (m *module) importOne(r *reader) {
	r.name()
	r.name()
	switch kind := r.byte(); kind {
	case 0:
		r.u32()
	case 1:
		r.refType()
		r.limits()
	case 2:
		r.limits()
	case 3:
		r.valueType()
		r.byte()
		m.imported++
	default:
		r.fail("an import of kind %d is of a proposal that is not supported", kind)
	}
}

func (m *module) function(r *reader) {
	t := r.u32()
	if uint64(t) >= uint64(len(m.types)) {
		r.fail("a function of type %d; there are %d", t, len(m.types))
	}
	m.functions = append(m.functions, t)
}

func (m *module) globalSection(r *reader) []byte {
	m.globals = m.imported
	r.vector(func(int) { r.valueType(); r.byte(); m.constant(r); m.globals++ })
	own := m.globals - m.imported
	m.globals = m.imported + own
	return appendCounter(recount(r, own))
}

// recount copies what has been read of a vector, with room for one item more.
func recount(r *reader, n uint32) []byte {
	items := &reader{b: r.b}
	items.u32()
	out := binary.AppendUvarint(make([]byte, 0, len(r.b)+32), uint64(n)+1)
	return append(out, r.b[items.at:r.at]...)
}

func appendCounter(out []byte) []byte {
	out = append(out, typeI64, 1, opI64Const)
	out = appendSigned(out, Allowance)
	return append(out, opEnd)
}

func (m *module) exportSection(r *reader) []byte {
	n := uint32(0)
	r.vector(func(int) {
		n++
		name, kind, index := r.name(), r.byte(), r.u32()
		if name == Global {
			r.fail("exports the name %q, which the host keeps for itself", Global)
		}
		if kind == 3 {
			m.checkGlobal(r, index)
		}
	})
	return m.appendExport(recount(r, n))
}

func (m *module) appendExport(out []byte) []byte {
	out = binary.AppendUvarint(out, uint64(len(Global)))
	out = append(append(out, Global...), 3)
	return binary.AppendUvarint(out, uint64(m.globals))
}

// checkGlobal refuses the index of the counter, and beyond: it names nothing in
// the module as it came.
func (m *module) checkGlobal(r *reader, index uint32) {
	if index >= m.globals {
		r.fail("global %d; there are %d", index, m.globals)
	}
}

// constant reads a constant expression.
func (m *module) constant(r *reader) {
	for r.err == nil {
		switch op := r.byte(); op {
		case opEnd:
			return
		case opGlobalGet:
			m.checkGlobal(r, r.u32())
		case opI32Const, opI64Const, opF32Const, opF64Const, opRefNull, opRefFunc:
			r.immediates(op)
		case opVector:
			if op := r.byte(); op != vectorConst {
				r.fail("vector instruction %#x in a constant expression", op)
			}
			r.bytes(16)
		default:
			r.fail("instruction %#x in a constant expression", op)
		}
	}
}

// element reads a segment of a table: flag bit 0 is passive or declared, bit 1
// an explicit table (or declared), bit 2 expressions instead of indices.
func (m *module) element(r *reader) {
	flags := r.u32()
	if flags > 7 {
		r.fail("element segment of kind %d", flags)
	}
	if active := flags&1 == 0; active {
		if flags&2 != 0 {
			r.u32()
		}
		m.constant(r)
	}
	if flags&3 != 0 {
		if flags&4 != 0 {
			r.refType()
		} else {
			r.zero()
		}
	}
	if flags&4 != 0 {
		r.vector(func(int) { m.constant(r) })
	} else {
		r.vector(func(int) { r.u32() })
	}
}

func (m *module) data(r *reader) {
	flags := r.u32()
	switch flags {
	case 2:
		r.u32()
		fallthrough
	case 0:
		m.constant(r)
	case 1:
	default:
		r.fail("data segment of kind %d", flags)
	}
	r.bytes(r.u32())
}
