package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/casefile-io/casefile/collector"
)

const maxSmall = 1 << 20 // bytes of version, health and single objects

// Collect gathers version and health, then every resource, then the logs. What
// is forbidden or missing is recorded and the rest goes on; an error means that
// the API server could not be talked to at all, or that ctx ended.
func (c *Cluster) Collect(ctx context.Context, out *collector.Output) error {
	info, err := c.collectVersion(ctx, out)
	if err != nil && errors.Is(err, ErrUnreachable) {
		return err
	}
	c.collectHealth(ctx, out)
	d, err := c.discover(ctx)
	if err != nil {
		return c.explain(err)
	}
	if c.opts.Only.Wants(DiscoveryPath) {
		b, err := marshalDiscovery(d)
		if err != nil {
			return err
		}
		if err := out.Put(Source, DiscoveryPath, collector.ClassCluster, bytes.NewReader(b)); errors.Is(err, collector.ErrOverBudget) {
			return err
		}
	}
	recordFailed(d, c.opts.Only, out)
	pods := &podLogs{only: c.opts.Only}
	resources := plan(d, c.opts.Only)
	c.collectResources(ctx, resources, typed(info), out, pods)
	if c.opts.Only.WantsBelow(logsPath) {
		if !slices.ContainsFunc(resources, isPods) {
			c.findLogs(ctx, out, pods)
		}
		c.collectLogs(ctx, pods, out)
	}
	return context.Cause(ctx)
}

func isPods(r resource) bool { return r.gvr.Group == "" && r.gvr.Resource == "pods" }

// findLogs lists the pods for the sake of their logs alone.
func (c *Cluster) findLogs(ctx context.Context, out *collector.Output, pods *podLogs) {
	namespaces := c.opts.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, ns := range namespaces {
		l := c.newList(coreResource("pods", "Pod", true), ns, true)
		err := l.each(ctx, func(p page, _ url.Values) error {
			for _, it := range p.items {
				pods.add(it)
			}
			return nil
		})
		if err != nil {
			r := failed(logsPath, fmt.Errorf("whose logs there are: list pods: %w", err))
			out.Record(r)
		}
	}
}

// explain turns client-go's own errors into ours.
func (c *Cluster) explain(err error) error {
	switch {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w: %w", collector.ErrDenied, err)
	case apierrors.ReasonForError(err) == "" && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		return c.client.unreachable(err)
	}
	return err
}

func (c *Cluster) collectVersion(ctx context.Context, out *collector.Output) (version.Info, error) {
	var info version.Info
	resp, err := c.client.get(ctx, "/version", nil, acceptJSON, maxSmall)
	if err != nil {
		if !errors.Is(err, ErrUnreachable) {
			out.Record(failed(VersionPath, err))
		}
		return info, err
	}
	if err := json.Unmarshal(resp.body, &info); err != nil {
		err = fmt.Errorf("%s is no Kubernetes API server: /version: %w", c.client.base.Host, err)
		out.Record(failed(VersionPath, err))
		return info, err
	}
	return info, out.Put(Source, VersionPath, collector.ClassCluster, bytes.NewReader(resp.body))
}

func failed(path string, err error) collector.Result {
	return collector.Result{Source: Source, Path: path, Status: collector.StatusOf(err), Reason: err.Error()}
}

// collectHealth keeps the text of the health endpoints, above all when they
// answer 500 because a check fails.
func (c *Cluster) collectHealth(ctx context.Context, out *collector.Output) {
	for _, e := range []struct{ endpoint, path string }{{"/livez", LivezPath}, {"/readyz", ReadyzPath}} {
		if !c.opts.Only.Wants(e.path) {
			continue
		}
		resp, err := c.client.get(ctx, e.endpoint, url.Values{"verbose": {""}}, "text/plain, */*", maxSmall)
		var api *apiError
		switch {
		case err == nil:
			_ = out.Put(Source, e.path, collector.ClassCluster, bytes.NewReader(resp.body)) // recorded by Put
		case errors.As(err, &api) && api.ErrStatus.Code == http.StatusInternalServerError && len(api.body) > 0:
			_ = out.Put(Source, e.path, collector.ClassCluster, bytes.NewReader(api.body))
		default:
			out.Record(failed(e.path, err))
		}
	}
}

// job is one list to make.
type job struct {
	res       resource
	namespace string
}

func (c *Cluster) jobs(resources []resource, out *collector.Output) []job {
	var jobs []job
	for _, r := range resources {
		switch {
		case r.skip != "":
			out.Record(collector.Result{Source: Source, Path: r.path(), Status: collector.StatusSkipped, Reason: r.skip})
		case r.namespaced && len(c.opts.Namespaces) > 0:
			for _, ns := range c.opts.Namespaces {
				jobs = append(jobs, job{r, ns})
			}
		default:
			jobs = append(jobs, job{r, ""})
		}
	}
	return jobs
}

func (c *Cluster) collectResources(ctx context.Context, resources []resource, typed bool, out *collector.Output, pods *podLogs) {
	c.checkNamespaces(ctx, out)
	jobs := c.jobs(resources, out)
	var done atomic.Int64
	var over atomic.Bool
	out.Progress(collector.Progress{Phase: "cluster", Total: len(jobs)})
	parallel(c.opts.Parallel, jobs, func(j job) {
		if over.Load() || ctx.Err() != nil {
			err := context.Cause(ctx)
			if err == nil {
				err = fmt.Errorf("%w: not begun", collector.ErrOverBudget)
			}
			out.Record(failed(j.path(), err))
			return
		}
		seen := func(item) {}
		if isPods(j.res) {
			seen = pods.add
		}
		protobuf := typed && scheme.Scheme.Recognizes(j.res.gvk())
		if err := c.collectList(ctx, j.res, j.namespace, protobuf, out, seen); errors.Is(err, collector.ErrOverBudget) {
			over.Store(true)
		}
		out.Progress(collector.Progress{Phase: "cluster", Done: int(done.Add(1)), Total: len(jobs), Note: j.res.gvr.Resource})
	})
}

func (j job) path() string {
	if j.namespace != "" {
		return j.res.path() + "/" + j.namespace + ".ndjson"
	}
	return j.res.path()
}

// checkNamespaces records the namespaces of -n that do not exist: their lists
// would be empty, not missing.
func (c *Cluster) checkNamespaces(ctx context.Context, out *collector.Output) {
	for _, ns := range c.opts.Namespaces {
		_, err := c.client.get(ctx, "/api/v1/namespaces/"+ns, nil, acceptJSON, maxSmall)
		if statusCode(err) == http.StatusNotFound {
			out.Record(collector.Result{Source: Source, Path: "cluster/resources/core/v1/namespaces", Status: collector.StatusFailed,
				Reason: fmt.Sprintf("there is no namespace %q (-n)", ns)})
		}
	}
}

// Identity says which cluster this is.
type Identity struct {
	UID     string    // of the namespace kube-system; empty if it may not be read
	Server  string    // address
	Version string    // "v1.36.3"
	Time    time.Time // the server's clock; zero if it did not say
}

// Identity asks the server who it is. It is the cheapest way to find out that
// it cannot be reached ([ErrUnreachable]) or does not know us (collector.ErrDenied).
func (c *Cluster) Identity(ctx context.Context) (Identity, error) {
	id := Identity{Server: c.client.base.String()}
	resp, err := c.client.get(ctx, "/version", nil, acceptJSON, maxSmall)
	if err != nil {
		return id, fmt.Errorf("API server version: %w", err)
	}
	var info version.Info
	if err := json.Unmarshal(resp.body, &info); err != nil || info.GitVersion == "" {
		return id, fmt.Errorf("%s is no Kubernetes API server: /version does not say a version (check --server and --context)", id.Server)
	}
	id.Version, id.Time = info.GitVersion, resp.date
	resp, err = c.client.get(ctx, "/api/v1/namespaces/kube-system", nil, acceptJSON, maxSmall)
	switch code := statusCode(err); {
	case err == nil:
		var ns corev1.Namespace
		if err := json.Unmarshal(resp.body, &ns); err != nil {
			return id, fmt.Errorf("namespace kube-system: %w", err)
		}
		id.UID = string(ns.UID)
	case code == http.StatusUnauthorized:
		return id, fmt.Errorf("the API server does not accept these credentials: %w", err)
	case code != http.StatusForbidden && code != http.StatusNotFound:
		return id, err
	}
	return id, nil
}
