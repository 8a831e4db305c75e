package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/probe"
)

const (
	cellTries   = 3
	anyTries    = 6     // at a Service, which may choose another pod each time
	cellTimeout = 2_000 // ms
)

// pair is the two ends of --between, and the table of what is tried from A to
// B: a pod of A and the node it is on, to a pod of B on the same node and on
// another, by its address and by the Service, by address and by name.
type pair struct {
	texts  [2]string
	cells  []probe.Cell
	probes []placedProbe
	points []cluster.Point // where packets are captured
	hosts  []string        // addresses whose packets are captured
}

type placedProbe struct {
	node  string
	probe agent.Probe
}

// resolvePair finds both ends.
func resolvePair(ctx context.Context, k *cluster.Cluster, ends [2]cluster.EndSpec) (*pair, error) {
	var found [2]cluster.End
	for i, spec := range ends {
		end, err := k.ResolveEnd(ctx, spec)
		if err != nil {
			return nil, mistaken(ctx, "--between", err)
		}
		found[i] = end
	}
	nodes, err := k.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := k.Pods(ctx)
	if err != nil {
		return nil, err
	}
	return newPair(found[0], found[1], nodes, pods)
}

// newPair makes the table.
func newPair(a, b cluster.End, nodes []cluster.Node, pods map[string][]agent.Pod) (*pair, error) {
	t := &pair{texts: [2]string{a.Text, b.Text}}
	from := sourceOf(a, b, pods)
	if from.node == "" {
		return nil, usagef("--between %s: no pod of it runs", a.Text)
	}
	t.capture(cluster.Point{Node: from.node})
	if from.pod != nil {
		t.capture(cluster.Point{Node: from.node, Pod: from.pod})
	}
	for _, n := range nodes {
		if n.Name == from.node {
			t.host(n.IPs...)
		}
	}
	switch b.Kind {
	case "outside":
		t.outside(from, b, nodes)
	case "node":
		t.toNodes(from, b, nodes)
	default:
		if err := t.toPods(from, b); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// source is where connections go out: a pod's namespace, or the node's.
type source struct {
	node string
	pod  *agent.Pod // nil: none with a network of its own
	why  string     // then
}

func sourceOf(a, b cluster.End, pods map[string][]agent.Pod) source {
	if a.Kind == "node" {
		strangers := slices.DeleteFunc(slices.Clone(pods[a.Node]), func(p agent.Pod) bool {
			return slices.ContainsFunc(b.Members, func(m cluster.Member) bool { return m.Pod.UID == p.UID })
		})
		s := source{node: a.Node, pod: cmp.Or(somePod(strangers), somePod(pods[a.Node]))}
		if s.pod == nil {
			s.why = "no pod with a network of its own is on " + a.Node
		}
		return s
	}
	for i, m := range a.Members {
		if m.Pod.HostNet {
			return source{node: m.Node, why: "the pod uses the network of its node"}
		}
		if m.Ready || i == 0 && a.Kind == "pod" || i == len(a.Members)-1 {
			return source{node: m.Node, pod: &a.Members[i].Pod}
		}
	}
	return source{}
}

// toPods makes the cells to pods of b and its Service.
func (t *pair) toPods(from source, b cluster.End) error {
	same, other := choose(from, b.Members)
	for i, m := range []*cluster.Member{same, other} {
		place := places()[i]
		c := probe.Cell{Peer: place, Via: "pod-address", Target: b.Target()}
		src := from
		switch {
		case m == nil:
			c.Reason = fmt.Sprintf("%s has no pod on %s", b.Target(), []string{from.node, "another node than " + from.node}[i])
		case m.Port == 0:
			return usagef("--between %s: it names no port, and neither do its pods nor a service: say %s:PORT", b.Text, b.Target())
		case len(m.Pod.IPs) == 0:
			c.Reason = "the pod has no address"
		default:
			c.Target, c.Host, c.Port = "pod/"+m.Pod.Namespace+"/"+m.Pod.Name, m.Pod.IPs[0], m.Port
			if from.pod != nil && m.Pod.UID == from.pod.UID {
				src.pod, src.why = nil, "the only pod of B on this node is A itself"
			}
			t.captureMember(m)
		}
		t.add(src, c, "pod-"+strings.TrimSuffix(place, "-node"))
	}
	t.toService(from, b)
	return nil
}

// places are where the far end may be, seen from the near one.
func places() []string { return []string{"same-node", "other-node"} }

// choose finds a pod on the node of the source, and one on another; the source
// itself only when there is no other.
func choose(from source, members []cluster.Member) (same, other *cluster.Member) {
	itself := func(m *cluster.Member) bool { return m != nil && from.pod != nil && m.Pod.UID == from.pod.UID }
	for i := range members {
		m := &members[i]
		switch {
		case m.Node != from.node && other == nil:
			other = m
		case m.Node == from.node && (same == nil || itself(same)):
			same = m
		}
	}
	return same, other
}

func (t *pair) captureMember(m *cluster.Member) {
	t.capture(cluster.Point{Node: m.Node})
	if !m.Pod.HostNet {
		t.capture(cluster.Point{Node: m.Node, Pod: &m.Pod})
	}
	t.host(m.Pod.IPs...)
}

// toService makes the cells to the Service of b.
func (t *pair) toService(from source, b cluster.End) {
	address := probe.Cell{Peer: "any", Via: "service-address", Target: b.Target()}
	name := probe.Cell{Peer: "any", Via: "service-name", Target: b.Target()}
	if s := b.Service; s != nil {
		address.Target, address.Port = "service/"+s.Namespace+"/"+s.Name, s.Port
		name.Target, name.Port, name.Host = address.Target, s.Port, s.Name+"."+s.Namespace+".svc"
		if len(s.Addresses) > 0 {
			address.Host = s.Addresses[0]
			t.host(s.Addresses...)
		} else {
			address.Reason = "the service is headless: it has no address of its own"
		}
	} else {
		address.Reason = "no service leads to this pod and port"
		name.Reason = address.Reason
	}
	t.add(from, address, "service")
	t.add(from, name, "service-name")
}

// toNodes makes the cells to a port of b's node, the same port of A's own node
// and of another.
func (t *pair) toNodes(from source, b cluster.End, nodes []cluster.Node) {
	byName := map[string]cluster.Node{}
	other := ""
	for _, n := range nodes {
		byName[n.Name] = n
		if n.Name != from.node && n.Ready && other == "" {
			other = n.Name
		}
	}
	if b.Node != from.node {
		other = b.Node
	}
	for i, name := range []string{from.node, other} {
		place := places()[i]
		c := probe.Cell{Peer: place, Via: "node-address", Target: "node/" + name, Port: b.Port}
		if n := byName[name]; len(n.IPs) > 0 {
			c.Host = n.IPs[0]
			t.host(n.IPs...)
			t.capture(cluster.Point{Node: name})
		} else {
			c.Target, c.Reason = b.Target(), "there is no other node that is ready"
		}
		t.add(from, c, "node-"+strings.TrimSuffix(place, "-node"))
	}
}

// outside makes the cells to what is no part of the cluster, also from another
// node.
func (t *pair) outside(from source, b cluster.End, nodes []cluster.Node) {
	named := probe.Cell{Peer: "outside", Via: "name", Target: b.Text, Host: b.Name, Port: b.Port}
	plain := probe.Cell{Peer: "outside", Via: "address", Target: b.Text, Host: b.Name, Port: b.Port}
	if net.ParseIP(b.Name) != nil {
		named.Reason, named.Host = "B is given by its address", ""
		t.host(b.Name)
	} else {
		plain.Reason, plain.Host = "B is given by its name; what that resolved to stands in the rows of the name", ""
		t.hosts = append(t.hosts, "port "+strconv.Itoa(int(b.Port)))
	}
	t.add(from, plain, "address")
	t.add(from, named, "name")
	far := source{why: "there is no other node that is ready"}
	for _, n := range nodes {
		if n.Name != from.node && n.Ready {
			far = source{node: n.Name}
			break
		}
	}
	for _, c := range []probe.Cell{plain, named} {
		c.Peer = "outside-from-other-node"
		if c.Reason == "" && far.node == "" {
			c.Reason = far.why
		}
		t.cell(far, nil, "node", c, "other-node-"+c.Via)
	}
}

// add makes a cell from the pod, and one from its node.
func (t *pair) add(from source, c probe.Cell, id string) {
	fromPod := c
	if from.pod == nil && c.Reason == "" {
		fromPod.Reason = from.why
	}
	t.cell(from, from.pod, "pod", fromPod, "pod-to-"+id)
	t.cell(from, nil, "node", c, "node-to-"+id)
}

func (t *pair) cell(from source, pod *agent.Pod, kind string, c probe.Cell, id string) {
	c.ID, c.Source = id, kind
	var uid string
	c.From, uid = placeName(cluster.Point{Node: from.node, Pod: pod})
	if from.node == "" {
		c.From = ""
	}
	if c.Reason == "" {
		p := agent.Probe{Kind: "tcp", To: net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), Target: c.Target, From: c.From, PodUID: uid, Cell: id,
			Count: cellTries, TimeoutMS: cellTimeout}
		if c.Peer == "any" {
			p.Count = anyTries
		}
		if kind == "node" && c.Via == "service-name" && from.pod != nil {
			p.ResolvUID = from.pod.UID // a node's own resolver knows no names of the cluster
		}
		t.probes = append(t.probes, placedProbe{from.node, p})
	}
	t.cells = append(t.cells, c)
}

func (t *pair) capture(at cluster.Point) {
	for _, p := range t.points {
		if p.Node == at.Node && (p.Pod == nil) == (at.Pod == nil) && (p.Pod == nil || p.Pod.UID == at.Pod.UID) {
			return
		}
	}
	t.points = append(t.points, at)
	if at.Pod != nil {
		t.host(at.Pod.IPs...)
	}
}

func (t *pair) host(addresses ...string) {
	for _, a := range addresses {
		if net.ParseIP(a) != nil && !slices.Contains(t.hosts, "host "+a) {
			t.hosts = append(t.hosts, "host "+a)
		}
	}
}

func (t *pair) nodes() []string {
	var list []string
	for _, p := range t.points {
		list = append(list, p.Node)
	}
	for _, p := range t.probes {
		list = append(list, p.node)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// targets are the captures of both ends, but for those that the user asked
// for himself. On a node all that the two hosts say to others would be far too
// much: it takes what goes between them, names, and ICMP errors.
func (t *pair) targets(own []cluster.Target) []cluster.Target {
	var list []cluster.Target
	for _, at := range t.points {
		text, _ := placeName(at)
		spec, err := cluster.ParseTarget(text)
		if err != nil || slices.ContainsFunc(own, func(o cluster.Target) bool { return o.Text == text }) {
			continue
		}
		spec.Filter = t.filter()
		list = append(list, cluster.Target{Spec: spec, Points: []cluster.Point{at}})
	}
	return list
}

func (t *pair) filter() string {
	hosts := strings.Join(t.hosts, " or ")
	return "(tcp and (" + hosts + ")) or port 53 or icmp or icmp6"
}

// contrasts fills in the table from the rows of its probes.
func (t *pair) contrasts(rows []json.RawMessage) probe.Contrasts {
	byCell := map[string][]probe.TCPRow{}
	for _, raw := range rows {
		var r probe.TCPRow
		if json.Unmarshal(raw, &r) == nil && r.Cell != "" {
			byCell[r.Cell] = append(byCell[r.Cell], r)
		}
	}
	out := probe.Contrasts{Between: t.texts[:], Cells: slices.Clone(t.cells)}
	for i := range out.Cells {
		c := &out.Cells[i]
		if c.Reason == "" {
			c.Fill(byCell[c.ID])
		}
	}
	out.Reading = probe.Read(out.Cells)
	return out
}

// readingText is what the reading says, in a line.
func readingText(c probe.Contrasts) string {
	text := fmt.Sprintf("between %s and %s: %s", c.Between[0], c.Between[1], c.Reading.Outcome)
	if c.Reading.All != "" {
		text += " (" + c.Reading.All + ")"
	}
	for _, d := range c.Reading.Differs {
		text += fmt.Sprintf("; differs by %s: %s fails, %s works", d.Axis, strings.Join(d.Fails, ", "), strings.Join(d.Works, ", "))
	}
	return text
}
