package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// maxNamespaces bounds the network namespaces read on one machine.
const maxNamespaces = 1000

// errPartial marks data that was kept although something is missing in it.
var errPartial = errors.New("incomplete")

// gatherer is one run over the machine.
type gatherer struct {
	o      Options
	out    *collector.Output
	spaces []Netns
	owners socketOwners // of the running sample
	buf    []byte       // reused by readFile
	maps   [][]byte     // memory of buf
	parts  kernelParts  // nil until asked for
	stuck  int          // file systems that did not answer
}

// Collect implements [collector.Collector].
func (n *node) Collect(ctx context.Context, out *collector.Output) error {
	g := &gatherer{o: n.o, out: out}
	defer g.release()
	procs, err := scanProcesses(g.o.ProcRoot)
	if err != nil {
		return classify(err)
	}
	own, err := hostNamespace(g.o.ProcRoot)
	if own == 0 {
		return classify(err)
	}
	if err != nil {
		g.record("", collector.StatusSkipped, "the namespace of process 1 is not readable, this process's own is taken for the node's: "+err.Error(), 0, time.Now())
	}
	g.reportDenied(procs)
	g.spaces = g.addMounted(ctx, groupNamespaces(procs, own, g.o.Pods))
	if len(g.spaces) > maxNamespaces {
		g.record("", collector.StatusPartial, fmt.Sprintf("%d network namespaces, the first %d are read", len(g.spaces), maxNamespaces), 0, time.Now())
		g.spaces = g.spaces[:maxNamespaces]
	}
	g.reportUnfound()
	samples := g.samples(ctx, procs)
	g.stream(ctx, g.path("kmsg.ndjson"), g.kmsg)
	g.logs(ctx)
	g.describe(samples)
	if ctx.Err() != nil {
		return fmt.Errorf("%w: cut short after %d of %d samples: %w", collector.ErrOverBudget, len(samples), g.o.Samples, context.Cause(ctx))
	}
	return nil
}

// samples takes all samples, each over all namespaces.
func (g *gatherer) samples(ctx context.Context, procs []process) []sampleTime {
	var samples []sampleTime
	for k := range g.o.Samples {
		if k > 0 && !sleepUntil(ctx, samples[0].Wall.Add(time.Duration(k)*g.o.Interval)) {
			break
		}
		samples = append(samples, g.now(k))
		if g.wantsSockets(k) {
			g.owners = findSocketOwners(ctx, g.o.ProcRoot, g.owners.byInode)
		}
		for i, ns := range g.spaces {
			if ctx.Err() != nil {
				return samples
			}
			g.out.Progress(collector.Progress{Phase: "nodes", Done: k*len(g.spaces) + i, Total: g.o.Samples * len(g.spaces), Note: g.o.Node})
			g.sample(ctx, ns, k)
		}
		if k == 0 {
			g.once(ctx, procs)
		} else {
			g.stream(ctx, g.path(fmt.Sprintf("%d/processes.ndjson", k)), func(enc *json.Encoder) error { return writeProcessCounters(ctx, enc, g.o.ProcRoot) })
		}
	}
	g.out.Progress(collector.Progress{Phase: "nodes", Done: len(samples) * len(g.spaces), Total: g.o.Samples * len(g.spaces), Note: g.o.Node})
	return samples
}

func (g *gatherer) now(k int) sampleTime {
	return sampleTime{K: k, Wall: time.Now().Round(0).UTC(), Monotonic: float64(monotonicUsec()) / 1e6}
}

func monotonicUsec() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano() / 1000
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(t)):
		return true
	}
}

// wantsSockets says whether the sockets of any namespace are wanted, whose
// owners are told from all the files of all processes.
func (g *gatherer) wantsSockets(k int) bool {
	return slices.ContainsFunc(g.spaces, func(ns Netns) bool {
		at := g.prefix(ns, k) + "net/"
		return g.o.Only.Wants(at+"sockets.ndjson") || g.o.Only.Wants(at+"unix.ndjson") || g.o.Only.Wants(at+"packet.ndjson")
	})
}

// sample reads one namespace once.
func (g *gatherer) sample(ctx context.Context, ns Netns, k int) {
	prefix := g.prefix(ns, k)
	if !g.o.Only.WantsBelow(prefix) {
		return
	}
	collector.OnOwnThread(func() {
		start := time.Now()
		if err := enter(g.o.ProcRoot, ns); err != nil {
			status := collector.StatusOf(classify(err))
			if errors.Is(err, errGone) {
				status = collector.StatusSkipped
			}
			g.record(prefix, status, err.Error(), 0, start)
			return
		}
		g.inNamespace(ctx, ns, prefix, k > 0)
	})
}

// inNamespace runs every source; the calling thread is in the namespace. again
// says that this is not the first sample.
func (g *gatherer) inNamespace(ctx context.Context, ns Netns, prefix string, again bool) {
	g.rawFiles(ctx, prefix+"proc/net", g.o.ProcRoot+"/thread-self/net", netFiles(ns.Host))
	g.sysctls(ctx, prefix+"proc/sys/net", g.o.ProcRoot+"/sys/net", again)
	g.tables(ctx, ns, prefix+"net/", again)
	g.netfilter(ctx, prefix+"net/", ns.Host, again)
	g.sockets(ctx, prefix+"net/")
	g.conntrack(ctx, prefix+"net/", again)
	if ns.Host {
		g.hostSample(ctx, prefix, again)
	}
}

func (g *gatherer) path(name string) string { return "nodes/" + g.o.Node + "/" + name }

func (g *gatherer) prefix(ns Netns, k int) string {
	if ns.Host {
		return g.path(fmt.Sprintf("%d/", k))
	}
	return g.path(fmt.Sprintf("netns/%d/%d/", ns.Inode, k))
}

func (g *gatherer) record(path string, status collector.Status, reason string, bytes int64, start time.Time) {
	g.out.Record(collector.Result{Source: "node/" + g.o.Node, Path: path, Status: status, Reason: reason, Bytes: bytes, Millis: time.Since(start).Milliseconds()})
}

// reportDenied tells that namespaces may be missing.
func (g *gatherer) reportDenied(procs []process) {
	denied := 0
	for _, p := range procs {
		if p.denied {
			denied++
		}
	}
	if denied > 1 { // process 1 alone may be out of reach, and is told of
		g.record(g.path("netns"), collector.StatusDenied, fmt.Sprintf("the network namespaces of %d of %d processes may not be read (that needs CAP_SYS_PTRACE), so that some may be missing", denied, len(procs)), 0, time.Now())
	}
}

// reportUnfound names the pods of the plan that have no namespace here.
func (g *gatherer) reportUnfound() {
	found := map[string]bool{}
	for _, ns := range g.spaces {
		found[ns.PodUID] = true
	}
	for _, p := range g.o.Pods {
		if !p.HostNet && !found[p.UID] {
			g.record("", collector.StatusSkipped, fmt.Sprintf("pod %s/%s has no process here (ended, or not started yet), so no network namespace", p.Namespace, p.Name), 0, time.Now())
		}
	}
}

// describe writes node.json; it comes last, since it holds the samples' times.
func (g *gatherer) describe(samples []sampleTime) {
	start := time.Now()
	b, err := json.Marshal(g.machine(samples))
	var n int64
	if err == nil {
		n, err = g.out.Store(g.path("node.json"), collector.ClassNodes, bytes.NewReader(b))
	}
	g.recordErr(g.path("node.json"), err, n, start)
}

func (g *gatherer) recordErr(path string, err error, n int64, start time.Time) {
	err = classify(err)
	status, reason := collector.StatusOf(err), ""
	if errors.Is(err, errPartial) {
		status = collector.StatusPartial
	}
	if err != nil {
		reason = err.Error()
	}
	g.record(path, status, reason, n, start)
}

// stream stores the rows that fill writes, without holding them in memory.
// An errPartial from fill keeps them; any other error drops the entry.
func (g *gatherer) stream(ctx context.Context, path string, fill func(*json.Encoder) error) {
	if g.o.Only.Wants(path) {
		g.storeRows(ctx, path, fill)
	}
}

// storeRows is stream for a file that is needed for others that are wanted.
func (g *gatherer) storeRows(ctx context.Context, path string, fill func(*json.Encoder) error) {
	p, err := g.pipe(ctx, path, collector.ClassNodes, func(w io.Writer) error { return fillRows(w, fill) })
	g.recordErr(path, err, p.bytes, p.start)
}

// piped says what became of a stream.
type piped struct {
	bytes int64
	start time.Time
}

// pipe stores what fill writes, as stream does, and leaves the result to the
// caller.
func (g *gatherer) pipe(ctx context.Context, path string, class collector.Class, fill func(io.Writer) error) (piped, error) {
	p := piped{start: time.Now()}
	if ctx.Err() != nil {
		return p, context.Cause(ctx)
	}
	pr, pw := io.Pipe()
	var stored error
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.bytes, stored = g.out.Store(path, class, pr)
		pr.CloseWithError(errors.Join(stored, io.ErrClosedPipe)) // a sink that failed stops reading
	}()
	filled := fill(pw)
	if errors.Is(filled, errPartial) {
		pw.Close()
	} else {
		pw.CloseWithError(filled) // nil is a clean end
	}
	<-done
	if stored == nil || filled != nil && !errors.Is(filled, io.ErrClosedPipe) {
		stored = filled // partial, or none, or the cause
	}
	return p, stored
}

func fillRows(w io.Writer, fill func(*json.Encoder) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	bw := bufio.NewWriterSize(w, 32<<10)
	enc := json.NewEncoder(bw)
	enc.SetEscapeHTML(false)
	if err = fill(enc); err != nil && !errors.Is(err, errPartial) {
		return err
	}
	if flushed := bw.Flush(); flushed != nil {
		return flushed
	}
	return err
}

// classify gives an error of the kernel the meaning that decides its status.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: %w", collector.ErrDenied, err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: %w", collector.ErrUnsupported, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", collector.ErrOverBudget, err)
	default:
		return err
	}
}
