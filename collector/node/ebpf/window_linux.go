package ebpf

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// probe is one program that counts.
type probe struct {
	name, tracepoint string
	keySize          uint32
	build            func(l layout, counts, lost int) asm.Instructions

	counts, lost *ebpf.Map
	program      *ebpf.Program
	link         link.Link
}

func probes() []*probe {
	return []*probe{
		{name: "drops", tracepoint: "kfree_skb", keySize: dropKeySize, build: drops},
		{name: "retransmits", tracepoint: "tcp_retransmit_skb", keySize: flowKeySize, build: retransmits},
		{name: "resets-sent", tracepoint: "tcp_send_reset", keySize: flowKeySize, build: resetsSent},
		{name: "resets-received", tracepoint: "tcp_receive_reset", keySize: flowKeySize, build: resetsReceived},
		{name: "tcpstates", tracepoint: "inet_sock_set_state", keySize: stateKeySize, build: states},
	}
}

// Collect implements [collector.Collector].
func (w *window) Collect(ctx context.Context, out *collector.Output) error {
	started := func() {}
	if w.o.Started != nil {
		started = w.o.Started
	}
	defer func() { started() }()
	k, err := findKernel()
	if err != nil {
		return fmt.Errorf("watch kernel events: %w", err)
	}
	_ = rlimit.RemoveMemlock() // before Linux 5.11 maps count against it; else loading says what is wrong
	run := &run{w: w, k: k, out: out, row: windowRow{Start: time.Now().UTC()}}
	all := probes()
	defer func() {
		for _, p := range all {
			p.close()
		}
	}()
	var last error
	counting := 0
	for _, p := range all {
		if err := p.start(k); err != nil {
			last = err
			run.row.Programs = append(run.row.Programs, programRow{Name: p.name, Tracepoint: p.tracepoint, Reason: err.Error()})
			continue
		}
		counting++
		run.row.Programs = append(run.row.Programs, programRow{Name: p.name, Tracepoint: p.tracepoint, Counting: true})
	}
	if counting == 0 {
		return fmt.Errorf("watch kernel events: %w", last)
	}
	begin := time.Now()
	started()
	started = func() {}
	run.wait(ctx)
	for _, p := range all {
		p.stop()
	}
	run.row.Millis = time.Since(begin).Milliseconds()
	return run.store(ctx, all)
}

// start makes the maps, loads the program and lets it count.
func (p *probe) start(k *kernel) (err error) {
	if err := k.lacks[p.tracepoint]; err != nil {
		return err
	}
	defer func() {
		if err != nil {
			p.close()
			err = fmt.Errorf("%s: %w", p.tracepoint, refused(err))
		}
	}()
	if p.counts, err = ebpf.NewMap(&ebpf.MapSpec{Name: "casefile", Type: ebpf.Hash, KeySize: p.keySize, ValueSize: valueSize, MaxEntries: maxRows}); err != nil {
		return err
	}
	if p.lost, err = ebpf.NewMap(&ebpf.MapSpec{Name: "casefile_lost", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}); err != nil {
		return err
	}
	p.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "casefile", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: p.tracepoint,
		License: "GPL", Instructions: p.build(k.layout, p.counts.FD(), p.lost.FD())})
	if err != nil {
		return err
	}
	p.link, err = link.AttachTracing(link.TracingOptions{Program: p.program})
	return err
}

// refused gives an error of the kernel the meaning that decides its status.
func refused(err error) error {
	switch {
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: %w", collector.ErrUnsupported, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, and a kernel that is not locked down: %w", collector.ErrDenied, err)
	}
	return err
}

// stop takes the program from its tracepoint; what it counted stays.
func (p *probe) stop() {
	if p.link != nil {
		_ = p.link.Close()
		p.link = nil
	}
}

func (p *probe) close() {
	p.stop()
	if p.program != nil {
		_ = p.program.Close()
	}
	for _, m := range []*ebpf.Map{p.counts, p.lost} {
		if m != nil {
			_ = m.Close()
		}
	}
	p.program, p.counts, p.lost = nil, nil, nil
}

// run is one window.
type run struct {
	w     *window
	k     *kernel
	out   *collector.Output
	row   windowRow
	clock clock
}

func (r *run) wait(ctx context.Context) {
	t := time.NewTimer(r.w.o.Window)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// store reads the maps and writes the files.
func (r *run) store(ctx context.Context, all []*probe) error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return err
	}
	r.clock = clock{wall: time.Now(), mono: ts.Nano()}
	for _, file := range []struct {
		name string
		fill func([]*probe) ([]byte, error)
	}{{"drops", r.dropRows}, {"retransmits", r.retransmitRows}, {"resets", r.resetRows}, {"tcpstates", r.stateRows}} {
		r.file(ctx, file.name, all, file.fill)
	}
	b, err := json.Marshal(r.row)
	if err != nil {
		return err
	}
	return r.put("ebpf.json", append(b, '\n'), time.Now(), ctx.Err() != nil, "")
}

// file writes the rows of the probes whose names begin with name.
func (r *run) file(ctx context.Context, name string, all []*probe, fill func([]*probe) ([]byte, error)) {
	start := time.Now()
	var counting []*probe
	var why []string
	var lost uint64
	for i, p := range all {
		if !strings.HasPrefix(p.name, name) {
			continue
		}
		if p.counts == nil {
			why = append(why, r.row.Programs[i].Reason)
			continue
		}
		counting = append(counting, p)
		_ = p.lost.Lookup(uint32(0), &r.row.Programs[i].Lost) // of an array: always there
		lost += r.row.Programs[i].Lost
	}
	path := "nodes/" + r.w.o.Node + "/" + name + ".ndjson"
	if len(counting) == 0 {
		r.out.Record(collector.Result{Source: r.w.Name(), Path: path, Status: collector.StatusSkipped, Reason: strings.Join(why, "; ")})
		return
	}
	text, err := fill(counting)
	if err != nil {
		r.out.Record(collector.Result{Source: r.w.Name(), Path: path, Status: collector.StatusFailed, Reason: err.Error()})
		return
	}
	if lost > 0 {
		why = append(why, fmt.Sprintf("%d events more than there was room for", lost))
	}
	_ = r.put(name+".ndjson", text, start, ctx.Err() != nil, strings.Join(why, "; ")) // recorded
}

func (r *run) put(name string, text []byte, start time.Time, cut bool, why string) error {
	path := "nodes/" + r.w.o.Node + "/" + name
	n, err := r.out.Store(path, collector.ClassNodes, bytes.NewReader(text))
	res := collector.Result{Source: r.w.Name(), Path: path, Status: collector.StatusOf(err), Reason: why, Bytes: n, Millis: time.Since(start).Milliseconds()}
	switch {
	case err != nil:
		res.Reason = err.Error()
	case cut:
		res.Status, res.Reason = collector.StatusPartial, strings.TrimPrefix(why+"; ", "; ")+fmt.Sprintf("cut short after %d ms", r.row.Millis)
	case why != "":
		res.Status = collector.StatusPartial
	}
	r.out.Record(res)
	return err
}

// each hands every entry of a probe's map to fn.
func (r *run) each(p *probe, fn func(key []byte, s seen) error) error {
	key, value := make([]byte, p.keySize), make([]byte, valueSize)
	it := p.counts.Iterate()
	for it.Next(&key, &value) {
		s, err := r.clock.seen(value)
		if err != nil {
			return err
		}
		if err := fn(key, s); err != nil {
			return err
		}
		r.tally(p.name, s)
	}
	return it.Err()
}

func (r *run) tally(name string, s seen) {
	for i := range r.row.Programs {
		if r.row.Programs[i].Name == name {
			r.row.Programs[i].Rows++
			r.row.Programs[i].Events += s.Count
		}
	}
}

func (r *run) dropRows(ps []*probe) ([]byte, error) {
	var keys []dropKey
	var addrs []uint64
	for _, p := range ps {
		err := r.each(p, func(b []byte, s seen) error {
			k, err := parseDropKey(b)
			k.row.seen = s
			keys, addrs = append(keys, k), append(addrs, k.location)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	names := map[uint64]string{}
	if f, err := os.Open(r.w.o.ProcRoot + "/kallsyms"); err == nil {
		names, _ = symbols(f, addrs) // without it rows lack the place
		f.Close()
	}
	rows := make([]dropRow, len(keys))
	for i, k := range keys {
		rows[i] = k.row
		rows[i].Location, rows[i].Reason = names[k.location], reasonName(k.reason, r.k.drops)
	}
	return encode(rows, func(d dropRow) (seen, string) {
		return d.seen, fmt.Sprint(d.Reason, d.Location, d.Netns, d.Index, d.Protocol)
	})
}

func (r *run) retransmitRows(ps []*probe) ([]byte, error) { return r.flows(ps, nil) }

func (r *run) resetRows(ps []*probe) ([]byte, error) { return r.flows(ps, r.k.resets) }

func (r *run) flows(ps []*probe, reasons map[uint32]string) ([]byte, error) {
	var rows []flowRow
	for _, p := range ps {
		err := r.each(p, func(b []byte, s seen) error {
			row, reason, err := parseFlowKey(b)
			if row.seen = s; reason != 0 {
				row.Reason = reasonName(reason, reasons)
			}
			rows = append(rows, row)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return encode(rows, func(f flowRow) (seen, string) {
		return f.seen, fmt.Sprint(f.Netns, f.Src, f.Sport, f.Dst, f.Dport, f.Direction, f.State)
	})
}

func (r *run) stateRows(ps []*probe) ([]byte, error) {
	var rows []stateRow
	for _, p := range ps {
		err := r.each(p, func(b []byte, s seen) error {
			row, err := parseStateKey(b)
			row.seen = s
			rows = append(rows, row)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return encode(rows, func(s stateRow) (seen, string) {
		return s.seen, fmt.Sprint(s.Netns, s.Addr, s.Port, s.Side, s.Old, s.New)
	})
}

// encode writes rows as lines, the most frequent first.
func encode[T any](rows []T, of func(T) (seen, string)) ([]byte, error) {
	slices.SortFunc(rows, func(a, b T) int {
		x, xs := of(a)
		y, ys := of(b)
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(xs, ys))
	})
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
