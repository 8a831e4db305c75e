package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/node"
	"github.com/casefile-io/casefile/collector/probe"
)

// probes makes the collector of the plan's probes. ready is closed when the
// captures of this node run; nil when there are none. A probe whose pod has no
// process here is a result.
func probes(plan agent.Plan, spaces []node.Netns, unknown error, ready <-chan struct{}) []collector.Collector {
	var list []collector.Collector
	var specs []probe.Spec
	for _, p := range plan.Probes {
		if p.Kind == "clock" {
			continue // the conversation itself
		}
		s := probe.Spec{Kind: p.Kind, To: p.To, Target: p.Target, From: p.From, Cell: p.Cell, Count: p.Count, EDNS: p.EDNS, TCP: p.TCP,
			Timeout: time.Duration(p.TimeoutMS) * time.Millisecond, After: time.Duration(p.AfterMS) * time.Millisecond}
		at, ok := placeOf(p.PodUID, plan.Pods, spaces)
		if ok {
			s.Place, s.Root = at.place, at.root
			if plan.HostProcess && p.PodUID == "" {
				s.Root = "/"
			}
		}
		if ok && p.ResolvUID != "" {
			at, ok = placeOf(p.ResolvUID, plan.Pods, spaces)
			s.Root = at.root
		}
		if !ok {
			list = append(list, lackingProbe{p, unknown})
			continue
		}
		specs = append(specs, s)
	}
	if len(specs) > 0 {
		list = append(list, probe.New(probe.Options{Node: plan.Node, Specs: specs, Ready: ready}))
	}
	return list
}

// position is a network namespace and the root folder of a container in it.
type position struct {
	place probe.Place
	root  string
}

// placeOf finds where a pod is, or the node itself: then the root is that of
// its first process.
func placeOf(uid string, pods []agent.Pod, spaces []node.Netns) (position, bool) {
	if uid == "" {
		return position{root: "/proc/1/root"}, true
	}
	for _, p := range pods {
		if p.UID == uid && p.HostNet {
			return position{root: "/proc/1/root"}, true
		}
	}
	for _, ns := range spaces {
		if ns.PodUID == uid {
			return position{probe.Place{NetnsPath: fmt.Sprintf("/proc/%d/ns/net", ns.PID), Netns: ns.Inode}, rootOf(ns)}, true
		}
	}
	return position{}, false
}

// rootOf is the root of a process that has a resolv.conf: the youngest, since
// the oldest holds the namespace and may have no files at all.
func rootOf(ns node.Netns) string {
	for _, pid := range slices.Backward(ns.PIDs()) {
		root := fmt.Sprintf("/proc/%d/root", pid)
		if _, err := os.Lstat(root + "/etc/resolv.conf"); err == nil {
			return root
		}
	}
	return fmt.Sprintf("/proc/%d/root", ns.PID)
}

// lackingProbe is a probe that cannot be made.
type lackingProbe struct {
	probe agent.Probe
	why   error // nil: only this pod is missing
}

func (l lackingProbe) Name() string { return l.probe.Source() }

func (l lackingProbe) Collect(context.Context, *collector.Output) error {
	return lacking{l.probe.From, l.why}.Collect(context.Background(), nil)
}
