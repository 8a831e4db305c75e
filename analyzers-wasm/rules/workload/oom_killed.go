package workload

import (
	"fmt"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

// A kill longer ago than this is history: reported as low.
const oomRecent = 24 * time.Hour

const exitKilled = 137 // 128 + SIGKILL

// OOMKilled finds containers in which the kernel killed for memory, also
// where the container lived on because a child process was hit.
func OOMKilled() sdk.Rule {
	return sdk.Rule{
		ID: "workload/oom-killed", Severity: sdk.High, Layer: sdk.LayerWorkload,
		Text:   map[string]sdk.Text{"en": oomKilledEN(), "zh": oomKilledZH()},
		Inputs: []sdk.Source{kube.PodsInput(), kernel.CgroupsInput(), sdk.Optional(kernel.KmsgInput())},
		Run:    findOOMKilled,
	}
}

// oom is what is known of the kills in one container.
type oom struct {
	pod       kube.PodRow
	container string
	ended     *kube.Terminated // the run that ended so, if one did
	restarts  int
	kills     int64 // of the running cgroup
	delta     int64
	current   int64
	max       int64
	evidence  []sdk.Evidence
	log       []kernel.OOMKill
}

func findOOMKilled(in *sdk.Input, out *sdk.Reporter) error {
	pods := kube.PodsOf(in)
	found := map[string]*oom{}
	var order groups[*oom]
	of := func(pod kube.PodRow, container string) *oom {
		key := pod.V.Metadata.UID + "/" + container
		if found[key] == nil {
			found[key] = &oom{pod: pod, container: container}
			order.add(pod.V.Owner()+" container "+container, found[key])
		}
		return found[key]
	}
	kernelSays := map[string][]kernel.OOMKill{}
	for _, k := range kernel.OOMKills(in) {
		pod, name, ok := pods.ByContainer(k.ContainerID)
		if !ok {
			pod, ok = pods.ByUID(k.PodUID)
		}
		if !ok || k.Time.IsZero() || in.Time().Sub(k.Time) > oomRecent {
			continue
		}
		if name == "" { // an earlier run, whose id the API server has forgotten
			name = onlyContainer(pod.V)
		}
		kernelSays[pod.V.Metadata.UID+"/"+name] = append(kernelSays[pod.V.Metadata.UID+"/"+name], k)
		of(pod, name)
	}
	for _, r := range pods.Rows {
		for _, c := range r.V.Statuses() {
			end := c.LastEnd()
			killed := end != nil && (end.Reason == oomKilled || end.ExitCode == exitKilled && kernelSays[r.V.Metadata.UID+"/"+c.Name] != nil)
			if killed {
				o := of(r, c.Name)
				o.ended, o.restarts = end, c.RestartCount
			}
		}
	}
	for _, pair := range kernel.Cgroups(in) {
		c := pair.Last.V
		if pod, name, ok := pods.ByContainer(c.ContainerID); ok && c.Memory.OOMKills > 0 {
			o := of(pod, name)
			o.kills, o.delta = c.Memory.OOMKills, c.Memory.OOMKills-pair.First.V.Memory.OOMKills
			o.current, o.max = c.Memory.Current, c.Memory.Max
			o.evidence = append(o.evidence, sdk.At(pair.Last.At))
		}
	}
	for owner, list := range order.all() {
		for _, o := range list {
			o.log = kernelSays[o.pod.V.Metadata.UID+"/"+o.container]
		}
		out.Find(oomFinding(in, owner, list))
	}
	return nil
}

func onlyContainer(p kube.Pod) string {
	if len(p.Spec.Containers) == 1 {
		return p.Spec.Containers[0].Name
	}
	return "(one of the pod's)"
}

func oomFinding(in *sdk.Input, owner string, list []*oom) sdk.Finding {
	worst := list[0]
	for _, o := range list[1:] {
		if o.restarts > worst.restarts || o.restarts == worst.restarts && o.kills > worst.kills {
			worst = o
		}
	}
	f := sdk.Finding{Owner: owner, Subject: worst.pod.V.Subject(), Params: worst.params(len(list))}
	switch last := worst.lastSeen(); {
	case worst.ended == nil && worst.nodeWide():
		f.Variant = "node"
	case worst.ended == nil:
		f.Variant = "child"
	case worst.nodeWide():
		f.Variant = "node"
	case !last.IsZero() && in.Time().Sub(last) > oomRecent:
		f.Severity = sdk.Low
	}
	if last := worst.lastSeen(); !last.IsZero() {
		f.LastSeen = last.UTC().Format(time.RFC3339)
	}
	f.Evidence = worst.rows()
	for _, o := range list {
		if o == worst {
			continue
		}
		f.Affected = append(f.Affected, o.pod.V.Subject())
		if len(f.Evidence) < 2*maxEvidence {
			f.Evidence = append(f.Evidence, o.rows()[0])
		}
	}
	return f
}

func (o *oom) params(pods int) map[string]any {
	limit := o.pod.V.MemoryLimit(o.container)
	if limit == "" && o.max > 0 {
		limit = fmt.Sprintf("%d MiB", o.max>>20)
	}
	if limit == "" {
		limit = "none"
	}
	p := map[string]any{
		"namespace": o.pod.V.Metadata.Namespace, "pod": o.pod.V.Metadata.Name, "container": o.container, "node": o.pod.V.Spec.NodeName,
		"limit": limit, "restarts": o.restarts, "kills": max(o.kills, int64(len(o.log))), "task": "?", "pods": pods, "when": "?",
	}
	if last := o.lastSeen(); !last.IsZero() {
		p["when"] = last.UTC().Format(time.RFC3339)
	}
	if len(o.log) > 0 {
		p["task"] = o.log[len(o.log)-1].Task
	}
	return p
}

func (o *oom) lastSeen() time.Time {
	if o.ended != nil {
		return o.ended.FinishedAt
	}
	if n := len(o.log); n > 0 {
		return o.log[n-1].Time
	}
	return time.Time{}
}

func (o *oom) nodeWide() bool { return len(o.log) > 0 && o.log[len(o.log)-1].NodeWide }

// rows are the pod, its cgroup, and what the kernel last said, preferably on
// the pod's own node (nodes that share a kernel share its log).
func (o *oom) rows() []sdk.Evidence {
	es := append([]sdk.Evidence{sdk.At(o.pod.At)}, o.evidence...)
	var last *kernel.OOMKill
	for i := range o.log {
		if last == nil || o.log[i].Node == o.pod.V.Spec.NodeName || last.Node != o.pod.V.Spec.NodeName {
			last = &o.log[i]
		}
	}
	if last != nil {
		for _, at := range last.At {
			es = append(es, sdk.At(at))
		}
	}
	return es
}
