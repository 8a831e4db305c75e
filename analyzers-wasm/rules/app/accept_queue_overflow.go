package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

const (
	listenOverflows = "TcpExt.ListenOverflows"
	listenDrops     = "TcpExt.ListenDrops"
	somaxconn       = "sysctl.net.core.somaxconn"
)

func listenInput() sdk.CounterSource {
	return sdk.Counters("listen", listenOverflows, listenDrops)
}

func somaxconnInput() sdk.CounterSource { return sdk.Counters("somaxconn", somaxconn) }

// AcceptQueueOverflow finds servers that accept more slowly than clients
// connect, so that the kernel drops connections.
func AcceptQueueOverflow() sdk.Rule {
	return sdk.Rule{
		ID: "app/accept-queue-overflow", Severity: sdk.High, Layer: sdk.LayerApp,
		Text: map[string]sdk.Text{"en": acceptQueueEN(), "zh": acceptQueueZH()},
		Inputs: append(kernel.SocketsInput().Sources(), listenInput(), kernel.NodesInput(), sdk.Optional(somaxconnInput()),
			sdk.Optional(kube.PodsInput())),
		Run: acceptQueueOverflow,
	}
}

func acceptQueueOverflow(in *sdk.Input, out *sdk.Reporter) error {
	machines, sockets := kernel.MachinesOf(in), kernel.Listeners(in)
	limits := map[kernel.Space]sdk.CounterSet{}
	for _, s := range somaxconnInput().Sets(in) {
		limits[kernel.Space{Node: s.Node, Inode: s.Netns}] = s
	}
	counted := map[kernel.Space]sdk.CounterSet{}
	var spaces []kernel.Space
	once := false
	for _, set := range listenInput().Sets(in) {
		s := kernel.Space{Node: set.Node, Inode: set.Netns}
		counted[s] = set
		spaces = append(spaces, s)
		_, twice := set.Delta(listenOverflows)
		once = once || !twice
	}
	var uncounted []kernel.Space
	for s := range sockets {
		if _, ok := counted[s]; !ok {
			uncounted = append(uncounted, s)
		}
	}
	slices.SortFunc(uncounted, func(a, b kernel.Space) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Inode, b.Inode))
	})
	for _, s := range append(spaces, uncounted...) {
		if f, ok := overflow(machines, s, counted[s], limits[s], sockets[s]); ok {
			out.Find(f)
		}
	}
	if once {
		out.Unknown("the nodes were sampled once, so counters have no rate; collect with --samples 2", listenInput())
	}
	kernel.SocketsInput().Check(in, out)
	return nil
}

func overflow(machines *kernel.Machines, s kernel.Space, set, limit sdk.CounterSet, sockets []sdk.Row[kernel.Socket]) (sdk.Finding, bool) {
	overflows, _ := set.Delta(listenOverflows)
	drops, _ := set.Delta(listenDrops)
	full := fullQueues(sockets)
	if overflows <= 0 && drops <= 0 && len(full) == 0 {
		return sdk.Finding{}, false
	}
	f := sdk.Finding{Params: map[string]any{
		"overflows": overflows, "drops": drops, "seconds": kernel.Tenths(set.Values[listenOverflows].Seconds),
		"ports": "?", "somaxconn": "?", "node": s.Node,
	}}
	var at int64
	f.Subject, f.Owner, at = machines.Who(s)
	f.Params["where"] = kernel.NameOf(f.Subject)
	f.Params["namespace"], f.Params["name"] = f.Subject.Namespace, f.Subject.Name
	f.Evidence = set.Evidence(set.Moved(listenOverflows, listenDrops)...)
	if v, ok := limit.Last(somaxconn); ok {
		f.Params["somaxconn"] = v
		f.Evidence = append(f.Evidence, limit.Evidence(somaxconn)...)
	}
	switch {
	case overflows <= 0 && drops <= 0:
		f.Variant = "full"
	case overflows <= 0:
		f.Variant, f.Confidence = "drops", "medium"
	}
	if len(full) == 0 {
		full = fullest(sockets)
	}
	var ports []string
	for _, q := range full[:min(len(full), maxEvidence)] {
		f.Evidence = append(f.Evidence, sdk.At(q.At))
		ports = append(ports, fmt.Sprintf("%d (%s %d/%d)", q.V.Sport, cmp.Or(q.V.Comm, "?"), q.V.Rqueue, q.V.Wqueue))
	}
	if ports != nil {
		f.Params["ports"] = strings.Join(ports, ", ")
	}
	if at != 0 {
		f.Evidence = append(f.Evidence, sdk.At(at))
	}
	return f, true
}

// fullQueues are the listeners, one for each port, whose accept queue is over
// its backlog: the kernel takes one more than the backlog, then drops.
func fullQueues(sockets []sdk.Row[kernel.Socket]) []sdk.Row[kernel.Socket] {
	return pick(sockets, func(s kernel.Socket) bool { return s.Rqueue > s.Wqueue })
}

// fullest are the listeners with anything in their queue, which may have been
// full between the samples; all of them where there is just one.
func fullest(sockets []sdk.Row[kernel.Socket]) []sdk.Row[kernel.Socket] {
	waiting := pick(sockets, func(s kernel.Socket) bool { return s.Rqueue > 0 })
	if all := pick(sockets, func(kernel.Socket) bool { return true }); waiting == nil && len(all) == 1 {
		return all
	}
	return waiting
}

// pick keeps for each port the longest queue among those wanted, longest first.
func pick(sockets []sdk.Row[kernel.Socket], want func(kernel.Socket) bool) []sdk.Row[kernel.Socket] {
	var rows []sdk.Row[kernel.Socket]
	for _, s := range sockets {
		if !want(s.V) {
			continue
		}
		if i := slices.IndexFunc(rows, func(r sdk.Row[kernel.Socket]) bool { return r.V.Sport == s.V.Sport }); i < 0 {
			rows = append(rows, s)
		} else if s.V.Rqueue > rows[i].V.Rqueue {
			rows[i] = s
		}
	}
	slices.SortStableFunc(rows, func(a, b sdk.Row[kernel.Socket]) int { return cmp.Compare(b.V.Rqueue, a.V.Rqueue) })
	return rows
}
