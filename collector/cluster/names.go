package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/casefile-io/casefile/collector"
)

// The kinds of a [Name].
const (
	NameCluster   = "cluster"
	NameNode      = "node"
	NameNamespace = "namespace"
	NameHost      = "host"
	NameUser      = "user"
	NameObject    = "object"
)

// Bounds of [Cluster.Names]: the list travels to every agent in one record.
const (
	maxNames     = 100_000
	maxNameBytes = 5 << 19 // 2.5 MiB of names in all
	maxName      = 253     // bytes; what is longer is no name
)

// ErrNames says that the names that strict redaction must map are not to be
// had; without them nothing may be collected under it.
var ErrNames = errors.New("strict redaction needs the names of what is in the cluster")

// Name is something that the cluster calls its own.
type Name struct {
	Kind  string // NameNode, …
	Value string
}

// Names lists what the cluster's things are called, in order of kind and name:
// nodes and their host names, namespaces, objects of every namespaced kind and
// of custom ones, the hosts of ingresses and external services, the users and
// groups that RBAC names. Metadata only, but where the name is in the spec.
//
// A name that contains its owner's is left out (pods, ReplicaSets …): the
// owner's maps it. So are the objects that every cluster has. A list that is
// denied or fails is a result; without nodes or namespaces, or with more names
// than can be handled, it is an [ErrNames].
func (c *Cluster) Names(ctx context.Context) ([]Name, []collector.Result, error) {
	d, err := c.discover(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNames, c.explain(err))
	}
	var wanted []resource
	for _, r := range plan(d, nil) {
		if namedByUsers(r) {
			wanted = append(wanted, r)
		}
	}
	found := NewNameSet()
	found.Add(NameHost, hostOf(c.client.base))
	var mu sync.Mutex
	var results []collector.Result
	failed := map[string]error{}
	parallel(c.opts.Parallel, wanted, func(r resource) {
		err := context.Cause(ctx)
		if err == nil {
			err = c.listNames(ctx, r, found)
		}
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		failed[r.gvr.GroupResource().String()] = err
		results = append(results, collector.Result{Source: NamesSource, Path: r.path(), Status: collector.StatusOf(err),
			Reason: "their names are not known, so strict redaction cannot map them: " + err.Error()})
	})
	for _, must := range []string{"nodes", "namespaces"} {
		if !slices.ContainsFunc(wanted, func(r resource) bool { return r.gvr.Group == "" && r.gvr.Resource == must }) {
			return nil, nil, fmt.Errorf("%w, and this API server lists no %s", ErrNames, must)
		}
		if err := failed[must]; err != nil {
			return nil, nil, fmt.Errorf("%w, and the list of %s failed: %w (it needs the right to list %s; --redact standard does without)", ErrNames, must, err, must)
		}
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if found.Full() {
		return nil, nil, fmt.Errorf("%w, and this one has more than %d of them, or %d bytes: take it in parts under --redact standard", ErrNames, maxNames, maxNameBytes)
	}
	slices.SortFunc(results, func(a, b collector.Result) int { return cmp.Compare(a.Path, b.Path) })
	return found.List(), results, nil
}

// NamesSource is the source of the results of [Cluster.Names].
const NamesSource = "names"

// namedByUsers says whether objects of a resource have names that somebody
// chose, unlike roles, classes and the API's own.
func namedByUsers(r resource) bool {
	switch r.gvr.GroupResource().String() {
	case "nodes", "namespaces", "persistentvolumes", "clusterrolebindings.rbac.authorization.k8s.io":
		return true
	case "events", "componentstatuses", "events.events.k8s.io", "pods.metrics.k8s.io":
		return false
	}
	builtin := !strings.Contains(r.gvr.Group, ".") || strings.HasSuffix(r.gvr.Group, ".k8s.io")
	return r.skip == "" && (r.namespaced || !builtin)
}

// named is what is read of an object.
type named struct {
	Metadata struct {
		Name            string  `json:"name"`
		Namespace       string  `json:"namespace"`
		OwnerReferences []owner `json:"ownerReferences"`
	} `json:"metadata"`
	Subjects []struct { // of role bindings
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"subjects"`
	Spec struct {
		ExternalName string `json:"externalName"`
		Rules        []struct {
			Host string `json:"host"`
		} `json:"rules"`
		TLS []struct {
			Hosts []string `json:"hosts"`
		} `json:"tls"`
	} `json:"spec"`
	Status struct {
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
	} `json:"status"`
}

type owner struct {
	Name string `json:"name"`
}

// listNames lists in all namespaces or, where that is denied, in those of -n.
func (c *Cluster) listNames(ctx context.Context, r resource, found *NameSet) error {
	err := c.listNamesIn(ctx, r, "", found)
	if !errors.Is(err, collector.ErrDenied) || !r.namespaced {
		return err
	}
	for _, ns := range c.opts.Namespaces {
		if own := c.listNamesIn(ctx, r, ns, found); own != nil {
			return own
		}
	}
	return err
}

// listNamesIn reads one list. Only where a name stands in a spec or status the
// objects themselves are asked for.
func (c *Cluster) listNamesIn(ctx context.Context, r resource, namespace string, found *NameSet) error {
	l := c.newList(r, namespace, false)
	if !inSpec(r) {
		l.accept = acceptMetadata
	}
	return l.each(ctx, func(p page, _ url.Values) error {
		for _, it := range p.items {
			if err := found.take(r, it.raw); err != nil {
				return err
			}
		}
		return nil
	})
}

// inSpec says whether objects of a resource hold names beside their metadata.
func inSpec(r resource) bool {
	switch r.gvr.GroupResource().String() {
	case "nodes", "services", "ingresses.networking.k8s.io", "rolebindings.rbac.authorization.k8s.io", "clusterrolebindings.rbac.authorization.k8s.io":
		return true
	}
	return false
}

// NameSet gathers names, each with the kind that ranks highest. Safe for
// concurrent use.
type NameSet struct {
	mu    sync.Mutex
	kinds map[string]string // name → kind
	bytes int
	full  bool
}

// NewNameSet makes an empty set.
func NewNameSet() *NameSet { return &NameSet{kinds: map[string]string{}} }

// Object adds the names in one object, a line of a file below
// cluster/resources. Objects of kinds whose names nobody chose are passed over.
func (s *NameSet) Object(gvr schema.GroupVersionResource, namespaced bool, raw []byte) error {
	r := resource{gvr: gvr, namespaced: namespaced}
	if !namedByUsers(r) {
		return nil
	}
	return s.take(r, raw)
}

// take adds the names of one object.
func (s *NameSet) take(r resource, raw []byte) error {
	var o named
	if inSpec(r) {
		if err := json.Unmarshal(raw, &o); err != nil {
			return fmt.Errorf("%s: an object of another form than expected", r.gvr.Resource)
		}
	} else {
		var m struct {
			Metadata json.RawMessage `json:"metadata"`
		}
		if json.Unmarshal(raw, &m) != nil || json.Unmarshal(m.Metadata, &o.Metadata) != nil {
			return fmt.Errorf("%s: an object without metadata", r.gvr.Resource)
		}
	}
	s.object(r, &o)
	for _, subject := range o.Subjects {
		if subject.Kind == "User" || subject.Kind == "Group" {
			s.Add(NameUser, subject.Name)
		}
	}
	s.Add(NameHost, o.Spec.ExternalName)
	for _, rule := range o.Spec.Rules {
		s.Add(NameHost, rule.Host)
	}
	for _, t := range o.Spec.TLS {
		for _, h := range t.Hosts {
			s.Add(NameHost, h)
		}
	}
	return nil
}

// object adds what an object itself is called.
func (s *NameSet) object(r resource, o *named) {
	m := o.Metadata
	switch id := r.gvr.GroupResource().String(); {
	case id == "nodes":
		s.Add(NameNode, m.Name)
		for _, a := range o.Status.Addresses {
			if a.Type == "Hostname" || a.Type == "InternalDNS" || a.Type == "ExternalDNS" {
				s.Add(NameHost, a.Address)
			}
		}
	case id == "namespaces":
		s.Add(NameNamespace, m.Name)
	case id == "clusterrolebindings.rbac.authorization.k8s.io":
	case m.Namespace == "kube-system" && platform(r), everywhere(m.Name):
	case slices.ContainsFunc(m.OwnerReferences, func(o owner) bool { return o.Name != "" && strings.Contains(m.Name, o.Name) }):
	default:
		s.Add(NameObject, m.Name)
	}
}

// platform says whether kube-system's objects of a kind are Kubernetes' own.
func platform(r resource) bool {
	switch r.gvr.Resource {
	case "serviceaccounts", "configmaps", "roles", "rolebindings", "leases", "endpoints", "endpointslices":
		return true
	}
	return false
}

// everywhere says whether every cluster has objects of that name.
func everywhere(name string) bool {
	switch name {
	case "default", "kubernetes", "kube-root-ca.crt", "cluster-info", "kube-dns", "kube-proxy", "coredns":
		return true
	}
	return strings.HasPrefix(name, "system:") || strings.HasPrefix(name, "kubeadm:")
}

// Add adds one name. What is empty, too long for a name, or Kubernetes' own is
// left out.
func (s *NameSet) Add(kind, value string) {
	if kind == NameHost {
		value = strings.TrimSuffix(strings.TrimPrefix(value, "*."), ".")
	}
	if value == "" || len(value) > maxName || kind == NameUser && strings.HasPrefix(value, "system:") || kind == NameHost && net.ParseIP(value) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	have, known := s.kinds[value]
	switch {
	case known && rankName(have) <= rankName(kind):
		return
	case !known && (len(s.kinds) >= maxNames || s.bytes+len(value) > maxNameBytes):
		s.full = true
		return
	case !known:
		s.bytes += len(value)
	}
	s.kinds[value] = kind
}

func rankName(kind string) int {
	return slices.Index([]string{NameNode, NameNamespace, NameCluster, NameHost, NameUser, NameObject}, kind)
}

// Full says whether names were left out because the set is full.
func (s *NameSet) Full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full
}

// List gives the names in order of kind and name.
func (s *NameSet) List() []Name {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Name, 0, len(s.kinds))
	for _, value := range slices.Sorted(maps.Keys(s.kinds)) {
		out = append(out, Name{s.kinds[value], value})
	}
	slices.SortStableFunc(out, func(a, b Name) int { return rankName(a.Kind) - rankName(b.Kind) })
	return out
}

// hostOf is the host name of an address, empty if it is an IP.
func hostOf(u *url.URL) string {
	if net.ParseIP(u.Hostname()) != nil {
		return ""
	}
	return u.Hostname()
}
