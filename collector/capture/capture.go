// Package capture records packets of this machine: of its own network
// namespace or of a pod's, on all interfaces at once, into pcapng.
//
// It needs no libpcap: packets come through a ring that the kernel shares
// (TPACKET_V3), filters are compiled by [filter], and the file is written as
// the packets come, never held. A capture costs about a tenth of a
// microsecond a packet; what the kernel had to drop is counted and recorded.
//
// # What is in a file
//
// One interface block per device, with its own link type (Ethernet, or raw IP
// for tunnels), so that pod traffic can be followed from veth to bridge to
// uplink; nanosecond time stamps; for each packet its direction; VLAN tags
// that the network card had taken off are put back; of the two copies that
// loopback shows of each packet one is kept; names of addresses if they were
// given; drop counters at the end. A capture that is canceled, or that reaches
// its size limit, still ends as a whole file.
//
// # The flight recorder
//
// With Spec.Ring only the last so many bytes are kept, in a ring of chunks of
// 1 MiB: a few in memory, more in a file without a name. A disk that is full
// makes the ring shorter, which is noted. A trigger ([ParseUntil]) ends the
// capture, Spec.After later, and all others that share it. Triggers are looked
// at five times a second: counters in the namespace of the capture, the
// kernel's log and the files below Spec.LogDirs from then on (lines beyond
// 16 KiB in pieces), packets through a socket of their own. A capture that was
// never triggered keeps what it has and is partial; so is one whose ring began
// only after its trigger.
//
// Frames that bypass the kernel's taps are invisible here as to every tool of
// the kind: AF_XDP, DPDK, eBPF redirects between devices, senders with
// PACKET_QDISC_BYPASS.
package capture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/capture/filter"
)

// Defaults and limits of a capture.
const (
	DefaultDuration = 30 * time.Second
	DefaultMaxBytes = 64 << 20
	DefaultSnaplen  = 128
	MaxSpecs        = 64       // captures side by side
	ringTotal       = 64 << 20 // bytes of unswappable kernel memory for all rings of one collector
	ringDefault     = 8 << 20  // bytes of one ring
	ringBlocks      = 8        // blocks of a ring, whatever its size
)

// Options of [New].
type Options struct {
	Node    string            // name of this node, for file names
	Specs   []Spec            // at most MaxSpecs
	Names   map[string]string // address → name, written into the files; may be nil
	Started func()            // may be nil; called once, when every capture runs or has failed
}

// Spec is one capture point.
type Spec struct {
	Name      string        // folder below captures/: pod_<ns>_<name>, node_<name>, host
	Target    string        // as the user wrote it; for results
	Filter    string        // tcpdump syntax; empty for all packets
	Snaplen   int           // bytes kept of a packet; 0 is DefaultSnaplen
	Duration  time.Duration // [New]: 0 is DefaultDuration; [Run]: 0 is until ctx ends
	MaxBytes  int64         // of the file, but for a late interface's block; [New]: 0 is DefaultMaxBytes; [Run]: 0 is no bound
	Interface string        // name of a device; empty for all
	NetnsPath string        // /proc/<pid>/ns/net; empty for the own namespace
	Netns     uint64        // inode that NetnsPath must have; 0 is not checked and is "host" in the file name

	Ring     int64              // keep the last so many bytes only; 0 keeps all
	SpoolDir string             // for the ring's file; empty is the system's
	Until    []Until            // any of them ends the capture, After it
	After    time.Duration      // from the trigger to the end
	Trigger  *collector.Trigger // shared by all that end together; nil is made when there is Until
	LogDirs  []string           // folders of container logs for log triggers, beside the kernel's

	App         string // the program, for the file
	Where       string // this host, for the file and the trigger
	Description string // of the interfaces: whose they are

	names map[string]string
	ring  int // bytes; 0 is ringDefault
}

// of is how many milliseconds the capture was to take, if that was bounded.
func (s Spec) of() string {
	if s.Duration > 24*time.Hour {
		return ""
	}
	return fmt.Sprintf(" of %d", s.Duration.Milliseconds())
}

// comment is that of the file.
func (s Spec) comment() string {
	if s.Where == "" {
		return ""
	}
	return "captured on " + s.Where
}

// Stats is what a capture came to.
type Stats struct {
	Packets     int64      `json:"packets"`     // in the file
	Received    int64      `json:"received"`    // accepted by the filter, dropped ones included
	Dropped     int64      `json:"dropped"`     // by the kernel, for want of room in the ring
	Freezes     int64      `json:"freezes"`     // times that the ring was full
	Bytes       int64      `json:"bytes"`       // of the file
	FirstPacket *time.Time `json:"firstPacket"` // null without packets
	LastPacket  *time.Time `json:"lastPacket"`  //
	Millis      int64      `json:"millis"`      // that it ran
	Started     time.Time  `json:"started"`
	Stopped     string     `json:"stopped,omitempty"` // "duration", "size", "canceled", "triggered", "untriggered"
	Evicted     int64      `json:"evicted,omitempty"` // from the ring, for later packets
	Notes       []string   `json:"notes,omitempty"`   // what did not go as asked for

	Trigger *collector.TriggerEvent `json:"trigger,omitempty"`

	fired      time.Time   // by this machine's clock, wherever the trigger was seen
	Interfaces []Interface `json:"interfaces"`
}

// Interface is a device that was captured on.
type Interface struct {
	Name         string `json:"name"`
	Index        int    `json:"index"`
	HardwareType uint16 `json:"hardwareType"` // ARPHRD_…
	LinkType     string `json:"linkType"`     // "ethernet", "raw", or "unsupported": not captured
	Packets      int64  `json:"packets"`
}

// summary is the file beside a capture.
type summary struct {
	Path           string `json:"path"`
	Node           string `json:"node"`
	Netns          uint64 `json:"netns,omitempty"`
	Target         string `json:"target"`
	Filter         string `json:"filter"`
	Snaplen        int    `json:"snaplen"`
	DurationMillis int64  `json:"durationMillis"`
	RingBytes      int64  `json:"ringBytes,omitempty"`
	Stats
}

// New returns the collector that runs all specs side by side and stores, for
// each, captures/<name>/<node>__<netns|host>.pcapng and a summary in JSON at
// the same path. Results have the source "capture/<target>".
func New(o Options) collector.Collector { return &group{o} }

type group struct{ Options }

func (g *group) Name() string { return "captures" }

func (g *group) Collect(ctx context.Context, out *collector.Output) error {
	var opened, done sync.WaitGroup
	trigger := collector.NewTrigger()
	progress := &progress{out: out, total: len(g.Specs)}
	progress.report(0, 0)
	opened.Add(len(g.Specs))
	for i, s := range g.Specs {
		s = s.withDefaults(g.Names, len(g.Specs))
		if s.Trigger == nil && len(s.Until) > 0 {
			s.Trigger = trigger
		}
		done.Go(func() {
			start := time.Now()
			r := g.one(ctx, s, i, opened.Done, out)
			r.Source, r.Millis = "capture/"+s.Target, time.Since(start).Milliseconds()
			out.Record(r)
			progress.report(1, r.Bytes)
		})
	}
	opened.Wait()
	if g.Started != nil {
		g.Started()
	}
	done.Wait()
	return nil
}

func (s Spec) withDefaults(names map[string]string, specs int) Spec {
	s.names = names
	if s.Snaplen <= 0 {
		s.Snaplen = DefaultSnaplen
	}
	if s.Duration <= 0 {
		s.Duration = DefaultDuration
	}
	if s.MaxBytes <= 0 {
		s.MaxBytes = DefaultMaxBytes
	}
	if s.Ring > 0 {
		s.Ring = max(min(s.Ring, s.MaxBytes), minRing)
	}
	for s.ring = ringDefault; s.ring*specs > ringTotal && s.ring > ringTotal/MaxSpecs; {
		s.ring /= 2
	}
	return s
}

// one runs a capture and stores it; opened is called once, when it has begun
// to see packets or has failed.
func (g *group) one(ctx context.Context, s Spec, i int, opened func(), out *collector.Output) collector.Result {
	once := sync.OnceFunc(opened)
	defer once()
	path, err := g.path(s, i)
	if err != nil {
		return failed("", err)
	}
	session, err := open(s)
	if err != nil {
		return failed(path+".pcapng", err)
	}
	once()
	r, w := io.Pipe()
	var stats Stats
	var ran sync.WaitGroup
	ran.Go(func() {
		var err error
		stats, err = session.run(ctx, w)
		w.CloseWithError(err)
	})
	n, err := out.Store(path+".pcapng", collector.ClassCaptures, r)
	r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	ran.Wait()
	if err != nil {
		return failed(path+".pcapng", err)
	}
	stats.Bytes = n
	if err := g.summarize(path, s, stats, out); err != nil {
		return failed(path+".json", err)
	}
	return result(path+".pcapng", s, stats)
}

func failed(path string, err error) collector.Result {
	return collector.Result{Path: path, Status: collector.StatusOf(err), Reason: err.Error()}
}

func result(path string, s Spec, st Stats) collector.Result {
	r := collector.Result{Path: path, Status: collector.StatusOK, Bytes: st.Bytes,
		Reason: fmt.Sprintf("%d packets, %d dropped by the kernel", st.Packets, st.Dropped)}
	switch st.Stopped {
	case stoppedSize:
		r.Status = collector.StatusPartial
		r.Reason += fmt.Sprintf("; stopped by its limit of %d bytes after %d%s ms: narrow the filter or lower the snaplen", s.MaxBytes, st.Millis, s.of())
	case stoppedCanceled:
		r.Status = collector.StatusPartial
		r.Reason += fmt.Sprintf("; canceled after %d%s ms", st.Millis, s.of())
	case stoppedUntriggered:
		r.Status = collector.StatusPartial
		r.Reason += fmt.Sprintf("; never triggered within %d ms: this is the last of it", st.Millis)
	case stoppedTriggered:
		r.Reason += fmt.Sprintf("; triggered by %q (%s) on %s at %s", st.Trigger.Trigger, st.Trigger.Detail, st.Trigger.Where, st.Trigger.Time.Format(time.RFC3339Nano))
	}
	if late, ok := st.tooShort(); ok {
		r.Status = collector.StatusPartial
		r.Reason += fmt.Sprintf("; the ring was too small: its first packet is %s after the trigger", late)
	}
	for _, n := range st.Notes {
		r.Status = collector.StatusPartial
		r.Reason += "; " + n
	}
	return r
}

// path is where a capture lies, without its extension. Every part comes from
// elsewhere, so each is checked.
func (g *group) path(s Spec, i int) (string, error) {
	where := "host"
	if s.Netns != 0 {
		where = strconv.FormatUint(s.Netns, 10)
	} else if s.Interface != "" {
		where = s.Interface
	}
	if i >= MaxSpecs {
		return "", fmt.Errorf("%w: at most %d captures run side by side on a node", collector.ErrOverBudget, MaxSpecs)
	}
	for _, part := range []string{s.Name, g.Node, where} {
		if part == "" || strings.HasPrefix(part, ".") || strings.ContainsAny(part, "/\\\x00") {
			return "", fmt.Errorf("%q cannot be part of a capture's path", part)
		}
	}
	return "captures/" + s.Name + "/" + g.Node + "__" + where, nil
}

func (g *group) summarize(path string, s Spec, st Stats, out *collector.Output) error {
	b, err := json.Marshal(summary{Path: path + ".pcapng", Node: g.Node, Netns: s.Netns, Target: s.Target, Filter: s.Filter,
		Snaplen: s.Snaplen, DurationMillis: s.Duration.Milliseconds(), RingBytes: s.Ring, Stats: st})
	if err != nil {
		return err
	}
	_, err = out.Store(path+".json", collector.ClassCaptures, bytes.NewReader(append(b, '\n')))
	return err
}

type progress struct {
	out   *collector.Output
	total int

	mu    sync.Mutex
	done  int
	bytes int64
}

func (p *progress) report(done int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += done
	p.bytes += bytes
	p.out.Progress(collector.Progress{Phase: "captures", Done: p.done, Total: p.total, Bytes: p.bytes})
}

// Run captures into w until the duration, the size or ctx ends it; that is no
// error. The file is whole then. An error of w ends the capture.
func Run(ctx context.Context, s Spec, w io.Writer) (Stats, error) {
	if s.Trigger == nil && len(s.Until) > 0 {
		s.Trigger = collector.NewTrigger()
	}
	session, err := open(s)
	if err != nil {
		return Stats{}, err
	}
	return session.run(ctx, w)
}

// Check says whether a filter compiles, for a caller that wants to know before
// anything is started. The error is a [*filter.Error].
func Check(expr string) error {
	_, err := filter.CompileAny(expr, 0)
	return err
}

// Why a capture ended.
const (
	stoppedDuration = "duration"
	stoppedSize     = "size"
	stoppedCanceled = "canceled"

	stoppedTriggered   = "triggered"
	stoppedUntriggered = "untriggered" // though it should have been
)
