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
)

// hostJob makes a job that collects from this machine, without Kubernetes.
func hostJob(j *job) error {
	name, err := thisHost(j.plan)
	if err != nil {
		return err
	}
	if err := j.redaction(hostNames(name)); err != nil {
		return err
	}
	if err := j.name(bundle.Cluster{Name: name}); err != nil {
		return err
	}
	j.collectors = hostCollectors(j, name)
	if os.Geteuid() != 0 {
		j.note("not root: what only root may read will be missing, and said so")
	}
	return nil
}

// thisHost checks that this machine can be collected, and gives its name.
func thisHost(p *plan) (string, error) {
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("--host reads the Linux kernel, and this is %s: run casefile on the Linux machine itself", runtime.GOOS)
	}
	for _, r := range p.Captures {
		if r.Target != "host" {
			return "", usagef("--host captures only host, not %s", r.Target)
		}
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
// domains that it searches, and its users.
func hostNames(name string) []cluster.Name {
	set := cluster.NewNameSet()
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

func hostCollectors(j *job, name string) []collector.Collector {
	list := []collector.Collector{node.New(node.Options{Node: name, Samples: j.plan.Samples, Interval: j.plan.interval, Host: true})}
	if j.plan.ebpf > 0 {
		list = append(list, ebpf.New(ebpf.Options{Node: name, Window: j.plan.ebpf}))
	}
	var specs []capture.Spec
	for _, r := range j.plan.Captures {
		specs = append(specs, capture.Spec{Name: "host", Target: "host", Filter: r.Filter, Snaplen: j.plan.Snaplen,
			Duration: j.plan.duration, MaxBytes: j.plan.MaxBytes / 4})
		j.captures = append(j.captures, captureIndex{Name: "host", Target: "host", Filter: r.Filter, Snaplen: j.plan.Snaplen,
			Duration: j.plan.duration.Milliseconds(), Points: []string{name}})
	}
	if len(specs) > 0 {
		list = append(list, capture.New(capture.Options{Node: name, Specs: specs}))
	}
	return list
}
