package launch

import (
	"fmt"
	"slices"
	"sort"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/casefile-io/casefile/collector/cluster"
)

// Bounds of --nodes auto.
const (
	AutoAll       = 20 // clusters of this size are taken whole
	autoUnhealthy = 10
	autoControl   = 5
	autoSample    = 5 // healthy workers, spread over the names
)

// Pick is the outcome of --nodes.
type Pick struct {
	Nodes   []string          // sorted
	Skipped map[string]string // the others, and why
}

// PickNodes chooses nodes by what --nodes says: auto, all, none, or a label
// selector. targets are nodes that captures need; none and a selector may
// leave them out, which the caller's plan then shows.
func PickNodes(all []cluster.Node, by string, targets []string) (Pick, error) {
	p := Pick{Skipped: map[string]string{}}
	var usable []cluster.Node
	for _, n := range all {
		if !supported(n.Labels) {
			p.Skipped[n.Name] = fmt.Sprintf("there is no agent for %s/%s", n.Labels[corev1.LabelOSStable], n.Labels[corev1.LabelArchStable])
			continue
		}
		usable = append(usable, n)
	}
	sort.Slice(usable, func(i, j int) bool { return usable[i].Name < usable[j].Name })
	why := "left out by --nodes " + by
	switch by {
	case "none":
	case "all":
		p.Nodes = namesOf(usable)
	case "auto", "":
		p.Nodes = pickAuto(usable, targets)
		why = "not in the sample of --nodes auto; --nodes all takes every node"
	default:
		selector, err := labels.Parse(by)
		if err != nil {
			return Pick{}, fmt.Errorf("--nodes %q is neither auto, all, none nor a label selector: %w", by, err)
		}
		for _, n := range usable {
			if selector.Matches(labels.Set(n.Labels)) {
				p.Nodes = append(p.Nodes, n.Name)
			}
		}
		if len(p.Nodes) == 0 {
			return Pick{}, fmt.Errorf("--nodes %s matches none of %d nodes; one node by its name is --nodes kubernetes.io/hostname=NAME", by, len(usable))
		}
	}
	for _, n := range usable {
		if !slices.Contains(p.Nodes, n.Name) {
			p.Skipped[n.Name] = why
		}
	}
	return p, nil
}

func namesOf(nodes []cluster.Node) []string {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return names
}

// pickAuto takes all of a small cluster; of a large one all targets, some of
// the control plane and of the unhealthy, and a sample of the rest.
func pickAuto(nodes []cluster.Node, targets []string) []string {
	if len(nodes) <= AutoAll {
		return namesOf(nodes)
	}
	var picked, control, unhealthy, rest []string
	for _, n := range nodes {
		switch {
		case slices.Contains(targets, n.Name):
			picked = append(picked, n.Name)
		case !n.Ready || n.Pressure:
			unhealthy = append(unhealthy, n.Name)
		case n.ControlPlane:
			control = append(control, n.Name)
		default:
			rest = append(rest, n.Name)
		}
	}
	picked = append(picked, spread(control, autoControl)...)
	picked = append(picked, spread(unhealthy, autoUnhealthy)...)
	picked = append(picked, spread(rest, autoSample)...)
	sort.Strings(picked)
	return picked
}

// spread takes k names at equal distances.
func spread(names []string, k int) []string {
	if len(names) <= k {
		return names
	}
	out := make([]string, 0, k)
	for i := range k {
		out = append(out, names[i*len(names)/k])
	}
	return out
}
