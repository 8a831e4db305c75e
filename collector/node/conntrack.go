package node

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"strings"
)

// Layouts of include/uapi/linux/netfilter/nfnetlink_conntrack.h. All numbers
// are big endian.
const (
	nfgenLen = 4 // struct nfgenmsg

	ctTupleOrig     = 1
	ctTupleReply    = 2
	ctStatus        = 3
	ctProtoInfo     = 4
	ctHelp          = 5
	ctTimeout       = 7
	ctMark          = 8
	ctCountersOrig  = 9
	ctCountersReply = 10
	ctUse           = 11
	ctZone          = 18
	ctTimestamp     = 20
	ctLabels        = 22

	ctSeenReply = 1 << 1 // IPS_SEEN_REPLY
)

// ctTuple is one direction of a connection.
type ctTuple struct {
	src, dst     netip.Addr
	sport, dport uint16
	proto        uint8
	icmpType     uint8
	icmpCode     uint8
	icmpID       uint16
	zone         uint16
	zoned        bool
}

// ctEntry is an entry of the table, as far as it matters to its numbers.
type ctEntry struct {
	orig, reply ctTuple
	status      uint32
	state       uint8
}

// ctParser reads entries. Its row, its flags and its names are used
// again and again: a node has 200,000 entries.
type ctParser struct {
	entry ctEntry
	row   ctRow
	flags map[uint32]string
	names map[string]string
}

func newCTParser() *ctParser {
	return &ctParser{flags: map[uint32]string{}, names: map[string]string{}}
}

// parse reads a message; the entry and the row are good until the next call.
func (p *ctParser) parse(b []byte) error {
	if len(b) < nfgenLen {
		return fmt.Errorf("%w: nfgenmsg of %d bytes", errNetlink, len(b))
	}
	p.entry, p.row = ctEntry{}, ctRow{}
	if err := eachAttr(b[nfgenLen:], p.attribute); err != nil {
		return err
	}
	e, r := &p.entry, &p.row
	o := &e.orig
	if !o.src.IsValid() || !o.dst.IsValid() {
		return fmt.Errorf("%w: conntrack entry without its addresses", errNetlink)
	}
	r.Family, r.Proto = familyName(o.src), ipProtoName(o.proto)
	r.State = ctStateName(o.proto, e.state)
	r.Src, r.Sport, r.Dst, r.Dport = o.src, o.sport, o.dst, o.dport
	r.ICMPType, r.ICMPCode, r.ICMPID = o.icmpType, o.icmpCode, o.icmpID
	if y := &e.reply; y.src.IsValid() && (y.src != o.dst || y.dst != o.src || y.sport != o.dport || y.dport != o.sport) {
		r.ReplySrc, r.ReplySport, r.ReplyDst, r.ReplyDport = y.src, y.sport, y.dst, y.dport
	}
	switch {
	case o.zoned:
		r.Zone, r.ZoneDir = o.zone, "orig"
	case e.reply.zoned:
		r.Zone, r.ZoneDir = e.reply.zone, "reply"
	}
	r.Flags = p.flagNames(e.status)
	return nil
}

func (p *ctParser) attribute(typ uint16, v []byte) {
	e, r := &p.entry, &p.row
	switch typ {
	case ctTupleOrig:
		e.orig.parse(v)
	case ctTupleReply:
		e.reply.parse(v)
	case ctStatus:
		e.status = be32(v)
	case ctProtoInfo:
		_ = eachAttr(v, func(_ uint16, v []byte) { p.protoInfo(v) }) // what is damaged in there is left out
	case ctHelp:
		_ = eachAttr(v, func(typ uint16, v []byte) {
			if typ == 1 { // CTA_HELP_NAME
				r.Helper = p.name(v)
			}
		})
	case ctTimeout:
		r.TimeoutSec = be32(v)
	case ctMark:
		r.Mark = be32(v)
	case ctCountersOrig:
		r.Packets, r.Bytes = be64Pair(v)
	case ctCountersReply:
		r.ReplyPackets, r.ReplyBytes = be64Pair(v)
	case ctUse:
		if r.Use = be32(v); r.Use == 1 {
			r.Use = 0
		}
	case ctZone:
		r.Zone = be16(v)
	case ctTimestamp:
		r.StartNanos, r.StopNanos = be64Pair(v)
	case ctLabels:
		if len(v) <= 16 {
			r.Labels = hexUnlessZero(v)
		}
	}
}

// protoInfo reads CTA_PROTOINFO_TCP, _DCCP or _SCTP: the state comes first in
// each.
func (p *ctParser) protoInfo(v []byte) {
	_ = eachAttr(v, func(typ uint16, v []byte) {
		switch typ {
		case 1:
			p.entry.state = at8(v, 0)
		case 4: // CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, struct nf_ct_tcp_flags
			p.row.TCPFlags = at8(v, 0)
		case 5:
			p.row.ReplyFlags = at8(v, 0)
		}
	})
}

func (p *ctParser) name(v []byte) string {
	s, ok := p.names[string(v)]
	if !ok {
		s = unixName(v)
		if len(p.names) < 1000 {
			p.names[string(v)] = s
		}
	}
	return s
}

// parse reads CTA_TUPLE_*.
func (t *ctTuple) parse(v []byte) {
	_ = eachAttr(v, func(typ uint16, v []byte) {
		switch typ {
		case 1: // CTA_TUPLE_IP
			_ = eachAttr(v, t.address)
		case 2: // CTA_TUPLE_PROTO
			_ = eachAttr(v, t.protocol)
		case 3: // CTA_TUPLE_ZONE
			t.zone, t.zoned = be16(v), true
		}
	})
}

func (t *ctTuple) address(typ uint16, v []byte) {
	a, ok := netip.AddrFromSlice(v)
	switch {
	case !ok:
	case typ == 1 || typ == 3:
		t.src = a
	case typ == 2 || typ == 4:
		t.dst = a
	}
}

func (t *ctTuple) protocol(typ uint16, v []byte) {
	switch typ {
	case 1:
		t.proto = at8(v, 0)
	case 2:
		t.sport = be16(v)
	case 3:
		t.dport = be16(v)
	case 4, 7: // ICMP, ICMPv6
		t.icmpID = be16(v)
	case 5, 8:
		t.icmpType = at8(v, 0)
	case 6, 9:
		t.icmpCode = at8(v, 0)
	}
}

// hash spreads tuples evenly over all numbers of 64 bits, the same way
// everywhere.
func (t *ctTuple) hash(seed uint64) uint64 {
	src, dst := t.src.As16(), t.dst.As16()
	h := seed
	for _, w := range [...]uint64{
		binary.BigEndian.Uint64(src[:]), binary.BigEndian.Uint64(src[8:]), binary.BigEndian.Uint64(dst[:]), binary.BigEndian.Uint64(dst[8:]),
		uint64(t.sport)<<48 | uint64(t.dport)<<32 | uint64(t.icmpID)<<16 | uint64(t.proto)<<8 | uint64(t.icmpType), uint64(t.zone),
	} {
		hi, lo := bits.Mul64(h^w^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
		h = hi ^ lo ^ bits.RotateLeft64(h, 23)
	}
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return h ^ h>>32
}

// ctSampler decides which entries of a table that is too large are kept.
type ctSampler struct {
	below uint64 // hashes up to this are kept
}

// ctSeed is the same everywhere, so that samples and nodes keep the same
// connections.
const ctSeed = 0xca5ef11e

// newCTSampler keeps about most of count entries.
func newCTSampler(most, count int) ctSampler {
	if count <= most {
		return ctSampler{math.MaxUint64}
	}
	return ctSampler{uint64(float64(most) / float64(count) * math.MaxUint64)}
}

func (s ctSampler) keeps(t *ctTuple) bool {
	return s.below == math.MaxUint64 || t.hash(ctSeed) <= s.below
}

func (s ctSampler) fraction() float64 {
	return float64(s.below) / math.MaxUint64
}

// flagNames names the bits of a status, and the absence of two.
func (p *ctParser) flagNames(status uint32) string {
	if s, ok := p.flags[status]; ok {
		return s
	}
	var list []string
	if status&ctSeenReply == 0 {
		list = append(list, "UNREPLIED")
	}
	if status&(1<<3) == 0 {
		list = append(list, "UNCONFIRMED")
	}
	// Bits 1, 3, 7 and 8 are said above or set with 4 and 5.
	for i, name := range [...]string{"EXPECTED", "", "ASSURED", "", "SNAT", "DNAT", "SEQ_ADJUST", "", "", "DYING", "FIXED_TIMEOUT",
		"TEMPLATE", "NAT_CLASH", "HELPER", "OFFLOAD", "HW_OFFLOAD"} {
		if name != "" && status&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	s := strings.Join(list, " ")
	if len(p.flags) < 1<<12 {
		p.flags[status] = s
	}
	return s
}

func be16(v []byte) uint16 {
	if len(v) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(v)
}

func be32(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(v)
}

// be64Pair reads the attributes 1 and 2 of a nest.
func be64Pair(v []byte) (one, two uint64) {
	_ = eachAttr(v, func(typ uint16, v []byte) {
		switch {
		case len(v) < 8:
		case typ == 1:
			one = binary.BigEndian.Uint64(v)
		case typ == 2:
			two = binary.BigEndian.Uint64(v)
		}
	})
	return one, two
}

func hexUnlessZero(v []byte) string {
	for _, c := range v {
		if c != 0 {
			return hex.EncodeToString(v)
		}
	}
	return ""
}
