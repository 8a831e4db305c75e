package meter_test

import (
	"encoding/binary"
	"slices"
)

// Types of values.
const (
	i32       = 0x7f
	i64       = 0x7e
	f64       = 0x7c
	v128      = 0x7b
	funcref   = 0x70
	externref = 0x6f
)

// Globals of a generated module, of which the first two are imported.
const (
	importedMutable = iota
	importedConst
	stepGlobal  // ends runs that would not end
	countGlobal // what the twin counts
	ownGlobals
)

const steps = 300

type signature struct{ params, results []byte }

// gen makes a valid module out of arbitrary bytes. Its runs end: loops and
// functions count down and trap. As a twin it makes the same module once more,
// with every instruction counted by itself, before it runs: what a meter has to
// charge at least.
type gen struct {
	in    []byte
	twin  bool
	types []signature
	funcs []int // type of each function; the first is imported
	globs []byte

	code   []byte
	locals []byte
	labels [][]byte
	depth  int
	left   int // instructions that may yet be made
}

func uleb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func sleb(n int64) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func vec(items ...[]byte) []byte { return append(uleb(len(items)), slices.Concat(items...)...) }

func text(s string) []byte { return append(uleb(len(s)), s...) }

func section(id byte, items ...[]byte) []byte {
	body := vec(items...)
	return slices.Concat([]byte{id}, uleb(len(body)), body)
}

func (g *gen) byte() byte {
	if len(g.in) == 0 {
		return 0
	}
	b := g.in[0]
	g.in = g.in[1:]
	return b
}

func (g *gen) below(n int) int { return int(g.byte()) % n }

func (g *gen) valueTypes(max int, of ...byte) []byte {
	var list []byte
	for range g.below(max + 1) {
		list = append(list, of[g.below(len(of))])
	}
	return list
}

func generate(in []byte, twin bool) []byte {
	g := &gen{in: in, twin: twin, left: 1500}
	all := []byte{i32, i64, f64, v128, funcref, externref}
	g.types = []signature{{}, {[]byte{i32}, []byte{i32}}, {nil, []byte{i32}}, {nil, []byte{i32, i64, f64}}}
	for range 5 {
		g.types = append(g.types, signature{g.valueTypes(3, all...), g.valueTypes(3, all...)})
	}
	g.funcs = []int{1, 3, 0} // imported, run, start
	for range 1 + g.below(4) {
		g.funcs = append(g.funcs, g.below(len(g.types)))
	}
	g.globs = []byte{i64, i32, i32, i64, i32, i64, f64, v128, funcref}
	var bodies [][]byte
	for f := range g.funcs[1:] {
		bodies = append(bodies, g.function(f+1))
	}
	return g.module(bodies)
}

func (g *gen) module(bodies [][]byte) []byte {
	var types, funcs, exports [][]byte
	for _, t := range g.types {
		types = append(types, slices.Concat([]byte{0x60}, uleb(len(t.params)), t.params, uleb(len(t.results)), t.results))
	}
	for _, t := range g.funcs[1:] {
		funcs = append(funcs, uleb(t))
	}
	inits := map[byte][]byte{i32: {0x23, importedConst, 0x0b}, i64: {0x42, 7, 0x0b}, f64: append([]byte{0x44}, 0, 0, 0, 0, 0, 0, 8, 0x40, 0x0b),
		v128: append(append([]byte{0xfd, 0x0c}, make([]byte, 16)...), 0x0b), funcref: {0xd2, 1, 0x0b}}
	globs := [][]byte{slices.Concat([]byte{i32, 1, 0x41}, sleb(steps), []byte{0x0b}), {i64, 1, 0x42, 0, 0x0b}}
	for i, t := range g.globs[ownGlobals:] {
		globs = append(globs, append([]byte{t, 1}, inits[t]...))
		exports = append(exports, slices.Concat(text("g"+string(rune('0'+i))), []byte{3, byte(ownGlobals + i)}))
	}
	exports = append(exports, slices.Concat(text("count"), []byte{3, countGlobal}), slices.Concat(text("run"), []byte{0, 1}),
		slices.Concat(text("memory"), []byte{2, 0}), slices.Concat(text("probe"), []byte{0, byte(len(g.funcs))}))
	funcs = append(funcs, []byte{1})
	bodies = append(bodies, probe())
	last := byte(len(g.funcs) - 1)
	start := []byte{8, 1, 2}
	if g.below(3) > 0 {
		start = nil
	}
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), section(1, types...),
		section(2, slices.Concat(text("env"), text("f"), []byte{0, 1}), slices.Concat(text("env"), text("g"), []byte{3, i64, 1}), slices.Concat(text("env"), text("c"), []byte{3, i32, 0})),
		section(3, funcs...), section(4, []byte{funcref, 1, 4, 10}, []byte{externref, 1, 2, 4}, []byte{funcref, 1, 3, 9}),
		section(5, []byte{1, 1, 3}), section(6, globs...), section(7, exports...), start,
		section(9, []byte{0, 0x41, 1, 0x0b, 2, last, 0}, []byte{1, 0, 2, 0, last}, []byte{2, 2, 0x41, 0, 0x0b, 0, 1, last}, append([]byte{3, 0}, g.everyFunction()...),
			[]byte{4, 0x41, 0, 0x0b, 1, 0xd2, last, 0x0b}, []byte{5, funcref, 2, 0xd0, funcref, 0x0b, 0xd2, 0, 0x0b},
			[]byte{6, 1, 0x41, 0, 0x0b, externref, 1, 0xd0, externref, 0x0b}, []byte{7, funcref, 1, 0xd0, funcref, 0x0b}),
		[]byte{12, 1, 3}, section(10, bodies...),
		section(11, append([]byte{0, 0x41, 8, 0x0b}, text("active")...), append([]byte{1}, text("passive segment")...), append([]byte{2, 0, 0x41, 20, 0x0b}, text("active too")...)))
}

func (g *gen) everyFunction() []byte {
	list := uleb(len(g.funcs))
	for i := range g.funcs {
		list = append(list, byte(i))
	}
	return list
}

// probe tells whether an entry of the first table is there, and its size.
func probe() []byte {
	body := []byte{0, 0x20, 0, 0xfc, 16, 0, 0x49, 0x04, i32, 0x20, 0, 0x25, 0, 0xd1, 0x05, 0xfc, 16, 0, 0x0b, 0x0b}
	return append(uleb(len(body)), body...)
}

func (g *gen) function(f int) []byte {
	t := g.types[g.funcs[f]]
	own := g.valueTypes(4, i32, i64, f64, v128, funcref, externref)
	g.locals = append(slices.Clone(t.params), own...)
	g.code, g.labels, g.depth = nil, [][]byte{t.results}, 0
	g.step()
	g.body(t.results)
	var groups [][]byte
	for _, l := range append(own, i32) { // the last is for the twin
		groups = append(groups, []byte{1, l})
	}
	body := slices.Concat(vec(groups...), g.code, []byte{0x0b})
	return append(uleb(len(body)), body...)
}

// emit appends an instruction.
func (g *gen) emit(code ...byte) {
	g.left--
	if g.twin && !slices.Contains([]byte{0x01, 0x02, 0x03, 0x05, 0x0b}, code[0]) {
		g.code = append(g.code, 0x23, countGlobal, 0x42, 1, 0x7c, 0x24, countGlobal)
	}
	g.code = append(g.code, code...)
}

func (g *gen) constant(n int64) { g.emit(append([]byte{0x41}, sleb(n)...)...) }

// step counts down, and traps at the end.
func (g *gen) step() {
	for _, code := range [][]byte{{0x23, stepGlobal}, {0x41, 1}, {0x6b}, {0x24, stepGlobal}, {0x23, stepGlobal}, {0x45}, {0x04, 0x40}, {0x00}, {0x0b}} {
		g.emit(code...)
	}
}

// bulk emits an instruction whose last operand, on the stack, is a length.
func (g *gen) bulk(shift byte, code ...byte) {
	if g.twin {
		scratch := byte(len(g.locals))
		g.code = append(g.code, 0x22, scratch, 0x23, countGlobal, 0x20, scratch, 0xad, 0x42, shift&0x3f)
		if shift < 64 {
			g.code = append(g.code, 0x88)
		} else {
			g.code = append(g.code, 0x86)
		}
		g.code = append(g.code, 0x7c, 0x24, countGlobal)
	}
	g.emit(code...)
}

// body makes statements and leaves values of the given types.
func (g *gen) body(results []byte) {
	for range g.below(5) {
		if g.left < 0 {
			break
		}
		if g.stmt() {
			if g.below(2) == 0 { // code that is never reached, with a stack of anything
				g.emit(0x6a)
				g.emit(0x1a)
				g.emit(0x00)
				if len(results) == 0 {
					return
				}
				g.exprs(results)
				return
			}
			return
		}
	}
	g.exprs(results)
}

func (g *gen) exprs(types []byte) {
	for _, t := range types {
		g.expr(t)
	}
}

func (g *gen) drops(n int) {
	for range n {
		g.emit(0x1a)
	}
}

// nested makes a control structure with a label.
func (g *gen) nested(op byte, t signature, blockType []byte) {
	g.emit(append([]byte{op}, blockType...)...)
	label := t.results
	if op == 0x03 {
		label = t.params
	}
	g.labels = append(g.labels, label)
	g.depth++
	if op == 0x03 {
		g.step()
	}
	enter := func() {
		for range t.params {
			g.emit(0x1a)
		}
		g.body(t.results)
	}
	enter()
	if op == 0x04 && (len(t.results) > 0 || len(t.params) > 0 || g.below(2) == 0) {
		g.emit(0x05)
		enter()
	}
	g.depth--
	g.labels = g.labels[:len(g.labels)-1]
	g.emit(0x0b)
}
