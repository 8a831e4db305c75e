package input

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/sdk/abi"
)

func TestPaths(t *testing.T) {
	for _, tt := range []struct {
		in   abi.Input
		want []string
	}{
		{abi.Input{Resource: "v1/pods"}, []string{"cluster/resources/core/v1/pods/*.ndjson"}},
		{abi.Input{Resource: "postgres.example.com/v1/clusters"}, []string{"cluster/resources/postgres.example.com/v1/clusters/*.ndjson"}},
		{abi.Input{Table: "nodes/*/mounts.ndjson"}, []string{"nodes/*/mounts.ndjson"}},
		{abi.Input{Files: "nodes/*/cni/**"}, []string{"nodes/*/cni/**"}},
		{abi.Input{Flows: "*"}, []string{"captures/*/*.pcapng"}},
		{abi.Input{DNS: "captures/pod_*/*.pcapng"}, []string{"captures/pod_*/*.pcapng"}},
		{abi.Input{Counters: []string{"softnet.dropped", "sysctl.net.core.somaxconn"}}, []string{"nodes/*/node.json",
			"nodes/*/*/proc/net/softnet_stat", "nodes/*/netns/*/*/proc/net/softnet_stat",
			"nodes/*/*/proc/sys/net/core/somaxconn", "nodes/*/netns/*/*/proc/sys/net/core/somaxconn"}},
		{abi.Input{Logs: "shop/pg-*/postgres"}, []string{"cluster/logs/shop/pg-*/postgres.log", "cluster/logs/shop/pg-*/postgres.previous.log",
			"nodes/*/logs/pods/shop/pg-*/postgres.log", "nodes/*/logs/pods/shop/pg-*/postgres.previous.log"}},
		{abi.Input{Logs: "pg"}, []string{"cluster/logs/*/*/pg.log", "cluster/logs/*/*/pg.previous.log", "cluster/logs/*/pg/*.log", "cluster/logs/*/pg-*/*.log",
			"nodes/*/logs/pods/*/*/pg.log", "nodes/*/logs/pods/*/*/pg.previous.log", "nodes/*/logs/pods/*/pg/*.log", "nodes/*/logs/pods/*/pg-*/*.log", "nodes/*/logs/pg.log"}},
		{abi.Input{FactRows: "disk/full"}, nil},
	} {
		got, err := Paths(tt.in)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%+v: %v %s", tt.in, err, diff)
		}
	}
	for _, bad := range []abi.Input{{Files: "../x"}, {Logs: "a//b"}, {Flows: "captures/[a]"}, {Resource: "pods"}, {Counters: []string{"x"}}} {
		if got, err := Paths(bad); err == nil {
			t.Errorf("%+v: %v", bad, got)
		}
	}
}

// TestNarrowed: in a bundle that was collected for some modules, their inputs
// are as complete as ever, and what others declare is not, although there is
// something of it.
func TestNarrowed(t *testing.T) {
	links := "nodes/*/0/net/links.ndjson"
	bundle := fstest.MapFS{
		planPath:                           {Data: []byte(`{"for":[{"name":"pg","version":"1.0.0"}],"only":["` + links + `","captures/*/*.pcapng"]}`)},
		"nodes/n1/0/net/links.ndjson":      {Data: []byte("{\"a\":1}\n")},
		"nodes/n1/0/net/links-more.ndjson": {Data: []byte("{\"a\":1}\n")},
		resultsPath: {Data: []byte(`{"source":"node/n1","path":"nodes/n1/0/net/links.ndjson","status":"ok"}` + "\n" +
			`{"source":"for/pg@1.0.0","path":"captures/*/*.pcapng","status":"skipped","reason":"give --capture TARGET"}` + "\n")},
	}
	for _, tt := range []struct {
		in      abi.Input
		missing string // empty: complete
	}{
		{abi.Input{Table: links}, ""},
		{abi.Input{Table: "nodes/*/*/net/*.ndjson"}, "collected for pg@1.0.0 alone"},
		{abi.Input{Table: "nodes/*/0/net/addrs.ndjson"}, "collected for pg@1.0.0 alone"},
		{abi.Input{Resource: "v1/pods"}, "collected for pg@1.0.0 alone"},
		{abi.Input{Counters: []string{"softnet.dropped"}}, "collected for pg@1.0.0 alone"},
		{abi.Input{Files: "captures/*/*.pcapng"}, "give --capture TARGET"},
	} {
		tt.in.Name = "t"
		p, _ := project(t, bundle, []abi.Input{tt.in}, Limits{})
		x := p.Index()["t"]
		text, err := json.Marshal(x.Missing)
		if err != nil || x.Complete != (tt.missing == "") || !strings.Contains(string(text), tt.missing) {
			t.Errorf("%+v: %+v", tt.in, x)
		}
	}
	bundle[planPath] = &fstest.MapFile{Data: []byte(`{"only":`)}
	p, _ := project(t, bundle, []abi.Input{{Name: "t", Table: links}}, Limits{})
	if p.Index()["t"].Complete {
		t.Error("with a damaged plan an input is complete")
	}
}
