package node

import (
	"encoding/binary"
	"strconv"
	"strings"
)

const (
	routeHeader  = 12 // struct rtmsg
	neighHeader  = 12 // struct ndmsg
	addrHeader   = 8  // struct ifaddrmsg
	nexthopFixed = 8  // struct rtnexthop
	routeCloned  = 0x200
	forever      = 1<<32 - 1
)

// routeDecoder reads answers to RTM_GETROUTE.
type routeDecoder struct {
	attrs schema
	names map[int]string // of the devices
}

func newRouteDecoder(names map[int]string) *routeDecoder {
	via := func(b []byte) any { // struct rtvia: a family, an address
		if len(b) < 6 {
			return nil
		}
		return addrValue(b[2:])
	}
	own := readers{
		"raw": rawValue, "via": via,
		"metrics": nested(attributes("- mtu:num window:num - - - - advmss:num - hoplimit:num initcwnd:num - - - - congestion:text", nil)),
		"encap":   named(hostNumber, "- mpls ip ila ip6 seg6 bpf seg6local rpl ioam6 xfrm"),
		"pref":    named(hostNumber, "- high - low"),
	}
	return &routeDecoder{names: names,
		attrs: attributes("dst:raw - - oif:num gw:addr metric:num src:addr metrics:metrics hops:raw - - - - - table:num - - via:via - pref:pref encap:encap - expires:num - - - - - - nexthop:num", own)}
}

// row reads the body of one RTM_NEWROUTE.
func (d *routeDecoder) row(b []byte) (row routeRow, ok bool) {
	if len(b) < routeHeader || binary.NativeEndian.Uint32(b[8:])&routeCloned != 0 {
		return routeRow{}, false
	}
	o := d.attrs.decode(b[routeHeader:])
	num := func(k string) int { n, _ := o[k].(uint64); return int(n) }
	m, _ := o["metrics"].(object)
	metric := func(k string) int { n, _ := m[k].(uint64); return int(n) }
	row = routeRow{Dst: routeDst(o["dst"], b[1]), GW: textOf(o, "gw"), Dev: d.names[num("oif")], Index: num("oif"), Table: num("table"), Proto: routeProto(b[5]), Scope: scopeName(b[6]), Type: routeType(int(b[7])),
		Src: textOf(o, "src"), Metric: num("metric"), MTU: metric("mtu"), Family: rtFamily(b[0]), Flags: routeFlags(binary.NativeEndian.Uint32(b[8:])), TOS: int(b[3]), Encap: textOf(o, "encap"), Pref: textOf(o, "pref"), Nexthop: num("nexthop"),
		AdvMSS: metric("advmss"), Window: metric("window"), InitCwnd: metric("initcwnd"), Hoplimit: metric("hoplimit"), Congestion: textOf(m, "congestion")}
	if row.Table == 0 {
		row.Table = int(b[4])
	}
	if row.GW == "" {
		row.GW = textOf(o, "via")
	}
	hops, _ := o["hops"].(dataBytes)
	row.Nexthops = d.hops(hops)
	return row, true
}

func (d *routeDecoder) hops(b []byte) (list []nexthopRow) {
	for len(b) >= nexthopFixed {
		n := int(binary.NativeEndian.Uint16(b))
		if n < nexthopFixed || n > len(b) {
			break
		}
		o := d.attrs.decode(b[nexthopFixed:n])
		index := int(int32(binary.NativeEndian.Uint32(b[4:])))
		hop := nexthopRow{GW: textOf(o, "gw"), Dev: d.names[index], Index: index, Weight: int(b[3]) + 1, Flags: routeFlags(uint32(b[2]))}
		if hop.GW == "" {
			hop.GW = textOf(o, "via")
		}
		list = append(list, hop)
		b = b[min(align4(n), len(b)):]
	}
	return list
}

func routeFlags(n uint32) []string {
	return flagNames(int(n&0x7f), bitNames("dead pervasive onlink offload linkdown unresolved trap"))
}

func routeDst(v any, bits byte) string {
	b, ok := v.(dataBytes)
	if !ok || len(b) != 4 && len(b) != 16 || bits == 0 && allZero(b) {
		return "default"
	}
	return macText(b) + "/" + strconv.Itoa(int(bits))
}

// routeProto names who made a route, as ip does.
func routeProto(p uint8) string {
	names := map[uint8]string{0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra", 12: "bird", 13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp",
		17: "mrouted", 18: "keepalived", 42: "babel", 186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 192: "eigrp"}
	if n, ok := names[p]; ok {
		return n
	}
	return strconv.Itoa(int(p))
}

// neighSchema is for answers to RTM_GETNEIGH, of ARP and of bridges.
func neighSchema() schema {
	return attributes("dst:lladdr mac:lladdr cache:raw probes:num vlan:num port:be vni:num tunnelIndex:num master:num - - - nexthop:num - ext:num",
		readers{"raw": rawValue, "lladdr": func(b []byte) any { return orNil(macText(b)) }})
}

// parseNeigh reads the body of one RTM_NEWNEIGH.
func parseNeigh(s schema, b []byte, names map[int]string) (row neighRow, ok bool) {
	if len(b) < neighHeader {
		return neighRow{}, false
	}
	o := s.decode(b[neighHeader:])
	num := func(k string) int { n, _ := o[k].(uint64); return int(n) }
	index := int(int32(binary.NativeEndian.Uint32(b[4:])))
	row = neighRow{IP: textOf(o, "dst"), MAC: textOf(o, "mac"), Dev: names[index], Index: index, State: neighState(int(binary.NativeEndian.Uint16(b[8:]))), Flags: neighFlags(int(b[10])),
		Family: rtFamily(b[0]), Vlan: num("vlan"), Master: num("master"), Probes: num("probes"), VNI: num("vni"), Port: num("port"), Nexthop: num("nexthop")}
	if c, ok := o["cache"].(dataBytes); ok && len(c) >= 12 { // struct nda_cacheinfo, in hundredths
		sec := func(at int) int { return int(binary.NativeEndian.Uint32(c[at:]) / 100) }
		row.ConfirmedSec, row.UsedSec, row.UpdatedSec = sec(0), sec(4), sec(8)
	}
	return row, true
}

// addrSchema is for answers to RTM_GETADDR.
func addrSchema() schema {
	return attributes("address:addr local:addr label:text broadcast:addr - cache:raw - flags:num", readers{"raw": rawValue})
}

// parseAddr reads the body of one RTM_NEWADDR.
func parseAddr(s schema, b []byte, names map[int]string) (row addrRow, ok bool) {
	if len(b) < addrHeader {
		return addrRow{}, false
	}
	o := s.decode(b[addrHeader:])
	index, bits := int(binary.NativeEndian.Uint32(b[4:])), "/"+strconv.Itoa(int(b[1]))
	flags, all := o["flags"].(uint64)
	if !all {
		flags = uint64(b[2])
	}
	row = addrRow{Index: index, Dev: names[index], Family: rtFamily(b[0]), Scope: scopeName(b[3]), Flags: addrFlags(int(flags)), Broadcast: textOf(o, "broadcast")}
	address, local := textOf(o, "address"), textOf(o, "local")
	switch {
	case local == "":
		row.Addr = address + bits
	case address == "" || address == local:
		row.Addr = local + bits
	default: // the far end of a point-to-point link
		row.Addr, row.Peer = local+"/"+strconv.Itoa(map[bool]int{true: 32, false: 128}[b[0] == familyINET]), address+bits
	}
	if label := textOf(o, "label"); label != row.Dev {
		row.Label = label
	}
	if c, ok := o["cache"].(dataBytes); ok && len(c) >= 8 {
		row.PreferredSec, row.ValidSec = lifetime(c), lifetime(c[4:])
	}
	return row, true
}

// lifetime is in seconds; for ever is left out.
func lifetime(b []byte) int {
	if n := binary.NativeEndian.Uint32(b); n != forever {
		return int(n)
	}
	return 0
}

func routeType(t int) string {
	names := []string{"unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw", "nat"}
	if t >= 0 && t < len(names) {
		return names[t]
	}
	return strconv.Itoa(t)
}

func addrFlags(v int) []string {
	return flagNames(v, strings.Fields("secondary nodad optimistic dadfailed home deprecated tentative permanent mngtmpaddr noprefixroute mcautojoin stable-privacy"))
}

func neighState(v int) []string {
	return flagNames(v, strings.Fields("INCOMPLETE REACHABLE STALE DELAY PROBE FAILED NOARP PERMANENT"))
}

func neighFlags(v int) []string {
	return flagNames(v, strings.Fields("use self master proxy extern_learn offload sticky router"))
}
