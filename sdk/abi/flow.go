package abi

// Flow is a row of a flows input: one connection (or exchange of UDP, ICMP …)
// as one place saw it. A to B is the direction of the first SYN, or of the
// first packet. Packets count from 1 in their capture file; times are seconds.
type Flow struct {
	At      int64  `json:"_at"`
	Node    string `json:"_node,omitempty"`
	Netns   uint64 `json:"_netns,omitempty"`
	Capture string `json:"capture"` // name of the capture
	Path    string `json:"path"`    // its file in the bundle, for evidence of a packet
	Device  string `json:"device,omitempty"`
	Proto   string `json:"proto"`            // tcp, udp, icmp, icmpv6, sctp, …, or ip-N
	Tunnel  string `json:"tunnel,omitempty"` // that it was seen in: vxlan, geneve, ipip, gre
	A       End    `json:"a"`
	B       End    `json:"b"`

	First float64 `json:"first"` // Unix time of the first packet
	Last  float64 `json:"last"`
	State string  `json:"state,omitempty"` // of TCP: syn-sent, syn-received, established, closing, closed, reset

	HandshakeRTT float64     `json:"handshakeRtt,omitempty"` // SYN to the ACK of its answer, as seen here
	SNI          string      `json:"sni,omitempty"`
	Alert        string      `json:"alert,omitempty"`   // the first TLS alert, "fatal handshake_failure"
	ResetBy      string      `json:"resetBy,omitempty"` // "a" or "b"
	ResetPacket  int         `json:"resetPacket,omitempty"`
	ICMP         []ICMPError `json:"icmp,omitempty"` // errors about packets of this flow

	Vanished []Vanished `json:"vanished,omitempty"` // of each end at most one
}

// End is one side of a flow, and what it sent.
type End struct {
	IP      string `json:"ip"`
	Port    int    `json:"port,omitempty"`
	Packets int64  `json:"packets,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"` // of payload, as sent on the wire

	Segments        int64 `json:"segments,omitempty"`        // of TCP with data, SYN or FIN: those that may be sent again
	SYN             int64 `json:"syn,omitempty"`             // sent, also again
	Retransmissions int64 `json:"retransmissions,omitempty"` // all kinds; tshark's tcp.analysis.retransmission
	FastRetrans     int64 `json:"fastRetransmissions,omitempty"`
	SpuriousRetrans int64 `json:"spuriousRetransmissions,omitempty"`
	TimeoutRetrans  int64 `json:"timeoutRetransmissions,omitempty"` // neither fast nor spurious
	DuplicateACKs   int64 `json:"duplicateAcks,omitempty"`
	OutOfOrder      int64 `json:"outOfOrder,omitempty"`
	LostSegments    int64 `json:"lostSegments,omitempty"` // gaps before its segments: lost before this place, or by the capture
	ZeroWindow      int64 `json:"zeroWindow,omitempty"`
	WindowFull      int64 `json:"windowFull,omitempty"`
	KeepAlive       int64 `json:"keepAlive,omitempty"`
	Retransmitted   []int `json:"retransmitted,omitempty"` // packets of the first five retransmissions
}

// ICMPError is an ICMP error that quotes a packet of a flow.
type ICMPError struct {
	Packet int     `json:"packet"`
	Time   float64 `json:"time"` // Unix
	From   string  `json:"from"`
	About  string  `json:"about"` // "a" or "b": whose packet it quotes
	Type   int     `json:"type"`
	Code   int     `json:"code"`
	MTU    int     `json:"mtu,omitempty"` // of "fragmentation needed" and "packet too big"
}

// Vanished says that packets which this place saw did not arrive at a later
// one: the packets of both captures were matched one by one.
type Vanished struct {
	From    string `json:"from"`            // "a" or "b": whose packets
	At      string `json:"at"`              // the last place that saw them, node and device
	Before  string `json:"before"`          // the next place, which should have
	Packets int64  `json:"packets"`         // how many
	Of      int64  `json:"of"`              // of how many that were looked for
	First   int    `json:"first,omitempty"` // packet of the first of them
}

// DNS is a row of a dns input: a query and what came of it, as one place saw it.
type DNS struct {
	At        int64    `json:"_at"`
	Node      string   `json:"_node,omitempty"`
	Netns     uint64   `json:"_netns,omitempty"`
	Capture   string   `json:"capture"`
	Path      string   `json:"path"`
	Device    string   `json:"device,omitempty"`
	Proto     string   `json:"proto"` // udp, tcp
	Client    string   `json:"client"`
	Port      int      `json:"port"` // of the client
	Server    string   `json:"server"`
	ID        int      `json:"id"`
	Name      string   `json:"name"`                   // without the last dot; "." for the root
	Type      string   `json:"type"`                   // A, AAAA, SRV, …
	First     float64  `json:"first"`                  // Unix time of the query
	Tries     int      `json:"tries"`                  // times that the same query was sent
	Packet    int      `json:"packet"`                 // the first query's
	Answer    int      `json:"answerPacket,omitempty"` // absent: no answer was seen
	Latency   float64  `json:"latency,omitempty"`      // from the last try before the answer to the answer
	Time      float64  `json:"time,omitempty"`         // from the first try to the answer; tshark's dns.time
	Rcode     string   `json:"rcode,omitempty"`        // NOERROR, NXDOMAIN, SERVFAIL, …
	Answers   []string `json:"answers,omitempty"`      // "A 10.0.0.1", "CNAME x.y"
	Truncated bool     `json:"tc,omitempty"`
}
