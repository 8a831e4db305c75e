package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/cluster/launch"
)

// defaultAgentImage is the name that agent image save gives.
func defaultAgentImage() string { return "casefile.local/agent:" + imageTag(version) }

func imageTag(v string) string {
	return strings.Map(func(r rune) rune {
		if r == '+' || r == '/' || r == ':' {
			return '-'
		}
		return r
	}, v)
}

// clusterJob makes a job that collects from the API server and, through
// agents, from its nodes.
func clusterJob(ctx context.Context, c *cli.Context, j *job) error {
	if j.plan.hasTarget("host") {
		return usagef("--capture host is this machine: it needs --host; in a cluster say node/NAME")
	}
	config, name, err := cluster.LoadConfig(configFlags(c))
	if err != nil {
		return err
	}
	k, err := cluster.New(config, cluster.Options{Namespaces: j.plan.Namespaces, Since: j.plan.since, Profile: j.plan.Profile, Only: j.plan.ofCluster(), UserAgent: "casefile/" + version})
	if err != nil {
		return err
	}
	id, err := k.Identity(ctx)
	if err != nil && !errors.Is(err, collector.ErrDenied) {
		return err
	}
	names, err := j.clusterNames(ctx, k, bundle.Cluster{Name: name, UID: id.UID})
	if err != nil {
		return err
	}
	if j.strict != nil {
		names = append(append(names, cluster.ConfigNames(configFlags(c))...), j.plan.probeNames()...)
	}
	if err := j.redaction(names); err != nil {
		return err
	}
	if err := j.name(bundle.Cluster{Name: name, UID: id.UID, Version: id.Version}); err != nil {
		return err
	}
	if err := j.plan.unserved(ctx, k); err != nil && !errors.Is(err, collector.ErrDenied) {
		return err
	}
	j.collectors = append(j.collectors, k)
	j.note("cluster %s, Kubernetes %s at %s", name, id.Version, id.Server)
	if j.plan.asksClock() {
		j.collectors = append(j.collectors, k.Clock())
	}
	if (j.plan.Nodes == "none" || j.plan.leavesNodes()) && !j.plan.needsNodes() {
		return nil
	}
	launcher, err := launch.New(config, launch.Options{
		Image: c.String("agent-image"), DefaultImage: defaultAgentImage(), Namespace: c.String("agent-namespace"), Binary: agentBinary,
		Via: c.String("agent-via"), Unprivileged: c.Bool("agent-unprivileged"), Timeout: j.plan.timeout, Confirm: confirmer(j, c.Bool("yes")), Announce: func(s string) { j.note("%s", s) },
	})
	if err != nil {
		return err
	}
	dialer := agent.Dialer(launcher)
	if dir := c.String("record-streams"); dir != "" {
		dialer = recorder{launcher, dir}
	}
	nodes, err := nodeCollector(ctx, k, j, dialer)
	if errors.Is(err, collector.ErrDenied) {
		nodes, err = refused{err}, nil // the objects can still be had
	}
	if err != nil {
		return err
	}
	j.collectors = append(j.collectors, nodes)
	j.prepare = func(ctx context.Context) error { return prepareNodes(ctx, launcher, nodes) }
	return nil
}

// prepareNodes tries the ladder before anything else is collected: without an
// agent the run stops within seconds and says how to load one, rather than
// end with half a bundle. What is refused costs only the nodes.
func prepareNodes(ctx context.Context, l *launch.Launcher, c collector.Collector) error {
	n, ok := c.(interface{ Names() []string })
	if !ok {
		return nil
	}
	err := l.Prepare(ctx, n.Names())
	if errors.Is(err, launch.ErrNoAgent) {
		return errors.Join(err, l.Finish(ctx))
	}
	return nil // the collector gets the same answer and records it
}

// name fixes whose data this is, and with it the top folder.
func (j *job) name(id bundle.Cluster) error {
	if j.strict != nil {
		var err error
		if id, err = maskCluster(j.redactor, id); err != nil {
			return err
		}
	}
	j.cluster = id
	j.plan.Cluster = id.Name
	j.top = topFolder(id.Name, j.started)
	return nil
}

func (p *plan) hasTarget(text string) bool {
	return slices.ContainsFunc(p.Captures, func(r captureRequest) bool { return r.Target == text })
}

// refused stands for a collector that could not even be planned.
type refused struct{ err error }

func (refused) Name() string { return "nodes" }

func (r refused) Collect(context.Context, *collector.Output) error { return r.err }

// nodeCollector plans the conversations with the agents.
func nodeCollector(ctx context.Context, k *cluster.Cluster, j *job, d agent.Dialer) (collector.Collector, error) {
	all, err := k.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := k.Pods(ctx)
	if err != nil {
		return nil, err
	}
	targets, err := resolveCaptures(ctx, k, j.plan)
	if err != nil {
		return nil, err
	}
	probes, wanted, err := resolveProbes(ctx, k, j.plan)
	if err != nil {
		return nil, err
	}
	if probes.pair != nil {
		targets = append(targets, probes.pair.targets(targets)...)
	}
	for _, t := range targets {
		for _, p := range t.Points {
			wanted = append(wanted, p.Node)
		}
	}
	pick, err := j.plan.pickNodes(all, wanted)
	if err != nil {
		return nil, usagef("%v", err)
	}
	for _, n := range wanted {
		if !slices.Contains(pick.Nodes, n) {
			return nil, usagef("--capture, --probe and --between need node %s, which --nodes %s leaves out", n, j.plan.Nodes)
		}
	}
	if err := probes.lay(pick.Nodes, all, pods, j.top, len(targets) > 0); err != nil {
		return nil, err
	}
	j.probing = probes
	plans := make([]agent.Plan, len(pick.Nodes))
	var names map[string]string
	if len(targets) > 0 {
		names = k.Addresses(ctx, pods)
	}
	for i, n := range pick.Nodes {
		plans[i] = j.agentPlan(n, pods[n], targets)
		plans[i].Probes = probes.byNode[n]
		if len(plans[i].Captures) > 0 {
			plans[i].Addresses = names
		}
	}
	for _, t := range targets {
		j.captures = append(j.captures, j.captureIndexOf(t))
	}
	if r, ok := d.(recorder); ok {
		if err := j.recordSample(r.dir, plans); err != nil {
			return nil, err
		}
	}
	return launch.Nodes(d, plans, launch.NodesOptions{Timeout: j.plan.timeout, Skipped: pick.Skipped, Ended: j.ended}), nil
}

// pickNodes chooses the nodes to visit: those of --nodes, unless nobody needs
// more of them than what captures do.
func (p *plan) pickNodes(all []cluster.Node, wanted []string) (launch.Pick, error) {
	if p.Nodes == "none" || !p.leavesNodes() {
		return launch.PickNodes(all, p.Nodes, wanted)
	}
	return launch.Pick{Nodes: slices.Compact(slices.Sorted(slices.Values(wanted)))}, nil
}

// resolveCaptures finds the pods and nodes of --capture. A mistaken target is
// a mistake in the command line.
func resolveCaptures(ctx context.Context, k *cluster.Cluster, p *plan) ([]cluster.Target, error) {
	var texts []string
	for _, r := range p.Captures {
		text := r.Target
		if r.Filter != "" {
			text += "=" + r.Filter
		}
		texts = append(texts, text)
	}
	targets, err := k.ResolveTargets(ctx, texts)
	if err != nil && !errors.Is(err, collector.ErrDenied) && ctx.Err() == nil {
		return nil, usagef("--capture: %v", err)
	}
	return targets, err
}

// agentPlan is what one node is asked for.
func (j *job) agentPlan(node string, pods []agent.Pod, targets []cluster.Target) agent.Plan {
	p := agent.Plan{
		Version: agent.Version, Node: node, Top: j.top, Time: j.started, Policy: j.plan.Redaction, Payload: j.plan.Payload,
		Samples: j.plan.Samples, IntervalMS: j.plan.interval.Milliseconds(), TimeoutMS: j.plan.timeout.Milliseconds(), MaxBytes: j.plan.MaxBytes,
		EBPFMS: j.plan.ebpf.Milliseconds(), SinceMS: j.plan.since.Milliseconds(), Profile: j.plan.Profile,
		Prefixes: []string{nodePrefix(node)}, Pods: pods, Rules: j.plan.pack.file, Only: j.plan.ofNodes(),
	}
	j.strict.agentPlan(&p)
	for _, t := range targets {
		for _, at := range t.Points {
			if at.Node != node {
				continue
			}
			c := agent.Capture{Name: t.Folder(), Target: t.Text, Filter: t.Filter, Snaplen: j.plan.Snaplen,
				DurationMS: j.plan.duration.Milliseconds(), MaxBytes: j.plan.MaxBytes / 4}
			if at.Pod != nil {
				c.PodUID = at.Pod.UID
			}
			p.Captures = append(p.Captures, c)
			prefix := "captures/" + c.Name + "/" + node + "__"
			if !slices.Contains(p.Prefixes, prefix) {
				p.Prefixes = append(p.Prefixes, prefix)
			}
		}
	}
	if len(p.Captures) > 0 {
		j.plan.ringPlan.plan(&p)
	}
	return p
}

func (j *job) captureIndexOf(t cluster.Target) captureIndex {
	x := captureIndex{Name: t.Folder(), Target: t.Text, Filter: t.Filter, Snaplen: j.plan.Snaplen, Duration: j.plan.duration.Milliseconds()}
	for _, at := range t.Points {
		point := at.Node
		if at.Pod != nil {
			point += " pod/" + at.Pod.Namespace + "/" + at.Pod.Name
		}
		x.Points = append(x.Points, point)
	}
	return x
}

// confirmer asks on a terminal before anything is made on nodes; without one
// the intent is only said.
func confirmer(j *job, yes bool) func(context.Context, launch.Intent) (bool, error) {
	return func(ctx context.Context, i launch.Intent) (bool, error) {
		j.note("%s%s", i, j.probing.sends())
		if yes {
			return true, nil
		}
		if !term.IsTerminal(int(os.Stdin.Fd())) {
			if len(i.Borrow) > 0 { // a stranger's shell as root on a node: only when somebody said so
				j.note("There is no terminal to ask on, and no --yes: it is not done.")
			}
			return len(i.Borrow) == 0, nil
		}
		fmt.Fprint(os.Stderr, "Go on? [y/N] ")
		answer := make(chan string, 1)
		go func() {
			line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
			answer <- strings.ToLower(strings.TrimSpace(line))
		}()
		select {
		case a := <-answer:
			return a == "y" || a == "yes", nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(5 * time.Minute):
			return false, errors.New("no answer within five minutes; say --yes to go on without being asked")
		}
	}
}
