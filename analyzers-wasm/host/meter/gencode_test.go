package meter_test

import (
	"bytes"
	"slices"
)

// structure makes a block, loop or if that leaves values of the given types, if
// one of the module's types says so, and else one of no or one value.
func (g *gen) structure(results []byte) bool {
	op := byte(2 + g.below(3))
	t, blockType := signature{results: results}, []byte{0x40}
	if len(results) == 1 {
		blockType = results
	}
	if k := g.below(len(g.types)); len(results) > 1 || g.below(2) == 1 {
		for i := range g.types {
			if n := (i + k) % len(g.types); bytes.Equal(g.types[n].results, results) {
				t, blockType = g.types[n], uleb(n)
				break
			}
		}
	}
	if len(t.results) != len(results) || len(results) > 1 && blockType[0] == 0x40 {
		return false
	}
	g.exprs(t.params)
	if op == 0x04 {
		g.expr(i32)
	}
	g.nested(op, t, blockType)
	return true
}

// find gives the index of one of the things of a type, starting anywhere.
func (g *gen) find(types []byte, t byte, but ...int) int {
	k := g.below(max(1, len(types)))
	for i := range types {
		if n := (i + k) % len(types); types[n] == t && !slices.Contains(but, n) {
			return n
		}
	}
	return -1
}

// leave jumps out with what the label wants. It reports whether the code behind
// it is dead.
func (g *gen) leave() bool {
	n := g.below(len(g.labels))
	types := g.labels[len(g.labels)-1-n]
	switch g.below(4) {
	case 0:
		g.exprs(types)
		g.emit(append([]byte{0x0c}, uleb(n)...)...)
		return true
	case 1:
		var list [][]byte
		for range 1 + g.below(4) {
			k := g.below(len(g.labels))
			for !bytes.Equal(g.labels[len(g.labels)-1-k], types) {
				k = (k + 1) % len(g.labels)
			}
			list = append(list, uleb(k))
		}
		g.exprs(types)
		g.expr(i32)
		g.emit(slices.Concat([]byte{0x0e}, vec(list...), uleb(n))...)
		return true
	case 2:
		if g.below(3) == 0 {
			g.exprs(g.labels[0])
			g.emit(0x0f)
			return true
		}
		fallthrough
	default:
		g.exprs(types)
		g.expr(i32)
		g.emit(append([]byte{0x0d}, uleb(n)...)...)
		g.drops(len(types))
		return false
	}
}

// call makes a call, direct or through a table, and leaves its results.
func (g *gen) call(f int) {
	t := g.types[g.funcs[f]]
	g.exprs(t.params)
	if g.below(3) == 0 {
		table := byte(2 * g.below(2))
		g.address(3)
		g.emit(append(append([]byte{0x11}, uleb(g.funcs[f])...), table)...)
		return
	}
	g.emit(append([]byte{0x10}, uleb(f)...)...)
}

// address makes a number that is most often within a mask.
func (g *gen) address(mask int64) {
	g.expr(i32)
	if g.below(16) > 0 {
		g.constant(mask)
		g.emit(0x71)
	}
}

// stmt makes code that leaves the stack as it is. It reports whether the code
// behind it is dead.
func (g *gen) stmt() bool {
	if g.depth > 8 {
		return false
	}
	switch g.below(14) {
	case 0:
		g.emit(0x01)
	case 1, 2:
		if len(g.locals) == 0 {
			return false
		}
		n := g.below(len(g.locals))
		g.expr(g.locals[n])
		g.emit(append([]byte{0x21}, uleb(n)...)...)
	case 3:
		n := g.below(len(g.globs))
		if n == importedConst || n == stepGlobal || n == countGlobal {
			n = ownGlobals
		}
		g.expr(g.globs[n])
		g.emit(0x24, byte(n))
	case 4:
		g.store()
	case 5, 6, 7:
		g.structure(nil)
	case 8:
		f := g.below(len(g.funcs))
		g.call(f)
		g.drops(len(g.types[g.funcs[f]].results))
	case 9:
		g.ranges()
	case 10, 11:
		return g.leave()
	case 12:
		t := g.types[g.below(len(g.types))].results
		if g.structure(t) {
			g.drops(len(t))
		}
	case 13:
		if g.below(8) == 0 {
			g.emit(0x00)
			return true
		}
		g.expr([]byte{i32, i64, f64, v128, funcref, externref}[g.below(6)])
		g.emit(0x1a)
	}
	return false
}

func (g *gen) store() {
	g.address(0xffff)
	switch g.below(4) {
	case 0:
		g.expr(i32)
		g.emit(0x36, 2, byte(g.below(128)))
	case 1:
		g.expr(i64)
		g.emit(0x3c, 0, 0x80, 0x80, 0) // a padded offset
	case 2:
		g.expr(v128)
		g.emit(0xfd, 0x0b, 0, 0)
	case 3:
		g.expr(v128)
		g.emit(0xfd, 0x59, 0, 0, byte(g.below(8)))
	}
}

// ranges makes instructions on ranges of memory and tables.
func (g *gen) ranges() {
	three := func(a, b, n int64) { g.address(a); g.address(b); g.address(n) }
	switch g.below(9) {
	case 0:
		three(0xfff, 0xff, 0xfff)
		g.bulk(3, 0xfc, 11, 0)
	case 1:
		three(0xfff, 0xfff, 0xfff)
		g.bulk(3, 0xfc, 10, 0, 0)
	case 2:
		three(0xfff, 3, 7)
		g.bulk(3, 0xfc, 8, byte(g.below(3)), 0)
	case 3:
		g.emit(0xfc, 9, byte(g.below(3)))
	case 4:
		three(1, 0, 1)
		g.bulk(0, 0xfc, 12, byte(g.below(6)), byte(2*g.below(2)))
	case 5:
		g.emit(0xfc, 13, byte(g.below(8)))
	case 6:
		three(1, 1, 1)
		g.bulk(0, 0xfc, 14, byte(2*g.below(2)), byte(2*g.below(2)))
	case 7:
		g.address(1)
		g.expr(funcref)
		g.address(3)
		g.bulk(0, 0xfc, 17, byte(2*g.below(2)))
	case 8:
		g.address(3)
		g.expr(funcref)
		g.emit(0x26, byte(2*g.below(2)))
	}
}

// expr makes code that leaves one value.
func (g *gen) expr(t byte) {
	choice := g.below(16)
	if g.depth > 10 || g.left < 0 {
		choice = 0
	}
	g.depth++
	defer func() { g.depth-- }()
	switch choice {
	case 0:
		g.leaf(t)
	case 1, 2, 3:
		if n := g.find(g.locals, t); n >= 0 {
			g.emit(append([]byte{0x20}, uleb(n)...)...)
			return
		}
		g.leaf(t)
	case 4:
		if n := g.find(g.globs, t, stepGlobal, countGlobal); n >= 0 {
			g.emit(0x23, byte(n))
			return
		}
		g.leaf(t)
	case 5:
		if n := g.find(g.locals, t); n >= 0 {
			g.expr(t)
			g.emit(append([]byte{0x22}, uleb(n)...)...)
			return
		}
		g.leaf(t)
	case 6:
		g.exprs([]byte{t, t, i32})
		g.emit(0x1c, 1, t)
	case 7, 8:
		g.structure([]byte{t})
	case 9:
		for f := range g.funcs {
			if bytes.Equal(g.types[g.funcs[f]].results, []byte{t}) {
				g.call(f)
				return
			}
		}
		g.leaf(t)
	default:
		g.operation(t)
	}
}

func (g *gen) leaf(t byte) {
	switch t {
	case i32:
		g.constant(int64(int8(g.byte())))
	case i64:
		g.emit(append([]byte{0x42}, sleb(int64(int8(g.byte()))<<g.below(40))...)...)
	case f64:
		g.emit(0x44, 0, 0, 0, 0, 0, 0, g.byte(), 0x40)
	case v128:
		g.emit(append([]byte{0xfd, 0x0c}, bytes.Repeat([]byte{g.byte(), 1}, 8)...)...)
	case funcref:
		if g.below(2) == 0 {
			g.emit(0xd0, funcref)
			return
		}
		g.emit(append([]byte{0xd2}, uleb(g.below(len(g.funcs)))...)...)
	case externref:
		g.emit(0xd0, externref)
	}
}

// operation makes an instruction with operands, by the type of its result.
func (g *gen) operation(t byte) {
	type choice struct {
		operands []byte
		code     []byte
	}
	var list []choice
	switch t {
	case i32:
		if g.special() {
			return
		}
		list = []choice{{[]byte{i32, i32}, []byte{0x6a}}, {[]byte{i32, i32}, []byte{0x6d}}, {[]byte{i32}, []byte{0x45}}, {[]byte{i64}, []byte{0xa7}}, {[]byte{i32}, []byte{0xc0}},
			{[]byte{i64, i64}, []byte{0x53}}, {nil, []byte{0x3f, 0}}, {[]byte{f64}, []byte{0xfc, 2}}, {[]byte{f64}, []byte{0xaa}}, {[]byte{funcref}, []byte{0xd1}},
			{[]byte{externref}, []byte{0xd1}}, {[]byte{v128}, []byte{0xfd, 0x1b, 2}}, {nil, []byte{0xfc, 16, 1}}, {[]byte{v128}, []byte{0xfd, 0xa3, 1}}}
	case i64:
		list = []choice{{[]byte{i64, i64}, []byte{0x7c}}, {[]byte{i32}, []byte{0xac}}, {[]byte{i64, i64}, []byte{0x80}}, {[]byte{i64, i64}, []byte{0x89}}, {[]byte{v128}, []byte{0xfd, 0x1d, 1}}}
	case f64:
		list = []choice{{[]byte{f64, f64}, []byte{0xa0}}, {[]byte{i64}, []byte{0xb9}}, {[]byte{f64}, []byte{0x9c}}}
	case v128:
		list = []choice{{[]byte{i32}, []byte{0xfd, 0x11}}, {[]byte{v128, v128}, []byte{0xfd, 0xae, 1}}, {[]byte{v128, v128}, []byte{0xfd, 0x23}}, {[]byte{v128, i64}, []byte{0xfd, 0x1e, 1}},
			{[]byte{v128, v128}, append([]byte{0xfd, 0x0d}, 0, 17, 2, 19, 4, 21, 6, 23, 8, 25, 10, 27, 12, 29, 14, 31)}}
	case funcref:
		g.address(3)
		g.emit(0x25, byte(2*g.below(2)))
		return
	case externref:
		g.address(1)
		g.emit(0x25, 1)
		return
	}
	c := list[g.below(len(list))]
	g.exprs(c.operands)
	g.emit(c.code...)
}

// special makes what reads or grows memory and tables.
func (g *gen) special() bool {
	switch g.below(8) {
	case 0:
		g.address(0xffff)
		g.emit(0x28, 2, 4)
	case 1:
		g.address(0xffff)
		g.emit(0x2d, 0, 0)
	case 2: // no more than a start function can pay
		g.expr(i32)
		g.constant(0x3f)
		g.emit(0x71)
		g.bulk(64+13, 0x40, 0)
	case 3:
		g.expr(funcref)
		g.expr(i32)
		g.constant(0xff03)
		g.emit(0x71)
		g.bulk(0, 0xfc, 15, byte(2*g.below(2)))
	case 4:
		g.address(0xfff)
		g.expr(v128)
		g.emit(0xfd, 0x54, 0, 0, 3)
		g.emit(0xfd, 0x16, 3)
	default:
		return false
	}
	return true
}
