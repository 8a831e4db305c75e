package filter

import (
	"strings"

	"golang.org/x/net/bpf"
)

// arith is a number computed from a packet.
type arith interface {
	// code appends the instructions that leave the value in A, free to use
	// the scratch slots from slot on, and the conditions that must hold first.
	code(c *arithCode, s *scope, slot int)
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
	negative   struct{ of arith }
	operation  struct {
		op   string
		l, r arith
	}
	// field is PROTO[index:size].
	field struct {
		proto string
		index arith
		size  int
		pos   int
	}
	relation struct {
		op          string // = != < > <= >=
		left, right arith
	}
)

const scratchSlots = 16

func (n num) code(c *arithCode, _ *scope, _ int) {
	c.add(bpf.LoadConstant{Dst: bpf.RegA, Val: uint32(n)})
}

func (wireLength) code(c *arithCode, _ *scope, _ int) { c.add(bpf.LoadExtension{Num: bpf.ExtLen}) }

func (n negative) code(c *arithCode, s *scope, slot int) {
	n.of.code(c, s, slot)
	c.add(bpf.NegateA{})
}

// keep stores A in a slot, if there is one left.
func (c *arithCode) keep(s *scope, slot int) {
	if slot >= s.free {
		s.fail("this arithmetic is nested too deeply; write the simpler operand on the right")
		return
	}
	c.add(bpf.StoreScratch{Src: bpf.RegA, N: slot})
}

func (b operation) code(c *arithCode, s *scope, slot int) {
	op := aluOp(b.op)
	if n, ok := b.r.(num); ok {
		b.l.code(c, s, slot)
		c.add(bpf.ALUOpConstant{Op: op, Val: uint32(n)})
		return
	}
	b.l.code(c, s, slot)
	c.keep(s, slot)
	held := c.checks
	b.r.code(c, s, slot+1)
	c.checks = held // libpcap loses what the right operand demands, and so must we
	c.add(bpf.TAX{}, bpf.LoadScratch{Dst: bpf.RegA, N: slot}, bpf.ALUOpX{Op: op})
}

func aluOp(op string) bpf.ALUOp {
	return map[string]bpf.ALUOp{"+": bpf.ALUOpAdd, "-": bpf.ALUOpSub, "*": bpf.ALUOpMul, "/": bpf.ALUOpDiv, "&": bpf.ALUOpAnd,
		"|": bpf.ALUOpOr, "<<": bpf.ALUOpShiftLeft, ">>": bpf.ALUOpShiftRight, "%": bpf.ALUOpMod, "^": bpf.ALUOpXor}[op]
}

// indexable says whether PROTO[…] is of the language; after link, all that
// the kernel could give for negative offsets is refused.
func indexable(proto string) bool {
	return strings.Contains(" link ip ip6 arp rarp atalk decnet sca lat moprc mopdl tcp udp sctp icmp icmp6 igmp igrp pim vrrp carp ", " "+proto+" ")
}

func (f field) code(c *arithCode, s *scope, slot int) {
	s.pos = f.pos
	base := s.data
	base.off += s.net
	switch f.proto {
	case "link":
		base = s.start
	case "icmp6":
		c.checks = append(c.checks, s.carries(etherIP6), equal(s.network(6, 1), 58))
		base.off += 40
	default:
		if _, ok := networkProtocol(f.proto); !ok {
			f.transport(c, s, slot)
			return
		}
		c.checks = append(c.checks, protocol(f.proto).lower(s))
	}
	if n, fixed := f.index.(num); fixed {
		s.within(base.off + uint32(n))
		c.add(base.load(uint32(n), f.size)...)
		return
	}
	f.index.code(c, s, slot)
	if base.varies {
		c.add(bpf.LoadScratch{Dst: bpf.RegX, N: base.slot}, bpf.ALUOpX{Op: bpf.ALUOpAdd})
	}
	c.add(bpf.TAX{}, bpf.LoadIndirect{Off: base.off, Size: f.size})
}

// within refuses offsets that are negative, where the kernel has other data.
func (s *scope) within(off uint32) {
	if off >= 1<<31 {
		s.fail("this offset lies before the packet")
	}
}

// transport loads from behind an IPv4 header of any length, in a first fragment.
func (f field) transport(c *arithCode, s *scope, slot int) {
	i, _ := protocol(f.proto).inner()
	i.family = "ip"
	c.checks = append(c.checks, i.lower(s), firstFragment(s))
	base := s.data.off + s.net
	if n, fixed := f.index.(num); fixed {
		s.within(base + uint32(n))
		c.add(s.transport4(uint32(n), f.size)...)
		return
	}
	f.index.code(c, s, slot)
	if s.data.varies {
		c.keep(s, slot)
		c.add(s.ipHeaderLength()...)
		c.add(bpf.LoadScratch{Dst: bpf.RegA, N: slot})
	} else {
		c.add(s.ipHeaderLength()...)
	}
	c.add(bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{}, bpf.LoadIndirect{Off: base, Size: f.size})
}

func (r relation) lower(s *scope) node {
	cond := map[string]bpf.JumpTest{"=": bpf.JumpEqual, "!=": bpf.JumpEqual, ">": bpf.JumpGreaterThan, "<=": bpf.JumpGreaterThan,
		">=": bpf.JumpGreaterOrEqual, "<": bpf.JumpGreaterOrEqual}[r.op]
	c := &arithCode{}
	t := test{cond: cond}
	r.left.code(c, s, 0)
	if n, ok := r.right.(num); ok {
		t.val = uint32(n)
	} else {
		t.x = true
		c.keep(s, 0)
		r.right.code(c, s, 1)
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
	return t.kind == number || t.is("-") || t.is("len") || t.is("length") || t.kind == word && p.peekAt(1).is("[")
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
	case "|":
		return 1
	case "&":
		return 2
	case "<<", ">>":
		return 3
	case "+", "-":
		return 4
	case "*", "/":
		return 5
	case "%", "^":
		return greedy
	}
	return 0
}

// The grammar of the original gives % and ^ no precedence. They take all that
// follows as their right operand, and the nearest operand as their left.
const greedy = 6

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
		right := level(op)
		if right == greedy {
			right = 0
		}
		left = p.fold(op, left, p.arithmetic(right))
	}
	return left
}

// fold computes what is constant.
func (p *parser) fold(op token, l, r arith) arith {
	a, lConst := l.(num)
	b, rConst := r.(num)
	switch {
	case rConst && b == 0 && (op.text == "/" || op.text == "%"):
		p.fail(op.pos, "division by zero")
	case rConst && b > 31 && (op.text == "<<" || op.text == ">>"):
		p.fail(op.pos, "a shift by more than 31 bits")
	case lConst && rConst:
		return compute(op.text, a, b)
	}
	return operation{op.text, l, r}
}

func compute(op string, a, b num) num {
	switch op {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "/":
		return a / b
	case "%":
		return a % b
	case "&":
		return a & b
	case "|":
		return a | b
	case "^":
		return a ^ b
	case "<<":
		return a << b
	}
	return a >> b
}

func (p *parser) factor() arith {
	t := p.next()
	switch {
	case t.kind == number:
		return num(t.num)
	case t.is("len"), t.is("length"):
		return wireLength{}
	case t.is("-"):
		return p.negative()
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

func (p *parser) negative() arith {
	p.enter()
	defer p.leave()
	of := p.arithmeticFrom(p.factor(), greedy-1)
	if n, ok := of.(num); ok {
		return -n
	}
	return negative{of}
}

func (p *parser) field(t token) arith {
	f := field{proto: canonical(t.text), size: 1, pos: t.pos}
	if !indexable(f.proto) {
		p.fail(t.pos, "there are no offsets into this protocol: use ether, ip, ip6, tcp, udp, icmp …")
		return num(0)
	}
	p.expect("[")
	f.index = p.arithmetic(0)
	if n, ok := f.index.(num); ok && n > 65535 && n < 1<<31 {
		p.fail(t.pos, "the offset is beyond the largest packet")
	}
	if p.accept(":") {
		n := p.next()
		if f.size = int(n.num); n.kind != number || f.size != 1 && f.size != 2 && f.size != 4 {
			p.fail(n.pos, "a size is 1, 2 or 4 bytes")
		}
	}
	p.expect("]")
	return f
}
