// Package cluster collects what the Kubernetes API server knows: version and
// health, every listable resource that discovery names (custom ones included),
// kubectl's columns for the same rows, and pod logs.
//
// # What is written
//
//	cluster/version.json  cluster/discovery.json  cluster/health/{livez,readyz}.txt
//	cluster/resources/<group|core>/<version>/<resource>/<namespace|_cluster>.ndjson
//	cluster/tables/<same path>
//	cluster/logs/<namespace>/<pod>/<container>[.previous].log
//
// A resource line is one compact object: kind and apiVersion come first and are
// always set, managedFields is gone, everything else is as the server sent it.
// A table file starts with {"columnDefinitions":[…]}, then has one
// {"name":…,"cells":[…]} for every object, in the order of the resource file.
// discovery.json is a [Discovery]. Log lines carry the kubelet's time stamps.
//
// Resources without objects have no file; the result with the path of the
// resource's folder tells "none there" (ok) from "not collected" (anything
// else). Its reason holds the count, the resourceVersion and the server's time.
//
// # Choices
//
// Events are listed as core/v1, the form that kubectl shows; events.k8s.io
// serves the same objects and is skipped. Of other groups only the preferred
// version is listed, or the first that has the resource. componentstatuses is
// deprecated, virtual and slow: skipped.
//
// Secrets: only metadata is ever requested, all annotations are dropped on
// decode (last-applied-configuration repeats the values), and a line holds
// metadata, the type (from the table, which has no objects in it) and the names
// of the data keys with null for each value (from managedFields, which has
// names only).
//
// Protobuf is asked for when client-go's scheme knows the kind and the server
// is not newer than client-go, since a typed decode drops fields it does not
// know. Memory is bounded by the page, not by the cluster: a page that is too
// large in bytes is asked for again with fewer objects.
//
// With [Options.Only] nothing is requested whose files nobody wants, but for
// what others need: discovery, and the pods when their logs are wanted. A
// version that is not the preferred one is listed when it is wanted by name.
package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
)

// Source is the source of all results of this package.
const Source = "cluster"

// The profiles: how much of the logs is taken.
const (
	ProfileQuick    = "quick"    // logs of suspect and kube-system containers only
	ProfileStandard = "standard" // the default
	ProfileFull     = "full"
)

const (
	defaultParallel = 8
	maxParallel     = 64
	discoveryLimit  = 64 << 20 // bytes of one discovery answer
)

// Options of [New].
type Options struct {
	Namespaces []string      // only these, and what has no namespace; empty is all
	Since      time.Duration // how far back logs go; 0 is to their start
	Profile    string        // quick, standard (default) or full
	LogBytes   int64         // newest bytes of one container's log; 0 is the profile's
	LogTotal   int64         // bytes of all logs; 0 is the profile's
	Parallel   int           // requests in flight; 0 is 8
	UserAgent  string        // "casefile" if empty

	Only collector.Only // what of all this is wanted; version.json always is
}

// Cluster talks to one API server. It is a collector.Collector; the other
// methods answer what planning needs to know. Safe for concurrent use.
type Cluster struct {
	opts      Options
	client    *client
	discovery *discovery.DiscoveryClient
	logs      logLimits

	mu       sync.Mutex
	surveyed *Discovery // nil until asked for
}

type logLimits struct {
	perContainer, total int64
	suspectsOnly        bool
}

func limitsOf(o Options) (logLimits, error) {
	var l logLimits
	switch o.Profile {
	case ProfileQuick:
		l = logLimits{256 << 10, 16 << 20, true}
	case ProfileStandard, "":
		l = logLimits{1 << 20, 64 << 20, false}
	case ProfileFull:
		l = logLimits{8 << 20, 512 << 20, false}
	default:
		return l, fmt.Errorf("unknown profile %q: quick, standard or full", o.Profile)
	}
	if o.LogBytes > 0 {
		l.perContainer = o.LogBytes
	}
	if o.LogTotal > 0 {
		l.total = o.LogTotal
	}
	return l, nil
}

// New prepares to talk to the API server of cfg; it sends nothing yet.
func New(cfg *rest.Config, o Options) (*Cluster, error) {
	if cfg == nil {
		return nil, errors.New("no client configuration")
	}
	logs, err := limitsOf(o)
	if err != nil {
		return nil, err
	}
	for _, ns := range o.Namespaces {
		if !safeName(ns) {
			return nil, fmt.Errorf("%q is no namespace name", ns)
		}
	}
	o.Namespaces = slices.Compact(slices.Sorted(slices.Values(o.Namespaces))) // twice would be the same files twice
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	o.Parallel = min(o.Parallel, maxParallel)
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // the workers are the bound; the server's 429 is obeyed
	cfg.WarningHandler = rest.NoWarnings{}
	cfg.UserAgent = o.UserAgent
	if cfg.UserAgent == "" {
		cfg.UserAgent = "casefile"
	}
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	transport := c.http.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	d, err := discovery.NewDiscoveryClientForConfigAndClient(cfg,
		&http.Client{Transport: bounded{transport, discoveryLimit}, Timeout: requestTimeout, CheckRedirect: c.http.CheckRedirect})
	if err != nil {
		return nil, fmt.Errorf("discovery client: %w", err)
	}
	return &Cluster{opts: o, client: c, discovery: d, logs: logs}, nil
}

// Name implements collector.Collector.
func (c *Cluster) Name() string { return Source }

// parallel runs f for each item, n at a time.
func parallel[T any](n int, items []T, f func(T)) {
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	for _, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(item)
		})
	}
	wg.Wait()
}
