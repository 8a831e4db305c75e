package host

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Bounds of a module's structure. Compilers cost far more than linear time in
// some of these; a Go module has 2,700 functions, bodies up to 30 KB and 20
// locals.
const (
	maxFunctions = 100_000
	maxTypes     = 20_000
	maxGlobals   = 20_000
	maxSegments  = 200_000
	maxTableSize = 1_000_000
	maxImports   = 1000
	maxExports   = 10_000
	maxTables    = 64
	pageBytes    = 64 << 10
)

const wasiModule = "wasi_snapshot_preview1"

// outline is what the structure of a module says about it.
type outline struct {
	imports   []string // functions of wasiModule
	functions int
	bodies    int
	hasMemory bool
	pages     uint64 // memory at the start
	start     bool   // exports _start as a function
	memory    bool   // exports its memory

	params []uint32 // of each type
	types  []uint32 // of each function of its own
}

var (
	errNotWasm   = errors.New("not a WebAssembly module")
	errTruncated = errors.New("the module is cut off or damaged")
)

// inspect walks the sections of a module, without its instructions, and
// refuses what the sandbox does not run.
func inspect(wasm []byte) (outline, error) {
	var o outline
	err := o.walk(wasm)
	return o, err
}

func (o *outline) walk(wasm []byte) error {
	if len(wasm) < 8 || !bytes.Equal(wasm[:4], []byte("\x00asm")) {
		return errNotWasm
	}
	switch v := wasm[4:8]; {
	case bytes.Equal(v, []byte{1, 0, 0, 0}):
	case v[2] == 1 && v[3] == 0:
		return errors.New("this is a component (component model); want a core module: build for WASI preview 1 (wasip1, wasm32-wasi)")
	default:
		return fmt.Errorf("WebAssembly version %x; want version 1", v)
	}
	r := &wasmReader{b: wasm[8:]}
	last := 0
	for len(r.b) > 0 {
		id := r.byte()
		body := r.bytes(r.u32())
		if r.err != nil {
			return r.err
		}
		if id != 0 {
			if order := sectionOrder(id); order <= last {
				return fmt.Errorf("section %d is unknown or out of order", id)
			} else {
				last = order
			}
		}
		if err := o.section(id, &wasmReader{b: body}); err != nil {
			return err
		}
	}
	return o.check()
}

// sectionOrder gives the place of a section; 0 for unknown ones. The count of
// data segments (12) stands before the code (10).
func sectionOrder(id byte) int {
	order := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11}
	return bytes.IndexByte(order, id) + 1
}

func (o *outline) check() error {
	switch {
	case o.functions != o.bodies:
		return errTruncated
	case !o.start:
		return errors.New("exports no function _start: build it as a WASI command, not as a library")
	case !o.hasMemory || !o.memory:
		return errors.New("exports no memory")
	}
	return nil
}

func (o *outline) section(id byte, r *wasmReader) error {
	var err error
	switch id {
	case 1:
		err = o.typeSection(r)
	case 2:
		err = o.importSection(r)
	case 3:
		err = o.functionSection(r)
	case 4:
		err = o.tableSection(r)
	case 5:
		err = o.memorySection(r)
	case 6:
		err = r.bound("globals", maxGlobals)
	case 7:
		err = o.exportSection(r)
	case 9:
		err = r.bound("element segments", maxSegments)
	case 10:
		err = o.codeSection(r)
	case 11:
		err = r.bound("data segments", maxSegments)
	}
	if err == nil {
		err = r.err
	}
	return err
}

func atMost(what string, n, limit int) error {
	if n > limit {
		return fmt.Errorf("%d %s, more than %d", n, what, limit)
	}
	return nil
}

func (o *outline) importSection(r *wasmReader) error {
	n := r.u32()
	if err := atMost("imports", int(n), maxImports); err != nil {
		return err
	}
	for range n {
		module, name, kind := r.name(), r.name(), r.byte()
		if r.err != nil {
			return r.err
		}
		if module != wasiModule {
			return fmt.Errorf("imports %q from %q; a module may import functions of %s only", name, module, wasiModule)
		}
		if kind != 0 {
			return fmt.Errorf("imports %s.%s, which is no function", module, name)
		}
		r.u32()
		o.imports = append(o.imports, name)
	}
	return nil
}

func (o *outline) tableSection(r *wasmReader) error {
	n := r.u32()
	if err := atMost("tables", int(n), maxTables); err != nil {
		return err
	}
	for range n {
		r.byte()
		size, err := r.limits("table")
		if err != nil {
			return err
		}
		if err := atMost("table entries", int(size), maxTableSize); err != nil {
			return err
		}
	}
	return nil
}

func (o *outline) memorySection(r *wasmReader) error {
	n := r.u32()
	if n > 1 {
		return errors.New("more than one memory")
	}
	for range n {
		pages, err := r.limits("memory")
		if err != nil {
			return err
		}
		o.hasMemory, o.pages = true, pages
	}
	return nil
}

func (o *outline) exportSection(r *wasmReader) error {
	n := r.u32()
	if err := atMost("exports", int(n), maxExports); err != nil {
		return err
	}
	for range n {
		name, kind := r.name(), r.byte()
		r.u32()
		if r.err != nil {
			return r.err
		}
		switch {
		case name == "_start" && kind == 0:
			o.start = true
		case name == "memory" && kind == 2:
			o.memory = true
		}
	}
	return nil
}

// typeSection notes how many parameters each type of function has.
func (o *outline) typeSection(r *wasmReader) error {
	n := r.u32()
	if err := atMost("types", int(n), maxTypes); err != nil {
		return err
	}
	for range n {
		if form := r.byte(); r.err == nil && form != 0x60 {
			return fmt.Errorf("type %#x is of a proposal that is not supported", form)
		}
		params := r.u32()
		r.bytes(params)
		r.bytes(r.u32())
		if r.err != nil {
			return r.err
		}
		o.params = append(o.params, params)
	}
	return nil
}

func (o *outline) functionSection(r *wasmReader) error {
	n := r.u32()
	if err := atMost("functions", int(n), maxFunctions); err != nil {
		return err
	}
	for range n {
		o.types = append(o.types, r.u32())
		if r.err != nil {
			return r.err
		}
	}
	o.functions = int(n)
	return nil
}

func (o *outline) codeSection(r *wasmReader) error {
	if err := atMost("bytes of code", len(r.b), maxCode); err != nil {
		return err
	}
	n := r.u32()
	if err := atMost("functions", int(n), maxFunctions); err != nil {
		return err
	}
	o.bodies = int(n)
	for i := range n {
		s := shape{size: int(r.u32())}
		if err := atMost(fmt.Sprintf("bytes in function %d", i), s.size, maxBody); err != nil {
			return err
		}
		body := &wasmReader{b: r.bytes(uint32(s.size))}
		if r.err != nil {
			return r.err
		}
		if err := o.function(i, &s, body); err != nil {
			return err
		}
	}
	return nil
}

func (o *outline) function(i uint32, s *shape, body *wasmReader) error {
	if int(i) < len(o.types) && int(o.types[i]) < len(o.params) {
		s.locals = int(o.params[o.types[i]])
	}
	for range body.u32() {
		s.locals += int(body.u32())
		body.byte()
		if body.err != nil {
			return body.err
		}
		if s.locals > maxLocals {
			return fmt.Errorf("function %d has more than %d local variables", i, maxLocals)
		}
	}
	if err := s.walk(body); err != nil {
		return err
	}
	return s.check(i)
}

// wasmReader reads the primitives of the format; the first error stands.
type wasmReader struct {
	b   []byte
	err error
}

func (r *wasmReader) byte() byte {
	b := r.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (r *wasmReader) bytes(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)) {
		r.err = errTruncated
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *wasmReader) u32() uint32 {
	v := r.leb(32)
	return uint32(v)
}

// leb reads an unsigned LEB128 number of at most the given bits.
func (r *wasmReader) leb(bits int) uint64 {
	var v uint64
	for shift := 0; shift < bits; shift += 7 {
		b := r.byte()
		if r.err != nil {
			return 0
		}
		if left := bits - shift; left < 7 && b>>left != 0 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.err = errTruncated
	return 0
}

func (r *wasmReader) name() string {
	b := r.bytes(r.u32())
	if r.err == nil && (len(b) > 1000 || !utf8.Valid(b)) {
		r.err = errTruncated
	}
	return string(b)
}

// limits reads the size of a table or memory; shared and 64-bit ones are of
// proposals that the sandbox does not run.
func (r *wasmReader) limits(what string) (uint64, error) {
	flags := r.byte()
	if r.err == nil && flags > 1 {
		return 0, fmt.Errorf("a shared or 64-bit %s is not supported", what)
	}
	size := r.u32()
	if flags == 1 {
		r.u32()
	}
	return uint64(size), r.err
}

func (r *wasmReader) bound(what string, limit int) error {
	return atMost(what, int(r.u32()), limit)
}
