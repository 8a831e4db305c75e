package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/capture"
	"github.com/casefile-io/casefile/collector/node"
)

// hostJob makes a job that collects from this machine, without Kubernetes.
func hostJob(j *job) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("--host reads the Linux kernel, and this is %s: run casefile on the Linux machine itself", runtime.GOOS)
	}
	for _, r := range j.plan.Captures {
		if r.Target != "host" {
			return usagef("--host captures only host, not %s", r.Target)
		}
	}
	if len(j.plan.Namespaces) > 0 {
		return usagef("-n needs a cluster; it does not go with --host")
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "localhost"
	}
	name = bundle.EscapePath(name)
	j.name(bundle.Cluster{Name: name})
	j.collectors = hostCollectors(j, name)
	if os.Geteuid() != 0 {
		j.note("not root: what only root may read will be missing, and said so")
	}
	return nil
}

func hostCollectors(j *job, name string) []collector.Collector {
	list := []collector.Collector{node.New(node.Options{Node: name, Samples: j.plan.Samples, Interval: j.plan.interval, Host: true})}
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
