// Package kube holds the API objects that several rules read, with the fields
// that they need, and the questions that they ask of them.
package kube

import (
	"strings"
	"time"

	"github.com/casefile-io/casefile/sdk"
)

// Meta is the part of an object's metadata that rules read.
type Meta struct {
	Namespace       string            `json:"namespace"`
	Name            string            `json:"name"`
	UID             string            `json:"uid"`
	Labels          map[string]string `json:"labels"`
	Deleted         string            `json:"deletionTimestamp"`
	OwnerReferences []OwnerReference  `json:"ownerReferences"`
}

// OwnerReference names an object's owner.
type OwnerReference struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Controller bool   `json:"controller"`
}

// Pod is v1/pods.
type Pod struct {
	Metadata Meta `json:"metadata"`
	Spec     struct {
		NodeName       string      `json:"nodeName"`
		HostNetwork    bool        `json:"hostNetwork"`
		Containers     []Container `json:"containers"`
		InitContainers []Container `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase  string `json:"phase"`
		PodIPs []struct {
			IP string `json:"ip"`
		} `json:"podIPs"`
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
		ContainerStatuses     []ContainerStatus `json:"containerStatuses"`
		InitContainerStatuses []ContainerStatus `json:"initContainerStatuses"`
	} `json:"status"`
}

// Container is a container of a pod's spec.
type Container struct {
	Name  string `json:"name"`
	Ports []struct {
		Name          string `json:"name"`
		ContainerPort int    `json:"containerPort"`
		Protocol      string `json:"protocol"`
	} `json:"ports"`
	Resources struct {
		Limits struct {
			Memory string `json:"memory"`
		} `json:"limits"`
	} `json:"resources"`
}

// ContainerStatus is a container of a pod's status.
type ContainerStatus struct {
	Name         string `json:"name"`
	ContainerID  string `json:"containerID"`
	RestartCount int    `json:"restartCount"`
	Ready        bool   `json:"ready"`
	State        State  `json:"state"`
	LastState    State  `json:"lastState"`
}

// State is the state of a container; one of the three is set.
type State struct {
	Waiting *struct {
		Reason string `json:"reason"`
	} `json:"waiting"`
	Running *struct {
		StartedAt time.Time `json:"startedAt"`
	} `json:"running"`
	Terminated *Terminated `json:"terminated"`
}

// Terminated says how a container's run ended.
type Terminated struct {
	ContainerID string    `json:"containerID"`
	ExitCode    int       `json:"exitCode"`
	Reason      string    `json:"reason"`
	StartedAt   time.Time `json:"startedAt"`
	FinishedAt  time.Time `json:"finishedAt"`
}

// LastEnd is how the container last ended, whether it runs again or not.
func (c ContainerStatus) LastEnd() *Terminated {
	if c.State.Terminated != nil {
		return c.State.Terminated
	}
	return c.LastState.Terminated
}

// ids are the 64-hex ids of the container's present and last run.
func (c ContainerStatus) ids() []string {
	var ids []string
	for _, t := range []*Terminated{{ContainerID: c.ContainerID}, c.State.Terminated, c.LastState.Terminated} {
		if t == nil {
			continue
		}
		if _, id, ok := strings.Cut(t.ContainerID, "://"); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// Statuses are those of init and ordinary containers.
func (p Pod) Statuses() []ContainerStatus {
	return append(p.Status.InitContainerStatuses[:len(p.Status.InitContainerStatuses):len(p.Status.InitContainerStatuses)], p.Status.ContainerStatuses...)
}

// MemoryLimit is a container's memory limit as the spec writes it, or "".
func (p Pod) MemoryLimit(container string) string {
	for _, list := range [][]Container{p.Spec.Containers, p.Spec.InitContainers} {
		for _, c := range list {
			if c.Name == container {
				return c.Resources.Limits.Memory
			}
		}
	}
	return ""
}

// Ready says whether the Ready condition holds.
func (p Pod) Ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// Ended says whether the pod has run to its end or is being deleted.
func (p Pod) Ended() bool {
	return p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" || p.Metadata.Deleted != ""
}

// Subject names the pod.
func (p Pod) Subject() sdk.Subject {
	return sdk.Subject{Kind: "Pod", Namespace: p.Metadata.Namespace, Name: p.Metadata.Name, Node: p.Spec.NodeName, UID: p.Metadata.UID}
}

// Owner names the workload that the pod belongs to, so that a finding keeps
// its id when pods are replaced: the Deployment of a ReplicaSet, the CronJob of
// a Job. A pod on its own, or a static one, is its own owner.
func (p Pod) Owner() string {
	kind, name := "Pod", p.Metadata.Name
	for _, o := range p.Metadata.OwnerReferences {
		if o.Controller && o.Kind != "Node" {
			kind, name = o.Kind, o.Name
		}
	}
	hash := p.Metadata.Labels["pod-template-hash"]
	if deployment, ok := strings.CutSuffix(name, "-"+hash); ok && kind == "ReplicaSet" && hash != "" {
		kind, name = "Deployment", deployment
	}
	if i := strings.LastIndexByte(name, '-'); kind == "Job" && i > 0 && len(name)-i > 8 && strings.Trim(name[i+1:], "0123456789") == "" {
		kind, name = "CronJob", name[:i] // its Jobs end in the minute that they stand for
	}
	return kind + " " + p.Metadata.Namespace + "/" + name
}

// PodsInput is the declared input of pods.
func PodsInput() sdk.RowSource[Pod] { return sdk.Resource[Pod]("pods", "v1/pods") }

// PodRow is a pod and its place.
type PodRow = sdk.Row[Pod]

// Pods answers which pod something belongs to.
type Pods struct {
	Rows        []PodRow
	byLabel     map[label][]int32
	byUID       map[string]int
	byName      map[string]int
	byContainer map[string]containerAt
}

type label struct{ namespace, key, value string }

type containerAt struct {
	pod  int
	name string
}

// PodsOf reads the pods once for all rules.
func PodsOf(in *sdk.Input) *Pods {
	return sdk.Memo(in, "kube.Pods", func(in *sdk.Input) *Pods {
		p := &Pods{Rows: PodsInput().All(in), byLabel: map[label][]int32{}, byUID: map[string]int{}, byName: map[string]int{}, byContainer: map[string]containerAt{}}
		for i, r := range p.Rows {
			m := r.V.Metadata
			for k, v := range m.Labels {
				l := label{m.Namespace, k, v}
				p.byLabel[l] = append(p.byLabel[l], int32(i))
			}
			p.byUID[m.UID] = i
			p.byName[m.Namespace+"/"+m.Name] = i
			for _, c := range r.V.Statuses() {
				for _, id := range c.ids() {
					p.byContainer[id] = containerAt{i, c.Name}
				}
			}
		}
		return p
	})
}

// ByUID finds a pod by its uid.
func (p *Pods) ByUID(uid string) (PodRow, bool) { return p.row(p.byUID, uid) }

// ByName finds a pod by namespace and name.
func (p *Pods) ByName(namespace, name string) (PodRow, bool) {
	return p.row(p.byName, namespace+"/"+name)
}

// ByContainer finds the pod and the name of a container by its 64-hex id.
func (p *Pods) ByContainer(id string) (PodRow, string, bool) {
	c, ok := p.byContainer[id]
	if !ok || id == "" {
		return PodRow{}, "", false
	}
	return p.Rows[c.pod], c.name, true
}

func (p *Pods) row(m map[string]int, key string) (PodRow, bool) {
	i, ok := m[key]
	if !ok || key == "" {
		return PodRow{}, false
	}
	return p.Rows[i], true
}

// Selected lists the pods of a namespace that a selector matches and that
// have not ended.
func (p *Pods) Selected(namespace string, selector map[string]string) []PodRow {
	var fewest []int32
	first := true
	for k, v := range selector {
		if l := p.byLabel[label{namespace, k, v}]; first || len(l) < len(fewest) {
			fewest, first = l, false
		}
	}
	var rows []PodRow
	for _, i := range fewest {
		if r := &p.Rows[i]; !r.V.Ended() && Matches(selector, r.V.Metadata.Labels) {
			rows = append(rows, *r)
		}
	}
	return rows
}

// Matches says whether labels hold all of a selector, which must not be empty.
func Matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return len(selector) > 0
}
