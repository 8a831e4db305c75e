package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/pin"
)

const (
	maxObjects  = 5000 // of each kind
	maxPins     = 5000
	maxKeys     = 200_000                // counted of one map
	mapPatience = 300 * time.Millisecond // counting one map
	allPatience = 3 * time.Second        // counting all
)

// bpf tells of the programs, maps and attachments in the kernel. Maps are
// opened to count their keys; no key or value is stored.
func (g *gatherer) bpf(ctx context.Context, enc *json.Encoder) error {
	w := bpfWalk{enc: enc, pins: g.pins(ctx)}
	w.counted, w.stop = context.WithTimeout(ctx, allPatience)
	defer w.stop()
	err := errors.Join(w.programs(ctx), w.maps(ctx), w.links())
	switch {
	case err != nil && w.rows > 0:
		return fmt.Errorf("%w: %w", errPartial, err)
	case err != nil:
		return fmt.Errorf("list what is loaded (that needs CAP_SYS_ADMIN): %w", err)
	case w.full:
		return fmt.Errorf("%w: more than %d of a kind", errPartial, maxObjects)
	}
	return nil
}

type bpfWalk struct {
	enc     *json.Encoder
	pins    map[string][]string // "map 5" → paths
	counted context.Context     //nolint:containedctx // the budget of all counting
	stop    context.CancelFunc
	rows    int
	full    bool
}

func (w *bpfWalk) write(row bpfRow) error {
	row.Pinned = w.pins[fmt.Sprint(row.Kind, " ", row.ID)]
	w.rows++
	return w.enc.Encode(row)
}

// each walks ids from next until there are no more.
func (w *bpfWalk) each(ctx context.Context, next func(uint32) (uint32, error), row func(uint32) (bpfRow, error)) error {
	id := uint32(0)
	for range maxObjects {
		var err error
		if id, err = next(id); errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r, err := row(id)
		if errors.Is(err, os.ErrNotExist) {
			continue // unloaded meanwhile
		}
		if err != nil {
			return err
		}
		if err := w.write(r); err != nil {
			return err
		}
	}
	w.full = true
	return nil
}

func (w *bpfWalk) programs(ctx context.Context) error {
	return w.each(ctx, func(id uint32) (uint32, error) {
		next, err := ebpf.ProgramGetNextID(ebpf.ProgramID(id))
		return uint32(next), err
	}, describeProgram)
}

func describeProgram(id uint32) (bpfRow, error) {
	row := bpfRow{Kind: "program", ID: id}
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return row, err
	}
	defer func() { _ = p.Close() }()
	info, err := p.Info()
	if err != nil {
		return row, err
	}
	row.Type, row.Name, row.Tag = info.Type.String(), printable(info.Name), info.Tag
	if after, ok := info.LoadTime(); ok {
		row.Loaded = after.Seconds()
	}
	if uid, ok := info.CreatedByUID(); ok {
		row.UID = uid
	}
	if maps, ok := info.MapIDs(); ok {
		for _, m := range maps {
			row.Maps = append(row.Maps, uint32(m))
		}
	}
	if stats, err := p.Stats(); err == nil { // zero unless kernel.bpf_stats_enabled
		row.Runs, row.RuntimeNsec, row.Missed = stats.RunCount, stats.Runtime.Nanoseconds(), stats.RecursionMisses
	}
	if bytes, ok := info.Memlock(); ok {
		row.Bytes = bytes
	}
	return row, nil
}

func (w *bpfWalk) maps(ctx context.Context) error {
	return w.each(ctx, func(id uint32) (uint32, error) {
		next, err := ebpf.MapGetNextID(ebpf.MapID(id))
		return uint32(next), err
	}, w.describeMap)
}

func (w *bpfWalk) describeMap(id uint32) (bpfRow, error) {
	row := bpfRow{Kind: "map", ID: id}
	m, err := ebpf.NewMapFromID(ebpf.MapID(id))
	if err != nil {
		return row, err
	}
	defer func() { _ = m.Close() }()
	info, err := m.Info()
	if err != nil {
		return row, err
	}
	row.Type, row.Name, row.KeySize, row.ValueSize, row.MaxEntries, row.Flags = info.Type.String(), printable(info.Name), info.KeySize, info.ValueSize, info.MaxEntries, info.Flags
	if bytes, ok := info.Memlock(); ok {
		row.Bytes = bytes
	}
	switch info.Type {
	case ebpf.LRUHash, ebpf.LRUCPUHash:
		row.LRU = true
	case ebpf.Hash, ebpf.PerCPUHash, ebpf.LPMTrie, ebpf.HashOfMaps:
	default:
		return row, nil // arrays are always full, queues have no keys
	}
	row.Entries, row.Uncounted = w.count(m, info.MaxEntries)
	return row, nil
}

// count counts keys. A map that is written to meanwhile may begin again: more
// than it can hold is never told.
func (w *bpfWalk) count(m *ebpf.Map, most uint32) (*uint32, string) {
	deadline := time.Now().Add(mapPatience)
	n := uint32(0)
	var key any
	for n < most {
		next, err := m.NextKeyBytes(key)
		switch {
		case errors.Is(err, os.ErrPermission):
			return nil, "its keys may not be read"
		case err != nil && !errors.Is(err, ebpf.ErrKeyNotExist):
			return nil, printable(err.Error())
		case next == nil || err != nil:
			return &n, ""
		}
		n++
		key = next
		if n == maxKeys || n%256 == 0 && (time.Now().After(deadline) || w.counted.Err() != nil) {
			return &n, "counting stopped: at least as many"
		}
	}
	return &n, ""
}

// links are attachments that have an owner; older ones, by netlink or
// by cgroup, are not among them.
func (w *bpfWalk) links() error {
	it := new(link.Iterator)
	defer it.Close()
	for it.Next() {
		info, err := it.Link.Info()
		if err != nil {
			continue
		}
		if err := w.write(describeLink(uint32(it.ID), info)); err != nil {
			return err
		}
	}
	if err := it.Err(); err != nil && !errors.Is(err, ebpf.ErrNotSupported) {
		return err
	}
	return nil
}

func describeLink(id uint32, info *link.Info) bpfRow {
	row := bpfRow{Kind: "link", ID: id, Program: uint32(info.Program), Type: fmt.Sprint("type ", uint32(info.Type))}
	if x := info.XDP(); x != nil {
		row.Type, row.Ifindex = "xdp", x.Ifindex
	}
	if x := info.TCX(); x != nil {
		row.Type, row.Ifindex, row.Attach = "tcx", x.Ifindex, uint32(x.AttachType)
	}
	if x := info.Netkit(); x != nil {
		row.Type, row.Ifindex, row.Attach = "netkit", x.Ifindex, uint32(x.AttachType)
	}
	if x := info.Cgroup(); x != nil {
		row.Type, row.CgroupID, row.Attach = "cgroup", x.CgroupId, uint32(x.AttachType)
	}
	if x := info.NetNs(); x != nil {
		row.Type, row.Netns, row.Attach = "netns", uint64(x.NetnsInode), uint32(x.AttachType)
	}
	if x := info.Tracing(); x != nil {
		row.Type, row.Attach = "tracing", uint32(x.AttachType)
	}
	if x := info.RawTracepoint(); x != nil {
		row.Type, row.Tracepoint = "raw_tracepoint", printable(x.Name)
	}
	return row
}

// pins finds the paths of pinned objects.
func (g *gatherer) pins(ctx context.Context) map[string][]string {
	top := strings.TrimSuffix(g.o.Root, "/") + "/sys/fs/bpf"
	found := map[string][]string{}
	n := 0
	for p, err := range pin.WalkDir(top, &ebpf.LoadPinOptions{ReadOnly: true}) {
		if n++; err != nil || n > maxPins || ctx.Err() != nil {
			break
		}
		kind, id := "", uint32(0)
		switch o := p.Object.(type) {
		case *ebpf.Map:
			if info, err := o.Info(); err == nil {
				i, _ := info.ID()
				kind, id = "map", uint32(i)
			}
		case *ebpf.Program:
			if info, err := o.Info(); err == nil {
				i, _ := info.ID()
				kind, id = "program", uint32(i)
			}
		case link.Link:
			if info, err := o.Info(); err == nil {
				kind, id = "link", uint32(info.ID)
			}
		}
		if kind != "" {
			key := fmt.Sprint(kind, " ", id)
			found[key] = append(found[key], printable(strings.TrimPrefix(p.Path, strings.TrimSuffix(g.o.Root, "/"))))
		}
		_ = p.Object.Close() // only ours
	}
	return found
}

func printable(s string) string { return strings.ToValidUTF8(s, "?") }
