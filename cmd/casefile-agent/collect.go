package main

import (
	"context"
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/agent/link"
	"github.com/casefile-io/casefile/collector/node"
	"github.com/casefile-io/casefile/collector/node/ebpf"
	"github.com/casefile-io/casefile/collector/sidecar"
)

// memoryLimit makes the garbage collector work harder near it; packet rings
// do not count.
const memoryLimit = 64 << 20

// gcPercent keeps the memory low. What the agent reads it passes on at once,
// so that collecting often costs next to nothing; see BenchmarkSnapshot.
const gcPercent = 15

// serve waits for the command line to call through a socket in dir, talks to it
// and gathers what its plan asks for, on one processor and with low priority.
// It outlives the connections: what the caller has not got yet waits in dir.
func serve(ctx context.Context, dir string, patience time.Duration) error {
	beNice(niceToMeasure)
	runtime.GOMAXPROCS(1)
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(gcPercent)
	hello := agent.Hello{Agent: version, Kernel: kernelRelease(), Arch: runtime.GOARCH}
	return link.Serve(ctx, dir, link.Options{First: patience, Outage: patience}, func(ctx context.Context, caller io.ReadWriter) error {
		return agent.Serve(ctx, caller, caller, hello, func(ctx context.Context, plan agent.Plan, s agent.Session) (agent.End, error) {
			return gather(ctx, plan, s, dir)
		})
	})
}

// gather runs the collectors of the plan and writes what they find, redacted
// and packed, to the session. Members of unknown size wait in the folder spool.
func gather(ctx context.Context, plan agent.Plan, s agent.Session, spool string) (agent.End, error) {
	redactor, err := redactorOf(plan)
	if err != nil {
		return agent.End{}, err
	}
	if plan.Live {
		return live(ctx, plan, s, redactor, spool)
	}
	if len(plan.Captures)+len(plan.Probes) == 0 {
		beNice(niceToRead)
	}
	fragment, err := bundle.NewFragment(s.Frames(), bundle.Options{Top: plan.Top, Time: plan.Time, Redactor: redactor, SpoolDir: spool})
	if err != nil {
		return agent.End{}, err
	}
	pods := nodePods(plan.Pods)
	collectors := []collector.Collector{node.New(node.Options{Node: plan.Node, Pods: pods, Samples: plan.Samples,
		Interval: time.Duration(plan.IntervalMS) * time.Millisecond, Host: plan.HostProcess, Root: machineRoot(plan),
		Since: time.Duration(plan.SinceMS) * time.Millisecond, Profile: plan.Profile, Only: plan.Only})}
	if plan.EBPFMS > 0 {
		collectors = append(collectors, ebpf.New(ebpf.Options{Node: plan.Node, Window: time.Duration(plan.EBPFMS) * time.Millisecond}))
	}
	spaces, unknown := node.Namespaces("/proc", pods)
	proxies := sidecar.Options{Node: plan.Node, Only: plan.Only}
	for _, ns := range spaces {
		proxies.Spaces = append(proxies.Spaces, sidecar.SpaceOf(ns.PID, ns.Inode, ns.Host))
	}
	collectors = append(collectors, sidecar.New(proxies))
	capturing := make(chan struct{})
	collectors = append(collectors, captures(plan, spaces, unknown, func() { close(capturing) }, spool, s.Trigger())...)
	collectors = append(collectors, probes(plan, spaces, unknown, capturing)...)
	collector.Run(ctx, fragmentSink{fragment}, collectors, collector.Options{MaxBytes: plan.MaxBytes, Progress: s.Progress, Recorded: s.Record, Observed: s.Observe})
	err = fragment.Close()
	end := agent.End{Redaction: redactor.Counts()}
	end.SetPseudonyms(redactor.Pseudonyms())
	return end, err
}

// noRoot is where a guest looks for the machine's files: the root of process 1
// would be that of some container.
const noRoot = "/casefile-sees-no-files-of-the-machine"

func machineRoot(plan agent.Plan) string {
	if plan.Guest {
		return noRoot
	}
	return ""
}

// redactorOf makes the redactor that the plan asks for. Under strict it has the
// same key and names on every node, so that a value has one token everywhere.
func redactorOf(plan agent.Plan) (*redact.Redactor, error) {
	policy, err := redact.ParsePolicy(plan.Policy)
	if err != nil {
		return nil, err
	}
	o := redact.Options{Payload: plan.Payload}
	if len(plan.Rules) > 0 {
		if o.Rules, err = redact.LoadRules(plan.Rules); err != nil {
			return nil, err
		}
	}
	if policy == redact.PolicyStrict {
		if len(plan.Key) != len(o.Key) {
			return nil, errors.New("the plan asks for strict redaction without its key")
		}
		o.Key = pseudonym.Key(plan.Key)
	}
	for kind, values := range plan.Names {
		for _, v := range values {
			o.Names = append(o.Names, pseudonym.Name{Kind: pseudonym.Kind(kind), Value: v})
		}
	}
	return redact.New(policy, o)
}

func nodePods(pods []agent.Pod) []node.Pod {
	list := make([]node.Pod, 0, len(pods))
	for _, p := range pods {
		list = append(list, node.Pod{UID: p.UID, Namespace: p.Namespace, Name: p.Name, HostNet: p.HostNet, Containers: p.Containers})
	}
	return list
}

// fragmentSink lets collectors write to a fragment without knowing the format.
type fragmentSink struct{ f *bundle.Fragment }

func (s fragmentSink) Put(path string, class collector.Class, r io.Reader) (int64, error) {
	return s.f.Put(path, bundle.Class(class), r)
}

func (s fragmentSink) Frames([]string, io.Reader) error {
	return errors.New("an agent takes no frames of others")
}
