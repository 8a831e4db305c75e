// Package workload holds the rules about containers that do not stay up.
package workload

import (
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

// The kubelet waits 10 s after the first crash, then 20 s, 40 s … up to 5 min,
// and forgets after ten minutes of running: a container that ended longer ago
// than that is not looping. One restart is common while a cluster boots
// (control-plane pods wait for each other), so two are wanted; and what runs
// again for twice as long as before, and at least half a minute, has recovered.
const (
	minRestarts  = 2
	recent       = 10 * time.Minute
	minRecovered = 30 * time.Second
	maxEvidence  = 5
	oomKilled    = "OOMKilled"
	crashBackOff = "CrashLoopBackOff"
)

// CrashLoop finds containers that start and end over and over. Those that the
// kernel kills for memory are workload/oom-killed's.
func CrashLoop() sdk.Rule {
	return sdk.Rule{
		ID: "workload/crash-loop", Severity: sdk.High, Layer: sdk.LayerWorkload,
		Text:   map[string]sdk.Text{"en": crashLoopEN(), "zh": crashLoopZH()},
		Inputs: []sdk.Source{kube.PodsInput()},
		Run: func(in *sdk.Input, out *sdk.Reporter) error {
			var crashes groups[crash]
			for _, r := range kube.PodsOf(in).Rows {
				if r.V.Metadata.Deleted != "" {
					continue
				}
				for _, c := range r.V.Statuses() {
					if looping(c, in.Time()) {
						crashes.add(r.V.Owner()+" container "+c.Name, crash{r, c})
					}
				}
			}
			for owner, list := range crashes.all() {
				out.Find(crashFinding(owner, list))
			}
			return nil
		},
	}
}

// crash is one container that loops.
type crash struct {
	pod       kube.PodRow
	container kube.ContainerStatus
}

func looping(c kube.ContainerStatus, now time.Time) bool {
	end := c.LastEnd()
	if end != nil && end.Reason == oomKilled {
		return false
	}
	if c.State.Waiting != nil && c.State.Waiting.Reason == crashBackOff {
		return true
	}
	if end == nil || c.RestartCount < minRestarts || end.ExitCode == 0 || now.IsZero() || now.Sub(end.FinishedAt) > recent {
		return false
	}
	if c.State.Running == nil {
		return true
	}
	before, since := end.FinishedAt.Sub(end.StartedAt), now.Sub(c.State.Running.StartedAt)
	return since < max(minRecovered, 2*before)
}

// crashFinding is one finding for all replicas of a workload: about the one
// that restarted most, with the others as affected.
func crashFinding(owner string, list []crash) sdk.Finding {
	worst := list[0]
	for _, c := range list[1:] {
		if c.container.RestartCount > worst.container.RestartCount {
			worst = c
		}
	}
	f := sdk.Finding{Owner: owner, Subject: worst.pod.V.Subject(), Params: map[string]any{
		"namespace": worst.pod.V.Metadata.Namespace, "pod": worst.pod.V.Metadata.Name, "container": worst.container.Name,
		"restarts": worst.container.RestartCount, "pods": len(list), "exitCode": 0, "reason": "", "ranSeconds": 0,
	}}
	if end := worst.container.LastEnd(); end != nil {
		f.Params["exitCode"], f.Params["reason"] = end.ExitCode, end.Reason
		f.Params["ranSeconds"] = max(0, int(end.FinishedAt.Sub(end.StartedAt).Seconds()))
		f.LastSeen = end.FinishedAt.UTC().Format(time.RFC3339)
		if end.ExitCode == 0 {
			f.Variant = "completes"
		}
	}
	f.Evidence = []sdk.Evidence{sdk.At(worst.pod.At)}
	for _, c := range list {
		if c.pod.At == worst.pod.At {
			continue
		}
		f.Affected = append(f.Affected, c.pod.V.Subject())
		if len(f.Evidence) < maxEvidence {
			f.Evidence = append(f.Evidence, sdk.At(c.pod.At))
		}
	}
	return f
}
