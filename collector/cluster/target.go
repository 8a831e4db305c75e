package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/casefile-io/casefile/collector/agent"
)

const maxFilter = 4 << 10 // bytes of a capture filter

// Spec is a target as the user wrote it: pod/NS/NAME, node/NAME,
// service/NS/NAME or host, then perhaps =FILTER.
type Spec struct {
	Text      string // without the filter
	Kind      string // "pod", "node", "service", "host"
	Namespace string
	Name      string
	Filter    string // tcpdump syntax; not checked here
}

// Folder is the name of the target's folder below captures/.
func (s Spec) Folder() string { return strings.ReplaceAll(s.Text, "/", "_") }

// ParseTarget reads TARGET[=FILTER].
func ParseTarget(text string) (Spec, error) {
	target, filter, filtered := strings.Cut(text, "=")
	s := Spec{Text: target, Filter: strings.TrimSpace(filter)}
	bad := func(why string) (Spec, error) {
		return Spec{}, fmt.Errorf("target %q: %s (a target is pod/NAMESPACE/NAME, node/NAME, service/NAMESPACE/NAME or host, then perhaps =FILTER)", target, why)
	}
	switch {
	case filtered && s.Filter == "":
		return bad("the filter is empty")
	case len(s.Filter) > maxFilter:
		return bad(fmt.Sprintf("a filter of more than %d bytes", maxFilter))
	}
	parts := strings.Split(target, "/")
	s.Kind = parts[0]
	for _, p := range parts[1:] {
		if !objectName(p) {
			return bad(fmt.Sprintf("%q is no name", p))
		}
	}
	switch n := len(parts); {
	case s.Kind == "host" && n == 1:
	case s.Kind == "node" && n == 2:
		s.Name = parts[1]
	case (s.Kind == "pod" || s.Kind == "service") && n == 3:
		s.Namespace, s.Name = parts[1], parts[2]
	case (s.Kind == "pod" || s.Kind == "service") && n == 2:
		return bad("the namespace is missing")
	case s.Kind == "host" || s.Kind == "node" || s.Kind == "pod" || s.Kind == "service":
		return bad("wrong number of parts")
	default:
		return bad("unknown kind")
	}
	return s, nil
}

// objectName says whether s can name a Kubernetes object (DNS subdomain).
func objectName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i, r := range s {
		alnum := 'a' <= r && r <= 'z' || '0' <= r && r <= '9'
		inside := i > 0 && i < len(s)-1 && (r == '-' || r == '.')
		if !alnum && !inside {
			return false
		}
	}
	return true
}

// Point is one place that a target stands for.
type Point struct {
	Node string
	Pod  *agent.Pod // nil: the node itself
}

// Target is a target that was found in the cluster. Points of a "host" target
// are empty: it is this machine, not the cluster's business.
type Target struct {
	Spec
	Points []Point
}

// ResolveTargets finds what the targets stand for. An error says what is
// wrong with the first that could not be found, with names that come close.
func (c *Cluster) ResolveTargets(ctx context.Context, texts []string) ([]Target, error) {
	var out []Target
	for _, text := range texts {
		s, err := ParseTarget(text)
		if err != nil {
			return nil, err
		}
		t := Target{Spec: s}
		switch s.Kind {
		case "node":
			t.Points, err = c.resolveNode(ctx, s)
		case "pod":
			t.Points, err = c.resolvePod(ctx, s)
		case "service":
			t.Points, err = c.resolveService(ctx, s)
		}
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", s.Text, err)
		}
		out = append(out, t)
	}
	return out, nil
}

func (c *Cluster) resolveNode(ctx context.Context, s Spec) ([]Point, error) {
	_, err := get[corev1.Node](ctx, c, "/api/v1/nodes/"+s.Name)
	if err != nil {
		return nil, c.notFound(ctx, err, s, coreResource("nodes", "Node", false))
	}
	return []Point{{Node: s.Name}}, nil
}

func (c *Cluster) resolvePod(ctx context.Context, s Spec) ([]Point, error) {
	p, err := get[corev1.Pod](ctx, c, "/api/v1/namespaces/"+s.Namespace+"/pods/"+s.Name)
	if err != nil {
		return nil, c.notFound(ctx, err, s, coreResource("pods", "Pod", true))
	}
	if why := offNode(p); why != "" {
		return nil, fmt.Errorf("the pod %s", why)
	}
	pod := podOf(p)
	return []Point{{Node: p.Spec.NodeName, Pod: &pod}}, nil
}

// offNode says why a pod has no network namespace to look into.
func offNode(p *corev1.Pod) string {
	switch {
	case p.Spec.NodeName == "":
		return "is not on a node yet (" + string(p.Status.Phase) + ")"
	case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		return "has ended (" + string(p.Status.Phase) + ")"
	}
	return ""
}

func (c *Cluster) resolveService(ctx context.Context, s Spec) ([]Point, error) {
	svc, err := get[corev1.Service](ctx, c, "/api/v1/namespaces/"+s.Namespace+"/services/"+s.Name)
	if err != nil {
		return nil, c.notFound(ctx, err, s, coreResource("services", "Service", true))
	}
	if len(svc.Spec.Selector) == 0 {
		return nil, fmt.Errorf("the service has no selector, so no pods of its own; name a pod or a node")
	}
	selector := labels.SelectorFromSet(svc.Spec.Selector).String()
	var points []Point
	err = each(ctx, c, coreResource("pods", "Pod", true), s.Namespace, url.Values{"labelSelector": {selector}}, func(p *corev1.Pod) {
		if offNode(p) == "" {
			pod := podOf(p)
			points = append(points, Point{Node: p.Spec.NodeName, Pod: &pod})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list its pods: %w", err)
	}
	if len(points) == 0 {
		return nil, fmt.Errorf("no running pod matches the service's selector %s", selector)
	}
	return points, nil
}

// notFound makes a 404 helpful.
func (c *Cluster) notFound(ctx context.Context, err error, s Spec, res resource) error {
	if statusCode(err) != http.StatusNotFound {
		return err
	}
	if s.Namespace != "" {
		if _, err := get[corev1.Namespace](ctx, c, "/api/v1/namespaces/"+s.Namespace); statusCode(err) == http.StatusNotFound {
			return fmt.Errorf("there is no namespace %q%s", s.Namespace, c.didYouMean(ctx, coreResource("namespaces", "Namespace", false), "", s.Namespace))
		}
	}
	return fmt.Errorf("there is no %s %q%s", s.Kind, s.Name, c.didYouMean(ctx, res, s.Namespace, s.Name))
}

// didYouMean lists names that come close; empty if none does or may be read.
func (c *Cluster) didYouMean(ctx context.Context, res resource, namespace, name string) string {
	var all []string
	l := c.newList(res, namespace, true)
	if l.each(ctx, func(p page, _ url.Values) error {
		for _, it := range p.items {
			all = append(all, it.name)
		}
		return nil
	}) != nil {
		return ""
	}
	near := closest(name, all, 3)
	if len(near) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(near, ", ") + "?"
}

// closest returns up to n of the candidates that are like name, best first.
func closest(name string, candidates []string, n int) []string {
	type scored struct {
		name string
		dist int
	}
	var near []scored
	for _, c := range candidates {
		d := distance(name, c)
		if strings.HasPrefix(c, name) || strings.Contains(c, name) || strings.Contains(name, c) {
			d = min(d, 1)
		}
		if d <= max(2, len(name)/3) {
			near = append(near, scored{c, d})
		}
	}
	slices.SortFunc(near, func(a, b scored) int { return cmp.Or(cmp.Compare(a.dist, b.dist), cmp.Compare(a.name, b.name)) })
	var out []string
	for _, s := range near[:min(n, len(near))] {
		out = append(out, s.name)
	}
	return out
}

// distance is the number of edits that turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal, row[j+1] = row[j+1], min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
