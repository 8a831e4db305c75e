package filter

import (
	"net/netip"
)

// pred is a parsed condition, still without a link.
type pred interface {
	lower(s *scope) node
}

// qual is what stands before an address or number, and is taken over by the
// next one that has nothing before it.
type qual struct {
	proto string // "" or a protocol's name
	dir   string // "" src dst or and
	typ   string // "" host net port portrange proto
}

// operand is what the grammar's terms are: a condition, or (inside
// parentheses) arithmetic that is still to be compared.
type operand struct {
	pred  pred
	arith arith
	qual  *qual
	pos   int
}

type parser struct {
	expr    string
	resolve func(string) ([]netip.Addr, error)
	toks    []token
	at      int
	depth   int
	names   int   // addresses that names stood for so far
	err     error // the first failure
}

func parse(expr string, resolve func(string) ([]netip.Addr, error)) (pred, error) {
	toks, err := lex(expr)
	if err != nil {
		return nil, err
	}
	p := &parser{expr: expr, toks: toks, resolve: resolve}
	if p.peek().kind == end {
		return always{}, nil
	}
	o := p.expression(nil)
	if p.err == nil && p.peek().kind != end {
		p.fail(p.peek().pos, "expected \"and\", \"or\" or the end here")
	}
	got := p.condition(o)
	if p.err != nil {
		return nil, p.err
	}
	return got, nil
}

func (p *parser) peek() token { return p.toks[p.at] }

func (p *parser) peekAt(n int) token { return p.toks[min(p.at+n, len(p.toks)-1)] }

// next takes a token; after a failure all that is left is the end, so that
// every loop stops.
func (p *parser) next() token {
	t := p.toks[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

func (p *parser) accept(text string) bool {
	if p.peek().is(text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) fail(pos int, msg string) {
	if p.err == nil {
		p.err = &Error{p.expr, pos, msg}
	}
	p.at = len(p.toks) - 1
}

// enter guards the recursion; leave must follow.
func (p *parser) enter() {
	if p.depth++; p.depth > maxDepth {
		p.fail(p.peek().pos, "nested too deeply")
	}
}

func (p *parser) leave() { p.depth-- }

func (p *parser) expect(text string) {
	if t := p.peek(); !p.accept(text) {
		p.fail(t.pos, "expected \""+text+"\" here")
	}
}

// condition insists on a condition.
func (p *parser) condition(o operand) pred {
	if o.pred == nil {
		p.fail(o.pos, "this is a number; compare it with something, or put host, port … before it")
		return always{}
	}
	return o.pred
}

// expression: terms joined by and and or, which are equals and bind left.
func (p *parser) expression(before *qual) operand {
	p.enter()
	defer p.leave()
	left := p.term(before)
	for p.err == nil {
		op := p.peek()
		if !op.is("and") && !op.is("or") {
			break
		}
		p.next()
		l := p.condition(left)
		right := p.termOrID(left.qual)
		left = operand{pred: join(op.text, l, p.condition(right)), qual: right.qual, pos: left.pos}
	}
	return left
}

// term is a condition that is complete. The qualifiers before it do not go in,
// but they outlive parentheses: port 53 or (icmp) or 80.
func (p *parser) term(before *qual) operand {
	p.enter()
	defer p.leave()
	t := p.peek()
	switch {
	case p.accept("not"):
		o := p.term(before)
		return operand{pred: negation{p.condition(o)}, qual: o.qual, pos: t.pos}
	case p.accept("("):
		o := p.expression(before)
		p.expect(")")
		if o.arith == nil {
			o.qual = before
			return o
		}
		return p.relation(p.arithmeticFrom(o.arith, 0), t.pos)
	case p.startsArithmetic():
		return p.relation(p.arithmetic(0), t.pos)
	}
	return p.primitive()
}

// termOrID is what may follow and or or: a term, or a bare id that takes the
// qualifiers q of the one before it.
func (p *parser) termOrID(q *qual) operand {
	p.enter()
	defer p.leave()
	t := p.peek()
	if t.is("not") {
		p.next()
		o := p.termOrID(q)
		return operand{pred: negation{p.condition(o)}, qual: o.qual, pos: t.pos}
	}
	if !p.startsID() {
		return p.term(q)
	}
	if q == nil {
		p.fail(t.pos, "put host, net, port … before this; there is none to take over")
		return operand{pred: always{}}
	}
	return operand{pred: p.id(*q), qual: q, pos: t.pos}
}

// startsID looks ahead: is this an id, or ids in parentheses?
func (p *parser) startsID() bool {
	n, open := 0, 0
	for ; p.peekAt(n).is("(") || n > 0 && p.peekAt(n).is("not"); n++ {
		if p.peekAt(n).is("(") {
			open++
		}
	}
	switch t := p.peekAt(n); t.kind {
	case dotted, ip6addr, mac, quoted:
		return true
	case number: // unless it is part of arithmetic
		for n++; open > 0 && p.peekAt(n).is(")"); n++ {
			open--
		}
		after := p.peekAt(n)
		return after.kind == end || after.is(")") || after.is("and") || after.is("or")
	case word:
		return !reserved(t.text)
	}
	return false
}

// id: what a head applies to; "not" and parentheses with and and or are allowed.
func (p *parser) id(q qual) pred {
	p.enter()
	defer p.leave()
	switch {
	case p.accept("not"):
		return negation{p.id(q)}
	case p.accept("("):
		left := p.id(q)
		for p.err == nil && (p.peek().is("and") || p.peek().is("or")) {
			op := p.next().text
			left = join(op, left, p.id(q))
		}
		p.expect(")")
		return left
	}
	return p.value(q)
}

// head: [protocol] [direction] [type].
func (p *parser) head() (q qual, some bool) {
	if t := p.peek(); t.kind == word && isProtocol(t.text) {
		q.proto = canonical(p.next().text)
	}
	q.dir = p.direction()
	for _, typ := range []string{"host", "net", "port", "portrange", "proto"} {
		at := p.peek()
		if p.accept(typ) {
			if typ == "proto" && q.dir != "" {
				p.fail(at.pos, "proto has no direction")
			}
			q.typ = typ
			break
		}
	}
	return q, q != qual{}
}

func (p *parser) direction() string {
	t := p.peek()
	if !t.is("src") && !t.is("dst") {
		return ""
	}
	p.next()
	other := "dst"
	if t.text == "dst" {
		other = "src"
	}
	if op := p.peek(); (op.is("or") || op.is("and")) && p.peekAt(1).is(other) {
		p.next()
		p.next()
		return op.text
	}
	return t.text
}
