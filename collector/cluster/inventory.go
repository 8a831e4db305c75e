package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/casefile-io/casefile/collector/agent"
)

// Node is what planning needs to know of a node.
type Node struct {
	Name          string
	UID           string
	Labels        map[string]string
	Ready         bool
	Unschedulable bool
	ControlPlane  bool
	Pressure      bool     // memory, disk, PID or network condition not as it should be
	IPs           []string // internal ones first
	OS, Arch      string   // "linux", "amd64"
	Kernel        string
	Runtime       string   // "containerd://2.4.2"
	Images        []string // names of the images on the node
}

// Nodes lists the nodes in order of name.
func (c *Cluster) Nodes(ctx context.Context) ([]Node, error) {
	var nodes []Node
	err := each(ctx, c, coreResource("nodes", "Node", false), "", nil, func(n *corev1.Node) {
		nodes = append(nodes, nodeOf(n))
	})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return nodes, nil
}

func nodeOf(n *corev1.Node) Node {
	out := Node{Name: n.Name, UID: string(n.UID), Labels: n.Labels, Unschedulable: n.Spec.Unschedulable,
		OS: n.Status.NodeInfo.OperatingSystem, Arch: n.Status.NodeInfo.Architecture,
		Kernel: n.Status.NodeInfo.KernelVersion, Runtime: n.Status.NodeInfo.ContainerRuntimeVersion}
	for _, role := range []string{"control-plane", "master"} {
		if _, ok := n.Labels["node-role.kubernetes.io/"+role]; ok {
			out.ControlPlane = true
		}
	}
	for _, cond := range n.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			out.Ready = cond.Status == corev1.ConditionTrue
		} else if cond.Status == corev1.ConditionTrue {
			out.Pressure = true
		}
	}
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range n.Status.Addresses {
			if a.Type == kind {
				out.IPs = append(out.IPs, a.Address)
			}
		}
	}
	for _, image := range n.Status.Images {
		out.Images = append(out.Images, image.Names...)
	}
	return out
}

// Pods lists the pods that are on a node, by node, as the agent's plan wants
// them. It ignores -n: an agent sees the whole node.
func (c *Cluster) Pods(ctx context.Context) (map[string][]agent.Pod, error) {
	pods := map[string][]agent.Pod{}
	err := each(ctx, c, coreResource("pods", "Pod", true), "", nil, func(p *corev1.Pod) {
		if p.Spec.NodeName != "" && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			pods[p.Spec.NodeName] = append(pods[p.Spec.NodeName], podOf(p))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return pods, nil
}

func podOf(p *corev1.Pod) agent.Pod {
	out := agent.Pod{UID: string(p.UID), Namespace: p.Namespace, Name: p.Name, HostNet: p.Spec.HostNetwork}
	for _, ip := range p.Status.PodIPs {
		out.IPs = append(out.IPs, ip.IP)
	}
	for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for _, s := range statuses {
			if s.State.Running == nil && s.ContainerID == "" {
				continue
			}
			if out.Containers == nil {
				out.Containers = map[string]string{}
			}
			out.Containers[containerID(s.ContainerID)] = s.Name
		}
	}
	return out
}

// containerID strips the runtime of "containerd://0123…".
func containerID(id string) string {
	if _, rest, ok := strings.Cut(id, "://"); ok {
		return rest
	}
	return id
}

func coreResource(name, kind string, namespaced bool) resource {
	return resource{gvr: schema.GroupVersionResource{Version: "v1", Resource: name}, kind: kind, namespaced: namespaced}
}

// each lists objects of a known type, page by page.
func each[T any](ctx context.Context, c *Cluster, res resource, namespace string, more url.Values, f func(*T)) error {
	l := c.newList(res, namespace, true)
	l.more = more
	return l.each(ctx, func(p page, _ url.Values) error {
		for _, it := range p.items {
			o, ok := any(it.object).(*T)
			if !ok {
				o = new(T)
				if err := json.Unmarshal(it.raw, o); err != nil {
					return fmt.Errorf("%s/%s: %w", it.namespace, it.name, err)
				}
			}
			f(o)
		}
		return nil
	})
}

// get reads one object of a known type.
func get[T any](ctx context.Context, c *Cluster, path string) (*T, error) {
	resp, err := c.client.get(ctx, path, nil, acceptJSON, maxOneBytes)
	if err != nil {
		return nil, err
	}
	o := new(T)
	if err := json.Unmarshal(resp.body, o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// maxAddresses bounds [Cluster.Addresses]: they go into every plan and every
// capture.
const maxAddresses = 20_000

// Addresses names what the packets of a capture may come from: Services by
// service/NS/NAME, nodes by node/NAME, pods by NS/NAME. What may not be listed
// is left out.
func (c *Cluster) Addresses(ctx context.Context, pods map[string][]agent.Pod) map[string]string {
	names := map[string]string{}
	put := func(address, name string) {
		if _, taken := names[address]; !taken && len(names) < maxAddresses && address != corev1.ClusterIPNone && address != "" {
			names[address] = name
		}
	}
	_ = each(ctx, c, coreResource("services", "Service", true), "", nil, func(s *corev1.Service) {
		for _, ip := range append(slices.Clone(s.Spec.ClusterIPs), s.Spec.ClusterIP) {
			put(ip, "service/"+s.Namespace+"/"+s.Name)
		}
		for _, in := range s.Status.LoadBalancer.Ingress {
			put(in.IP, "service/"+s.Namespace+"/"+s.Name)
		}
	})
	_ = each(ctx, c, coreResource("nodes", "Node", false), "", nil, func(n *corev1.Node) {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
				put(a.Address, "node/"+n.Name)
			}
		}
	})
	for _, list := range pods {
		for _, p := range list {
			for _, ip := range p.IPs {
				if !p.HostNet {
					put(ip, p.Namespace+"/"+p.Name)
				}
			}
		}
	}
	return names
}
