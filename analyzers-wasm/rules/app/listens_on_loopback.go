package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
)

// ListensOnLoopback finds applications that listen on 127.0.0.1 only, on a
// port that a Service sends to.
func ListensOnLoopback() sdk.Rule {
	return sdk.Rule{
		ID: "app/listens-on-loopback", Severity: sdk.Critical, Layer: sdk.LayerApp,
		Text:   map[string]sdk.Text{"en": listensOnLoopbackEN(), "zh": listensOnLoopbackZH()},
		Inputs: append(kernel.SocketsInput().Sources(), kube.ServicesInput(), kube.PodsInput(), kernel.NodesInput()),
		Run:    listensOnLoopback,
	}
}

// loopback is a workload's port that only the pods themselves reach.
type loopback struct {
	service, pod sdk.Subject
	affected     []sdk.Subject
	port         string
	target       int
	meshed       bool
	comm, src    string
	rows         []int64
}

func listensOnLoopback(in *sdk.Input, out *sdk.Reporter) error {
	machines, pods, sockets := kernel.MachinesOf(in), kube.PodsOf(in), kernel.Listeners(in)
	spaces := machines.SpacesOfPods()
	found := map[string]*loopback{}
	var order, blind []string
	for svc, at := range kube.ServicesInput().Rows(in) {
		if len(svc.Spec.Selector) == 0 || svc.Spec.Type == "ExternalName" {
			continue
		}
		for _, pod := range pods.Selected(svc.Metadata.Namespace, svc.Spec.Selector) {
			space, ok := spaces[pod.V.Metadata.UID]
			if pod.V.Spec.HostNetwork {
				space, ok = kernel.Space{Node: pod.V.Spec.NodeName}, machines.Has(pod.V.Spec.NodeName)
			}
			if !ok {
				if node := pod.V.Spec.NodeName; node != "" && !machines.Has(node) && !slices.Contains(blind, node) {
					blind = append(blind, node)
				}
				continue
			}
			for _, port := range svc.Spec.Ports {
				l, target := examine(sockets[space], pod.V, port)
				if len(l.loopback) == 0 || l.open {
					continue
				}
				key := fmt.Sprintf("%s Service %s/%s port %d", pod.V.Owner(), svc.Metadata.Namespace, svc.Metadata.Name, port.Port)
				if found[key] == nil {
					found[key] = &loopback{service: svc.Subject(), pod: pod.V.Subject(), target: target, meshed: meshed(pod.V),
						port: fmt.Sprint(port.Port), comm: l.loopback[0].V.Comm, src: l.loopback[0].V.Src, rows: []int64{at}}
					order = append(order, key)
				}
				found[key].add(pod, l)
			}
		}
	}
	for _, key := range order {
		out.Find(found[key].finding(key))
	}
	if len(blind) > 0 && len(machines.Rows) > 0 {
		out.Unknown("no data of the nodes of some of the Services' pods: "+strings.Join(blind, ", "), kernel.NodesInput())
	}
	kernel.SocketsInput().Check(in, out)
	return nil
}

// examine sorts the listeners on the port that the Service's port has in a pod.
func examine(sockets []sdk.Row[kernel.Socket], pod kube.Pod, port kube.ServicePort) (listeners, int) {
	target, ok := port.Target(pod)
	if !ok || !port.TCP() {
		return listeners{}, 0
	}
	var ips []string
	for _, ip := range pod.Status.PodIPs {
		ips = append(ips, ip.IP)
	}
	return listening(sockets, target, ips), target
}

func (l *loopback) add(pod kube.PodRow, found listeners) {
	if pod.V.Metadata.UID != l.pod.UID {
		l.affected = append(l.affected, pod.V.Subject())
	}
	if len(l.rows) < 2*maxEvidence {
		l.rows = append(l.rows, found.loopback[0].At, pod.At)
	}
}

func (l *loopback) finding(key string) sdk.Finding {
	f := sdk.Finding{
		Owner: key, Subject: l.pod, Peer: &l.service, Affected: l.affected,
		Params: map[string]any{
			"namespace": l.pod.Namespace, "pod": l.pod.Name, "service": l.service.Name, "port": l.port,
			"target": l.target, "address": l.src, "process": l.comm, "pods": 1 + len(l.affected),
		},
	}
	if l.comm == "" {
		f.Params["process"] = "?"
	}
	if l.meshed {
		f.Confidence = "medium"
	}
	for _, at := range l.rows {
		f.Evidence = append(f.Evidence, sdk.At(at))
	}
	return f
}

// meshed says whether a service mesh's proxy in the pod may take connections
// for the application and hand them on over loopback.
func meshed(p kube.Pod) bool {
	for _, list := range [][]kube.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for _, c := range list {
			if c.Name == "istio-proxy" || c.Name == "linkerd-proxy" || c.Name == "envoy-sidecar" {
				return true
			}
		}
	}
	return false
}
