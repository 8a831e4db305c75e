package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk"
)

// Socket is a row of net/sockets.ndjson.
type Socket struct {
	sdk.Place
	State    string `json:"state"`
	Src      string `json:"src"`
	Sport    int    `json:"sport"`
	Dst      string `json:"dst"`
	Dport    int    `json:"dport"`
	LastSent int64  `json:"lastDataSentMs"`
	LastRecv int64  `json:"lastDataRecvMs"`
}

// quiet is for how long nothing went either way, in milliseconds.
func (s Socket) quiet() int64 { return min(s.LastSent, s.LastRecv) }

// wires are the connections of PostgreSQL, by the pod in whose network
// namespace they end.
type wires struct {
	known map[string]bool              // pods whose namespace was found
	of    map[string][]sdk.Row[Socket] // by the pod's UID
	pods  map[string]sdk.Row[Pod]      // by IP
}

func wiresOf(in *sdk.Input) *wires {
	return sdk.Memo(in, "wires", func(in *sdk.Input) *wires {
		w := &wires{known: map[string]bool{}, of: map[string][]sdk.Row[Socket]{}, pods: map[string]sdk.Row[Pod]{}}
		type space struct {
			node  string
			inode uint64
		}
		owner := map[space]string{}
		for _, n := range nodesInput().All(in) {
			for _, ns := range n.V.Netns {
				if ns.PodUID != "" {
					owner[space{n.V.Name, ns.Inode}] = ns.PodUID
					w.known[ns.PodUID] = true
				}
			}
		}
		for _, s := range socketsInput().All(in) {
			if uid := owner[space{s.V.Node, s.V.Netns}]; uid != "" {
				w.of[uid] = append(w.of[uid], s)
			}
		}
		for _, p := range podsInput().All(in) {
			if p.V.Status.Phase != "Running" || p.V.Spec.HostNetwork { // a node's address is that of many, and of who comes through NAT
				continue
			}
			for _, ip := range p.V.Status.PodIPs {
				w.pods[ip.IP] = p
			}
		}
		return w
	})
}

// served are the connections that clients have to a pod.
func (w *wires) served(p Pod) []sdk.Row[Socket] {
	return slices.DeleteFunc(slices.Clone(w.of[p.Metadata.UID]), func(s sdk.Row[Socket]) bool { return s.V.Sport != port || s.V.State != "ESTAB" })
}

// clientsOf are those of them that take one of max_connections: the WAL senders
// of the cluster's own replicas have slots of their own.
func (w *wires) clientsOf(g group, p Pod) []sdk.Row[Socket] {
	return slices.DeleteFunc(w.served(p), func(s sdk.Row[Socket]) bool {
		from, ok := w.pods[s.V.Dst]
		return ok && from.V.Metadata.UID != p.Metadata.UID && from.V.Metadata.Labels[clusterLabel] == g.V.Metadata.Name && from.V.Metadata.Namespace == g.V.Metadata.Namespace
	})
}

// asks are the sockets from a pod to the port of PostgreSQL elsewhere, in
// whatever state: to the primary, or to the Service before it.
func (w *wires) asks(p Pod) []sdk.Row[Socket] {
	return slices.DeleteFunc(slices.Clone(w.of[p.Metadata.UID]), func(s sdk.Row[Socket]) bool {
		return s.V.Dport != port || s.V.Dst == s.V.Src || s.V.State == "LISTEN"
	})
}

// servedFrom are the connections that a pod has from another.
func (w *wires) servedFrom(p, from Pod) []sdk.Row[Socket] {
	return slices.DeleteFunc(w.served(p), func(s sdk.Row[Socket]) bool { return w.pods[s.V.Dst].V.Metadata.UID != from.Metadata.UID })
}

// client is who holds connections to a server.
type client struct {
	address string
	sockets []sdk.Row[Socket]
	idle    []sdk.Row[Socket] // of them, the quietest first
}

const idleAfter = 60_000 // milliseconds without a byte

// clients groups connections by who holds them, the greatest first.
func clients(sockets []sdk.Row[Socket]) []client {
	var list []client
	for _, s := range sockets {
		i := slices.IndexFunc(list, func(c client) bool { return c.address == s.V.Dst })
		if i < 0 {
			i = len(list)
			list = append(list, client{address: s.V.Dst})
		}
		list[i].sockets = append(list[i].sockets, s)
		if s.V.quiet() >= idleAfter {
			list[i].idle = append(list[i].idle, s)
		}
	}
	for _, c := range list {
		slices.SortStableFunc(c.idle, func(a, b sdk.Row[Socket]) int { return cmp.Compare(b.V.quiet(), a.V.quiet()) })
	}
	slices.SortFunc(list, func(a, b client) int {
		return cmp.Or(cmp.Compare(len(b.sockets), len(a.sockets)), cmp.Compare(a.address, b.address))
	})
	return list
}

// name is the pod at an address, or the address.
func (w *wires) name(address string) string {
	if p, ok := w.pods[address]; ok {
		return p.V.name()
	}
	return address
}

// top tells of the greatest clients.
func (w *wires) top(list []client) string {
	const shown = 3
	var parts []string
	for _, c := range list[:min(len(list), shown)] {
		parts = append(parts, fmt.Sprintf("%s %d (%d idle)", w.name(c.address), len(c.sockets), len(c.idle)))
	}
	return strings.Join(parts, ", ")
}

// cite gives some rows as evidence.
func cite[T any](rows []sdk.Row[T], most int) []sdk.Evidence {
	var list []sdk.Evidence
	for _, r := range rows[:min(len(rows), most)] {
		list = append(list, sdk.At(r.At))
	}
	return list
}
