package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/sdk/abi"
)

// TestPlanFor: what a module declares, and what comes of it.
func TestPlanFor(t *testing.T) {
	all := ways{nodes: true, samples: 2}
	for _, tt := range []struct {
		name    string
		in      abi.Input
		ways    ways
		seek    collector.Only
		nodes   bool
		samples int
		lacks   string // begins the reason; empty: nothing lacks
	}{
		{"a resource", abi.Input{Resource: "v1/pods", Fields: []string{"metadata.name"}}, all, collector.Only{"cluster/resources/core/v1/pods/*.ndjson"}, false, 1, ""},
		{"one of a custom group", abi.Input{Resource: "pg.example.com/v1/clusters"}, all, collector.Only{"cluster/resources/pg.example.com/v1/clusters/*.ndjson"}, false, 1, ""},
		{"a resource with --host", abi.Input{Resource: "v1/pods"}, ways{host: true, nodes: true, samples: 2}, nil, false, 1, "--host reads this machine alone"},
		{"the first sample", abi.Input{Table: "nodes/*/netns/*/0/net/sockets.ndjson"}, all, collector.Only{"nodes/*/netns/*/0/net/sockets.ndjson"}, true, 1, ""},
		{"the second", abi.Input{Table: "nodes/*/1/net/sockets.ndjson"}, all, collector.Only{"nodes/*/1/net/sockets.ndjson"}, true, 2, ""},
		{"all samples", abi.Input{Table: "nodes/*/*/cgroups.ndjson"}, ways{nodes: true, samples: 3}, collector.Only{"nodes/*/*/cgroups.ndjson"}, true, 3, ""},
		{"any folder", abi.Input{Table: "nodes/**/links.ndjson"}, all, collector.Only{"nodes/**/links.ndjson"}, true, 2, ""},
		{"told once", abi.Input{Table: "nodes/*/mounts.ndjson"}, all, collector.Only{"nodes/*/mounts.ndjson"}, true, 1, ""},
		{"files told once", abi.Input{Files: "nodes/*/cni/net.d/*"}, all, collector.Only{"nodes/*/cni/net.d/*"}, true, 1, ""},
		{"counters", abi.Input{Counters: []string{"TcpExt.ListenDrops"}}, all, collector.Only{"nodes/*/node.json", "nodes/*/*/proc/net/netstat",
			"nodes/*/netns/*/*/proc/net/netstat", "nodes/*/*/proc/net/snmp", "nodes/*/netns/*/*/proc/net/snmp"}, true, 2, ""},
		{"no nodes", abi.Input{Table: "nodes/*/mounts.ndjson"}, ways{samples: 2}, nil, false, 1, "--nodes none"},
		{"a container's logs", abi.Input{Logs: "shop/pg-*/postgres"}, all, collector.Only{"cluster/logs/shop/pg-*/postgres.log", "cluster/logs/shop/pg-*/postgres.previous.log"}, false, 1, ""},
		{"a workload's", abi.Input{Logs: "pg"}, all, collector.Only{"cluster/logs/*/*/pg.log", "cluster/logs/*/*/pg.previous.log", "cluster/logs/*/pg/*.log", "cluster/logs/*/pg-*/*.log"}, false, 1, ""},
		{"a unit's", abi.Input{Logs: "kubelet"}, all, collector.Only{"cluster/logs/*/*/kubelet.log", "cluster/logs/*/*/kubelet.previous.log", "cluster/logs/*/kubelet/*.log",
			"cluster/logs/*/kubelet-*/*.log", "nodes/*/logs/kubelet.log"}, true, 1, ""},
		{"a workload's with --host", abi.Input{Logs: "pg"}, ways{host: true, nodes: true, samples: 2}, collector.Only{"nodes/*/logs/pods/*/*/pg.log", "nodes/*/logs/pods/*/*/pg.previous.log",
			"nodes/*/logs/pods/*/pg/*.log", "nodes/*/logs/pods/*/pg-*/*.log"}, true, 1, ""},
		{"flows", abi.Input{Flows: "*"}, all, nil, false, 1, "packets are captured only where you say: add --capture"},
		{"flows with a capture", abi.Input{Flows: "*"}, ways{nodes: true, captures: true, samples: 2}, collector.Only{"captures/*/*.pcapng"}, false, 1, ""},
		{"dns", abi.Input{DNS: "captures/*/*.pcapng"}, all, nil, false, 1, "packets are captured only where you say"},
		{"probes", abi.Input{Table: "probes/tcp.ndjson"}, all, nil, false, 1, "nothing is sent unless you say so: add --probe"},
		{"probes that are sent", abi.Input{Table: "probes/tcp.ndjson"}, ways{nodes: true, probes: true, samples: 2}, collector.Only{"probes/tcp.ndjson"}, false, 1, ""},
		{"the kernel's events", abi.Input{Table: "nodes/*/drops.ndjson"}, all, nil, false, 1, "the kernel is watched only when you say so: add --ebpf"},
		{"the same, watched", abi.Input{Table: "nodes/*/drops.ndjson"}, ways{nodes: true, ebpf: true, samples: 2}, collector.Only{"nodes/*/drops.ndjson"}, true, 1, ""},
		{"a fact that nobody tells", abi.Input{FactRows: "disk/full"}, all, nil, false, 1, "the fact disk/full, which none of the modules given tells"},
		{"what no bundle has", abi.Input{Files: "somewhere/*"}, all, nil, false, 1, "a collection makes no such path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Name = "x"
			p, err := planFor([]declared{{forModule{Name: "m", Version: "1"}, abi.Declaration{Inputs: []abi.Input{tt.in}}}}, tt.ways)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.seek, p.seek); diff != "" {
				t.Error(diff)
			}
			if p.nodes != tt.nodes || p.samples != tt.samples {
				t.Errorf("nodes %v, %d samples", p.nodes, p.samples)
			}
			for _, r := range p.lacks {
				if tt.lacks == "" || !strings.HasPrefix(r.Reason, tt.lacks) || r.Source != "for/m@1" || r.Status != collector.StatusSkipped {
					t.Errorf("lacks %+v", r)
				}
			}
			if tt.lacks != "" && len(p.lacks) == 0 {
				t.Error("nothing lacks")
			}
			if p.ofCluster().Wants("cluster/resources/core/v1/secrets/x.ndjson") || p.ofNodes().Wants("nodes/n1/0/net/unix.ndjson") {
				t.Error("more than that is wanted")
			}
		})
	}
}

// TestPlanForSeveral: the needs of modules add up, and a fact that one tells
// is not missed by the other.
func TestPlanForSeveral(t *testing.T) {
	one := declared{forModule{Name: "one", Version: "1"}, abi.Declaration{Scope: abi.ScopeNode, Facts: []abi.FactDecl{{Fact: "disk/full"}},
		Inputs: []abi.Input{{Name: "m", Table: "nodes/*/mounts.ndjson"}}}}
	two := declared{forModule{Name: "two", Version: "1"}, abi.Declaration{Inputs: []abi.Input{{Name: "f", FactRows: "disk/full"}, {Name: "p", Resource: "v1/pods"}}}}
	p, err := planFor([]declared{one, two}, ways{nodes: true, samples: 2})
	if err != nil || len(p.lacks) > 0 || !slices.Equal(p.seek, collector.Only{"nodes/*/mounts.ndjson", "cluster/resources/core/v1/pods/*.ndjson"}) || len(p.For) != 2 {
		t.Errorf("%+v %v", p, err)
	}
	none, err := planFor([]declared{{forModule{Name: "none", Version: "1"}, abi.Declaration{}}}, ways{nodes: true, samples: 2})
	if err != nil || none.ofCluster().Wants("cluster/resources/core/v1/pods/a.ndjson") || none.ofNodes().Wants("nodes/n1/mounts.ndjson") || none.nodes {
		t.Errorf("a module without inputs gets %+v %v", none, err)
	}
	var standard forPlan
	if !standard.ofCluster().Wants("cluster/resources/core/v1/pods/a.ndjson") || !standard.ofNodes().WantsBelow("nodes/n1/0") {
		t.Error("without --for something is not wanted")
	}
}
