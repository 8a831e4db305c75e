package filter

import "golang.org/x/net/bpf"

// Hardware types of interfaces (ARPHRD_…) as the kernel's packet sockets tell.
const (
	hatypeEthernet = 1
	hatypeLoopback = 772
)

// rawHatypes are the interfaces whose packets begin with the IP header:
// tun and WireGuard (none), raw IP modems, IP-in-IP, sit, GRE, in both families.
func rawHatypes() []uint16 { return []uint16{65534, 519, 768, 769, 776, 778, 823} }

// LinkOf says which link an interface's hardware type stands for; false for a
// kind whose packets cannot be read here (InfiniBand, 802.11 monitors, CAN …).
func LinkOf(hatype uint16) (Link, bool) {
	if hatype == hatypeEthernet || hatype == hatypeLoopback {
		return Ethernet, true
	}
	for _, h := range rawHatypes() {
		if h == hatype {
			return RawIP, true
		}
	}
	return 0, false
}

// packetOutgoing is the kernel's packet type of a copy of what is sent.
const packetOutgoing = 4

// dispatch is the head of a joined program; the Ethernet program of length eth
// follows, then the raw one.
func dispatch(eth int) []bpf.Instruction {
	raws := rawHatypes()
	head := []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtLinkLayerType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: hatypeEthernet, SkipTrue: uint8(len(raws) + 6)},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: hatypeLoopback, SkipTrue: uint8(len(raws) + 2)},
	}
	for i, h := range raws {
		head = append(head, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(h), SkipTrue: uint8(len(raws) - i)})
	}
	return append(head,
		bpf.RetConstant{},
		bpf.Jump{Skip: uint32(eth) + 3}, // to the raw program
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packetOutgoing, SkipFalse: 1},
		bpf.RetConstant{},
	)
}
