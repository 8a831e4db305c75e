// Package filter compiles the filter language of tcpdump, pcap-filter(7) of
// libpcap 1.10, to classic BPF, in pure Go, so that a node agent needs neither
// libpcap nor a C toolchain.
//
// A program from here accepts the packets that `tcpdump -ddd` accepts for the
// same expression. What it cannot do so it refuses, with the place in the
// text; an expression never becomes a quietly different program.
//
// # Language
//
//	[ip|ip6|arp|rarp] [src|dst|src or dst|src and dst] [host] ADDR|NAME
//	[ip|ip6|arp|rarp] [src|dst|…] net ADDR/BITS | net A.B.C | net ADDR mask MASK
//	[tcp|udp|sctp]    [src|dst|…] port N|NAME | portrange N-M
//	ether [src|dst|…] [host] MAC          also decnet … host AREA.NODE
//	[ip|ip6|ether|iso|isis] proto N|\NAME  a keyword needs the backslash
//	[ether|ip] broadcast   [ether|ip|ip6] multicast
//	ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp igrp pim vrrp carp ah esp
//	atalk aarp decnet sca lat mopdl moprc ipx netbeui stp
//	iso clnp esis isis l1 l2 iih lsp snp csnp psnp
//	llc [i|s|u|rr|rnr|rej|ui|ua|disc|dm|sabme|test|xid|frmr]
//	vlan [ID]  mpls [LABEL]  pppoed  pppoes [SESSION]  geneve [VNI]
//	less N   greater N   byte OFFSET =|<|> N
//	inbound  outbound  ifindex N          live captures only
//	PROTO[OFFSET:SIZE] & MASK != VALUE    + - * / % & | ^ << >>, len, tcpflags, tcp-syn, icmptype …
//	and && or || not ! ( )
//
// Not binds tightest; and and or are equals that bind to the left. An address,
// number or name without a keyword takes those of the one before it: port 53
// or 80. In arithmetic * / bind before + -, then << >>, then &, then |, while
// % and ^ take all to their right as one operand; put parentheses around them.
//
// Vlan, mpls, pppoes and geneve move all that stands to their right in the
// text, whatever is between, into what they encapsulate: write "ip or vlan",
// not "vlan or ip". The names of ports are those of Debian's /etc/services.
// The names of hosts are for [Options] to resolve; they may have slashes.
// Without an interface there is no netmask, so ip broadcast is 0.0.0.0 and
// 255.255.255.255 alone, as in tcpdump.
//
// # Not supported
//
// Links other than Ethernet and raw IP, and the keywords for them: type,
// subtype, dir, addr1 …, ra, ta and radio (802.11); lane, llc on ATM, vpi, vci,
// oam … (ATM); fisu, sio … (SS7); ifname, rset … (pflog). Gateway and other
// names of Ethernet hosts and of networks, which need files of the machine.
// Protochain, a loop, which the kernel takes in no program. Offsets before the
// packet, where the kernel keeps other data, or beyond 65535; numbers that are
// too large for their field; byte with & or |, which tcpdump gets wrong.
//
// # Other than tcpdump
//
// Divisors that begin with a zero, such as len / ip[0], are refused by tcpdump
// for no reason and are taken here. Inbound, outbound and ifindex mean the
// same everywhere; right of pppoes and geneve, tcpdump reads other metadata for
// them. What arithmetic keeps in scratch memory never moves offsets; in tcpdump
// it may, right of geneve, and of vlan in a live capture. Where its optimizer
// changes a verdict, which tells on packets that end early, we do what its
// program without the optimizer does.
package filter

import (
	"fmt"
	"net/netip"

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

// Options change what an expression can mean.
type Options struct {
	// Resolve gives the addresses of a host's name, such as pod/shop/web-0 or
	// service/shop/web; a packet matches if one of them does. Without it,
	// names are refused. The text of its error is shown as it is.
	Resolve func(name string) ([]netip.Addr, error)
}

// Compile makes the program for packets of one link as they are in a file. It
// returns snaplen for a packet that the expression accepts, 0 for others; an
// empty expression accepts everything.
func Compile(expr string, link Link, snaplen int) ([]bpf.RawInstruction, error) {
	return Options{}.Compile(expr, link, snaplen)
}

// CompileLive makes the program for a packet socket on an interface of a link:
// the kernel has moved the outer VLAN tag out of the packet, and knows its
// direction and interface.
func CompileLive(expr string, link Link, snaplen int) ([]bpf.RawInstruction, error) {
	return Options{}.CompileLive(expr, link, snaplen)
}

// CompileAny makes the program for a packet socket that is bound to no
// interface and so sees several links: it looks at the hardware type of each
// packet's interface and goes on with the program of that link, live.
// Interfaces of other kinds than [LinkOf] knows are not accepted, and of the
// two copies of a loopback packet only the received one. On interfaces without
// Ethernet headers, what asks for one (ether host, broadcast, vlan, mpls, llc)
// is false.
func CompileAny(expr string, snaplen int) ([]bpf.RawInstruction, error) {
	return Options{}.CompileAny(expr, snaplen)
}

// Compile is like the function of that name.
func (o Options) Compile(expr string, link Link, snaplen int) ([]bpf.RawInstruction, error) {
	return o.single(expr, link, snaplen, false)
}

// CompileLive is like the function of that name.
func (o Options) CompileLive(expr string, link Link, snaplen int) ([]bpf.RawInstruction, error) {
	return o.single(expr, link, snaplen, true)
}

func (o Options) single(expr string, link Link, snaplen int, live bool) ([]bpf.RawInstruction, error) {
	tree, err := parse(expr, o.Resolve)
	if err != nil {
		return nil, err
	}
	s := newScope(expr, link)
	s.live = live
	ins, err := s.compile(tree, snaplen)
	if err != nil {
		return nil, err
	}
	return bpf.Assemble(ins)
}

// CompileAny is like the function of that name.
func (o Options) CompileAny(expr string, snaplen int) ([]bpf.RawInstruction, error) {
	tree, err := parse(expr, o.Resolve)
	if err != nil {
		return nil, err
	}
	s := newScope(expr, Ethernet)
	s.live = true
	eth, err := s.compile(tree, snaplen)
	if err != nil {
		return nil, err
	}
	s = newScope(expr, RawIP)
	s.live, s.lenient = true, true
	raw, err := s.compile(tree, snaplen)
	if err != nil {
		return nil, err
	}
	ins := append(dispatch(len(eth)), eth...)
	if ins = append(ins, raw...); len(ins) > MaxInstructions {
		return nil, &Error{expr, 0, tooLong}
	}
	return bpf.Assemble(ins)
}

func (s *scope) compile(tree pred, snaplen int) ([]bpf.Instruction, error) {
	if snaplen <= 0 || snaplen > MaxSnaplen {
		snaplen = MaxSnaplen
	}
	n := tree.lower(s)
	if s.err != nil {
		return nil, s.err
	}
	ins := assemble(n, uint32(snaplen))
	if len(ins) > MaxInstructions {
		return nil, &Error{s.expr, 0, tooLong}
	}
	return ins, nil
}

const tooLong = "the filter needs more instructions than the kernel takes (4096); shorten it"
