// Package filter compiles the tcpdump filter language to classic BPF, in pure
// Go, so that a node agent needs neither libpcap nor a C toolchain.
//
// It does the common part of the language, and that part exactly: a program
// from here accepts the packets that `tcpdump -ddd` accepts for the same
// expression. Whatever lies outside is refused with its position; an
// expression never becomes a quietly different program.
//
// # Language
//
//	ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp pim ah esp
//	[ip|ip6|arp|rarp] [src|dst|src or dst|src and dst] [host] ADDR
//	[ip|ip6|arp|rarp] [src|dst|…] net ADDR/BITS | net A.B.C | net ADDR mask MASK
//	[tcp|udp|sctp]    [src|dst|…] port N | portrange N-M
//	[ip|ip6] proto N | proto \NAME        a keyword needs the backslash
//	less N   greater N                    length of the packet on the wire
//	PROTO[OFFSET:SIZE] & MASK != VALUE    + - * / & | << >>, len, tcpflags, tcp-syn, icmptype …
//	and && or || not ! ( )
//
// Not binds tightest; and and or are equals that bind to the left. An address
// or number without a keyword takes those of the one before it: port 53 or 80.
// Addresses and ports are numbers; names are not looked up.
package filter

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// Limits of an expression and of its program.
const (
	MaxExpression   = 8 << 10 // bytes
	MaxInstructions = 4096    // of a program; the kernel's own limit
	MaxSnaplen      = 262144  // bytes kept of a packet; also the meaning of 0
	maxDepth        = 64      // of parentheses, negations and arithmetic
)

// Link is the header that packets start with.
type Link int

// The links.
const (
	Ethernet Link = iota // DLT_EN10MB; loopback too
	RawIP                // DLT_RAW: IPv4 or IPv6 without a link header
)

// Error says where an expression goes wrong.
type Error struct {
	Expr string
	Pos  int // byte offset in Expr
	Msg  string
}

func (e *Error) Error() string {
	at := "at the end"
	if e.Pos < len(e.Expr) {
		rest := e.Expr[e.Pos:]
		if len(rest) > 24 {
			rest = rest[:24] + "…"
		}
		at = fmt.Sprintf("at column %d (%q)", e.Pos+1, rest)
	}
	return fmt.Sprintf("filter %s: %s", at, e.Msg)
}

// Compile makes the program for packets of one link. It returns snaplen for a
// packet that the expression accepts, 0 for others; an empty expression
// accepts everything.
func Compile(expr string, link Link, snaplen int) ([]bpf.RawInstruction, error) {
	ins, err := compile(expr, link, snaplen)
	if err != nil {
		return nil, err
	}
	return bpf.Assemble(ins)
}

// CompileAny makes the program for a packet socket that is bound to no
// interface and so sees several links: it looks at the hardware type of each
// packet's interface and goes on with the program of that link. Interfaces of
// other kinds than [LinkOf] knows are not accepted, and of the two copies of
// a loopback packet only the received one.
func CompileAny(expr string, snaplen int) ([]bpf.RawInstruction, error) {
	eth, err := compile(expr, Ethernet, snaplen)
	if err != nil {
		return nil, err
	}
	raw, err := compile(expr, RawIP, snaplen)
	if err != nil {
		return nil, err
	}
	ins := append(dispatch(len(eth)), eth...)
	if ins = append(ins, raw...); len(ins) > MaxInstructions {
		return nil, &Error{expr, 0, tooLong}
	}
	return bpf.Assemble(ins)
}

func compile(expr string, link Link, snaplen int) ([]bpf.Instruction, error) {
	if snaplen <= 0 || snaplen > MaxSnaplen {
		snaplen = MaxSnaplen
	}
	tree, err := parse(expr)
	if err != nil {
		return nil, err
	}
	ins := assemble(tree.lower(linkOf(link)), uint32(snaplen))
	if len(ins) > MaxInstructions {
		return nil, &Error{expr, 0, tooLong}
	}
	return ins, nil
}

const tooLong = "the filter needs more instructions than the kernel takes (4096); shorten it"
