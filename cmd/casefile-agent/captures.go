package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/capture"
	"github.com/casefile-io/casefile/collector/node"
)

// captures makes the collectors of the plan's captures. Pods are found by a
// process in their network namespace; one that has none is a result. started is called
// when all that can be made run.
func captures(plan agent.Plan, spaces []node.Netns, unknown error, started func(), spool string, trigger *collector.Trigger) []collector.Collector {
	byPod := map[string]node.Netns{}
	for _, ns := range spaces {
		byPod[ns.PodUID] = ns
	}
	hostNet, pods := map[string]bool{}, map[string]agent.Pod{}
	for _, p := range plan.Pods {
		hostNet[p.UID], pods[p.UID] = p.HostNet, p
	}
	var list []collector.Collector
	var specs []capture.Spec
	until := triggers(plan.Until)
	for _, c := range plan.Captures {
		s := capture.Spec{Name: c.Name, Target: c.Target, Filter: c.Filter, Snaplen: c.Snaplen,
			Duration: time.Duration(c.DurationMS) * time.Millisecond, MaxBytes: c.MaxBytes}
		s.Ring, s.Interface, s.SpoolDir = c.RingBytes, c.Interface, spool
		s.Until, s.After, s.Trigger = until, time.Duration(plan.AfterMS)*time.Millisecond, trigger
		s.App, s.Where, s.Description = "casefile "+version, plan.Node, c.Target
		if pod, ok := pods[c.PodUID]; ok {
			s.LogDirs = []string{"/proc/1/root/var/log/pods/" + pod.Namespace + "_" + pod.Name + "_" + pod.UID}
		}
		if c.PodUID != "" && !hostNet[c.PodUID] {
			ns, ok := byPod[c.PodUID]
			if !ok {
				list = append(list, lacking{c.Target, unknown})
				continue
			}
			s.NetnsPath, s.Netns = fmt.Sprintf("/proc/%d/ns/net", ns.PID), ns.Inode
		}
		specs = append(specs, s)
	}
	if len(specs) > 0 {
		list = append(list, capture.New(capture.Options{Node: plan.Node, Specs: specs, Names: addresses(plan), Started: started}))
	} else {
		started()
	}
	return list
}

// triggers reads those of the plan; the command line has checked them.
func triggers(texts []string) (list []capture.Until) {
	for _, text := range texts {
		if u, err := capture.ParseUntil(text); err == nil {
			list = append(list, u)
		}
	}
	return list
}

// addresses are the names that the plan has for them, and at least those of
// the node's own pods.
func addresses(plan agent.Plan) map[string]string {
	names := maps.Clone(plan.Addresses)
	if names == nil {
		names = map[string]string{}
	}
	for _, p := range plan.Pods {
		for _, ip := range p.IPs {
			if !p.HostNet {
				names[ip] = p.Namespace + "/" + p.Name
			}
		}
	}
	return names
}

// lacking is a capture that cannot be made.
type lacking struct {
	target string
	why    error // nil: only this pod is missing
}

func (l lacking) Name() string { return "capture/" + l.target }

func (l lacking) Collect(context.Context, *collector.Output) error {
	if l.why != nil {
		return fmt.Errorf("the network namespaces of this node are not known: %w", l.why)
	}
	return fmt.Errorf("no process of %s runs on this node: has it ended, or not started yet?", l.target)
}
