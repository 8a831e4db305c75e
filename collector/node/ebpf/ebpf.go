// Package ebpf watches the kernel of this machine for some seconds and counts
// what it does to packets and TCP connections: packets dropped, by reason and
// place; TCP segments sent again; resets sent and received; changes of TCP
// state. Counters in /proc say that something is lost, this says why and where.
//
// # Files
//
// Below nodes/<node>/, one row for each distinct thing that was counted, the
// most frequent first:
//
//	ebpf.json            the window, and how each program fared
//	drops.ndjson         by reason, kernel function, network namespace, device, protocol
//	retransmits.ndjson   by connection and TCP state
//	resets.ndjson        by connection, direction and reason
//	tcpstates.ndjson     by transition, network namespace, and the side of the lower port
//
// # How
//
// Four small programs, put together here instruction by instruction, hang on
// the kernel's own tracepoints. Where fields lie and what reasons are called
// is read from the running kernel's type information (BTF), so that nothing is
// compiled against a version. They only count, into maps of fixed size; what
// finds no room is counted as lost. When the window ends everything is taken
// away again.
//
// A dropped packet costs about a microsecond more while the window is open,
// other packets nothing. Without BTF, or below Linux 5.5, a program is skipped
// and said to be; without CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN), denied.
package ebpf

import (
	"time"

	"github.com/casefile-io/casefile/collector"
)

// Limits of a window.
const (
	DefaultWindow = 10 * time.Second
	MaxWindow     = 10 * time.Minute
	maxRows       = 16384 // distinct things counted by one program
)

// Options of [New].
type Options struct {
	Node     string
	Window   time.Duration // 0 is DefaultWindow
	ProcRoot string        // default /proc
	Started  func()        // may be nil; called once, when the programs count or have failed
}

// New returns the collector of one window on this machine.
func New(o Options) collector.Collector {
	if o.Window <= 0 {
		o.Window = DefaultWindow
	}
	o.Window = min(o.Window, MaxWindow)
	if o.ProcRoot == "" {
		o.ProcRoot = "/proc"
	}
	return &window{o: o}
}

type window struct{ o Options }

// Name implements [collector.Collector].
func (w *window) Name() string { return "node/" + w.o.Node }

// windowRow is ebpf.json.
type windowRow struct {
	Start    time.Time    `json:"start"`
	Millis   int64        `json:"millis"`
	Programs []programRow `json:"programs"`
}

// programRow is how one program fared.
type programRow struct {
	Name       string `json:"name"`
	Tracepoint string `json:"tracepoint"`
	Counting   bool   `json:"counting"`
	Reason     string `json:"reason,omitempty"` // why not
	Events     uint64 `json:"events"`
	Rows       int    `json:"rows"`
	Lost       uint64 `json:"lost,omitempty"` // events that found no room
}

// seen is how often and when something was counted.
type seen struct {
	Count uint64    `json:"count"`
	Bytes uint64    `json:"bytes,omitempty"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

type dropRow struct {
	Reason   string `json:"reason"`             // as the kernel calls it, NETFILTER_DROP; SUBSYSTEM_2:7 of modules
	Location string `json:"location,omitempty"` // kernel function; empty where addresses are hidden
	Netns    uint32 `json:"netns,omitempty"`    // 0: the packet had left its device
	Dev      string `json:"dev,omitempty"`
	Index    uint32 `json:"index,omitempty"`
	Protocol string `json:"protocol,omitempty"` // ipv4, ipv6, arp, 0x88cc …
	seen
}

type flowRow struct {
	Netns     uint32 `json:"netns,omitempty"`
	Direction string `json:"direction,omitempty"` // of a reset: sent, received
	Reason    string `json:"reason,omitempty"`    // of a reset sent, since Linux 6.10
	Family    string `json:"family,omitempty"`
	State     string `json:"state,omitempty"` // of the socket; empty without one
	Src       string `json:"src,omitempty"`   // this end
	Sport     uint16 `json:"sport,omitempty"`
	Dst       string `json:"dst,omitempty"`
	Dport     uint16 `json:"dport,omitempty"`
	seen
}

type stateRow struct {
	Netns  uint32 `json:"netns,omitempty"`
	Family string `json:"family,omitempty"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Side   string `json:"side"` // whose port it is: local, remote
	Addr   string `json:"addr,omitempty"`
	Port   uint16 `json:"port,omitempty"`
	seen
}
