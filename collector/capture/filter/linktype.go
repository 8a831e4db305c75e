package filter

// Ethertypes, and (below 1501) the 802.2 service access points.
const (
	etherIP    = 0x0800
	etherARP   = 0x0806
	etherRARP  = 0x8035
	etherIP6   = 0x86dd
	etherMPLS  = 0x8847
	etherTalk  = 0x809b
	etherAARP  = 0x80f3
	etherIPX   = 0x8137
	etherDN    = 0x6003
	etherTEB   = 0x6558 // Ethernet in a tunnel
	etherPPPoD = 0x8863
	etherPPPoS = 0x8864
	sapIP      = 0x06
	sapSTP     = 0x42
	sapIPX     = 0xe0
	sapNetBEUI = 0xf0
	sapISO     = 0xfe
	maxLength  = 1500 // of 802.3; an ethertype is more
	pppMPLS    = 0x0281
)

// carries tests for a network protocol, given as an ethertype or SAP.
func (s *scope) carries(proto uint32) node {
	if s.labels > 0 {
		return s.behindLabels(proto)
	}
	switch s.header {
	case noHeader:
		switch proto {
		case etherIP:
			return masked(s.start.load(0, 1), 0x40, 0xf0)
		case etherIP6:
			return masked(s.start.load(0, 1), 0x60, 0xf0)
		}
		return constant(false)
	case pppHeader:
		if ppp, ok := pppProtocol(proto); ok {
			proto = ppp
		}
		return equal(s.typ.load(0, 2), proto)
	}
	return s.ethernetCarries(proto)
}

// behindLabels: nothing in an MPLS packet says what follows the last label but
// the version of IP.
func (s *scope) behindLabels(proto uint32) node {
	version := uint32(0x40)
	switch proto {
	case etherIP:
	case etherIP6:
		version = 0x60
	default:
		return s.fail("behind mpls, only ip and ip6 can be told")
	}
	return all{masked(s.network(^uint32(1), 1), 1, 1), masked(s.network(0, 1), version, 0xf0)}
}

func pppProtocol(proto uint32) (uint32, bool) {
	ppp, ok := map[uint32]uint32{etherIP: 0x21, etherIP6: 0x57, etherDN: 0x27, etherTalk: 0x29, 0x600: 0x25, sapISO: 0x23, sapSTP: 0x31, sapIPX: 0x2b}[proto]
	return ppp, ok
}

func (s *scope) ethernetCarries(proto uint32) node {
	ethertype := equal(s.typ.load(0, 2), proto)
	both := proto<<8 | proto
	switch proto {
	case sapISO, sapIP, sapNetBEUI:
		return all{s.isLength(), equal(s.data.load(0, 2), both)}
	case sapIPX:
		return either{equal(s.typ.load(0, 2), etherIPX), all{s.isLength(), either{
			s.snap(0, etherIPX), equal(s.data.load(0, 1), sapIPX), equal(s.data.load(0, 2), 0xffff),
		}}}
	case etherTalk:
		return either{ethertype, all{s.isLength(), s.snap(0x080007, proto)}}
	case etherAARP:
		return either{ethertype, all{s.isLength(), s.snap(0, proto)}}
	}
	if proto <= maxLength {
		return all{s.isLength(), equal(s.data.load(0, 1), proto)}
	}
	return ethertype
}

// isLength tells 802.3 from Ethernet II.
func (s *scope) isLength() node { return not{greater(s.typ.load(0, 2), maxLength)} }

// snap tests the 802.2 and SNAP headers.
func (s *scope) snap(organization, ethertype uint32) node {
	return all{equal(s.data.load(4, 4), organization<<16|ethertype), equal(s.data.load(0, 4), 0xaaaa0300|organization>>16)}
}

type (
	// llc is a frame with an 802.2 header whose control byte has these bits.
	llc struct{ val, mask uint32 }
	// osi is an OSI protocol, by the first byte of its header.
	osi uint32
	// isis is IS-IS with one of these PDU types.
	isis []uint32
)

func (c llc) lower(s *scope) node {
	if s.header != ethernetHeader {
		return s.without("llc needs an Ethernet header")
	}
	n := all{s.isLength(), not{equal(s.data.load(0, 2), 0xffff)}}
	if c.mask != 0 {
		n = append(n, masked(s.data.load(2, 1), c.val, c.mask))
	}
	return n
}

// llcType finds the control byte that a name of the language stands for.
func llcType(name string) (llc, bool) {
	c, ok := map[string]llc{
		"i": {0, 1}, "s": {1, 3}, "u": {3, 3}, "rr": {1, 0xf}, "rnr": {5, 0xf}, "rej": {9, 0xf}, "ui": {3, 0xef}, "ua": {0x63, 0xef},
		"disc": {0x43, 0xef}, "dm": {0x0f, 0xef}, "sabme": {0x6f, 0xef}, "test": {0xe3, 0xef}, "xid": {0xaf, 0xef}, "frmr": {0x87, 0xef},
	}[name]
	return c, ok
}

func (o osi) lower(s *scope) node {
	return all{s.carries(sapISO), equal(s.data.load(s.osi, 1), uint32(o))}
}

func (i isis) lower(s *scope) node {
	var types either
	for _, t := range i {
		types = append(types, equal(s.data.load(s.osi+4, 1), t))
	}
	return all{osi(osiISIS).lower(s), types}
}
