package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/capture"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/node"
	"github.com/casefile-io/casefile/collector/node/ebpf"
	"github.com/casefile-io/casefile/collector/sidecar"
)

// hostJob makes a job that collects from this machine, without Kubernetes.
func hostJob(j *job) error {
	name, err := thisHost(j.plan)
	if err != nil {
		return err
	}
	pods := node.LocalPods()
	if err := j.redaction(append(hostNames(name, pods), j.plan.probeNames()...)); err != nil {
		return err
	}
	if err := j.name(bundle.Cluster{Name: name}); err != nil {
		return err
	}
	if j.collectors, err = hostCollectors(j, name, pods); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		j.note("not root: sockets' owners, pods, the kernel's log, the journal and packet captures may be missing; what is, the results say. Run it as root for all of it")
	}
	return nil
}

// withThisHost adds this machine to what a job collects, and gives its names.
func withThisHost(j *job) ([]cluster.Name, error) {
	name, err := thisHost(j.plan)
	if err != nil {
		return nil, err
	}
	pods := node.LocalPods()
	list, err := hostCollectors(j, name, pods)
	j.collectors = append(j.collectors, list...)
	return hostNames(name, pods), err
}

// thisHost checks that this machine can be collected, and gives its name.
func thisHost(p *plan) (string, error) {
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("--host reads the Linux kernel, and this is %s: run casefile on the Linux machine itself", runtime.GOOS)
	}
	for _, r := range p.Captures {
		if r.Target != "host" && !strings.HasPrefix(r.Target, "pod/") {
			return "", usagef("--host captures host and pod/NS/NAME, not %s: nodes and services are known to the API server only", r.Target)
		}
	}
	if err := p.hostProbesOnly(); err != nil {
		return "", err
	}
	if len(p.Namespaces) > 0 {
		return "", usagef("-n needs a cluster; it does not go with --host")
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "localhost"
	}
	return bundle.EscapePath(name), nil
}

// hostNames is what strict redaction must know of this machine: its names, the
// domains that it searches, its users and its pods.
func hostNames(name string, pods []node.Pod) []cluster.Name {
	set := cluster.NewNameSet()
	for _, p := range pods {
		set.Add(cluster.NameNamespace, p.Namespace)
		set.Add(cluster.NameObject, p.Name)
	}
	set.Add(cluster.NameNode, name)
	short, domain, _ := strings.Cut(name, ".")
	set.Add(cluster.NameNode, short)
	set.Add(cluster.NameHost, domain)
	if b, err := readCapped("/etc/resolv.conf", maxHostFile); err == nil {
		for line := range strings.Lines(string(b)) {
			if fields := strings.Fields(line); len(fields) > 1 && (fields[0] == "search" || fields[0] == "domain") {
				for _, d := range fields[1:] {
					set.Add(cluster.NameHost, d)
				}
			}
		}
	}
	if b, err := readCapped("/etc/passwd", maxHostFile); err == nil {
		for line := range strings.Lines(string(b)) {
			fields := strings.Split(line, ":")
			if len(fields) < 3 {
				continue
			}
			if id, err := strconv.Atoi(fields[2]); err == nil && id >= firstUser && id != nobody {
				set.Add(cluster.NameUser, fields[0])
			}
		}
	}
	return set.List()
}

const (
	maxHostFile = 1 << 20
	firstUser   = 1000  // ids below it are the system's
	nobody      = 65534 // as is this one
)

// hostCollectors reads this machine, and captures on it and in the pods that
// it runs.
func hostCollectors(j *job, name string, pods []node.Pod) ([]collector.Collector, error) {
	list := []collector.Collector{node.New(node.Options{Node: name, Pods: pods, Samples: j.plan.Samples, Interval: j.plan.interval, Host: true,
		Since: j.plan.since, Profile: j.plan.Profile, Only: j.plan.ofNodes()})}
	if j.plan.ebpf > 0 {
		list = append(list, ebpf.New(ebpf.Options{Node: name, Window: j.plan.ebpf}))
	}
	spaces, unknown := node.Namespaces("/proc", pods)
	proxies := sidecar.Options{Node: name, Only: j.plan.ofNodes()}
	for _, ns := range spaces {
		proxies.Spaces = append(proxies.Spaces, sidecar.SpaceOf(ns.PID, ns.Inode, ns.Host))
	}
	list = append(list, sidecar.New(proxies))
	var specs []capture.Spec
	for _, r := range j.plan.Captures {
		target, err := cluster.ParseTarget(r.Target)
		if err != nil {
			return nil, usagef("--capture: %v", err)
		}
		s := capture.Spec{Name: target.Folder(), Target: r.Target, Filter: r.Filter, Snaplen: j.plan.Snaplen, Duration: j.plan.duration, MaxBytes: j.plan.MaxBytes / 4}
		point := name
		if target.Kind == "pod" {
			if unknown != nil {
				return nil, unknown
			}
			ns, err := localPod(spaces, target)
			if err != nil {
				return nil, err
			}
			s.NetnsPath, s.Netns = fmt.Sprintf("/proc/%d/ns/net", ns.PID), ns.Inode
			s.LogDirs = []string{"/var/log/pods/" + target.Namespace + "_" + target.Name + "_" + ns.PodUID}
			point += " " + r.Target
		}
		s.App, s.Where, s.Description = "casefile "+version, name, r.Target
		j.plan.ringPlan.spec(&s)
		specs = append(specs, s)
		j.captures = append(j.captures, captureIndex{Name: s.Name, Target: r.Target, Filter: r.Filter, Snaplen: j.plan.Snaplen,
			Duration: j.plan.duration.Milliseconds(), Points: []string{point}})
	}
	var capturing chan struct{} // closed when they run
	if len(specs) > 0 {
		capturing = make(chan struct{})
		list = append(list, capture.New(capture.Options{Node: name, Specs: specs, Started: func() { close(capturing) }}))
	}
	probes, err := hostProbes(j, name, pods, capturing)
	return append(list, probes...), err
}

// localPod finds the network namespace of a pod of this machine.
func localPod(spaces []node.Netns, t cluster.Spec) (node.Netns, error) {
	var known []string
	for _, ns := range spaces {
		if ns.PodNamespace == t.Namespace && ns.PodName == t.Name {
			return ns, nil
		}
		if ns.PodName != "" {
			known = append(known, "pod/"+ns.PodNamespace+"/"+ns.PodName)
		}
	}
	if len(known) == 0 {
		return node.Netns{}, usagef("--capture %s: no pod is found on this machine by /run/containerd, CRI-O's state or /var/log/pods (is this root?)", t.Text)
	}
	return node.Netns{}, usagef("--capture %s: no such pod with a network of its own runs here, but %s", t.Text, strings.Join(known[:min(len(known), 10)], " "))
}
