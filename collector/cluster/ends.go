package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/casefile-io/casefile/collector/agent"
)

const (
	kubeletPort = 10250
	maxMembers  = 200
	endHowto    = "an end is pod/NAMESPACE/NAME, node/NAME or service/NAMESPACE/NAME, each perhaps with :PORT, or tcp://HOST:PORT for what is outside the cluster"
)

// EndSpec is an end of a connection as the user wrote it.
type EndSpec struct {
	Text      string
	Kind      string // pod, node, service, outside
	Namespace string
	Name      string // of outside: the host
	Port      uint16 // 0: not said
}

// ParseEnd reads an end of --between.
func ParseEnd(text string) (EndSpec, error) {
	bad := func(why string) (EndSpec, error) {
		return EndSpec{}, fmt.Errorf("%q: %s (%s)", text, why, endHowto)
	}
	if rest, ok := strings.CutPrefix(text, "tcp://"); ok {
		host, port, err := net.SplitHostPort(rest)
		n, bad2 := strconv.ParseUint(port, 10, 16)
		if err != nil || bad2 != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@%") || len(host) > 253 {
			return bad("want tcp://HOST:PORT")
		}
		return EndSpec{Text: text, Kind: "outside", Name: host, Port: uint16(n)}, nil
	}
	target, port, given := strings.Cut(text, ":")
	s, err := ParseTarget(target)
	if err != nil || s.Kind == "host" || strings.Contains(target, "=") {
		return bad("this names nothing in a cluster")
	}
	e := EndSpec{Text: text, Kind: s.Kind, Namespace: s.Namespace, Name: s.Name}
	if given {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return bad(fmt.Sprintf("%q is no port", port))
		}
		e.Port = uint16(n)
	}
	return e, nil
}

// Target is the end without its port.
func (e EndSpec) Target() string {
	switch e.Kind {
	case "outside":
		return e.Text
	case "node":
		return "node/" + e.Name
	}
	return e.Kind + "/" + e.Namespace + "/" + e.Name
}

// End is an end that was found in the cluster.
type End struct {
	EndSpec
	Node      string      // of a node
	Addresses []string    // of a node, or outside
	Members   []Member    // the pod, then others of its kind; or those of the service
	Service   *ServiceEnd // the service itself, or one that the pod belongs to
}

// Member is a pod that may take the part of an end.
type Member struct {
	Node  string
	Pod   agent.Pod
	Ready bool
	Port  uint16 // that it is reached at; 0: none is known
}

// ServiceEnd is what a service says of itself.
type ServiceEnd struct {
	Namespace, Name string
	Addresses       []string // none when it is headless
	Port            uint16
}

// ResolveEnd finds an end.
func (c *Cluster) ResolveEnd(ctx context.Context, s EndSpec) (End, error) {
	e := End{EndSpec: s}
	var err error
	switch s.Kind {
	case "outside":
		e.Addresses = []string{s.Name}
	case "node":
		err = c.nodeEnd(ctx, &e)
	case "pod":
		err = c.podEnd(ctx, &e)
	case "service":
		err = c.serviceEnd(ctx, &e)
	}
	if err != nil {
		return End{}, fmt.Errorf("%s: %w", s.Text, err)
	}
	return e, nil
}

func (e End) spec() Spec {
	return Spec{Text: e.Text, Kind: e.Kind, Namespace: e.Namespace, Name: e.Name}
}

func (c *Cluster) nodeEnd(ctx context.Context, e *End) error {
	n, err := get[corev1.Node](ctx, c, "/api/v1/nodes/"+e.Name)
	if err != nil {
		return c.notFound(ctx, err, e.spec(), coreResource("nodes", "Node", false))
	}
	e.Node, e.Addresses = n.Name, nodeOf(n).IPs
	if e.Port == 0 {
		e.Port = kubeletPort
	}
	if len(e.Addresses) == 0 {
		return errors.New("the node has no address")
	}
	return nil
}

// podEnd finds the pod, its like, and a service that it belongs to.
func (c *Cluster) podEnd(ctx context.Context, e *End) error {
	p, err := get[corev1.Pod](ctx, c, "/api/v1/namespaces/"+e.Namespace+"/pods/"+e.Name)
	if err != nil {
		return c.notFound(ctx, err, e.spec(), coreResource("pods", "Pod", true))
	}
	if why := offNode(p); why != "" {
		return fmt.Errorf("the pod %s", why)
	}
	var port *corev1.ServicePort
	err = each(ctx, c, coreResource("services", "Service", true), e.Namespace, nil, func(svc *corev1.Service) {
		if e.Service == nil && len(svc.Spec.Selector) > 0 && labels.SelectorFromSet(svc.Spec.Selector).Matches(labels.Set(p.Labels)) {
			if found := portOf(svc, 0, e.Port, p); found != nil {
				e.Service, port = serviceOf(svc, found), found
			}
		}
	})
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	e.Members = []Member{memberOf(p, port, e.Port)}
	owner := metav1.GetControllerOf(p)
	return c.members(ctx, e, nil, port, func(q *corev1.Pod) bool {
		o := metav1.GetControllerOf(q)
		return q.UID != p.UID && owner != nil && o != nil && o.UID == owner.UID
	})
}

func (c *Cluster) serviceEnd(ctx context.Context, e *End) error {
	svc, err := get[corev1.Service](ctx, c, "/api/v1/namespaces/"+e.Namespace+"/services/"+e.Name)
	if err != nil {
		return c.notFound(ctx, err, e.spec(), coreResource("services", "Service", true))
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return fmt.Errorf("the service stands for %s outside the cluster; say tcp://%s:PORT", svc.Spec.ExternalName, svc.Spec.ExternalName)
	}
	port := portOf(svc, e.Port, 0, nil)
	if port == nil {
		return fmt.Errorf("the service has no TCP port %s", map[bool]string{true: "", false: strconv.Itoa(int(e.Port))}[e.Port == 0])
	}
	e.Service = serviceOf(svc, port)
	if len(svc.Spec.Selector) == 0 {
		return nil
	}
	more := url.Values{"labelSelector": {labels.SelectorFromSet(svc.Spec.Selector).String()}}
	return c.members(ctx, e, more, port, func(*corev1.Pod) bool { return true })
}

// members adds pods of the namespace, the ready ones first.
func (c *Cluster) members(ctx context.Context, e *End, more url.Values, port *corev1.ServicePort, like func(*corev1.Pod) bool) error {
	named := len(e.Members)
	given := e.Port
	if e.Kind == "service" {
		given = 0 // that is the service's own
	}
	err := each(ctx, c, coreResource("pods", "Pod", true), e.Namespace, more, func(p *corev1.Pod) {
		if offNode(p) == "" && len(e.Members) < maxMembers && like(p) {
			e.Members = append(e.Members, memberOf(p, port, given))
		}
	})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	slices.SortStableFunc(e.Members[named:], func(a, b Member) int {
		if a.Ready != b.Ready {
			return map[bool]int{true: -1, false: 1}[a.Ready]
		}
		return cmp.Compare(a.Pod.Name, b.Pod.Name)
	})
	return nil
}

func memberOf(p *corev1.Pod, port *corev1.ServicePort, given uint16) Member {
	m := Member{Node: p.Spec.NodeName, Pod: podOf(p), Port: given}
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodReady {
			m.Ready = cond.Status == corev1.ConditionTrue
		}
	}
	if m.Port == 0 && port != nil {
		m.Port = targetPort(port, p)
	}
	if m.Port == 0 {
		m.Port = containerPort(p, "")
	}
	return m
}

// portOf chooses a TCP port of a service: the one that was asked for, or the
// one that leads to a port of a pod, or the first.
func portOf(svc *corev1.Service, port, target uint16, p *corev1.Pod) *corev1.ServicePort {
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if sp.Protocol != "" && sp.Protocol != corev1.ProtocolTCP || port != 0 && sp.Port != int32(port) || target != 0 && targetPort(sp, p) != target {
			continue
		}
		return sp
	}
	return nil
}

func targetPort(sp *corev1.ServicePort, p *corev1.Pod) uint16 {
	switch {
	case sp.TargetPort.Type == intstr.String:
		return containerPort(p, sp.TargetPort.StrVal)
	case sp.TargetPort.IntVal != 0:
		return uint16(sp.TargetPort.IntVal)
	}
	return uint16(sp.Port)
}

// containerPort finds a TCP port that the pod declares, by name or the first.
func containerPort(p *corev1.Pod, name string) uint16 {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if (port.Protocol == "" || port.Protocol == corev1.ProtocolTCP) && (name == "" || port.Name == name) {
				return uint16(port.ContainerPort)
			}
		}
	}
	return 0
}

func serviceOf(svc *corev1.Service, port *corev1.ServicePort) *ServiceEnd {
	s := &ServiceEnd{Namespace: svc.Namespace, Name: svc.Name, Port: uint16(port.Port)}
	for _, ip := range svc.Spec.ClusterIPs {
		if ip != "" && ip != corev1.ClusterIPNone {
			s.Addresses = append(s.Addresses, ip)
		}
	}
	return s
}

// Place is an address and port that an end is reached at.
type Place struct {
	Address string
	Port    uint16
}

// Reached are the addresses of the end itself: of a pod, all of its addresses,
// of a service its own.
func (e End) Reached() []Place {
	var out []Place
	add := func(port uint16, addresses []string) {
		for _, a := range addresses {
			out = append(out, Place{a, port})
		}
	}
	switch {
	case e.Kind == "service" && len(e.Service.Addresses) > 0:
		add(e.Service.Port, e.Service.Addresses)
	case e.Kind == "service": // headless: its pods
		for _, m := range e.Members[:min(len(e.Members), 8)] {
			add(m.Port, m.Pod.IPs)
		}
	case e.Kind == "pod":
		add(e.Members[0].Port, e.Members[0].Pod.IPs)
	default:
		add(e.Port, e.Addresses)
	}
	return out
}
