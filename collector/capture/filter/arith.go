package filter

import (
	"strings"

	"golang.org/x/net/bpf"
)

// arith is a number computed from a packet.
type arith interface {
	// code appends the instructions that leave the value in A, free to use
	// the scratch slots from slot on, and the conditions that must hold first.
	code(c *arithCode, l link, slot int)
}

// arithCode gathers what an arithmetic expression lowers to.
type arithCode struct {
	ins    []bpf.Instruction
	checks []node
}

func (c *arithCode) add(ins ...bpf.Instruction) { c.ins = append(c.ins, ins...) }

type (
	num        uint32
	wireLength struct{}
	operation  struct {
		op   string
		l, r arith
	}
	// field is PROTO[index:size].
	field struct {
		proto string
		index arith
		size  int
	}
	relation struct {
		op          string // = != < > <= >=
		left, right arith
	}
)

const scratchSlots = 16

func (n num) code(c *arithCode, _ link, _ int) {
	c.add(bpf.LoadConstant{Dst: bpf.RegA, Val: uint32(n)})
}

func (wireLength) code(c *arithCode, _ link, _ int) { c.add(bpf.LoadExtension{Num: bpf.ExtLen}) }

func (b operation) code(c *arithCode, l link, slot int) {
	op := aluOp(b.op)
	if n, ok := b.r.(num); ok {
		b.l.code(c, l, slot)
		c.add(bpf.ALUOpConstant{Op: op, Val: uint32(n)})
		return
	}
	b.l.code(c, l, slot)
	c.add(bpf.StoreScratch{Src: bpf.RegA, N: slot})
	held := c.checks
	b.r.code(c, l, slot+1)
	c.checks = held // libpcap loses what the right operand demands, and so must we
	c.add(bpf.TAX{}, bpf.LoadScratch{Dst: bpf.RegA, N: slot}, bpf.ALUOpX{Op: op})
}

func aluOp(op string) bpf.ALUOp {
	return map[string]bpf.ALUOp{"+": bpf.ALUOpAdd, "-": bpf.ALUOpSub, "*": bpf.ALUOpMul, "/": bpf.ALUOpDiv, "&": bpf.ALUOpAnd,
		"|": bpf.ALUOpOr, "<<": bpf.ALUOpShiftLeft, ">>": bpf.ALUOpShiftRight}[op]
}

func (f field) code(c *arithCode, l link, slot int) {
	n, fixed := f.index.(num)
	base := l.net
	switch f.proto {
	case "ether":
		base = 0
	case "ip", "ip6", "arp", "rarp":
		c.checks = append(c.checks, protocol(f.proto).lower(l))
	case "icmp6":
		c.checks = append(c.checks, l.carries(etherIP6), equal(load(l.net+6, 1), 58))
		base += 40
	default:
		f.transport(c, l, slot)
		return
	}
	if fixed {
		c.add(bpf.LoadAbsolute{Off: base + uint32(n), Size: f.size})
		return
	}
	f.index.code(c, l, slot)
	c.add(bpf.TAX{}, bpf.LoadIndirect{Off: base, Size: f.size})
}

// transport loads from behind an IPv4 header of any length, in a first fragment.
func (f field) transport(c *arithCode, l link, slot int) {
	i := protocol(f.proto).inner()
	i.family = "ip"
	c.checks = append(c.checks, i.lower(l), firstFragment(l))
	if n, fixed := f.index.(num); fixed {
		c.add(bpf.LoadMemShift{Off: l.net}, bpf.LoadIndirect{Off: l.net + uint32(n), Size: f.size})
		return
	}
	f.index.code(c, l, slot)
	c.add(bpf.LoadMemShift{Off: l.net}, bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{}, bpf.LoadIndirect{Off: l.net, Size: f.size})
}

func (r relation) lower(l link) node {
	cond := map[string]bpf.JumpTest{"=": bpf.JumpEqual, "!=": bpf.JumpEqual, ">": bpf.JumpGreaterThan, "<=": bpf.JumpGreaterThan,
		">=": bpf.JumpGreaterOrEqual, "<": bpf.JumpGreaterOrEqual}[r.op]
	c := &arithCode{}
	t := test{cond: cond}
	r.left.code(c, l, 0)
	if n, ok := r.right.(num); ok {
		t.val = uint32(n)
	} else {
		t.x = true
		c.add(bpf.StoreScratch{Src: bpf.RegA, N: 0})
		r.right.code(c, l, 1)
		c.add(bpf.TAX{}, bpf.LoadScratch{Dst: bpf.RegA, N: 0})
	}
	t.code = c.ins
	var n node = t
	switch r.op {
	case "!=", "<=", "<":
		n = not{t}
	}
	return append(all(c.checks), n)
}

func (p *parser) startsArithmetic() bool {
	t := p.peek()
	return t.kind == number || t.is("-") || t.is("len") || t.kind == word && p.peekAt(1).is("[")
}

// relation reads the comparison that makes a condition of arithmetic; without
// one it is still arithmetic, which only parentheses may hold.
func (p *parser) relation(left arith, pos int) operand {
	op := p.peek()
	if op.kind != symbol || !strings.Contains(" = != < > <= >= ", " "+op.text+" ") {
		return operand{arith: left, pos: pos}
	}
	p.next()
	return operand{pred: relation{op.text, left, p.arithmetic(0)}, pos: pos}
}

// level is how tight an operator binds; 0 is none.
func level(t token) int {
	if t.kind != symbol {
		return 0
	}
	switch t.text {
	case "|", "&":
		return 1
	case "<<", ">>":
		return 2
	case "+", "-":
		return 3
	case "*", "/":
		return 4
	}
	return 0
}

func (p *parser) arithmetic(above int) arith {
	p.enter()
	defer p.leave()
	return p.arithmeticFrom(p.factor(), above)
}

// arithmeticFrom goes on from left with the operators that bind tighter than above.
func (p *parser) arithmeticFrom(left arith, above int) arith {
	for p.err == nil {
		op := p.peek()
		if level(op) <= above {
			break
		}
		p.next()
		left = p.fold(op, left, p.arithmetic(level(op)))
	}
	return left
}

// fold computes what is constant.
func (p *parser) fold(op token, l, r arith) arith {
	b, rConst := r.(num)
	if rConst && (op.text == "/" && b == 0 || (op.text == "<<" || op.text == ">>") && b > 31) {
		p.fail(op.pos, "division by zero, or a shift by more than 31 bits")
		return num(0)
	}
	a, lConst := l.(num)
	if !lConst || !rConst {
		return p.bounded(op, operation{op.text, l, r})
	}
	switch op.text {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "/":
		return a / b
	case "&":
		return a & b
	case "|":
		return a | b
	case "<<":
		return a << b
	}
	return a >> b
}

// bounded refuses what needs more scratch memory than a program has.
func (p *parser) bounded(t token, a arith) arith {
	if slots(a) > scratchSlots-1 {
		p.fail(t.pos, "this arithmetic is nested too deeply; write the simpler operand on the right")
	}
	return a
}

// slots counts the scratch slots that a needs.
func slots(a arith) int {
	switch a := a.(type) {
	case operation:
		if _, ok := a.r.(num); ok {
			return slots(a.l)
		}
		return max(slots(a.l), 1+slots(a.r))
	case field:
		return slots(a.index)
	}
	return 0
}

func (p *parser) factor() arith {
	t := p.next()
	switch {
	case t.kind == number:
		return num(t.num)
	case t.is("len"):
		return wireLength{}
	case t.is("-"):
		p.enter()
		defer p.leave()
		return p.fold(token{kind: symbol, text: "-", pos: t.pos}, num(0), p.factor())
	case t.is("("):
		a := p.arithmetic(0)
		p.expect(")")
		return a
	case t.kind == word && p.peek().is("["):
		return p.field(t)
	}
	if p.err == nil {
		p.fail(t.pos, "expected a number, len or PROTO[OFFSET] here")
	}
	return num(0)
}

func (p *parser) field(t token) arith {
	f := field{proto: t.text, size: 1}
	if !strings.Contains(" ether ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp pim ", " "+t.text+" ") {
		p.fail(t.pos, "offsets into this protocol are not supported")
		return num(0)
	}
	p.expect("[")
	f.index = p.arithmetic(0)
	if n, ok := f.index.(num); ok && n > 65535 {
		p.fail(t.pos, "the offset is beyond the largest packet")
	}
	if p.accept(":") {
		n := p.next()
		if f.size = int(n.num); n.kind != number || f.size != 1 && f.size != 2 && f.size != 4 {
			p.fail(n.pos, "a size is 1, 2 or 4 bytes")
		}
	}
	p.expect("]")
	return p.bounded(t, f)
}
