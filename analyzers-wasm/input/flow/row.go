package flow

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/casefile-io/casefile/sdk/abi"
)

func (a addr) text(v6 bool) string {
	if !v6 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(a.lo))
		return netip.AddrFrom4(b).String()
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b).String()
}

func protoName(p uint8) string {
	switch p {
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	case protoICMP:
		return "icmp"
	case protoICMPv6:
		return "icmpv6"
	case protoSCTP:
		return "sctp"
	case protoIPIP, protoIPv6:
		return "ipip"
	case protoGRE:
		return "gre"
	}
	return "ip-" + strconv.Itoa(int(p))
}

func (k *key) proto() uint8 { return uint8(k.tail) }
func (k *key) v6() bool     { return k.tail&(1<<9) != 0 }

// address gives A's (0) or B's (1) address and port.
func (f *flow) address(which int) (string, int) {
	if (which == 0) == f.aLow {
		return f.key.lo.text(f.key.v6()), int(f.key.tail >> 48)
	}
	return f.key.hi.text(f.key.v6()), int(f.key.tail >> 32 & 0xffff)
}

func seconds(nanos int64) float64 { return float64(nanos) / 1e9 }

// epoch gives a time in seconds; more than microseconds do not fit.
func epoch(nanos int64) float64 { return float64(nanos/1000) / 1e6 }

// row gives the flow as modules see it.
func (f *flow) row() Row {
	r := Row{Packet: int(f.packet)}
	r.Node, r.Netns, r.Capture, r.Path, r.Device = f.place.file.Node, f.place.file.Netns, f.place.file.Name, f.place.file.Path, f.place.device
	r.Proto, r.First, r.Last = protoName(f.key.proto()), epoch(f.first), epoch(f.last)
	r.Tunnel = [...]string{"", "vxlan", "geneve", "ipip", "gre"}[f.tunnel]
	r.A, r.B = f.end(0), f.end(1)
	if f.key.proto() == protoTCP {
		r.State, r.HandshakeRTT = f.state(), seconds(f.rtt)
	}
	if f.reset != 0 {
		r.ResetBy, r.ResetPacket = string("ab"[f.reset-1]), int(f.resets)
	}
	if f.extra != nil {
		r.SNI, r.Alert, r.ICMP = f.extra.sni, f.extra.alert, f.extra.icmp
	}
	return r
}

func (f *flow) end(which int) abi.End {
	e := &f.ends[which]
	ip, port := f.address(which)
	var retransmitted []int
	for _, p := range e.retransmitted[:min(int(e.retrans), len(e.retransmitted))] {
		retransmitted = append(retransmitted, int(p))
	}
	return abi.End{IP: ip, Port: port, Packets: e.packets, Bytes: e.bytes, Segments: e.segments, SYN: int64(e.syns),
		Retransmissions: int64(e.retrans), FastRetrans: int64(e.fast), SpuriousRetrans: int64(e.spurious), TimeoutRetrans: int64(e.again),
		DuplicateACKs: int64(e.dupACK), OutOfOrder: int64(e.outOfOrder), LostSegments: int64(e.lost), ZeroWindow: int64(e.zeroWindow),
		WindowFull: int64(e.full), KeepAlive: int64(e.keepAlive), Retransmitted: retransmitted}
}

func (f *flow) state() string {
	a, b := &f.ends[0], &f.ends[1]
	switch {
	case a.fin && b.fin:
		return "closed"
	case f.reset != 0:
		return "reset"
	case a.packets+b.packets == 0:
		return ""
	case a.fin || b.fin:
		return "closing"
	case f.acked:
		return "established"
	case b.syns > 0:
		return "syn-received"
	}
	return "syn-sent"
}
