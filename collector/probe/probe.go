// Package probe sends what a snapshot cannot show: a question to a DNS server,
// a connection, packets of growing size. Nothing is sent that was not asked
// for, and whatever is sent is written down as an action first.
//
// A probe goes out of the network namespace of a pod or of the node, through
// sockets made there, with the pod's own resolv.conf; no container needs a
// tool for it, and no raw socket is used. There are
//
//	dns    a name, resolved as glibc does: search list, A and AAAA at once,
//	       retries, TCP when the answer is truncated; against each nameserver,
//	       several times ([DNSTry], [DNSSummary])
//	tcp    a connection ([TCPRow])
//	mtu    the largest packet that arrives, who said so, or where large packets
//	       vanish ([MTURow])
//	path   the routers on the way, by SYNs or datagrams with a short life ([PathRow])
//	http   one GET or HEAD, with the time that each step took ([HTTPRow])
//
// # Bounds
//
// On one node at most [MaxSpecs] probes, [maxParallel] at a time,
// [maxPackets] packets, [packetRate] a second, and [maxBytes] bytes; each probe
// has a deadline. Packets of a TCP connection that the kernel adds by itself
// are not counted.
//
// # How it tells
//
//   - A refused connection is an answer of the machine (or of a firewall that
//     rejects); a time-out is none at all.
//   - mtu sends datagrams with DF to a port that should be closed: the "port
//     unreachable" of the far end says that one arrived, "fragmentation needed"
//     says who is too narrow, and silence for large ones alone is a black hole.
//     Given a port, and when datagrams get no answer at all, it connects
//     and sends line feeds in full-size segments, and watches whether they are
//     acknowledged.
//   - path reads the routers' "time exceeded" from the socket's error queue.
//   - glibc and musl differ, and the summary of a name says what each asks for:
//     musl never uses the search list for a name with ndots dots or more,
//     and stops at the first answer but NXDOMAIN, where glibc goes on after an
//     empty answer and SERVFAIL.
package probe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// Bounds on one node.
const (
	MaxSpecs    = 512
	maxParallel = 8
	maxPackets  = 20_000
	packetRate  = 200 // a second
	maxBytes    = 32 << 20
)

// Spec is one probe from one place.
type Spec struct {
	Kind    string        // dns, tcp, mtu, path, http
	To      string        // a name, host, host:port or URL
	Target  string        // what To stands for, as the user wrote it; may be empty
	From    string        // pod/NS/NAME or node/NAME
	Cell    string        // of a table of contrasts; may be empty
	Place   Place         //
	Root    string        // folder whose etc/resolv.conf is used: /proc/<pid>/root; default /
	Count   int           // repetitions; 0 is the kind's own number
	Timeout time.Duration // of one try; 0 is the kind's own
	EDNS    int           // dns: bytes that an answer over UDP may have; 0 sends no EDNS
	TCP     bool          // dns: over TCP from the start
	After   time.Duration // from Options.Ready
}

// Place is a network namespace.
type Place struct {
	NetnsPath string // /proc/<pid>/ns/net; empty for the own one
	Netns     uint64 // inode that it must have; 0 is not checked
}

// Options of [New].
type Options struct {
	Node  string
	Specs []Spec
	Ready <-chan struct{} // probes wait until it is closed; may be nil
}

// New returns the collector that runs the probes and hands their rows to
// [collector.Output.Observe]. Results have the source "probe/<kind>/<from>".
func New(o Options) collector.Collector { return &group{o} }

type group struct{ Options }

func (g *group) Name() string { return "node/" + g.Node }

func (g *group) Collect(ctx context.Context, out *collector.Output) error {
	if !supported {
		return fmt.Errorf("%w: probes need Linux", collector.ErrUnsupported)
	}
	if g.Ready != nil {
		select {
		case <-g.Ready:
		case <-ctx.Done():
		}
	}
	ready := time.Now()
	meter := newMeter(maxPackets, maxBytes, packetRate)
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxParallel)
	for i, s := range g.Specs {
		if i == MaxSpecs {
			out.Record(collector.Result{Source: g.Name(), Status: collector.StatusOverBudget,
				Reason: fmt.Sprintf("%d probes of this node were not sent: at most %d are", len(g.Specs)-i, MaxSpecs)})
			break
		}
		wg.Go(func() {
			if pause(ctx, time.Until(ready.Add(s.After))) == nil {
				slots <- struct{}{}
				defer func() { <-slots }()
			}
			g.one(ctx, s, i, meter, out)
		})
	}
	wg.Wait()
	return nil
}

// one runs a probe: first the action is told, then what came of it.
func (g *group) one(ctx context.Context, s Spec, i int, meter *meter, out *collector.Output) {
	start := time.Now()
	result := collector.Result{Source: "probe/" + s.Kind + "/" + s.From}
	k, known := kinds()[s.Kind]
	err := context.Cause(ctx)
	if err == nil && !known {
		err = fmt.Errorf("%w: a probe of the kind %q", collector.ErrUnsupported, s.Kind)
	}
	if err == nil {
		head := Head{Time: start.UTC(), Node: g.Node, Action: i, From: s.From, Netns: s.Place.Netns, Target: s.Target, Cell: s.Cell}
		act := actionOf(s, head)
		out.Observe(collector.ActionKind, act)
		ctx, cancel := context.WithTimeoutCause(ctx, k.limit, fmt.Errorf("more than the %s that a %s probe may take", k.limit, s.Kind))
		defer cancel()
		p := &prober{spec: s.withDefaults(k), head: head, meter: meter, out: out}
		err = p.run(ctx, k)
		act.Time, act.Ended, act.Packets, act.Bytes = time.Now().UTC(), true, p.packets.Load(), p.bytes.Load()
		out.Observe(collector.ActionKind, act)
	}
	result.Status, result.Millis = collector.StatusOf(err), time.Since(start).Milliseconds()
	if err != nil {
		result.Reason = fmt.Sprintf("action %d: %v", i, err)
	}
	out.Record(result)
}

// kind is how one kind of probe is run.
type kind struct {
	run     func(*prober, context.Context) error
	limit   time.Duration // for all of it
	count   int
	timeout time.Duration
}

func kinds() map[string]kind {
	return map[string]kind{
		"dns":  {(*prober).dns, 2 * time.Minute, 5, 0},
		"tcp":  {(*prober).tcp, time.Minute, 3, 3 * time.Second},
		"mtu":  {(*prober).mtu, 90 * time.Second, 2, 700 * time.Millisecond},
		"path": {(*prober).path, 90 * time.Second, 2, time.Second},
		"http": {(*prober).http, time.Minute, 1, 15 * time.Second},
	}
}

func (s Spec) withDefaults(k kind) Spec {
	if s.Count <= 0 {
		s.Count = k.count
	}
	if s.Timeout <= 0 {
		s.Timeout = k.timeout
	}
	if s.Root == "" {
		s.Root = "/"
	}
	return s
}

// prober is one running probe.
type prober struct {
	spec  Spec
	head  Head
	meter *meter
	out   *collector.Output

	packets, bytes atomic.Int64
}

func (p *prober) run(ctx context.Context, k kind) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	err = k.run(p, ctx)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// observe hands out a row.
func (p *prober) observe(row any) { p.out.Observe(p.spec.Kind, row) }

// now is the head of a row that is made now.
func (p *prober) now() Head {
	h := p.head
	h.Time = time.Now().UTC()
	return h
}

// spend must be asked before a packet goes out.
func (p *prober) spend(ctx context.Context, bytes int) error {
	if err := p.meter.spend(ctx, bytes); err != nil {
		return err
	}
	p.packets.Add(1)
	p.bytes.Add(int64(bytes))
	return nil
}

// meter bounds what all probes of a node send together.
type meter struct {
	mu             sync.Mutex
	packets, bytes int
	gap            time.Duration
	next           time.Time
}

func newMeter(packets, bytes, rate int) *meter {
	return &meter{packets: packets, bytes: bytes, gap: time.Second / time.Duration(rate)}
}

var errSpent = errors.New("the probes of this node have sent as much as they may")

func (m *meter) spend(ctx context.Context, bytes int) error {
	m.mu.Lock()
	if m.packets--; m.packets < 0 || m.bytes < bytes {
		m.mu.Unlock()
		return fmt.Errorf("%w: %w", collector.ErrOverBudget, errSpent)
	}
	m.bytes -= bytes
	now := time.Now()
	if m.next.Before(now.Add(-20 * m.gap)) { // a little burst, then the rate
		m.next = now.Add(-20 * m.gap)
	}
	m.next = m.next.Add(m.gap)
	wait := m.next.Sub(now)
	m.mu.Unlock()
	return pause(ctx, wait)
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
