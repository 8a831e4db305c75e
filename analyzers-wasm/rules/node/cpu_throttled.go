// Package node holds the rules about what nodes run short of.
package node

import (
	"fmt"
	"math"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

// A container is throttled if it was stopped in a quarter of the periods in
// which it ran; fewer than ten such periods (one second) say nothing, and
// fewer than fifty might be a short burst.
const (
	minPeriods       = 10
	surePeriods      = 50
	throttledPercent = 25
)

// CPUThrottled finds containers that their CPU limit holds up while the bundle
// was collected.
func CPUThrottled() sdk.Rule {
	return sdk.Rule{
		ID: "node/cpu-throttled", Severity: sdk.High, Layer: sdk.LayerNode,
		Text:   map[string]sdk.Text{"en": cpuThrottledEN(), "zh": cpuThrottledZH()},
		Inputs: []sdk.Source{kernel.CgroupsInput(), kernel.NodesInput(), sdk.Optional(kube.PodsInput())},
		Run:    cpuThrottled,
	}
}

func cpuThrottled(in *sdk.Input, out *sdk.Reporter) error {
	pairs := kernel.Cgroups(in)
	twice := len(pairs) == 0
	reported := map[string]bool{} // pods with a container that was reported
	for _, p := range pairs {
		twice = twice || p.Twice()
		if c := p.Last.V; c.ContainerID != "" && throttled(p) {
			reported[c.PodUID] = true
			out.Find(throttledFinding(in, p))
		}
	}
	for _, p := range pairs { // the pod's own limit, which all its containers share
		if c := p.Last.V; c.ContainerID == "" && c.PodUID != "" && !reported[c.PodUID] && throttled(p) {
			out.Find(throttledFinding(in, p))
		}
	}
	if !twice {
		out.Unknown("the nodes were sampled once, so nothing has a rate; collect with --samples 2", kernel.CgroupsInput())
	}
	return nil
}

func throttled(p kernel.CgroupPair) bool {
	a, b := p.First.V.CPU, p.Last.V.CPU
	periods := b.Periods - a.Periods
	return p.Twice() && periods >= minPeriods && (b.Throttled-a.Throttled)*100 >= periods*throttledPercent
}

func throttledFinding(in *sdk.Input, p kernel.CgroupPair) sdk.Finding {
	a, b := p.First.V.CPU, p.Last.V.CPU
	periods, stopped, seconds := b.Periods-a.Periods, b.Throttled-a.Throttled, kernel.MachinesOf(in).Seconds(p.Last.V.Node)
	f := sdk.Finding{
		Params: map[string]any{
			"percent": int(math.Round(float64(stopped) * 100 / float64(periods))), "periods": periods, "throttled": stopped,
			"seconds": kernel.Tenths(seconds), "stoppedSeconds": kernel.Tenths(float64(b.ThrottledUsec-a.ThrottledUsec) / 1e6),
			"limit": limitText(b.QuotaUsec, b.PeriodUsec), "used": "?", "node": p.Last.V.Node,
		},
		Evidence: []sdk.Evidence{{At: p.First.At}, {At: p.Last.At, Delta: &stopped, Seconds: seconds}},
	}
	if seconds > 0 {
		f.Params["used"] = fmt.Sprintf("%.2f", float64(b.UsageUsec-a.UsageUsec)/1e6/seconds)
	}
	if periods < surePeriods {
		f.Confidence = "medium"
	}
	pods := kube.PodsOf(in)
	pod, container, ok := pods.ByContainer(p.Last.V.ContainerID)
	if !ok {
		pod, ok = pods.ByUID(p.Last.V.PodUID)
		container = "(all)"
	}
	if !ok {
		f.Variant = "cgroup"
		f.Subject = sdk.Subject{Kind: "Node", Name: p.Last.V.Node, Node: p.Last.V.Node}
		f.Owner = "Node " + p.Last.V.Node + " cgroup " + p.Last.V.Path
		f.Params["cgroup"] = p.Last.V.Path
		return f
	}
	f.Subject, f.Owner = pod.V.Subject(), pod.V.Owner()+" container "+container
	f.Params["namespace"], f.Params["pod"], f.Params["container"] = pod.V.Metadata.Namespace, pod.V.Metadata.Name, container
	f.Evidence = append(f.Evidence, sdk.At(pod.At))
	return f
}

func limitText(quota, period int64) string {
	if quota <= 0 || period <= 0 {
		return "?"
	}
	return fmt.Sprintf("%.2f", float64(quota)/float64(period))
}
