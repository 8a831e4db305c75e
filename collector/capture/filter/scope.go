package filter

import "golang.org/x/net/bpf"

// header is the kind of the link header that tests look at: that of the
// packet, or one inside of it once a keyword has moved on to there.
type header int

const (
	ethernetHeader header = iota
	noHeader              // the packet begins with IP
	pppHeader
)

// place is an offset in the packet: fixed, or on top of what a scratch slot
// holds when it depends on the packet.
type place struct {
	off    uint32
	varies bool
	slot   int
}

func (p place) load(off uint32, size int) []bpf.Instruction {
	if p.varies {
		return []bpf.Instruction{bpf.LoadScratch{Dst: bpf.RegX, N: p.slot}, bpf.LoadIndirect{Off: p.off + off, Size: size}}
	}
	return load(p.off+off, size)
}

// scope says where in the packet the tests that come next look. Keywords such
// as vlan and mpls change it for all of the expression to their right, in the
// order of the text and whatever the operators between: so the language wants
// it. Lowering therefore goes strictly from left to right.
type scope struct {
	header header
	start  place // of the link header
	typ    place // of its ethertype or PPP protocol
	data   place // of what it carries
	net    uint32
	osi    uint32 // the same for a network header behind 802.2 without SNAP
	labels int    // MPLS labels passed
	tagged bool   // a VLAN tag was passed
	inside bool   // in a Geneve tunnel, where an Ethernet header may be missing

	live    bool // packets come from a packet socket, with the kernel's metadata
	lenient bool // what needs an Ethernet header is false without one, not an error
	free    int  // scratch slots from here on are taken
	expr    string
	pos     int // of the primitive at work
	err     *Error
}

func newScope(expr string, l Link) *scope {
	s := &scope{expr: expr, free: scratchSlots}
	if l == RawIP {
		s.header = noHeader
		return s
	}
	s.typ, s.data, s.osi = place{off: 12}, place{off: 14}, 3
	return s
}

// fail notes the first error; what is lowered after it is not used.
func (s *scope) fail(msg string) node {
	if s.err == nil {
		s.err = &Error{s.expr, s.pos, msg}
	}
	return constant(false)
}

// without is for a primitive that needs an Ethernet header where there is none.
func (s *scope) without(msg string) node {
	if s.lenient && s.header == noHeader {
		return constant(false)
	}
	return s.fail(msg)
}

// slot takes a scratch slot for good.
func (s *scope) slot() int {
	if s.free--; s.free < 0 {
		s.fail("too many tunnels and tags for the scratch memory of a program")
		s.free = 0
	}
	return s.free
}

func (s *scope) network(off uint32, size int) []bpf.Instruction { return s.data.load(s.net+off, size) }

// ipHeaderLength puts the offset behind the IPv4 header, less the fixed part,
// into X.
func (s *scope) ipHeaderLength() []bpf.Instruction {
	if !s.data.varies {
		return []bpf.Instruction{bpf.LoadMemShift{Off: s.data.off + s.net}}
	}
	return append(s.network(0, 1), and(0xf), bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2}, bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{})
}

// transport4 loads from behind an IPv4 header, transport6 from behind an IPv6 one.
func (s *scope) transport4(off uint32, size int) []bpf.Instruction {
	return append(s.ipHeaderLength(), bpf.LoadIndirect{Off: s.data.off + s.net + off, Size: size})
}

func (s *scope) transport6(off uint32, size int) []bpf.Instruction { return s.network(40+off, size) }

// placed is a condition that knows where in the text it stands.
type placed struct {
	pred
	pos int
}

func (p placed) lower(s *scope) node {
	s.pos = p.pos
	return p.pred.lower(s)
}
