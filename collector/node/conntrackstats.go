package node

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

func familyName(a netip.Addr) string {
	if a.Is4() {
		return "inet"
	}
	return "inet6"
}

// ipProtoName names a protocol of IP as conntrack does, or gives its number.
func ipProtoName(n uint8) string {
	switch n {
	case 1:
		return "icmp"
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	case 33:
		return "dccp"
	case 47:
		return "gre"
	case 58:
		return "icmpv6"
	case 132:
		return "sctp"
	case 136:
		return "udplite"
	}
	return strconv.Itoa(int(n))
}

// ctStateName names the state of an entry as conntrack does.
func ctStateName(proto, state uint8) string {
	var names []string
	switch proto {
	case protoTCP:
		names = []string{"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"}
	case 132:
		names = []string{"NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT"}
	case 33:
		names = []string{"NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIME_WAIT"}
	default:
		return ""
	}
	if int(state) >= len(names) {
		return "STATE-" + strconv.Itoa(int(state))
	}
	return names[state]
}

// ctCounts adds up a whole table in bounded memory.
type ctCounts struct {
	entries                                   int
	proto                                     [256]int
	family                                    [2]int
	state                                     map[[2]uint8]int // protocol and state
	status                                    map[uint32]int
	zone                                      map[uint16]int
	source, dest, service, unreplied, snatted *frequent
}

// maxKinds bounds the different states, statuses and zones that are told apart.
const maxKinds = 4096

func newCTCounts() *ctCounts {
	return &ctCounts{state: map[[2]uint8]int{}, status: map[uint32]int{}, zone: map[uint16]int{},
		source: newFrequent(), dest: newFrequent(), service: newFrequent(), unreplied: newFrequent(), snatted: newFrequent()}
}

func countKind[K comparable](m map[K]int, k K) {
	if _, known := m[k]; known || len(m) < maxKinds {
		m[k]++
	}
}

func (c *ctCounts) add(e *ctEntry, zone uint16) {
	o := &e.orig
	c.entries++
	c.proto[o.proto]++
	if o.src.Is4() {
		c.family[0]++
	} else {
		c.family[1]++
	}
	countKind(c.state, [2]uint8{o.proto, e.state})
	countKind(c.status, e.status)
	countKind(c.zone, zone)
	c.source.add(flowKey{src: o.src})
	c.dest.add(flowKey{dst: o.dst})
	service := flowKey{proto: o.proto, dst: o.dst, dport: o.dport}
	c.service.add(service)
	if e.status&ctSeenReply == 0 {
		c.unreplied.add(service)
	}
	if r := &e.reply; e.status&ctSNAT != 0 && r.src.IsValid() {
		c.snatted.add(flowKey{proto: o.proto, src: r.dst, dst: r.src, dport: r.sport})
	}
}

const ctSNAT = 1 << 4 // IPS_SRC_NAT

// fill writes the numbers into a summary.
func (c *ctCounts) fill(s *ctSummary, p *ctParser) {
	s.Entries = c.entries
	s.ByProto, s.ByState, s.ByFlag, s.ByZone, s.ByFamily = map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for proto, n := range c.proto {
		if n > 0 {
			s.ByProto[ipProtoName(uint8(proto))] = n
		}
	}
	for k, n := range c.state {
		if name := ctStateName(k[0], k[1]); name != "" {
			s.ByState[ipProtoName(k[0])+" "+name] += n
		}
	}
	for status, n := range c.status {
		for name := range strings.FieldsSeq(p.flagNames(status)) {
			s.ByFlag[name] += n
		}
	}
	for zone, n := range c.zone {
		s.ByZone[strconv.Itoa(int(zone))] = n
	}
	for i, name := range [...]string{"inet", "inet6"} {
		if c.family[i] > 0 {
			s.ByFamily[name] = c.family[i]
		}
	}
	s.Sources, s.Dests, s.Services, s.Unreplied, s.SNAT = c.source.list(), c.dest.list(), c.service.list(), c.unreplied.list(), c.snatted.list()
}

// parseCTStats reads an answer to IPCTNL_MSG_CT_GET_STATS_CPU or, if global, to
// IPCTNL_MSG_CT_GET_STATS.
func parseCTStats(b []byte, global bool) (ctStatsRow, error) {
	if len(b) < nfgenLen {
		return ctStatsRow{}, fmt.Errorf("%w: nfgenmsg of %d bytes", errNetlink, len(b))
	}
	var r ctStatsRow
	if global {
		r.Entries = new(uint32)
		return r, eachAttr(b[nfgenLen:], func(typ uint16, v []byte) {
			switch typ {
			case 1: // CTA_STATS_GLOBAL_ENTRIES
				*r.Entries = be32(v)
			case 2:
				r.Max = be32(v)
			}
		})
	}
	cpu := binary.BigEndian.Uint16(b[2:])
	r.CPU = &cpu
	fields := [...]*uint32{1: &r.Searched, 2: &r.Found, 3: &r.New, 4: &r.Invalid, 5: &r.Ignore, 6: &r.Delete, 7: &r.DeleteList, 8: &r.Insert,
		9: &r.InsertFailed, 10: &r.Drop, 11: &r.EarlyDrop, 12: &r.Error, 13: &r.SearchRestart, 14: &r.ClashResolve, 15: &r.ChainTooLong}
	err := eachAttr(b[nfgenLen:], func(typ uint16, v []byte) {
		if int(typ) < len(fields) && fields[typ] != nil {
			*fields[typ] = be32(v)
		}
	})
	return r, err
}

// parseExpect reads an entry of the table of expectations.
func parseExpect(b []byte) (expectRow, error) {
	if len(b) < nfgenLen {
		return expectRow{}, fmt.Errorf("%w: nfgenmsg of %d bytes", errNetlink, len(b))
	}
	var r expectRow
	err := eachAttr(b[nfgenLen:], func(typ uint16, v []byte) {
		switch typ {
		case 1: // CTA_EXPECT_MASTER
			var t ctTuple
			t.parse(v)
			r.Master = &masterRow{Proto: ipProtoName(t.proto), Src: t.src, Sport: t.sport, Dst: t.dst, Dport: t.dport}
		case 2: // TUPLE
			var t ctTuple
			t.parse(v)
			r.Proto, r.Src, r.Sport, r.Dst, r.Dport = ipProtoName(t.proto), t.src, t.sport, t.dst, t.dport
		case 4:
			r.TimeoutSec = be32(v)
		case 6:
			r.Helper = unixName(v)
		case 7:
			r.Zone = be16(v)
		case 8:
			r.Flags = be32(v)
		}
	})
	return r, err
}
