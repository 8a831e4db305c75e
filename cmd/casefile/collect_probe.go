package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/probe"
)

const (
	maxProbes  = 5_000 // of all nodes together
	maxFlags   = 64    // --probe and --between
	afterStart = 2_000 // ms after the start of a node's captures, so that others' run, too
	afterBoth  = 5_000 // the same when both ends of a connection are captured
)

func probeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "probe", Usage: "send `KIND:ARG[,OPTION…][@FROM]` and record what comes of it: dns:NAME, tcp:HOST:PORT, mtu:HOST[:PORT], path:HOST[:PORT], " +
			"http://…, https://…, clock; FROM is pod/NS/NAME or node/NAME (default: every collected node, for dns also a pod of each); may be repeated"},
		&cli.StringSliceFlag{Name: "between", Usage: "capture both ends of `'A B'` and connect from A to B in every way that tells causes apart; A and B are pod/NS/NAME, node/NAME or " +
			"service/NS/NAME, each perhaps with :PORT, B also tcp://HOST:PORT"},
	}
}

// probePlan is a --probe as collection/plan.json has it.
type probePlan struct {
	Kind    string `json:"kind"`
	Host    string `json:"host,omitempty"`
	Target  string `json:"target,omitempty"`
	Port    uint16 `json:"port,omitempty"`
	Scheme  string `json:"scheme,omitempty"`
	URLPath string `json:"urlPath,omitempty"`
	From    string `json:"from,omitempty"`
	Count   int    `json:"count,omitempty"`
}

// readProbes checks --probe and --between before anything is touched.
func (p *plan) readProbes(c *cli.Context) error {
	texts, pairs := c.StringSlice("probe"), c.StringSlice("between")
	if len(texts) > maxFlags || len(pairs) > 1 {
		return usagef("at most %d --probe and one --between", maxFlags)
	}
	for _, text := range texts {
		r, err := probe.ParseRequest(text)
		if err != nil {
			return usagef("--probe %v", err)
		}
		p.requests = append(p.requests, r)
		shown := probePlan{Kind: r.Kind, Host: r.Host, Port: r.Port, From: r.From, Count: r.Count}
		if r.Object() {
			shown.Host, shown.Target = "", r.Host
		}
		if u, err := probe.ParseURL(r.URL); r.Kind == "http" && err == nil {
			shown.Scheme, shown.URLPath = u.Scheme, u.EscapedPath()
		}
		p.Probes = append(p.Probes, shown)
	}
	for _, pair := range pairs {
		ends := strings.Fields(pair)
		if len(ends) != 2 {
			return usagef("--between wants two ends in one argument: --between 'pod/NS/A service/NS/B:80'")
		}
		for i, text := range ends {
			end, err := cluster.ParseEnd(text)
			if err != nil {
				return usagef("--between %v", err)
			}
			if i == 0 && end.Kind == "outside" {
				return usagef("--between %s: connections go from A to B, and A must be in the cluster", text)
			}
			p.ends[i] = end
		}
		p.Between = ends
	}
	return nil
}

// probing is what --probe and --between came to in this cluster.
type probing struct {
	asked  []askedProbe
	pair   *pair
	byNode map[string][]agent.Probe
}

// askedProbe is a --probe whose names were found in the cluster.
type askedProbe struct {
	probe.Request
	at  *cluster.Point // FROM; nil: not said
	end *cluster.End   // HOST, when it is of the cluster
}

// resolveProbes finds what the flags name, and the nodes that they need.
func resolveProbes(ctx context.Context, k *cluster.Cluster, p *plan) (*probing, []string, error) {
	x := &probing{byNode: map[string][]agent.Probe{}}
	var wanted []string
	for _, r := range p.requests {
		a := askedProbe{Request: r}
		if r.From != "" {
			found, err := k.ResolveTargets(ctx, []string{r.From})
			if err != nil {
				return nil, nil, mistaken(ctx, "--probe", err)
			}
			a.at = &found[0].Points[0]
			wanted = append(wanted, a.at.Node)
		}
		if r.Object() {
			text := r.Host
			if r.Port != 0 {
				text += ":" + strconv.Itoa(int(r.Port))
			}
			spec, err := cluster.ParseEnd(text)
			if err != nil {
				return nil, nil, usagef("--probe %v", err)
			}
			end, err := k.ResolveEnd(ctx, spec)
			if err != nil {
				return nil, nil, mistaken(ctx, "--probe", err)
			}
			a.end = &end
		}
		x.asked = append(x.asked, a)
	}
	if len(p.Between) == 0 {
		return x, wanted, nil
	}
	var err error
	if x.pair, err = resolvePair(ctx, k, p.ends); err != nil {
		return nil, nil, err
	}
	return x, append(wanted, x.pair.nodes()...), nil
}

// mistaken makes a name that is not there a mistake in the command line.
func mistaken(ctx context.Context, flag string, err error) error {
	if errors.Is(err, collector.ErrDenied) || ctx.Err() != nil {
		return err
	}
	return usagef("%s: %v", flag, err)
}

// places lay the probes out over the nodes.
func (x *probing) lay(nodes []string, all []cluster.Node, pods map[string][]agent.Pod, seed string, captured bool) error {
	after := int64(0)
	if captured {
		after = afterStart
	}
	total := 0
	put := func(node string, p agent.Probe) {
		p.AfterMS = max(p.AfterMS, after)
		x.byNode[node] = append(x.byNode[node], p)
		total++
	}
	for _, a := range x.asked {
		switch {
		case a.Kind == "clock":
			for _, n := range nodes {
				if a.at == nil || a.at.Node == n {
					put(n, agent.Probe{Kind: "clock", From: "node/" + n})
				}
			}
		case a.Mesh():
			mesh(a, nodes, all, pods, seed, put)
		default:
			for _, from := range a.sources(nodes, pods) {
				for _, p := range a.probes(from) {
					put(from.Node, p)
				}
			}
		}
	}
	if x.pair != nil {
		for _, p := range x.pair.probes {
			p.probe.AfterMS = afterBoth
			put(p.node, p.probe)
		}
	}
	if total > maxProbes {
		return usagef("--probe: that makes %d probes, and at most %d are sent: name where they go from with @FROM, or fewer nodes with --nodes", total, maxProbes)
	}
	return nil
}

// sources are the places that a probe goes from.
func (a askedProbe) sources(nodes []string, pods map[string][]agent.Pod) []cluster.Point {
	if a.at != nil {
		return []cluster.Point{*a.at}
	}
	var out []cluster.Point
	for _, n := range nodes {
		out = append(out, cluster.Point{Node: n})
		if p := somePod(pods[n]); a.Kind == "dns" && p != nil {
			out = append(out, cluster.Point{Node: n, Pod: p})
		}
	}
	return out
}

// somePod is a pod with a network of its own, the same one each time.
func somePod(pods []agent.Pod) *agent.Pod {
	var best *agent.Pod
	for i := range pods {
		p := &pods[i]
		if !p.HostNet && len(p.IPs) > 0 && len(p.Containers) > 0 &&
			(best == nil || cmp.Or(cmp.Compare(p.Namespace, best.Namespace), cmp.Compare(p.Name, best.Name)) < 0) {
			best = p
		}
	}
	return best
}

// probes are those of one place: one for each address of what they go to.
func (a askedProbe) probes(from cluster.Point) []agent.Probe {
	p := agent.Probe{Kind: a.Kind, Count: a.Count, TimeoutMS: a.Timeout.Milliseconds(), EDNS: a.EDNS, TCP: a.TCP}
	p.From, p.PodUID = placeName(from)
	if a.end == nil {
		p.To = a.To(a.Host, a.Port)
		return []agent.Probe{p}
	}
	var list []agent.Probe
	p.Target = a.end.Target()
	for _, to := range a.end.Reached() {
		p.To = a.To(to.Address, to.Port)
		list = append(list, p)
	}
	return list
}

// placeName is a place as rows have it, and the pod's uid.
func placeName(at cluster.Point) (name, uid string) {
	if at.Pod == nil {
		return "node/" + at.Node, ""
	}
	return "pod/" + at.Pod.Namespace + "/" + at.Pod.Name, at.Pod.UID
}

// mesh goes from every node, or a pod of each, to its neighbour in a ring and
// to some others, so that the number of probes grows with that of the nodes
// and not with its square. The same bundle name gives the same others.
func mesh(a askedProbe, nodes []string, all []cluster.Node, pods map[string][]agent.Pod, seed string, put func(string, agent.Probe)) {
	type stop struct {
		at      cluster.Point
		address string
	}
	var stops []stop
	for _, n := range all {
		switch p := somePod(pods[n.Name]); {
		case a.Host == "podmesh" && p != nil:
			stops = append(stops, stop{cluster.Point{Node: n.Name, Pod: p}, p.IPs[0]})
		case a.Host == "mesh" && len(n.IPs) > 0:
			stops = append(stops, stop{cluster.Point{Node: n.Name}, n.IPs[0]})
		}
	}
	random := rand.New(rand.NewChaCha8(sha256.Sum256([]byte(seed))))
	for i, from := range stops {
		if !slices.Contains(nodes, from.at.Node) {
			continue
		}
		peers := []int{(i + 1) % len(stops)}
		for _, j := range random.Perm(len(stops)) {
			if len(peers) <= cmp.Or(a.Fanout, probe.DefaultFanout) && !slices.Contains(peers, j) && j != i {
				peers = append(peers, j)
			}
		}
		for _, j := range peers {
			if j == i {
				continue // the only one
			}
			p := agent.Probe{Kind: "tcp", Count: cmp.Or(a.Count, 1), TimeoutMS: a.Timeout.Milliseconds(), To: net.JoinHostPort(stops[j].address, strconv.Itoa(int(a.Port)))}
			p.From, p.PodUID = placeName(from.at)
			p.Target, _ = placeName(stops[j].at)
			put(from.at.Node, p)
		}
	}
}

// sends says what the probes will send, for whoever must agree to it.
func (x *probing) sends() string {
	if x == nil || len(x.byNode) == 0 {
		return ""
	}
	count := map[string]int{}
	first := map[string]string{}
	for _, node := range sortedKeys(x.byNode) {
		for _, p := range x.byNode[node] {
			what := strings.TrimSpace(p.Kind + " " + shownProbe(p))
			if count[what]++; count[what] == 1 {
				first[what] = p.From
			}
		}
	}
	var parts []string
	for i, what := range sortedKeys(count) {
		if i == 12 {
			parts = append(parts, fmt.Sprintf("and to %d more", len(count)-i))
			break
		}
		from := first[what]
		if n := count[what]; n > 1 {
			from = fmt.Sprintf("%s and %d more", from, n-1)
		}
		parts = append(parts, what+" from "+from)
	}
	return " They will send, as asked for with --probe and --between: " + strings.Join(parts, "; ") + "."
}

func shownProbe(p agent.Probe) string {
	to := p.To
	if u, err := probe.ParseURL(p.To); p.Kind == "http" && err == nil {
		u.User, u.RawQuery = nil, ""
		to = u.String()
	}
	if p.Target != "" && p.Target != to {
		return p.Target + " (" + to + ")"
	}
	return to
}
