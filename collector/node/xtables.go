package node

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// xtInfo reads the parameters of the iptables matches and targets by which
// Kubernetes and its networks make their rules. Of others only the size is
// told: node tools print them in full.
func xtInfo(e object, l3 uint64) {
	info, _ := e["info"].(dataBytes)
	delete(e, "info")
	name := textOf(e, "match") + textOf(e, "target")
	revision, _ := e["revision"].(uint64)
	if s := xtText(name, revision, l3, info); s != "" {
		e["info"] = s
	} else if len(info) > 0 {
		e["infoBytes"] = len(info)
	}
}

func xtText(name string, revision, l3 uint64, b []byte) string {
	u16, u32 := binary.NativeEndian.Uint16, binary.NativeEndian.Uint32
	switch {
	case name == "comment":
		return cText(b)
	case name == "tcp" && len(b) >= 12:
		s := xtPorts(u16(b), u16(b[2:]), u16(b[4:]), u16(b[6:]), b[11])
		if b[9] != 0 {
			s = append(s, fmt.Sprintf("flags %#x/%#x", b[10], b[9]))
		}
		return strings.Join(s, " ")
	case name == "udp" && len(b) >= 9:
		return strings.Join(xtPorts(u16(b), u16(b[2:]), u16(b[4:]), u16(b[6:]), b[8]), " ")
	case name == "multiport" && len(b) >= 32:
		return xtMultiport(b)
	case name == "mark" && revision == 1 && len(b) >= 9:
		return fmt.Sprintf("%s%#x/%#x", not(b[8] != 0), u32(b), u32(b[4:]))
	case name == "MARK" && revision == 2 && len(b) >= 8:
		return fmt.Sprintf("set %#x/%#x", u32(b), u32(b[4:])) // xor behind the mask, as iptables-save's --set-xmark
	case name == "statistic" && len(b) >= 16 && u16(b) == 0:
		return not(u16(b[2:])&1 != 0) + "random " + strconv.FormatFloat(float64(u32(b[4:]))/(1<<31), 'f', 11, 64)
	case name == "statistic" && len(b) >= 16:
		return fmt.Sprintf("%snth every %d packet %d", not(u16(b[2:])&1 != 0), uint64(u32(b[4:]))+1, u32(b[8:]))
	case (name == "DNAT" || name == "SNAT") && revision == 0 && len(b) >= 20 && l3 == 4:
		return xtRange(u32(b[4:]), b[8:12], b[12:16], b[16:20])
	case (name == "DNAT" || name == "SNAT") && revision > 0 && len(b) >= 40:
		size := 16
		if l3 == 4 {
			size = 4
		}
		return xtRange(u32(b), b[4:4+size], b[20:20+size], b[36:40])
	case (name == "MASQUERADE" || name == "REDIRECT") && l3 == 4 && len(b) >= 20:
		return xtRange(u32(b[4:]), nil, nil, b[16:20])
	case (name == "MASQUERADE" || name == "REDIRECT") && l3 == 6 && len(b) >= 40:
		return xtRange(u32(b), nil, nil, b[36:40])
	}
	return ""
}

func not(inverted bool) string {
	if inverted {
		return "! "
	}
	return ""
}

func xtPorts(s0, s1, d0, d1 uint16, inverted uint8) []string {
	var out []string
	for _, r := range []struct {
		name     string
		from, to uint16
		inverted bool
	}{{"sport", s0, s1, inverted&1 != 0}, {"dport", d0, d1, inverted&2 != 0}} {
		switch {
		case r.from == 0 && r.to == 65535 && !r.inverted:
		case r.from == r.to:
			out = append(out, fmt.Sprintf("%s%s %d", not(r.inverted), r.name, r.from))
		default:
			out = append(out, fmt.Sprintf("%s%s %d:%d", not(r.inverted), r.name, r.from, r.to))
		}
	}
	return out
}

func xtMultiport(b []byte) string {
	var list []string
	for i := range min(int(b[1]), 15) {
		port := strconv.Itoa(int(binary.NativeEndian.Uint16(b[2+2*i:])))
		if len(b) >= 48 && b[32+i] != 0 { // the first of a range
			port += ":"
		}
		list = append(list, port)
	}
	name := "ports"
	if b[0] < 2 {
		name = []string{"sports", "dports"}[b[0]]
	}
	return not(len(b) >= 48 && b[47] != 0) + name + " " + strings.ReplaceAll(strings.Join(list, ","), ":,", ":")
}

// xtRange writes a range of NAT as iptables-save does.
func xtRange(flags uint32, from, to, ports []byte) string {
	var s string
	if flags&1 != 0 && from != nil {
		a, _ := netip.AddrFromSlice(from)
		b, _ := netip.AddrFromSlice(to)
		if s = a.String(); a.Is6() && flags&2 != 0 {
			s = "[" + s + "]"
		}
		if a != b {
			s += "-" + b.String()
		}
	}
	if flags&2 != 0 {
		p, q := binary.BigEndian.Uint16(ports), binary.BigEndian.Uint16(ports[2:])
		s += ":" + strconv.Itoa(int(p))
		if p != q {
			s += "-" + strconv.Itoa(int(q))
		}
	}
	for bit, name := range map[uint32]string{4: "random", 16: "random-fully"} {
		if flags&bit != 0 {
			s += " " + name
		}
	}
	for bit, name := range map[uint32]string{8: "persistent"} {
		if flags&bit != 0 {
			s += " " + name
		}
	}
	return strings.TrimSpace(s)
}
