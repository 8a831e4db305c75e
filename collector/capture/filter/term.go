package filter

import (
	"strconv"
	"strings"

	"golang.org/x/net/bpf"
)

// primitive: a protocol's name, a head with its id, or one of the keywords
// that follow no pattern.
func (p *parser) primitive() operand {
	t := p.peek()
	if pr := p.keyword(t); pr != nil {
		return operand{pred: placed{pr, t.pos}, pos: t.pos}
	}
	q, some := p.head()
	after := p.peek()
	if reason, not := unsupported(after.text); not && after.kind == word {
		p.fail(after.pos, reason)
	}
	if p.err == nil && !some && !after.is("broadcast") && !after.is("multicast") {
		p.fail(t.pos, notATerm(t))
	}
	if p.err != nil {
		return operand{pred: always{}}
	}
	if q.dir == "" && q.typ == "" {
		return operand{pred: placed{p.alone(q.proto, t), t.pos}, pos: t.pos}
	}
	return operand{pred: p.id(q), qual: &q, pos: t.pos}
}

// alone is a protocol without an id behind it.
func (p *parser) alone(proto string, t token) pred {
	at := p.peek()
	switch {
	case p.accept("broadcast"):
		if proto == "" || proto == "link" || proto == "ip" {
			return broadcast(proto)
		}
		p.fail(at.pos, "only ether and ip may stand before broadcast")
	case p.accept("multicast"):
		if proto == "" || proto == "link" || proto == "ip" || proto == "ip6" {
			return multicast(proto)
		}
		p.fail(at.pos, "only ether, ip and ip6 may stand before multicast")
	case proto == "link":
		p.fail(at.pos, "expected host, src, dst, proto, broadcast, multicast or [OFFSET] after "+t.text)
	case proto == "radio":
		p.fail(t.pos, "\"radio\" is for 802.11 links, which are not supported")
	}
	return protocol(proto)
}

// keyword parses what begins with t; nil if it is nothing of its own.
func (p *parser) keyword(t token) pred {
	if t.kind != word {
		return nil
	}
	switch t.text {
	case "less", "greater":
		p.next()
		cmp := relation{op: "<=", left: wireLength{}, right: num(p.number("a number of bytes", ^uint32(0)))}
		if t.text == "greater" {
			cmp.op = ">="
		}
		return cmp
	case "byte":
		return p.byteTest()
	case "inbound":
		p.next()
		return negation{metadata{bpf.ExtType, packetOutgoing}}
	case "outbound":
		p.next()
		return metadata{bpf.ExtType, packetOutgoing}
	case "ifindex":
		p.next()
		return metadata{bpf.ExtInterfaceIndex, p.number("the index of an interface", ^uint32(0))}
	case "llc":
		return p.llc()
	case "pppoed":
		p.next()
		return pppoed{}
	case "vlan":
		p.next()
		return vlan(p.optional("a VLAN", 4095))
	case "mpls":
		p.next()
		return mpls(p.optional("a label", 1<<20-1))
	case "pppoes":
		p.next()
		return pppoes(p.optional("a session", 65535))
	case "geneve":
		p.next()
		return geneve(p.optional("a network identifier", 1<<24-1))
	}
	return nil
}

func (p *parser) number(what string, highest uint32) uint32 {
	n := p.next()
	if n.kind != number {
		p.fail(n.pos, "expected "+what+" here")
	} else if n.num > highest {
		p.fail(n.pos, what+" is at most "+strconv.FormatUint(uint64(highest), 10))
	}
	return n.num
}

// optional reads the number that may follow, in parentheses or not.
func (p *parser) optional(what string, highest uint32) optional {
	depth := 0
	for p.peekAt(depth).is("(") {
		depth++
	}
	if p.peekAt(depth).kind != number {
		return optional{}
	}
	p.at += depth
	n := p.number(what, highest)
	for range depth {
		p.expect(")")
	}
	return optional{n, true}
}

// byteTest: byte OFFSET = < > VALUE.
func (p *parser) byteTest() pred {
	p.next()
	f := field{proto: "link", size: 1, pos: p.peek().pos}
	f.index = num(p.number("an offset", 65535))
	op := p.next()
	switch {
	case op.is("&"), op.is("|"):
		p.fail(op.pos, "byte has =, < and > only; write ether[OFFSET] & VALUE != 0")
	case !op.is("=") && !op.is("<") && !op.is(">"):
		p.fail(op.pos, "expected =, < or > here")
	}
	return relation{op: op.text, left: f, right: num(p.number("a value", ^uint32(0)))}
}

func (p *parser) llc() pred {
	p.next()
	t := p.peek()
	if t.kind != word && t.kind != quoted || t.kind == word && reserved(t.text) && t.text != "rnr" {
		return llc{}
	}
	p.next()
	c, ok := llcType(strings.ToLower(t.text))
	if !ok {
		p.fail(t.pos, "not a type of LLC frame: i s u rr rnr rej ui ua disc dm sabme test xid frmr")
	}
	return c
}

func notATerm(t token) string {
	switch {
	case t.kind == end:
		return "something is missing here"
	case t.kind == word && reserved(t.text):
		return "\"" + t.text + "\" cannot stand at this place"
	case t.kind == dotted || t.kind == ip6addr:
		return "put host, src, dst or net before an address"
	case t.kind == mac:
		return "put ether host, ether src or ether dst before an Ethernet address"
	case t.kind == word:
		return "not a word of the filter language that is known here"
	}
	return "a condition must start here"
}
