package node

import (
	"strconv"
	"strings"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

const (
	conntrackHigh     = 80 // percent
	conntrackCritical = 95
	conntrackWindow   = 15 * time.Minute // how long before the last sample the kernel's log counts

	ctCount = "sysctl.net.netfilter.nf_conntrack_count"
	ctMax   = "sysctl.net.netfilter.nf_conntrack_max"
	ctDrop  = "nf_conntrack.drop"
	ctEarly = "nf_conntrack.early_drop"
)

func conntrackInput() sdk.CounterSource {
	return sdk.Counters("conntrack", ctCount, ctMax, ctDrop, ctEarly)
}

// ConntrackFull finds connection tables that are nearly full, or that have
// begun to refuse and evict.
func ConntrackFull() sdk.Rule {
	return sdk.Rule{
		ID: "node/conntrack-full", Severity: sdk.High, Layer: sdk.LayerNode,
		Text: map[string]sdk.Text{"en": conntrackFullEN(), "zh": conntrackFullZH()},
		Inputs: []sdk.Source{conntrackInput(), kernel.NodesInput(), sdk.Optional(kernel.KmsgInput()),
			sdk.Optional(kube.PodsInput())},
		Run: conntrackFull,
	}
}

// table is what is known of one connection table.
type table struct {
	space kernel.Space
	set   sdk.CounterSet
	full  []int64 // rows of the kernel's log that say it is full
	last  time.Time
}

func conntrackFull(in *sdk.Input, out *sdk.Reporter) error {
	machines := kernel.MachinesOf(in)
	var tables []*table
	index := map[kernel.Space]*table{}
	of := func(s kernel.Space) *table {
		if n, ok := index[s]; ok {
			return n
		}
		t := &table{space: s}
		index[s] = t
		tables = append(tables, t)
		return t
	}
	for _, set := range conntrackInput().Sets(in) {
		of(kernel.Space{Node: set.Node, Inode: set.Netns}).set = set
	}
	for k, at := range kernel.KmsgInput().RowsHaving(in, "table full") {
		inode, ok := ParseTableFull(k.Text)
		if sampled := machines.Sampled(k.Node); !ok || k.Time.IsZero() || sampled.IsZero() || sampled.Sub(k.Time) > conntrackWindow {
			continue
		}
		space, elsewhere := machines.Where(k.Node, inode)
		if elsewhere {
			continue // in the log of its own node, too
		}
		if t := of(space); len(t.full) < maxFull {
			t.full, t.last = append(t.full, at), k.Time
		}
	}
	for _, t := range tables {
		if f, ok := t.finding(machines); ok {
			out.Find(f)
		}
	}
	return nil
}

const maxFull = 3 // lines of the kernel's log that one finding cites

// ParseTableFull reads "nf_conntrack: table full, dropping packet", to which
// newer kernels add "in netns 4026532532"; inode is 0 without.
func ParseTableFull(text string) (inode uint64, ok bool) {
	_, rest, ok := strings.Cut(text, "nf_conntrack: table full")
	if !ok || !strings.HasSuffix(rest, ", dropping packet") {
		return 0, false
	}
	number := strings.TrimPrefix(strings.TrimSuffix(rest, ", dropping packet"), " in netns ")
	inode, _ = strconv.ParseUint(number, 10, 64)
	return inode, true
}

func (t *table) finding(machines *kernel.Machines) (sdk.Finding, bool) {
	count, _ := t.set.Last(ctCount)
	limit, limited := t.set.Last(ctMax)
	drop, _ := t.set.Delta(ctDrop)
	early, _ := t.set.Delta(ctEarly)
	percent := 0.0
	if limited && limit > 0 {
		percent = float64(count) * 100 / float64(limit)
	}
	f := sdk.Finding{Params: map[string]any{
		"count": count, "max": limit, "percent": int(percent), "drop": drop, "early": early,
		"seconds": kernel.Tenths(t.set.Values[ctDrop].Seconds), "node": t.space.Node, "lines": len(t.full), "when": t.last.UTC().Format(time.RFC3339),
	}}
	switch {
	case drop > 0:
		f.Variant, f.Severity = "dropping", sdk.Critical
	case len(t.full) > 0:
		f.Variant, f.Severity = "logged", sdk.Critical
	case percent >= conntrackCritical:
		f.Variant, f.Severity = "near-full", sdk.Critical
	case early > 0:
		f.Variant = "evicting"
	case percent >= conntrackHigh:
		f.Variant = "near-full"
	default:
		return f, false
	}
	var at int64
	f.Subject, f.Owner, at = machines.Who(t.space)
	f.Params["where"] = kernel.NameOf(f.Subject)
	f.Evidence = t.set.Evidence(append([]string{ctCount, ctMax}, t.set.Moved(ctDrop, ctEarly)...)...)
	for _, row := range t.full {
		f.Evidence = append(f.Evidence, sdk.At(row))
	}
	if at != 0 {
		f.Evidence = append(f.Evidence, sdk.At(at))
	}
	if !t.last.IsZero() {
		f.LastSeen = t.last.UTC().Format(time.RFC3339)
	}
	return f, true
}
