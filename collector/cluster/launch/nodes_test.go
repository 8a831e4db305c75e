package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

// replay is a Dialer without a cluster: every node has its own behaviour.
type replay struct {
	nodes     map[string]func(context.Context, io.ReadWriteCloser) error
	prepare   error
	open, top atomic.Int64 // conversations now, and at most
	finished  atomic.Bool
}

func (d *replay) Prepare(context.Context, []string) error { return d.prepare }

func (d *replay) Finish(context.Context) error {
	d.finished.Store(true)
	return nil
}

func (d *replay) Dial(ctx context.Context, node string) (io.ReadWriteCloser, error) {
	serve := d.nodes[node]
	if serve == nil {
		return nil, fmt.Errorf("%w: no such node", ErrNode)
	}
	if n := d.open.Add(1); n > d.top.Load() {
		d.top.Store(n)
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	near := pipe{outR, inW, func() { inW.Close(); outR.Close() }}
	far := pipe{inR, outW, func() { outW.Close(); inR.Close() }}
	go func() {
		defer d.open.Add(-1)
		outW.CloseWithError(serve(ctx, far))
	}()
	return near, nil
}

type pipe struct {
	io.Reader
	io.Writer
	close func()
}

func (p pipe) Close() error { p.close(); return nil }

// good is an agent that works for d.
func good(d time.Duration) func(context.Context, io.ReadWriteCloser) error {
	return func(_ context.Context, c io.ReadWriteCloser) error {
		return agent.Serve(context.Background(), c, c, agent.Hello{}, func(ctx context.Context, p agent.Plan, s agent.Session) (agent.End, error) {
			select {
			case <-ctx.Done():
				return agent.End{}, errors.New("out of time")
			case <-time.After(d):
			}
			_, err := io.WriteString(s.Frames(), "frames of "+p.Node)
			return agent.End{}, err
		})
	}
}

func run(t *testing.T, ctx context.Context, d agent.Dialer, names []string, o NodesOptions) (*memory, map[string]collector.Result, []collector.Progress) {
	t.Helper()
	sink := &memory{}
	progress := make(chan collector.Progress, 1000)
	results := map[string]collector.Result{}
	for _, r := range collector.Run(ctx, sink, []collector.Collector{Nodes(d, plansFor(names, 0), o)}, collector.Options{Progress: func(p collector.Progress) { progress <- p }}) {
		if _, twice := results[r.Source]; twice {
			t.Errorf("%s was recorded twice", r.Source)
		}
		results[r.Source] = r
	}
	close(progress)
	var all []collector.Progress
	for p := range progress {
		all = append(all, p)
	}
	return sink, results, all
}

func TestNodesEachForItself(t *testing.T) {
	d := &replay{nodes: map[string]func(context.Context, io.ReadWriteCloser) error{
		"good": good(0),
		"slow": good(time.Minute),
		"mute": func(context.Context, io.ReadWriteCloser) error { return errors.New("exit code 1: no such file") },
		"other": func(_ context.Context, c io.ReadWriteCloser) error {
			_, err := io.WriteString(c, "PRETTY_NAME=\"Debian\"")
			return err
		},
	}}
	d.nodes["fails"] = func(_ context.Context, c io.ReadWriteCloser) error {
		return agent.Serve(context.Background(), c, c, agent.Hello{}, func(context.Context, agent.Plan, agent.Session) (agent.End, error) {
			return agent.End{}, errors.New("no /proc")
		})
	}
	start := time.Now()
	var ended atomic.Int64
	sink, results, progress := run(t, t.Context(), d, []string{"good", "slow", "mute", "other", "fails", "dead"},
		NodesOptions{Timeout: 7 * time.Second, Skipped: map[string]string{"left": "not chosen"}, Ended: func(string, agent.End) { ended.Add(1) }})
	if took := time.Since(start); took > 12*time.Second {
		t.Errorf("took %s", took)
	}
	for source, want := range map[string]struct {
		status collector.Status
		reason string
	}{
		"node/good":  {collector.StatusOK, ""},
		"node/slow":  {collector.StatusPartial, "out of time"},
		"node/mute":  {collector.StatusPartial, "no such file"},
		"node/other": {collector.StatusFailed, "agent protocol"},
		"node/fails": {collector.StatusPartial, "no /proc"},
		"node/dead":  {collector.StatusFailed, "no such node"},
		"node/left":  {collector.StatusSkipped, "not chosen"},
	} {
		if r := results[source]; r.Status != want.status || !strings.Contains(r.Reason, want.reason) {
			t.Errorf("%s: %+v", source, r)
		}
	}
	if sink.fragments["nodes/good"] != "frames of good" || results["node/good"].Bytes == 0 {
		t.Errorf("%v %+v", sink.fragments, results["node/good"])
	}
	if ended.Load() != 1 || !d.finished.Load() {
		t.Errorf("%d ended, finished %v", ended.Load(), d.finished.Load())
	}
	done := 0
	for _, p := range progress {
		if p.Phase != "nodes" || p.Total != 6 {
			t.Errorf("%+v", p)
		}
		done = max(done, p.Done)
	}
	if done != 6 {
		t.Errorf("%d done", done)
	}
}

func TestNodesBoundedParallelism(t *testing.T) {
	d := &replay{nodes: map[string]func(context.Context, io.ReadWriteCloser) error{}}
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("n%d", i))
		d.nodes[names[i]] = good(30 * time.Millisecond)
	}
	_, results, _ := run(t, t.Context(), d, names, NodesOptions{Parallel: 4})
	for _, n := range names {
		if results["node/"+n].Status != collector.StatusOK {
			t.Errorf("%+v", results["node/"+n])
		}
	}
	if top := d.top.Load(); top < 2 || top > 6 { // a conversation's goroutine may end a little late
		t.Errorf("%d at a time", top)
	}
}

func TestNodesCancelled(t *testing.T) {
	d := &replay{nodes: map[string]func(context.Context, io.ReadWriteCloser) error{"a": good(time.Minute), "b": good(time.Minute)}}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, results, _ := run(t, ctx, d, []string{"a", "b", "c"}, NodesOptions{Parallel: 1})
	if took := time.Since(start); took > 4*time.Second || len(results) != 3 || !d.finished.Load() {
		t.Errorf("took %s, %v", took, results)
	}
	for source, r := range results {
		if r.Status == collector.StatusOK || r.Reason == "" {
			t.Errorf("%s: %+v", source, r)
		}
	}
}

func TestNodesUnprepared(t *testing.T) {
	for _, c := range []struct {
		err         error
		node, whole collector.Status
	}{
		{fmt.Errorf("%w on node a: load it", ErrNoAgent), collector.StatusFailed, collector.StatusFailed},
		{denied("no rights"), collector.StatusDenied, collector.StatusDenied},
		{ErrDeclined, collector.StatusSkipped, ""},
	} {
		d := &replay{prepare: c.err}
		_, results, _ := run(t, t.Context(), d, []string{"a", "b"}, NodesOptions{})
		if results["node/a"].Status != c.node || results["node/b"].Status != c.node || results["nodes"].Status != c.whole {
			t.Errorf("%v: %+v", c.err, results)
		}
		if c.whole != "" && results["nodes"].Reason != c.err.Error() {
			t.Errorf("%q", results["nodes"].Reason)
		}
	}
}
