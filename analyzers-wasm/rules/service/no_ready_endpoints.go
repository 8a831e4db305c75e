// Package service holds the rules about Services.
package service

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

const maxEvidence = 4 // rows of a kind that one finding cites

// NoReadyEndpoints finds Services whose clients reach nobody. The cluster's
// DNS is dns/coredns-unavailable's.
func NoReadyEndpoints() sdk.Rule {
	return sdk.Rule{
		ID: "service/no-ready-endpoints", Severity: sdk.Critical, Layer: sdk.LayerService,
		Text: map[string]sdk.Text{"en": noReadyEndpointsEN(), "zh": noReadyEndpointsZH()},
		Inputs: []sdk.Source{kube.ServicesInput(), kube.SlicesInput(), kube.PodsInput(),
			sdk.Optional(kube.DeploymentsInput())},
		Run: noReadyEndpoints,
	}
}

func noReadyEndpoints(in *sdk.Input, out *sdk.Reporter) error {
	pods, slices := kube.PodsOf(in), kube.SlicesOf(in)
	_, noSlices := in.Missing(kube.SlicesInput())
	_, noPods := in.Missing(kube.PodsInput())
	for svc, at := range kube.ServicesInput().Rows(in) {
		if len(svc.Spec.Selector) == 0 || svc.Spec.Type == "ExternalName" || svc.IsClusterDNS() {
			continue
		}
		c := examination{svc: svc, at: at, slices: slices.Of(svc), selected: pods.Selected(svc.Metadata.Namespace, svc.Spec.Selector)}
		if noSlices && (noPods || len(c.selected) > 0) {
			continue // there may be endpoints that were not collected
		}
		c.blind = noPods
		if f, broken := c.finding(in); broken {
			out.Find(f)
		}
	}
	return nil
}

// examination is one Service with all that belongs to it.
type examination struct {
	svc      kube.Service
	at       int64
	slices   []sdk.Row[kube.EndpointSlice]
	selected []kube.PodRow
	blind    bool // not all pods were collected: what is selected tells no cause
}

func (x examination) finding(in *sdk.Input) (sdk.Finding, bool) {
	all, serving := kube.Count(x.slices)
	unserved := x.unservedPorts()
	if serving > 0 && len(unserved) == 0 {
		return sdk.Finding{}, false
	}
	ready := 0
	for _, p := range x.selected {
		if p.V.Ready() {
			ready++
		}
	}
	f := sdk.Finding{
		Subject: x.svc.Subject(),
		Params: map[string]any{
			"namespace": x.svc.Metadata.Namespace, "service": x.svc.Metadata.Name, "selector": kube.SelectorText(x.svc.Spec.Selector),
			"selected": len(x.selected), "ready": ready, "endpoints": all, "ports": strings.Join(unserved, ", "), "states": x.states(),
			"workload": "",
		},
		Evidence: []sdk.Evidence{sdk.At(x.at)},
	}
	for _, s := range x.slices[:min(len(x.slices), maxEvidence)] {
		f.Evidence = append(f.Evidence, sdk.At(s.At))
	}
	switch {
	case x.blind:
		f.Variant = "no-pod-data"
	case len(x.selected) == 0:
		x.nobody(in, &f)
	case serving > 0 || ready > 0 && len(unserved) > 0 && x.named():
		f.Variant = "port-unknown"
		if serving > 0 && len(unserved) < len(x.svc.Spec.Ports) {
			f.Severity = sdk.Medium // its other ports work
		}
		f.Evidence = append(f.Evidence, podRows(x.selected, kube.Pod.Ready)...)
	default:
		f.Variant = "not-ready"
		f.Evidence = append(f.Evidence, podRows(x.selected, func(p kube.Pod) bool { return !p.Ready() })...)
	}
	if x.svc.Headless() && f.Severity == "" {
		f.Severity = sdk.Medium // no address that swallows connections: DNS answers that there is nobody
	}
	return f, true
}

// nobody words the finding for a selector that matches no pod, which is milder
// when the workload that would match was scaled to zero.
func (x examination) nobody(in *sdk.Input, f *sdk.Finding) {
	f.Variant = "no-pods"
	for d, at := range kube.DeploymentsInput().Rows(in) {
		if d.Metadata.Namespace == x.svc.Metadata.Namespace && d.Spec.Replicas == 0 && kube.Matches(x.svc.Spec.Selector, d.Spec.Template.Metadata.Labels) {
			f.Variant, f.Severity = "scaled-to-zero", sdk.Medium
			f.Params["workload"] = "deployment/" + d.Metadata.Name
			f.Evidence = append(f.Evidence, sdk.At(at))
			return
		}
	}
}

// unservedPorts names the Service's ports that no slice with a serving
// endpoint holds: the controller leaves a port out when its named targetPort
// is declared by no container. Empty when there are no slices at all.
func (x examination) unservedPorts() []string {
	var names []string
	for _, p := range x.svc.Spec.Ports {
		if !slices.ContainsFunc(x.slices, func(s sdk.Row[kube.EndpointSlice]) bool {
			_, serving := kube.Count([]sdk.Row[kube.EndpointSlice]{s})
			for _, sp := range s.V.Ports {
				if serving > 0 && sp.Name == p.Name {
					return true
				}
			}
			return false
		}) {
			names = append(names, fmt.Sprintf("%d → %s", p.Port, p.TargetPort))
		}
	}
	return names
}

// named says whether some pod lacks the name of a targetPort.
func (x examination) named() bool {
	for _, p := range x.svc.Spec.Ports {
		for _, pod := range x.selected {
			if _, ok := p.Target(pod.V); !ok {
				return true
			}
		}
	}
	return false
}

// states counts what holds the selected pods up: "CrashLoopBackOff ×2".
func (x examination) states() string {
	count := map[string]int{}
	var order []string
	for _, p := range x.selected {
		if p.V.Ready() {
			continue
		}
		state := p.V.Status.Phase
		for _, c := range p.V.Statuses() {
			switch {
			case c.State.Waiting != nil && c.State.Waiting.Reason != "" && c.State.Waiting.Reason != "PodInitializing":
				state = c.State.Waiting.Reason
			case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
				state = c.State.Terminated.Reason
			}
		}
		if count[state] == 0 {
			order = append(order, state)
		}
		count[state]++
	}
	var parts []string
	for _, s := range order {
		parts = append(parts, fmt.Sprintf("%s ×%d", s, count[s]))
	}
	return strings.Join(parts, ", ")
}

func podRows(rows []kube.PodRow, want func(kube.Pod) bool) []sdk.Evidence {
	var es []sdk.Evidence
	for _, r := range rows {
		if want(r.V) && len(es) < maxEvidence {
			es = append(es, sdk.At(r.At))
		}
	}
	return es
}
