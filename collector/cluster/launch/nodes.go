package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

// NodesOptions of [Nodes].
type NodesOptions struct {
	Parallel int               // nodes at a time; default 10
	Timeout  time.Duration     // for one node, start included; default 10 minutes
	Skipped  map[string]string // nodes that are left out, and why; recorded as skipped
	// Ended hears of each node whose conversation came to its end record; may
	// be nil; called from several goroutines.
	Ended func(node string, end agent.End)
}

// endSlack is for the last frames of an agent whose time is over.
const endSlack = 5 * time.Second

// Nodes makes the collector that holds the conversations with the agents of
// all plans, one a node, through d: a [Launcher], or a replay. It records one
// result "node/<name>" for every plan. A d with Prepare and Finish methods
// like the Launcher's has them called before and after.
//
// Nodes that capture are dialed at once, however many they are, and get their
// plans together, when each is connected or has failed, or after half a minute: so
// captures begin within a round trip of each other and see the same packets.
func Nodes(d agent.Dialer, plans []agent.Plan, o NodesOptions) collector.Collector {
	if o.Parallel <= 0 {
		o.Parallel = 10
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Minute
	}
	c := &nodes{dialer: d, plans: plans, opts: o}
	for _, p := range plans {
		if len(p.Captures) > 0 {
			c.start.Add(1)
		}
	}
	return c
}

type nodes struct {
	dialer agent.Dialer
	plans  []agent.Plan
	opts   NodesOptions
	start  sync.WaitGroup // of the nodes that capture
}

// Name implements [collector.Collector].
func (c *nodes) Name() string { return "nodes" }

// Collect implements [collector.Collector].
func (c *nodes) Collect(ctx context.Context, out *collector.Output) (err error) {
	for name, why := range c.opts.Skipped {
		out.Record(collector.Result{Source: "node/" + name, Status: collector.StatusSkipped, Reason: why})
	}
	if len(c.plans) == 0 {
		return nil
	}
	if f, ok := c.dialer.(interface{ Finish(context.Context) error }); ok {
		defer func() { err = errors.Join(err, f.Finish(ctx)) }()
	}
	out.Progress(collector.Progress{Phase: "nodes", Total: len(c.plans)})
	if p, ok := c.dialer.(interface {
		Prepare(context.Context, []string) error
	}); ok {
		if err := p.Prepare(ctx, c.Names()); err != nil {
			return c.unprepared(out, err)
		}
	}
	c.fanOut(ctx, out)
	return nil
}

// Names lists the nodes of the plans, for who wants to Prepare the dialer first.
func (c *nodes) Names() []string {
	names := make([]string, len(c.plans))
	for i, p := range c.plans {
		names[i] = p.Node
	}
	return names
}

// unprepared records every node; the cause itself is the collector's error.
func (c *nodes) unprepared(out *collector.Output, err error) error {
	status, reason := collector.StatusOf(err), "no agent could be started; see the result of \"nodes\""
	if errors.Is(err, ErrDeclined) {
		status, reason, err = collector.StatusSkipped, ErrDeclined.Error(), nil
	}
	for _, p := range c.plans {
		out.Record(collector.Result{Source: "node/" + p.Node, Status: status, Reason: reason})
	}
	return err
}

// fanOut works on all nodes, some at a time.
func (c *nodes) fanOut(ctx context.Context, out *collector.Output) {
	var done atomic.Int64
	var wg sync.WaitGroup
	slots := make(chan struct{}, c.opts.Parallel)
	for _, plan := range c.plans {
		wg.Go(func() {
			if len(plan.Captures) > 0 {
				out.Record(c.one(ctx, out, plan, c.together()))
			} else {
				select {
				case slots <- struct{}{}:
					out.Record(c.one(ctx, out, plan, func(context.Context) {}))
					<-slots
				case <-ctx.Done():
					out.Record(collector.Result{Source: "node/" + plan.Node, Status: collector.StatusFailed,
						Reason: fmt.Sprintf("not started: %v", context.Cause(ctx))})
				}
			}
			out.Progress(collector.Progress{Phase: "nodes", Done: int(done.Add(1)), Total: len(c.plans), Note: plan.Node})
		})
	}
	wg.Wait()
}

// startLimit is how long nodes that capture wait for each other.
const startLimit = 30 * time.Second

// together returns what a node that captures calls when it is connected or
// has failed: it waits for the others.
func (c *nodes) together() func(context.Context) {
	var once sync.Once
	return func(ctx context.Context) {
		once.Do(func() {
			c.start.Done()
			all := make(chan struct{})
			go func() { c.start.Wait(); close(all) }()
			select {
			case <-all:
			case <-ctx.Done():
			case <-time.After(startLimit):
			}
		})
	}
}

// one holds the conversation with one node and returns its result.
func (c *nodes) one(ctx context.Context, out *collector.Output, plan agent.Plan, ready func(context.Context)) (res collector.Result) {
	start := time.Now()
	res = collector.Result{Source: "node/" + plan.Node}
	defer func() {
		if p := recover(); p != nil {
			res.Status, res.Reason = collector.StatusFailed, fmt.Sprintf("panic: %v", p)
		}
		res.Millis = time.Since(start).Milliseconds()
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Timeout, fmt.Errorf("more than the %s that a node may take", c.opts.Timeout))
	defer cancel()
	conn, err := c.dialer.Dial(ctx, plan.Node)
	if err != nil {
		stopped, stop := context.WithCancel(ctx)
		stop()
		ready(stopped) // nobody need wait for this one
		res.Status, res.Reason = collector.StatusOf(err), err.Error()
		return res
	}
	ready(ctx)
	if g, ok := conn.(interface{ Guest() bool }); ok {
		plan.Guest = g.Guest()
	}
	plan.TimeoutMS = fit(ctx, plan.TimeoutMS)
	counted := &counter{ReadWriteCloser: conn}
	end, err := agent.Converse(ctx, counted, plan, out)
	res.Bytes = counted.n.Load()
	if res.Status, res.Reason = outcome(err); plan.Guest && err == nil {
		res.Status, res.Reason = collector.StatusPartial, "read by a debug container, which sees the node's network but neither its processes and files nor the namespaces of its pods"
	}
	if err == nil && c.opts.Ended != nil {
		c.opts.Ended(plan.Node, end)
	}
	return res
}

// fit shortens an agent's own time-out so that it ends by itself, with what it
// has, before it is cut off.
func fit(ctx context.Context, millis int64) int64 {
	end, ok := ctx.Deadline()
	if !ok {
		return millis
	}
	left := max(time.Until(end)-endSlack, time.Second).Milliseconds()
	if millis <= 0 {
		return left
	}
	return min(millis, left)
}

// outcome is the status of a conversation: what broke off, or what the agent
// could not do all of, is partial; what cannot be believed has failed.
func outcome(err error) (collector.Status, string) {
	switch {
	case err == nil:
		return collector.StatusOK, ""
	case errors.Is(err, agent.ErrProtocol):
		return collector.StatusFailed, err.Error()
	case errors.Is(err, agent.ErrIncomplete), errors.Is(err, agent.ErrAgent):
		if s := collector.StatusOf(err); s != collector.StatusFailed {
			return s, err.Error()
		}
		return collector.StatusPartial, err.Error()
	default:
		return collector.StatusOf(err), err.Error()
	}
}

// counter counts what came from the node.
type counter struct {
	io.ReadWriteCloser
	n atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}
