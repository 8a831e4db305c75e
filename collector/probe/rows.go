package probe

import "time"

// Head is what all rows begin with.
type Head struct {
	Time   time.Time `json:"time"`
	Node   string    `json:"node"`
	Action int       `json:"action"` // of the node; ties a row to its lines in collection/actions.ndjson
	From   string    `json:"from"`   // pod/NS/NAME or node/NAME
	Netns  uint64    `json:"netns,omitempty"`
	Target string    `json:"target,omitempty"` // what the address stands for
	Cell   string    `json:"cell,omitempty"`   // of the table of contrasts
}

// Action is a line of collection/actions.ndjson: one when a probe begins, one
// when it has ended and its packets are counted.
type Action struct {
	Head
	Kind    string `json:"kind"`
	Host    string `json:"host"`
	Port    uint16 `json:"port,omitempty"`
	Scheme  string `json:"scheme,omitempty"`  // http
	URLPath string `json:"urlPath,omitempty"` // without user, password and query
	Ended   bool   `json:"ended,omitempty"`
	Packets int64  `json:"packets,omitempty"` // sent by us; those that the kernel's TCP adds are not counted
	Bytes   int64  `json:"bytes,omitempty"`
}

// Lookup is how a name was resolved for another probe.
type Lookup struct {
	Outcome string   `json:"outcome"`          // ok, nxdomain, nodata, servfail, refused, timeout, unreachable, failed
	Host    string   `json:"host"`             // the name that answered, or the first
	Server  string   `json:"server,omitempty"` // an address, or etc/hosts
	Answers []string `json:"addresses,omitempty"`
	Tries   int      `json:"tries"`
	Micros  int64    `json:"micros"`
}

// DNSTry is a question to a server and what came of it.
type DNSTry struct {
	Head
	Row         string   `json:"row"` // "try"
	QName       string   `json:"qname"`
	QType       string   `json:"qtype"`
	Server      string   `json:"server"`
	Proto       string   `json:"proto"`         // udp, tcp
	Why         string   `json:"why,omitempty"` // of TCP: truncated, asked, check
	ID          uint16   `json:"id"`
	SourcePort  uint16   `json:"sourcePort,omitempty"`
	Repetition  int      `json:"repetition"`
	Attempt     int      `json:"attempt"`
	Outcome     string   `json:"outcome"` // answered, timeout, port-unreachable, unreachable, refused, reset, failed
	Error       string   `json:"error,omitempty"`
	RCode       string   `json:"rcode,omitempty"`
	Truncated   bool     `json:"truncated,omitempty"`
	Micros      int64    `json:"micros"`
	Bytes       int      `json:"bytes,omitempty"` // of the answer
	Answers     []string `json:"answers,omitempty"`
	AnswersCut  bool     `json:"answersCut,omitempty"`
	MinTTL      uint32   `json:"minTTL,omitempty"`
	WrongSource int      `json:"wrongSource,omitempty"` // datagrams that another address sent
	WrongID     int      `json:"wrongID,omitempty"`     // or that answer no question of ours
	Garbage     int      `json:"garbage,omitempty"`     // or that are no DNS
}

// DNSSummary is what all repetitions against one server came to.
type DNSSummary struct {
	Head
	Row         string         `json:"row"` // "summary"
	Host        string         `json:"host"`
	Server      string         `json:"server"`
	Nameservers []string       `json:"nameservers"`
	Searches    []string       `json:"searches,omitempty"`
	NDots       int            `json:"ndots"`
	Options     []string       `json:"options,omitempty"`
	Names       []string       `json:"qnames"`               // in glibc's order, until one answers
	MuslNames   []string       `json:"muslQnames,omitempty"` // when musl's differ
	Outcome     string         `json:"outcome"`              // of the last repetition, as [Lookup] has it
	Repetitions int            `json:"repetitions"`
	Resolved    int            `json:"resolved"` // repetitions that gave an address
	Queries     int            `json:"queries"`  // questions sent, tries included
	Answered    int            `json:"answered"`
	Timeouts    int            `json:"timeouts"`
	Truncated   int            `json:"truncated"`
	RCodes      map[string]int `json:"rcodes"`
	Latency     Histogram      `json:"latency"` // of answered queries
	Lookup      Histogram      `json:"lookup"`  // of whole lookups, whatever came of them
}

// TCPRow is a connection to one address, tried several times.
type TCPRow struct {
	Head
	Host     string    `json:"host,omitempty"`    // when it was given by name
	Address  string    `json:"address,omitempty"` //
	Port     uint16    `json:"port"`
	Outcome  string    `json:"outcome"` // connected, refused, timeout, unreachable, reset, failed; unresolved; mixed
	Lookup   *Lookup   `json:"lookup,omitempty"`
	Attempts []Attempt `json:"attempts,omitempty"`
	Latency  Histogram `json:"latency"` // of those that connected
}

// Attempt is one connection.
type Attempt struct {
	Outcome   string `json:"outcome"`
	Errno     string `json:"errno,omitempty"`
	ICMP      string `json:"icmp,omitempty"` // what an ICMP error said
	ICMPFrom  string `json:"icmpFrom,omitempty"`
	Micros    int64  `json:"micros"`
	Local     string `json:"local,omitempty"`
	RTTMicros uint32 `json:"rttMicros,omitempty"` // tcp_info
	MSS       uint32 `json:"mss,omitempty"`
	Resent    uint32 `json:"resent,omitempty"` // segments, SYNs included
}

// MTURow is the path MTU to an address.
type MTURow struct {
	Head
	Host     string    `json:"host,omitempty"`
	Address  string    `json:"address,omitempty"`
	Port     uint16    `json:"port,omitempty"`     // of the TCP method
	Outcome  string    `json:"outcome"`            // ok: as large as the first link; reduced; blackhole; silent: nothing answers; unreachable; unresolved; failed
	Method   string    `json:"method,omitempty"`   // udp, tcp
	MTU      int       `json:"mtu,omitempty"`      // bytes of the largest packet known to arrive
	LinkMTU  int       `json:"linkMTU,omitempty"`  // of the first link
	LostFrom int       `json:"lostFrom,omitempty"` // bytes of the smallest packet that vanished
	Said     []Said    `json:"said,omitempty"`     // who asked for smaller packets
	Tries    []SizeTry `json:"tries,omitempty"`
	Error    string    `json:"error,omitempty"`
	Lookup   *Lookup   `json:"lookup,omitempty"`
}

// Said is a "fragmentation needed" or "packet too big".
type Said struct {
	By  string `json:"by"`
	MTU int    `json:"mtu"`
}

// SizeTry is a packet of some size.
type SizeTry struct {
	Bytes   int    `json:"bytes"`
	Outcome string `json:"outcome"` // arrived, too-big, lost, unreachable, failed
	By      string `json:"by,omitempty"`
	MTU     int    `json:"mtu,omitempty"`
	Micros  int64  `json:"micros"`
}

// PathRow is the way to an address.
type PathRow struct {
	Head
	Host    string  `json:"host,omitempty"`
	Address string  `json:"address,omitempty"`
	Port    uint16  `json:"port"`
	Proto   string  `json:"proto"`   // tcp, udp
	Outcome string  `json:"outcome"` // connected, refused, arrived (udp), unreachable, incomplete; unresolved
	Hops    []Hop   `json:"hops,omitempty"`
	Lookup  *Lookup `json:"lookup,omitempty"`
}

// Hop is what answered to one TTL.
type Hop struct {
	TTL     int      `json:"ttl"`
	Answers []Answer `json:"answers"`
}

// Answer is the answer to one packet; By is empty when none came.
type Answer struct {
	By     string `json:"by,omitempty"`
	ICMP   string `json:"icmp,omitempty"`
	End    string `json:"end,omitempty"` // connected, refused, … when it came from the end of the way
	Micros int64  `json:"micros"`
}

// HTTPRow is one request. The body is never kept.
type HTTPRow struct {
	Head
	Method    string            `json:"method"`
	Scheme    string            `json:"scheme"`
	Host      string            `json:"host"`
	Port      uint16            `json:"port"`
	URLPath   string            `json:"urlPath"`
	Masked    []string          `json:"masked,omitempty"` // parts of the URL that were sent and are not kept: user, query
	Outcome   string            `json:"outcome"`          // answered, unresolved, connect, tls, timeout, failed
	Error     string            `json:"error,omitempty"`
	Address   string            `json:"address,omitempty"`
	Local     string            `json:"local,omitempty"`
	Status    int               `json:"status,omitempty"`
	Proto     string            `json:"proto,omitempty"`
	Redirect  string            `json:"redirectHost,omitempty"` // host of a redirect, which is not followed
	Headers   map[string]string `json:"headers,omitempty"`
	BodyBytes int64             `json:"bodyBytes,omitempty"` // read and thrown away, at most 1 MiB
	Times     HTTPTimes         `json:"micros"`
	TLS       *TLSRow           `json:"tls,omitempty"`
	Lookup    *Lookup           `json:"lookup,omitempty"`
}

// HTTPTimes are microseconds that each step took.
type HTTPTimes struct {
	DNS     int64 `json:"dns"`
	Connect int64 `json:"connect"`
	TLS     int64 `json:"tls"`
	TTFB    int64 `json:"ttfb"` // from the request's last byte to the answer's first
	Total   int64 `json:"total"`
}

// TLSRow is what the handshake said; certificates with their public parts.
type TLSRow struct {
	Version      string    `json:"version"`
	Cipher       string    `json:"cipher"`
	ALPN         string    `json:"alpn,omitempty"`
	ServerName   string    `json:"serverName,omitempty"`
	Verified     bool      `json:"verified"`               // against this machine's roots
	VerifyError  string    `json:"verifyError,omitempty"`  // unknown-authority, expired, wrong-name, no-roots, other
	Certificates []TLSCert `json:"certificates,omitempty"` // as sent, at most 8
}

// TLSCert is the public part of a certificate.
type TLSCert struct {
	CommonName string    `json:"commonName,omitempty"`
	Issuer     string    `json:"issuerCommonName,omitempty"`
	DNSNames   []string  `json:"dnsNames,omitempty"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	KeyType    string    `json:"keyType"`
	IsCA       bool      `json:"isCA,omitempty"`
}
