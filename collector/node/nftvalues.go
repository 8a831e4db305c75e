package node

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// valueText writes what a register or the key of a set holds.
type valueText func(b []byte) string

func ip4Text(b []byte) string {
	if len(b) > 4 || len(b) == 0 {
		return words(b)
	}
	var a [4]byte
	copy(a[:], b)
	s := netip.AddrFrom4(a).String()
	if len(b) < 4 { // only the bytes of a prefix are compared
		s += "/" + strconv.Itoa(8*len(b))
	}
	return s
}

func ip6Text(b []byte) string {
	if len(b) > 16 || len(b) == 0 {
		return words(b)
	}
	var a [16]byte
	copy(a[:], b)
	s := netip.AddrFrom16(a).String()
	if len(b) < 16 {
		s += "/" + strconv.Itoa(8*len(b))
	}
	return s
}

func ifaceText(b []byte) string {
	s := cText(b)
	if len(b) < 16 && len(s) == len(b) { // eth* compares only so many bytes
		s += "*"
	}
	return s
}

func netText10(b []byte) string { n, _ := netNumber(b).(uint64); return plainNumber(n, b) }

func hostText10(b []byte) string { n, _ := hostNumber(b).(uint64); return plainNumber(n, b) }

func plainNumber(n uint64, b []byte) string {
	if n == 0 && !allZero(b) { // of a length that no number has
		return words(b)
	}
	return strconv.FormatUint(n, 10)
}

func markText(b []byte) string {
	if len(b) != 4 {
		return words(b)
	}
	return "0x" + strconv.FormatUint(uint64(binary.NativeEndian.Uint32(b)), 16)
}

func protoText(b []byte) string {
	names := map[byte]string{1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp", 132: "sctp", 136: "udplite"}
	if len(b) == 1 && names[b[0]] != "" {
		return names[b[0]]
	}
	return netText10(b)
}

func etherText(b []byte) string {
	names := map[uint16]string{0x0800: "ip", 0x0806: "arp", 0x86dd: "ip6", 0x8100: "vlan"}
	if len(b) == 2 && names[binary.BigEndian.Uint16(b)] != "" {
		return names[binary.BigEndian.Uint16(b)]
	}
	return netText10(b)
}

func bitText(names string) valueText {
	list := bitNames(names)
	return func(b []byte) string {
		n, _ := hostNumber(b).(uint64)
		if set := flagNames(int(n), list); set != nil {
			return strings.Join(set, ",")
		}
		return hostText10(b)
	}
}

func enumText(names string) valueText {
	list := strings.Fields(names)
	return func(b []byte) string {
		if n, _ := hostNumber(b).(uint64); n < uint64(len(list)) {
			return list[n]
		}
		return hostText10(b)
	}
}

func ctStateText() valueText { return bitText("invalid established related new - - untracked") }
func ctStatusText() valueText {
	return bitText("expected seen-reply assured confirmed snat dnat seq-adjust snat-done dnat-done dying fixed-timeout template untracked helper offload hw-offload")
}

func addrTypeText() valueText {
	return enumText("unspec unicast local broadcast anycast multicast blackhole unreachable prohibit throw nat xresolve")
}

// maskText writes a mask as a prefix length when it is one.
func maskText(b []byte, value valueText) string {
	ones, ended := 0, false
	for _, c := range b {
		n := bits.LeadingZeros8(^c)
		if ended && c != 0 || bits.OnesCount8(c) != n {
			return value(b)
		}
		ones += n
		ended = ended || n < 8
	}
	return "/" + strconv.Itoa(ones)
}

// datatype is a type that nft gives the keys of a set. The tool, not the
// kernel, numbers them.
type datatype struct {
	name string
	size int // bytes; 0 is all that are there
	text valueText
	host bool // in the machine's order, but for intervals
}

func datatypes() map[uint32]datatype {
	num := func(name string, size int) datatype { return datatype{name, size, hostText10, true} }
	net := func(name string, size int) datatype { return datatype{name, size, netText10, false} }
	host := func(name string, text valueText) datatype { return datatype{name, 4, text, true} }
	return map[uint32]datatype{
		1: {"verdict", 0, words, false}, 2: num("nf_proto", 1), 3: num("bitmask", 0), 4: {"integer", 0, words, false}, 5: {"string", 0, cText, false},
		6: {"ll_addr", 0, macText, false}, 7: {"ipv4_addr", 4, ip4Text, false}, 8: {"ipv6_addr", 16, ip6Text, false}, 9: {"ether_addr", 6, macText, false},
		10: {"ether_type", 2, etherText, false}, 11: net("arp_op", 2), 12: {"inet_proto", 1, protoText, false}, 13: net("inet_service", 2),
		14: num("icmp_type", 1), 15: num("tcp_flag", 1), 16: num("dccp_pkttype", 1), 17: num("mh_type", 1), 18: num("time", 8),
		19: host("mark", markText), 20: num("iface_index", 4), 21: num("iface_type", 2), 22: num("realm", 4), 23: num("classid", 4),
		24: num("uid", 4), 25: num("gid", 4), 26: host("ct_state", ctStateText()), 27: num("ct_dir", 1), 28: host("ct_status", ctStatusText()),
		29: num("icmpv6_type", 1), 30: {"ct_label", 16, hostText10, false}, 31: num("pkt_type", 1), 32: num("icmp_code", 1), 33: num("icmpv6_code", 1),
		34: num("icmpx_code", 1), 35: num("devgroup", 4), 36: num("dscp", 1), 37: num("ecn", 1), 38: host("fib_addrtype", addrTypeText()),
		39: num("boolean", 1), 40: num("ct_event", 4), 41: {"ifname", 16, ifaceText, false}, 42: num("igmp_type", 1), 43: num("time", 8),
		44: num("hour", 4), 45: num("day", 1), 46: num("cgroupsv2", 8),
	}
}

// keyType is the type of a set's keys: one datatype, or several behind each
// other, each in whole registers.
type keyType []datatype

// swapped writes numbers of the machine's order that stand in the network's.
func swapped(text valueText) valueText {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return text
	}
	return func(b []byte) string {
		b = slices.Clone(b)
		slices.Reverse(b)
		return text(b)
	}
}

// inNetOrder is the type as intervals have it.
func (k keyType) inNetOrder() keyType {
	for i := range k {
		if k[i].host {
			k[i].text = swapped(k[i].text)
		}
	}
	return k
}

// newKeyType reads nft's number for a type: 6 bits for each part.
func newKeyType(n uint32, types map[uint32]datatype) keyType {
	var k keyType
	for ; n != 0; n >>= 6 {
		t, ok := types[n&63]
		if !ok {
			t = datatype{name: "type-" + strconv.Itoa(int(n&63)), text: words}
		}
		k = append(keyType{t}, k...)
	}
	return k
}

func (k keyType) String() string {
	names := make([]string, len(k))
	for i, t := range k {
		names[i] = t.name
	}
	return strings.Join(names, " . ")
}

// text writes a key.
func (k keyType) text(b []byte) string {
	if len(k) == 0 {
		return words(b)
	}
	if len(k) == 1 {
		return k[0].text(b)
	}
	parts := make([]string, 0, len(k))
	for i, t := range k {
		size := t.size
		if size == 0 && i == len(k)-1 {
			size = len(b)
		}
		if size == 0 || size > len(b) {
			return strings.Join(append(parts, words(b)), " . ")
		}
		parts = append(parts, t.text(b[:size]))
		b = b[min(align4(size), len(b)):]
	}
	return strings.Join(parts, " . ")
}

// header is what the bytes of a packet's header are, by offset.
type header []struct {
	from, to int
	field    string
	text     valueText
}

func linkHeader() header {
	return header{{0, 6, "ether daddr", macText}, {6, 12, "ether saddr", macText}, {12, 14, "ether type", etherText}}
}

func ip4Header() header {
	return header{{9, 10, "ip protocol", protoText}, {12, 16, "ip saddr", ip4Text}, {16, 20, "ip daddr", ip4Text}}
}

func ip6Header() header {
	return header{{6, 7, "ip6 nexthdr", protoText}, {8, 24, "ip6 saddr", ip6Text}, {24, 40, "ip6 daddr", ip6Text}}
}

func arpHeader() header {
	return header{{6, 8, "arp operation", netText10}, {8, 14, "arp saddr ether", macText}, {14, 18, "arp saddr ip", ip4Text},
		{18, 24, "arp daddr ether", macText}, {24, 28, "arp daddr ip", ip4Text}}
}

func portHeader() header {
	return header{{0, 2, "th sport", netText10}, {2, 4, "th dport", netText10}}
}

// at gives the meaning of some bytes: of one field or of its beginning, or of
// several that nft compares at once.
func (h header) at(offset, size int) held {
	var fields []string
	var parts []datatype
	end := offset + size
	for _, f := range h {
		if offset >= end || f.to <= offset || f.from >= end {
			continue
		}
		if f.from > offset {
			parts = append(parts, datatype{size: f.from - offset, text: words})
			offset = f.from
		}
		if f.from < offset { // from the middle of a field
			return held{text: words}
		}
		n := min(f.to, end) - offset
		if whole := f.to - f.from; n < whole && whole != 4 && whole != 16 { // only addresses have prefixes
			break
		}
		fields, parts = append(fields, f.field), append(parts, datatype{size: n, text: f.text})
		offset += n
	}
	switch {
	case len(fields) == 0 && size <= 2:
		return held{text: netText10}
	case len(fields) == 0:
		return held{text: words}
	case offset < end:
		parts = append(parts, datatype{size: end - offset, text: words})
	}
	return held{strings.Join(fields, " . "), func(b []byte) string {
		var out []string
		for _, p := range parts {
			n := min(p.size, len(b))
			out = append(out, p.text(b[:n]))
			b = b[n:]
		}
		return strings.Join(out, " . ")
	}}
}
