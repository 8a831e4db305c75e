package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/node"
	"github.com/casefile-io/casefile/collector/probe"
)

// needsNodes says whether the plan wants something of nodes whatever --nodes
// says.
func (p *plan) needsNodes() bool {
	return len(p.Captures)+len(p.Probes)+len(p.Between) > 0
}

func (p *plan) asksClock() bool {
	for _, r := range p.requests {
		if r.Kind == "clock" && r.From == "" {
			return true
		}
	}
	return false
}

// probeNames are the hosts that the user named, for strict redaction: a host
// without a dot is known by nothing else.
func (p *plan) probeNames() []cluster.Name {
	set := cluster.NewNameSet()
	add := func(host string) {
		if net.ParseIP(host) == nil && host != "" {
			set.Add(cluster.NameHost, host)
		}
	}
	for _, r := range p.requests {
		if !r.Object() && !r.Mesh() {
			add(r.Host)
		}
	}
	if e := p.ends[1]; e.Kind == "outside" {
		add(e.Name)
	}
	return set.List()
}

// hostProbesOnly refuses what needs a cluster.
func (p *plan) hostProbesOnly() error {
	if len(p.Between) > 0 {
		return usagef("--between needs a cluster; it does not go with --host: say --probe tcp:HOST:PORT")
	}
	for _, r := range p.requests {
		switch {
		case strings.HasPrefix(r.From, "node/"):
			return usagef("--probe %s: with --host probes go from this machine or a pod on it; leave out @%s", r.Masked(), r.From)
		case r.Object(), r.Mesh(), r.Kind == "clock":
			return usagef("--probe %s needs a cluster; it does not go with --host", r.Masked())
		}
	}
	return nil
}

// hostProbes makes the collector of --probe from this machine, or from a pod on
// it.
func hostProbes(j *job, name string, pods []node.Pod, ready <-chan struct{}) ([]collector.Collector, error) {
	var specs []probe.Spec
	for _, r := range j.plan.requests {
		s := probe.Spec{Kind: r.Kind, To: r.To(r.Host, r.Port), From: "node/" + name, Count: r.Count, Timeout: r.Timeout, EDNS: r.EDNS, TCP: r.TCP}
		if r.From != "" {
			spaces, err := node.Namespaces("/proc", pods)
			if err != nil {
				return nil, err
			}
			target, err := cluster.ParseTarget(r.From)
			if err != nil {
				return nil, usagef("--probe: %v", err)
			}
			ns, err := localPod(spaces, target)
			if err != nil {
				return nil, err
			}
			s.From, s.Root = r.From, fmt.Sprintf("/proc/%d/root", ns.PID)
			s.Place = probe.Place{NetnsPath: fmt.Sprintf("/proc/%d/ns/net", ns.PID), Netns: ns.Inode}
		}
		specs = append(specs, s)
	}
	if len(specs) == 0 {
		return nil, nil
	}
	return []collector.Collector{probe.New(probe.Options{Node: name, Specs: specs, Ready: ready})}, nil
}
