// Package underlay holds the rules about the network below pods and Services.
package underlay

import (
	"fmt"
	"slices"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

const (
	fragFails   = "Ip.FragFails"
	reasmFails  = "Ip.ReasmFails"
	unreachable = "Icmp.OutDestUnreachs"
	maxEvidence = 5
)

func fragmentInput() sdk.CounterSource {
	return sdk.Counters("fragments", fragFails, reasmFails, unreachable)
}

// MTUMismatch finds places on the way between nodes where a packet that a pod
// may send does not fit.
func MTUMismatch() sdk.Rule {
	return sdk.Rule{
		ID: "underlay/mtu-mismatch", Severity: sdk.High, Layer: sdk.LayerUnderlay,
		Text: map[string]sdk.Text{"en": mtuMismatchEN(), "zh": mtuMismatchZH()},
		Inputs: slices.Concat(kernel.LinksInput().Sources(), kernel.AddrsInput().Sources(), kernel.RoutesInput().Sources(),
			[]sdk.Source{kernel.NodesInput(), sdk.Optional(fragmentInput()), sdk.Optional(flowsInput()), sdk.Optional(kube.PodsInput())}),
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			w := &walk{machines: kernel.MachinesOf(in), net: readNetwork(in), captures: capturesOf(in),
				counters: map[string]sdk.CounterSet{}, out: out, blamed: map[string]bool{}}
			for _, set := range fragmentInput().Sets(in) {
				if set.Netns == 0 {
					w.counters[set.Node] = set
				}
			}
			w.veths()
			w.tunnels()
			w.segments()
			w.paths()
			w.errors()
			kernel.LinksInput().Check(in, out)
			kernel.AddrsInput().Check(in, out)
			kernel.RoutesInput().Check(in, out)
			return nil
		},
	}
}

// walk goes over the network and reports.
type walk struct {
	machines *kernel.Machines
	net      *network
	captures *captures
	counters map[string]sdk.CounterSet // of the nodes' own namespaces
	out      *sdk.Reporter
	blamed   map[string]bool // node and device that were reported
}

func (w *walk) blame(node, device string) { w.blamed[node+" "+device] = true }

// found reports something about a node's device; counters that moved make it
// certain.
func (w *walk) found(node, device string, f sdk.Finding) {
	if f.Subject.Kind == "" {
		f.Subject = sdk.Subject{Kind: "Node", Name: node, Node: node}
		f.Owner = fmt.Sprintf("Node %s device %s", node, device)
	}
	f.Params["node"], f.Params["device"] = node, device
	set := w.counters[node]
	ff, _ := set.Delta(fragFails)
	rf, _ := set.Delta(reasmFails)
	du, _ := set.Delta(unreachable)
	f.Params["fragFails"], f.Params["reasmFails"], f.Params["unreachables"] = ff, rf, du
	if ff+rf+du > 0 {
		f.Confidence = ""
		f.Evidence = append(f.Evidence, set.Evidence(set.Moved(fragFails, reasmFails, unreachable)...)...)
	}
	w.blame(node, device)
	w.out.Find(f)
}

// veths compares the two ends of every pod's cable.
func (w *walk) veths() {
	for _, space := range w.net.pods {
		for _, l := range w.net.spaces[space].links {
			if l.V.Kind != "veth" || !l.up() {
				continue
			}
			host := w.net.spaces[kernel.Space{Node: space.Node}]
			if host == nil {
				continue
			}
			peer, ok := host.link(l.V.Link)
			if !ok || peer.V.Kind != "veth" || peer.V.Link != l.V.Index || peer.V.MTU == l.V.MTU {
				continue
			}
			subject, owner, _ := w.machines.Who(space)
			w.found(space.Node, peer.V.Name, sdk.Finding{
				Variant: "veth", Subject: subject, Owner: owner,
				Params:   map[string]any{"pod": kernel.NameOf(subject), "inside": l.V.Name, "mtu": l.V.MTU, "other": peer.V.MTU},
				Evidence: []sdk.Evidence{sdk.At(l.At), sdk.At(peer.At)},
			})
		}
	}
}

// overheads of tunnels over IPv4 and IPv6, in bytes.
func overhead(kind string, v6 bool) (int, bool) {
	bytes, ok := map[string][2]int{"vxlan": {50, 70}, "geneve": {50, 70}, "ipip": {20, 20}, "sit": {20, 20},
		"gre": {24, 44}, "gretap": {38, 58}, "wireguard": {60, 80}}[kind]
	if v6 {
		return bytes[1], ok
	}
	return bytes[0], ok
}

// tunnels compares each tunnel with the device that carries it.
func (w *walk) tunnels() {
	for _, node := range w.net.nodes {
		host := w.net.spaces[kernel.Space{Node: node}]
		for _, l := range host.links {
			if !l.up() {
				continue
			}
			under, v6, sure := host.carrier(l)
			extra, tunnel := overhead(l.V.Kind, v6)
			if !tunnel || under == nil || under.V.MTU == 0 || l.V.MTU <= under.V.MTU-extra {
				continue
			}
			f := sdk.Finding{
				Variant:  "tunnel",
				Params:   map[string]any{"kind": l.V.Kind, "mtu": l.V.MTU, "under": under.V.Name, "underMTU": under.V.MTU, "overhead": extra, "fits": under.V.MTU - extra},
				Evidence: []sdk.Evidence{sdk.At(l.At), sdk.At(under.At)},
			}
			if !sure {
				f.Confidence = "medium"
			}
			w.blame(node, under.V.Name)
			w.found(node, l.V.Name, f)
		}
	}
}

// segments compares the devices of nodes that share a subnet.
func (w *walk) segments() {
	for _, s := range w.net.segments() {
		common := s.commonMTU()
		for _, m := range s.members {
			if m.link.V.MTU == common.link.V.MTU || w.blamed[m.node+" "+m.link.V.Name] {
				continue
			}
			f := sdk.Finding{
				Variant: "segment", Confidence: "medium",
				Peer:     &sdk.Subject{Kind: "Node", Name: common.node, Node: common.node},
				Params:   map[string]any{"subnet": s.prefix.String(), "mtu": m.link.V.MTU, "peer": common.node, "peerDevice": common.link.V.Name, "other": common.link.V.MTU},
				Evidence: []sdk.Evidence{sdk.At(m.link.At), sdk.At(m.addr), sdk.At(common.link.At), sdk.At(common.addr)},
			}
			switch pods := w.net.largestPodMTU(m.node, common.node); {
			case pods == 0:
				f.Severity = sdk.Medium // TCP between the nodes themselves agrees on the smaller one
			case pods <= min(m.link.V.MTU, common.link.V.MTU):
				f.Severity = sdk.Low // what pods send fits all the same
			}
			w.found(m.node, m.link.V.Name, f)
		}
	}
}

// paths compares what a node's pods may send with the way to the pods of
// every other node: the route's own MTU, or that of the device it leaves by.
func (w *walk) paths() {
	for _, node := range w.net.nodes {
		host, pod := w.net.spaces[kernel.Space{Node: node}], w.net.largestPod(node)
		if pod == nil || !host.narrow(pod.mtu) {
			continue
		}
		found := map[string]*sdk.Finding{}
		var order []string
		for _, peer := range w.net.nodes {
			if peer == node {
				continue
			}
			hop, ok := w.net.hop(host, peer)
			if !ok || hop.mtu() >= pod.mtu || hop.route.V.MTU == 0 && w.blamed[node+" "+hop.dev.V.Name] {
				continue
			}
			key := fmt.Sprintf("%s %d", hop.dev.V.Name, hop.mtu())
			if f := found[key]; f != nil {
				f.Affected = append(f.Affected, sdk.Subject{Kind: "Node", Name: peer, Node: peer})
				continue
			}
			found[key] = w.pathFinding(node, peer, pod, hop)
			order = append(order, key)
		}
		for _, key := range order {
			w.found(node, found[key].Params["device"].(string), *found[key])
		}
	}
}

func (w *walk) pathFinding(node, peer string, pod *podEnd, hop hop) *sdk.Finding {
	subject, _, _ := w.machines.Who(pod.space)
	f := &sdk.Finding{
		Variant: "path-device", Confidence: "medium",
		Peer: &sdk.Subject{Kind: "Node", Name: peer, Node: peer},
		Params: map[string]any{"mtu": pod.mtu, "pod": kernel.NameOf(subject), "peer": peer, "dst": hop.route.V.Dst,
			"other": hop.mtu(), "device": hop.dev.V.Name},
		Evidence: []sdk.Evidence{sdk.At(hop.route.At), sdk.At(hop.dev.At), sdk.At(pod.at)},
	}
	if hop.route.V.MTU != 0 && hop.route.V.MTU <= hop.dev.V.MTU {
		f.Variant = "path-route"
	}
	if said := w.cites(node, hop.mtu()); len(said) > 0 {
		f.Confidence, f.Evidence = "", append(f.Evidence, said...)
	}
	return f
}
