package filter

import "golang.org/x/net/bpf"

type (
	// optional is a number that may follow a keyword; without it, any will do.
	optional struct {
		val   uint32
		given bool
	}
	vlan   optional
	mpls   optional
	pppoed struct{}
	pppoes optional
	geneve optional
)

// isTag tests for a VLAN tag in the packet itself.
func (s *scope) isTag() node {
	return either{s.carries(0x8100), s.carries(0x88a8), s.carries(0x9100)}
}

func (v vlan) lower(s *scope) node {
	switch {
	case s.labels > 0:
		return s.fail("there is no vlan behind mpls")
	case s.header != ethernetHeader:
		return s.without("vlan needs an Ethernet header")
	}
	first := !s.tagged
	s.tagged = true
	if first && s.live && !s.inside {
		return v.liveLower(s)
	}
	n := all{s.isTag()}
	if v.given {
		n = append(n, masked(s.data.load(0, 2), v.val, 0xfff))
	}
	s.typ.off += 4
	s.data.off += 4
	return n
}

// liveLower is for packets whose outer tag the kernel may have taken out and
// put beside: then everything stays in its place, else it moves by four.
func (v vlan) liveLower(s *scope) node {
	slot := s.slot()
	shift := func(by uint32) node {
		return run{bpf.LoadConstant{Dst: bpf.RegA, Val: by}, bpf.StoreScratch{Src: bpf.RegA, N: slot}}
	}
	present := equal([]bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtVLANTagPresent}}, 1)
	beside, within := all{present, shift(0)}, all{not{present}, shift(4), s.isTag()}
	if v.given {
		beside = append(beside, masked([]bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtVLANTag}}, v.val, 0xfff))
		within = append(within, masked(s.data.load(0, 2), v.val, 0xfff))
	}
	s.typ.varies, s.typ.slot = true, slot
	s.data.varies, s.data.slot = true, slot
	return either{beside, within}
}

func (m mpls) lower(s *scope) node {
	var n all
	switch {
	case s.labels > 0: // the one before must not be the last
		n = all{masked(s.network(^uint32(1), 1), 0, 1)}
	case s.header == ethernetHeader:
		n = all{s.carries(etherMPLS)}
	case s.header == pppHeader:
		n = all{s.carries(pppMPLS)}
	default:
		return s.without("mpls needs an Ethernet header")
	}
	if m.given {
		n = append(n, masked(s.network(0, 4), m.val<<12, 0xfffff000))
	}
	s.net += 4
	s.osi += 4
	s.labels++
	return n
}

func (pppoed) lower(s *scope) node { return s.carries(etherPPPoD) }

func (p pppoes) lower(s *scope) node {
	n := all{s.carries(etherPPPoS)}
	if p.given {
		n = append(n, masked(s.network(0, 4), p.val, 0xffff))
	}
	s.header = pppHeader
	s.inside = false
	s.start = s.data
	s.start.off += s.net + 6
	s.typ, s.data = s.start, s.start
	s.data.off += 2
	s.net, s.osi = 0, 0
	return n
}

const genevePort = 6081

// The Geneve header follows UDP's eight bytes. Three slots come to hold where
// the ethertype, the inner Ethernet header and the inner packet begin.
func (g geneve) lower(s *scope) node {
	udp := ports{proto: "udp", dir: "dst", lo: genevePort, hi: genevePort}
	typ, start, data := s.slot(), s.slot(), s.slot()
	at := func(load func(uint32, int) []bpf.Instruction, length []bpf.Instruction) all {
		n := all{masked(load(8, 1), 0, 0xc0)} // version 0
		if g.given {
			n = append(n, masked(load(12, 4), g.val<<8, 0xffffff00))
		}
		begin := s.data.off + s.net + 8
		return append(n, run(append(length, bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: begin}, bpf.StoreScratch{Src: bpf.RegA, N: typ})))
	}
	length6 := []bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegA, Val: 40}}
	if s.data.varies {
		length6 = append([]bpf.Instruction{bpf.LoadScratch{Dst: bpf.RegX, N: s.data.slot}}, length6[0], bpf.ALUOpX{Op: bpf.ALUOpAdd})
	}
	v4 := append(all{udp.lower4(s)}, at(s.transport4, append(s.ipHeaderLength(), bpf.TXA{}))...)
	v6 := append(all{udp.lower6(s)}, at(s.transport6, length6)...)
	n := all{either{v4, v6}, geneveOffsets(typ, start, data)}

	s.header, s.inside = ethernetHeader, true
	s.typ = place{varies: true, slot: typ}
	s.start = place{varies: true, slot: start}
	s.data = place{varies: true, slot: data}
	s.net = 0
	return n
}

func geneveOffsets(typ, start, data int) node {
	header := run{
		bpf.LoadScratch{Dst: bpf.RegX, N: typ},
		bpf.LoadIndirect{Off: 0, Size: 1}, and(0x3f), bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 8}, bpf.ALUOpX{Op: bpf.ALUOpAdd},
		bpf.StoreScratch{Src: bpf.RegA, N: start},
	}
	move := func(to, from int, by uint32) run {
		return run{
			bpf.LoadScratch{Dst: bpf.RegA, N: from}, bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: by},
			bpf.StoreScratch{Src: bpf.RegA, N: to},
		}
	}
	frame := equal([]bpf.Instruction{bpf.LoadScratch{Dst: bpf.RegX, N: typ}, bpf.LoadIndirect{Off: 2, Size: 2}}, etherTEB)
	return all{header, either{
		all{frame, move(typ, start, 12), move(data, start, 14)},
		all{move(typ, typ, 2), move(data, start, 0)},
	}}
}

// hasFrame holds unless a tunnel carries its packet without an Ethernet header.
func (s *scope) hasFrame() node {
	if !s.inside || !s.start.varies {
		return constant(true)
	}
	return not{test{cond: bpf.JumpEqual, x: true, code: []bpf.Instruction{
		bpf.LoadScratch{Dst: bpf.RegA, N: s.start.slot}, bpf.LoadScratch{Dst: bpf.RegX, N: s.data.slot},
	}}}
}
