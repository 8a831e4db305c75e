package node

import "net/netip"

// ctRow is one line of net/conntrack.ndjson. The tuple of the replies is
// written where it is not the reverse of the original one, that is, where
// addresses are translated.
type ctRow struct {
	Family       string     `json:"family"` // inet, inet6
	Proto        string     `json:"proto"`  // tcp, udp, icmp … or a number
	State        string     `json:"state,omitempty"`
	Src          netip.Addr `json:"src"`
	Sport        uint16     `json:"sport,omitempty"`
	Dst          netip.Addr `json:"dst"`
	Dport        uint16     `json:"dport,omitempty"`
	ICMPType     uint8      `json:"icmpType,omitempty"`
	ICMPCode     uint8      `json:"icmpCode,omitempty"`
	ICMPID       uint16     `json:"icmpID,omitempty"`
	ReplySrc     netip.Addr `json:"replySrc,omitzero"`
	ReplySport   uint16     `json:"replySport,omitempty"`
	ReplyDst     netip.Addr `json:"replyDst,omitzero"`
	ReplyDport   uint16     `json:"replyDport,omitempty"`
	Flags        string     `json:"flags,omitempty"` // parted by spaces: UNREPLIED, ASSURED, SNAT, DNAT, OFFLOAD …; CONFIRMED is left out
	TimeoutSec   uint32     `json:"timeoutSec,omitempty"`
	Mark         uint32     `json:"mark,omitempty"`
	Zone         uint16     `json:"zone,omitempty"`
	ZoneDir      string     `json:"zoneDir,omitempty"` // orig, reply: the zone is of one direction
	Use          uint32     `json:"use,omitempty"`     // references; 1 is left out
	Helper       string     `json:"helper,omitempty"`
	Packets      uint64     `json:"packets,omitempty"` // counters, with nf_conntrack_acct
	Bytes        uint64     `json:"bytes,omitempty"`
	ReplyPackets uint64     `json:"replyPackets,omitempty"`
	ReplyBytes   uint64     `json:"replyBytes,omitempty"`
	StartNanos   uint64     `json:"startUnixNanos,omitempty"` // with nf_conntrack_timestamp
	StopNanos    uint64     `json:"stopUnixNanos,omitempty"`
	TCPFlags     uint8      `json:"tcpFlags,omitempty"` // as the kernel keeps them: 1 window scale, 2 SACK, 8 liberal, 16 unacknowledged
	ReplyFlags   uint8      `json:"replyTCPFlags,omitempty"`
	Labels       string     `json:"labels,omitempty"` // hexadecimal
}

func (r *ctRow) appendJSON(b []byte) []byte {
	b = appendWord(b, `{"family":`, r.Family)
	b = appendWord(b, `,"proto":`, r.Proto)
	b = appendSomeWord(b, `,"state":`, r.State)
	b = appendAddr(b, `,"src":`, r.Src)
	b = appendSome(b, `,"sport":`, r.Sport)
	b = appendAddr(b, `,"dst":`, r.Dst)
	b = appendSome(b, `,"dport":`, r.Dport)
	b = appendSome(b, `,"icmpType":`, r.ICMPType)
	b = appendSome(b, `,"icmpCode":`, r.ICMPCode)
	b = appendSome(b, `,"icmpID":`, r.ICMPID)
	if r.ReplySrc.IsValid() {
		b = appendAddr(b, `,"replySrc":`, r.ReplySrc)
		b = appendSome(b, `,"replySport":`, r.ReplySport)
		b = appendAddr(b, `,"replyDst":`, r.ReplyDst)
		b = appendSome(b, `,"replyDport":`, r.ReplyDport)
	}
	b = appendSomeWord(b, `,"flags":`, r.Flags)
	b = appendSome(b, `,"timeoutSec":`, r.TimeoutSec)
	b = appendSome(b, `,"mark":`, r.Mark)
	b = appendSome(b, `,"zone":`, r.Zone)
	b = appendSomeWord(b, `,"zoneDir":`, r.ZoneDir)
	b = appendSome(b, `,"use":`, r.Use)
	b = appendText(b, `,"helper":`, r.Helper)
	b = appendSome(b, `,"packets":`, r.Packets)
	b = appendSome(b, `,"bytes":`, r.Bytes)
	b = appendSome(b, `,"replyPackets":`, r.ReplyPackets)
	b = appendSome(b, `,"replyBytes":`, r.ReplyBytes)
	b = appendSome(b, `,"startUnixNanos":`, r.StartNanos)
	b = appendSome(b, `,"stopUnixNanos":`, r.StopNanos)
	b = appendSome(b, `,"tcpFlags":`, r.TCPFlags)
	b = appendSome(b, `,"replyTCPFlags":`, r.ReplyFlags)
	b = appendSomeWord(b, `,"labels":`, r.Labels)
	return append(b, '}')
}

// expectRow is one line of net/conntrack-expect.ndjson: a connection that a
// helper waits for. An address or port of zero under mask is any.
type expectRow struct {
	Proto      string     `json:"proto"`
	Src        netip.Addr `json:"src"`
	Sport      uint16     `json:"sport,omitempty"`
	Dst        netip.Addr `json:"dst"`
	Dport      uint16     `json:"dport,omitempty"`
	Master     *masterRow `json:"master,omitempty"`
	TimeoutSec uint32     `json:"timeoutSec,omitempty"`
	Helper     string     `json:"helper,omitempty"`
	Zone       uint16     `json:"zone,omitempty"`
	Flags      uint32     `json:"expectFlags,omitempty"`
}

type masterRow struct {
	Proto string     `json:"proto"`
	Src   netip.Addr `json:"src"`
	Sport uint16     `json:"sport,omitempty"`
	Dst   netip.Addr `json:"dst"`
	Dport uint16     `json:"dport,omitempty"`
}

// ctStatsRow is one line of net/conntrack-stats.ndjson: the counters of one
// processor, or, in the line without one, the size of the table.
type ctStatsRow struct {
	CPU           *uint16 `json:"cpu,omitempty"`
	Entries       *uint32 `json:"entries,omitempty"` // of this namespace
	Max           uint32  `json:"max,omitempty"`     // of each namespace of the machine
	Searched      uint32  `json:"searched,omitempty"`
	Found         uint32  `json:"found,omitempty"`
	New           uint32  `json:"new,omitempty"`
	Invalid       uint32  `json:"invalid,omitempty"`
	Ignore        uint32  `json:"ignore,omitempty"`
	Delete        uint32  `json:"delete,omitempty"`
	DeleteList    uint32  `json:"deleteList,omitempty"`
	Insert        uint32  `json:"insert,omitempty"`
	InsertFailed  uint32  `json:"insertFailed,omitempty"`
	Drop          uint32  `json:"drop,omitempty"`
	EarlyDrop     uint32  `json:"earlyDrop,omitempty"`
	Error         uint32  `json:"error,omitempty"`
	SearchRestart uint32  `json:"searchRestart,omitempty"`
	ClashResolve  uint32  `json:"clashResolve,omitempty"`
	ChainTooLong  uint32  `json:"chainTooLong,omitempty"`
}

// ctSummary is net/conntrack-summary.json: what the whole table holds, also
// where not every entry is a line of net/conntrack.ndjson. An entry is kept if
// the hash of its original tuple is low enough: the same ones in each sample
// and on each node that knows the connection.
type ctSummary struct {
	Entries  int     `json:"entries"` // seen in the dump
	Count    uint32  `json:"count"`   // as the kernel said before it
	Max      uint32  `json:"max"`
	Kept     int     `json:"kept"`     // lines of conntrack.ndjson in this sample
	Fraction float64 `json:"fraction"` // of the entries that had the chance to be kept: 1 is all, 0 that none was asked for
	Complete bool    `json:"complete"` // the dump came to its end

	ByProto  map[string]int `json:"byProto,omitempty"`
	ByState  map[string]int `json:"byState,omitempty"` // proto STATE
	ByFlag   map[string]int `json:"byFlag,omitempty"`
	ByZone   map[string]int `json:"byZone,omitempty"`
	ByFamily map[string]int `json:"byFamily,omitempty"`

	Sources   topList `json:"topSources"`
	Dests     topList `json:"topDestinations"`
	Services  topList `json:"topServices"`  // protocol, destination and its port
	Unreplied topList `json:"topUnreplied"` // the same, of entries that saw no reply
	SNAT      topList `json:"topSNAT"`      // protocol, translated source, and the far end: each has some 64,000 ports
}

// topList is the most frequent of something. With an error of 0 the numbers
// are exact; else each may be too low by so much, and what is rarer may be
// missing.
type topList struct {
	Error int      `json:"error"`
	Top   []topRow `json:"top,omitempty"`
}

type topRow struct {
	Proto string     `json:"proto,omitempty"`
	Src   netip.Addr `json:"src,omitzero"`
	Dst   netip.Addr `json:"dst,omitzero"`
	Dport uint16     `json:"dport,omitempty"`
	N     int        `json:"n"`
}
