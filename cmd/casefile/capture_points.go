package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/capture"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/cluster/launch"
)

// collectors makes those of the targets, which are all here or all in the
// cluster.
func (r *capturing) collectors(c *cli.Context) ([]collector.Collector, error) {
	remote := 0
	for _, t := range r.targets {
		switch kind, _, _ := strings.Cut(t, "/"); kind {
		case "pod", "node", "service":
			remote++
		}
	}
	switch remote {
	case 0:
		return r.local()
	case len(r.targets):
		return r.remote(c)
	}
	return nil, usagef("targets on this machine and in the cluster do not go together: run casefile capture twice")
}

// local captures on this machine.
func (r *capturing) local() ([]collector.Collector, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("packets are captured on Linux only, and this is %s; pod/NS/NAME and node/NAME work from here", runtime.GOOS)
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	var specs []capture.Spec
	for _, t := range r.targets {
		path, err := netnsOf(t)
		if err != nil {
			return nil, err
		}
		s := capture.Spec{Name: strings.NewReplacer("/", "_").Replace(t), Target: t, Filter: r.filter, Snaplen: r.snaplen, Duration: r.duration, MaxBytes: r.maxSize,
			Interface: r.iface, NetnsPath: path, App: "casefile " + version, Where: host, Description: t}
		r.spec(&s)
		specs = append(specs, s)
	}
	return []collector.Collector{capture.New(capture.Options{Node: host, Specs: specs})}, nil
}

// netnsOf is the file of the network namespace of a target on this machine;
// empty is our own.
func netnsOf(target string) (string, error) {
	kind, rest, _ := strings.Cut(target, "/")
	switch {
	case target == "host":
		return "", nil
	case kind == "netns" && rest != "" && !strings.Contains(rest, "/"):
		return "/run/netns/" + rest, nil
	case kind == "pid":
		if pid, err := strconv.Atoi(rest); err == nil && pid > 0 {
			return fmt.Sprintf("/proc/%d/ns/net", pid), nil
		}
	case kind == "container" && len(rest) >= 8:
		return netnsOfContainer(rest)
	}
	return "", usagef("target %q: on this machine it is host, netns/NAME, pid/PID or container/ID; in a cluster pod/NS/NAME, node/NAME or service/NS/NAME", target)
}

// netnsOfContainer finds a process of a container by its cgroup, which every
// runtime names by the container's id.
func netnsOfContainer(id string) (string, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return "", err
	}
	for _, d := range dirs {
		b, err := readCapped(d+"/cgroup", maxHostFile)
		if err != nil {
			continue // it has ended
		}
		for line := range strings.Lines(string(b)) {
			last := line[strings.LastIndexByte(line, '/')+1:]
			if i := strings.LastIndexAny(last, "-:"); i >= 0 { // cri-containerd-<id>.scope
				last = last[i+1:]
			}
			if strings.HasPrefix(last, id) {
				return d + "/ns/net", nil
			}
		}
	}
	return "", fmt.Errorf("no process of container %s runs here (is this root, and the id in hexadecimal?)", id)
}

// remote captures in the cluster, through agents.
func (r *capturing) remote(c *cli.Context) ([]collector.Collector, error) {
	config, _, err := cluster.LoadConfig(configFlags(c))
	if err != nil {
		return nil, err
	}
	k, err := cluster.New(config, cluster.Options{Profile: cluster.ProfileQuick, UserAgent: "casefile/" + version})
	if err != nil {
		return nil, err
	}
	targets, err := k.ResolveTargets(c.Context, r.targets)
	if err != nil {
		return nil, err
	}
	pods, err := k.Pods(c.Context)
	if err != nil {
		return nil, err
	}
	points := 0
	for _, t := range targets {
		points += len(t.Points)
	}
	if points > 1 && !strings.HasSuffix(r.w, "/") {
		return nil, usagef("%s: %d pods make several files: say -w DIR/", strings.Join(r.targets, " "), points)
	}
	if err := r.ringPlan.check(points, forever); err != nil {
		return nil, err
	}
	r.duration = min(r.duration, longestCluster)
	limit := r.duration + r.after + time.Minute
	j := &job{plan: &plan{}, status: r.status}
	launcher, err := launch.New(config, launch.Options{
		Image: c.String("agent-image"), DefaultImage: defaultAgentImage(), Namespace: c.String("agent-namespace"), Binary: agentBinary,
		Timeout: limit, Confirm: confirmer(j, c.Bool("yes")), Announce: func(s string) { j.note("%s", s) },
	})
	if err != nil {
		return nil, err
	}
	plans := r.plans(targets, pods, k.Addresses(c.Context, pods), limit)
	return []collector.Collector{launch.Nodes(launcher, plans, launch.NodesOptions{Timeout: limit + time.Minute})}, nil
}

// plans are those of the nodes that the targets are on.
func (r *capturing) plans(targets []cluster.Target, pods map[string][]agent.Pod, names map[string]string, limit time.Duration) []agent.Plan {
	at := map[string]int{}
	var plans []agent.Plan
	for _, t := range targets {
		for _, point := range t.Points {
			i, ok := at[point.Node]
			if !ok {
				i = len(plans)
				at[point.Node] = i
				plans = append(plans, agent.Plan{Version: agent.Version, Node: point.Node, Top: "capture", Time: time.Now().UTC(), Live: true, Policy: "standard", Payload: r.payload,
					TimeoutMS: limit.Milliseconds(), Pods: pods[point.Node], Addresses: names})
			}
			c := agent.Capture{Name: t.Folder(), Target: t.Text, Filter: r.filter, Snaplen: r.snaplen, DurationMS: r.duration.Milliseconds(), MaxBytes: r.maxSize, Interface: r.iface}
			if point.Pod != nil {
				c.PodUID = point.Pod.UID
			}
			p := &plans[i]
			p.Captures = append(p.Captures, c)
			p.Prefixes = append(p.Prefixes, "captures/"+c.Name+"/"+point.Node+"__")
		}
	}
	for i := range plans {
		r.plan(&plans[i])
	}
	return plans
}
