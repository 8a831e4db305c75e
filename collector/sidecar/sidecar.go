// Package sidecar reads the admin interfaces of service-mesh proxies: what
// Envoy (Istio, Consul, Gateway API implementations), Linkerd's proxy and
// Istio's control plane know of their own state. These listen on loopback
// inside a pod, whose containers hold no tools; so the requests are made from
// within the pod's network namespace.
//
// # Files
//
// Below nodes/<node>/netns/<inode>/ (nodes/<node>/ for the node's own):
//
//	envoy/{server_info,clusters,listeners,stats,certs,config_dump}.json
//	linkerd/metrics.prom
//	istiod/{syncz.json,metrics.prom}
//
// # Care
//
// Only GET is ever sent, only to paths that change nothing, and only where a
// process of the proxy's name runs in the namespace: no other program hears
// from us. A port is taken for the proxy's when somebody listens on it and the
// first answer is what that proxy says. Keys, tokens and passwords in Envoy's
// configuration are masked by their place before anything else sees them; the
// bundle's own redaction comes after. Answers are copied as they come, never
// held, and each is bounded in bytes and time.
package sidecar

import (
	"strconv"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// Limits of one proxy.
const (
	maxAnswer    = 16 << 20 // bytes of one answer
	answerLimit  = 10 * time.Second
	helloLimit   = 2 * time.Second // for a port to answer like a proxy
	maxListening = 1 << 20         // bytes of a table of sockets
)

// Options of [New].
type Options struct {
	Node   string
	Spaces []Space
	Only   collector.Only // which answers are wanted
}

// Space is a network namespace to look into.
type Space struct {
	Inode uint64
	Path  string // /proc/<pid>/ns/net
	Net   string // /proc/<pid>/net: its tables
	Host  bool
}

// SpaceOf is the namespace of a process.
func SpaceOf(pid int, inode uint64, host bool) Space {
	proc := "/proc/" + strconv.Itoa(pid) + "/"
	return Space{Inode: inode, Host: host, Path: proc + "ns/net", Net: proc + "net"}
}

// New returns the collector of all proxies of a node.
func New(o Options) collector.Collector { return &proxies{o} }

type proxies struct{ o Options }

// Name implements [collector.Collector].
func (p *proxies) Name() string { return "node/" + p.o.Node }

// kind is a sort of proxy.
type kind struct {
	name  string
	comms []string // what its process is called, of which the kernel keeps 15 bytes
	ports []uint16
	hello string            // path of the first question
	is    func([]byte) bool // whether the answer is this proxy's
	pages []page
}

// page is one answer that is kept.
type page struct {
	path string // with query
	file string // below the folder of the kind
	json bool   // masked as it is copied
}

func kinds() []kind {
	return []kind{
		{
			name: "envoy", comms: []string{"envoy", "pilot-agent"}, ports: []uint16{15000, 9901, 19000, 19001}, hello: "/server_info", is: isEnvoy,
			pages: []page{
				{"/server_info", "server_info.json", true},
				{"/clusters?format=json", "clusters.json", true},
				{"/listeners?format=json", "listeners.json", true},
				{"/stats?format=json&usedonly", "stats.json", true},
				{"/certs", "certs.json", true},
				{"/config_dump", "config_dump.json", true},
			},
		},
		{
			name: "linkerd", comms: []string{"linkerd2-proxy"}, ports: []uint16{4191}, hello: "/metrics", is: isLinkerd,
			pages: []page{{"/metrics", "metrics.prom", false}},
		},
		{
			name: "istiod", comms: []string{"pilot-discovery"}, ports: []uint16{15014}, hello: "/version", is: isIstiod,
			pages: []page{{"/debug/syncz", "syncz.json", true}, {"/metrics", "metrics.prom", false}},
		},
	}
}
