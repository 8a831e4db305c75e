package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"

	"github.com/casefile-io/casefile/collector"
)

// schemaMinor is the minor version of Kubernetes whose types client-go knows.
const schemaMinor = 37

// Paths of the files that are not resources, tables or logs.
const (
	VersionPath   = "cluster/version.json"
	DiscoveryPath = "cluster/discovery.json"
	LivezPath     = "cluster/health/livez.txt"
	ReadyzPath    = "cluster/health/readyz.txt"
)

// Discovery is cluster/discovery.json: what the server says it serves. The
// core group has an empty name.
type Discovery struct {
	Groups    []*metav1.APIGroup        `json:"groups"`
	Resources []*metav1.APIResourceList `json:"resources"`
	Failed    map[string]string         `json:"failed,omitempty"` // group/version → why
}

// ResourceDir is the folder of a resource below cluster/resources and cluster/tables.
func ResourceDir(gvr schema.GroupVersionResource) string {
	group := gvr.Group
	if group == "" {
		group = "core"
	}
	return group + "/" + gvr.Version + "/" + gvr.Resource
}

// resource is something to list.
type resource struct {
	gvr        schema.GroupVersionResource
	kind       string
	namespaced bool
	skip       string // why it is not listed
}

func (r resource) gvk() schema.GroupVersionKind { return r.gvr.GroupVersion().WithKind(r.kind) }
func (r resource) path() string                 { return "cluster/resources/" + ResourceDir(r.gvr) }
func (r resource) secret() bool {
	return r.gvr.Group == "" && r.gvr.Resource == "secrets"
}

// listPath is the path of a list on the server; an empty namespace is all.
func (r resource) listPath(namespace string) string {
	p := "/apis/" + r.gvr.Group + "/" + r.gvr.Version
	if r.gvr.Group == "" {
		p = "/api/" + r.gvr.Version
	}
	if namespace != "" {
		p += "/namespaces/" + namespace
	}
	return p + "/" + r.gvr.Resource
}

// discover asks once what the server serves.
func (c *Cluster) discover(ctx context.Context) (Discovery, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.surveyed != nil {
		return *c.surveyed, nil
	}
	d, err := c.survey(ctx)
	if err == nil {
		c.surveyed = &d
	}
	return d, err
}

func (c *Cluster) survey(ctx context.Context) (Discovery, error) {
	groups, lists, err := c.discovery.ServerGroupsAndResourcesWithContext(ctx)
	d := Discovery{Groups: groups, Resources: lists}
	var partial *discovery.ErrGroupDiscoveryFailed
	switch {
	case ctx.Err() != nil:
		return d, context.Cause(ctx)
	case errors.As(err, &partial):
		d.Failed = make(map[string]string, len(partial.Groups))
		for gv, why := range partial.Groups {
			d.Failed[gv.String()] = why.Error()
		}
	case err != nil:
		return d, fmt.Errorf("discovery: %w", err)
	}
	sort.Slice(d.Groups, func(i, j int) bool { return d.Groups[i].Name < d.Groups[j].Name })
	sort.Slice(d.Resources, func(i, j int) bool { return d.Resources[i].GroupVersion < d.Resources[j].GroupVersion })
	return d, nil
}

// plan chooses what to list, in the order of its worth: events, which live
// for an hour only, then the core group, then the others by name. Of other
// versions than a group's preferred one only what that lacks is listed, and
// what is wanted of them alone.
func plan(d Discovery, only collector.Only) []resource {
	lists := make(map[string]*metav1.APIResourceList, len(d.Resources))
	for _, l := range d.Resources {
		lists[l.GroupVersion] = l
	}
	var out []resource
	for _, g := range d.Groups {
		seen := map[string]string{} // resource → path of its version
		for _, v := range versionsOf(g) {
			if lists[v] == nil {
				continue
			}
			for _, r := range listable(lists[v]) {
				first, again := seen[r.gvr.Resource]
				if !again {
					seen[r.gvr.Resource] = r.path()
				}
				if !again && only.WantsBelow(r.path()) || again && wantsVersion(only, r.path(), first) {
					out = append(out, r)
				}
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return rank(out[i]) < rank(out[j]) })
	return out
}

// wantsVersion says whether a glob stands for a version of a resource, and not
// for the one before it too.
func wantsVersion(only collector.Only, path, before string) bool {
	return slices.ContainsFunc(only, func(glob string) bool {
		one := collector.Only{glob}
		return one.WantsBelow(path) && !one.WantsBelow(before)
	})
}

// Unserved gives those of the resources that the server does not serve, named
// as [ResourceDir] names them. What discovery could not see counts as served.
func (c *Cluster) Unserved(ctx context.Context, dirs []string) ([]string, error) {
	d, err := c.discover(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	served := map[string]bool{}
	for _, l := range d.Resources {
		for _, r := range listable(l) {
			served[ResourceDir(r.gvr)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
		group, _, _ := strings.Cut(dir, "/")
		version, _, _ := strings.Cut(strings.TrimPrefix(dir, group+"/"), "/")
		_, failed := d.Failed[strings.TrimPrefix(group+"/"+version, "core/")]
		return served[dir] || failed
	}), nil
}

func rank(r resource) int {
	switch {
	case r.gvr.Group == "" && r.gvr.Resource == "events":
		return 0
	case r.gvr.Group == "":
		return 1
	}
	return 2
}

// versionsOf gives a group's versions as group/version, the preferred one first.
func versionsOf(g *metav1.APIGroup) []string {
	out := []string{g.PreferredVersion.GroupVersion}
	for _, v := range g.Versions {
		if v.GroupVersion != g.PreferredVersion.GroupVersion {
			out = append(out, v.GroupVersion)
		}
	}
	return out
}

func listable(l *metav1.APIResourceList) []resource {
	gv, err := schema.ParseGroupVersion(l.GroupVersion)
	if err != nil || gv.Version == "" || !safeName(gv.Version) || gv.Group != "" && !safeName(gv.Group) {
		return nil
	}
	var out []resource
	for _, r := range l.APIResources {
		listed := false
		for _, v := range r.Verbs {
			listed = listed || v == "list"
		}
		if !listed || !safeName(r.Name) { // a slash names a subresource
			continue
		}
		res := resource{gvr: gv.WithResource(r.Name), kind: r.Kind, namespaced: r.Namespaced}
		switch res.gvr.GroupResource().String() {
		case "componentstatuses":
			res.skip = "deprecated, virtual and slow"
		case "events.events.k8s.io":
			res.skip = "the same objects as core/v1 events"
		}
		out = append(out, res)
	}
	return out
}

// safeName says whether a name can be one element of a path.
func safeName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= 253 && !strings.ContainsAny(s, "/\\\x00")
}

// recordFailed writes down the groups that discovery could not see.
func recordFailed(d Discovery, only collector.Only, out *collector.Output) {
	for gv, why := range d.Failed {
		group, version, ok := strings.Cut(gv, "/")
		if !ok {
			group, version = "core", gv
		}
		if path := "cluster/resources/" + group + "/" + version; only.WantsBelow(path) {
			out.Record(collector.Result{Source: Source, Path: path, Status: collector.StatusFailed, Reason: "discovery: " + why})
		}
	}
}

// typed says whether lists of the server may be decoded into client-go's types.
func typed(v version.Info) bool {
	var major, minor int
	if _, err := fmt.Sscanf(v.Major+" "+v.Minor, "%d %d", &major, &minor); err != nil {
		return false
	}
	return major == 1 && minor <= schemaMinor
}

func marshalDiscovery(d Discovery) ([]byte, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("discovery: %w", err)
	}
	return append(b, '\n'), nil
}
