package filter

import "strings"

// pred is a parsed condition, still without a link.
type pred interface {
	lower(l link) node
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
	expr  string
	toks  []token
	at    int
	depth int
	err   error // the first failure
}

func parse(expr string) (pred, error) {
	toks, err := lex(expr)
	if err != nil {
		return nil, err
	}
	p := &parser{expr: expr, toks: toks}
	if p.peek().kind == end {
		return always{}, nil
	}
	o := p.expression()
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
func (p *parser) expression() operand {
	p.enter()
	defer p.leave()
	left := p.term()
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

func (p *parser) term() operand {
	p.enter()
	defer p.leave()
	t := p.peek()
	switch {
	case p.accept("not"):
		o := p.term()
		return operand{pred: negation{p.condition(o)}, qual: o.qual, pos: t.pos}
	case p.accept("("):
		o := p.expression()
		p.expect(")")
		if o.arith == nil {
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
		return p.term()
	}
	if q == nil {
		p.fail(t.pos, "put host, net, port … before this; there is none to take over")
		return operand{pred: always{}}
	}
	return operand{pred: p.id(*q), qual: q, pos: t.pos}
}

// startsID looks ahead: is this an id, or ids in parentheses?
func (p *parser) startsID() bool {
	n := 0
	for p.peekAt(n).is("(") || n > 0 && p.peekAt(n).is("not") {
		n++
	}
	switch t := p.peekAt(n); t.kind {
	case dotted, ip6addr, quoted:
		return true
	case number:
		after := p.peekAt(n + 1)
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

// primitive: a protocol's name, a head with its id, or less and greater.
func (p *parser) primitive() operand {
	t := p.peek()
	if t.is("less") || t.is("greater") {
		p.next()
		n := p.next()
		if n.kind != number {
			p.fail(n.pos, "expected a number of bytes here")
		}
		cmp := relation{op: "<=", left: wireLength{}, right: num(n.num)}
		if t.text == "greater" {
			cmp.op = ">="
		}
		return operand{pred: cmp, pos: t.pos}
	}
	q, some := p.head()
	if p.err == nil && !some {
		p.fail(t.pos, notATerm(t))
	}
	if p.err != nil {
		return operand{pred: always{}}
	}
	if q.dir == "" && q.typ == "" {
		return operand{pred: protocol(q.proto), pos: t.pos}
	}
	return operand{pred: p.id(q), qual: &q, pos: t.pos}
}

func notATerm(t token) string {
	switch {
	case t.kind == end:
		return "something is missing here"
	case t.kind == word && reserved(t.text):
		return "\"" + t.text + "\" is not supported, or not at this place"
	case t.kind == dotted || t.kind == ip6addr:
		return "put host, src, dst or net before an address"
	case t.kind == word:
		return "not a word of the filter language that is known here"
	}
	return "a condition must start here"
}

// head: [protocol] [direction] [type].
func (p *parser) head() (q qual, some bool) {
	if t := p.peek(); t.kind == word && isProtocol(t.text) {
		q.proto = p.next().text
	}
	q.dir = p.direction()
	for _, typ := range []string{"host", "net", "port", "portrange", "proto"} {
		if p.accept(typ) {
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

func isProtocol(s string) bool {
	return strings.Contains(" ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp pim ah esp ", " "+s+" ")
}

// reserved are the words that can be no name; those that are not handled are
// refused by name.
func reserved(s string) bool {
	return isProtocol(s) || strings.Contains(" host net port portrange proto src dst and or not len less greater mask ether fddi tr wlan link ppp slip "+
		"protochain gateway broadcast multicast vlan mpls pppoed pppoes geneve inbound outbound ifname on rnr rulenum rset action atalk aarp decnet "+
		"lat moprc mopdl iso esis clnp isis stp ipx netbeui igrp vrrp carp radio lane llc type subtype byte oam sc bcc ", " "+s+" ")
}
