package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// Only narrows what is read: of a whole run, nothing but what the globs name
// and node.json is stored, and no result tells of anything else.
func TestOnlyWhatIsWanted(t *testing.T) {
	needRoot(t)
	for _, tt := range []struct {
		only collector.Only
		want func(path string) bool
		must []string // some file ends like this
	}{
		{collector.Only{"nodes/*/*/proc/net/netstat", "nodes/*/*/proc/net/snmp"},
			func(p string) bool { return strings.HasSuffix(p, "/net/netstat") || strings.HasSuffix(p, "/net/snmp") },
			[]string{"/0/proc/net/netstat", "/1/proc/net/netstat", "/1/proc/net/snmp"}},
		{collector.Only{"nodes/*/0/net/sockets.ndjson", "nodes/*/mounts.ndjson"},
			func(p string) bool { return p == "nodes/n1/0/net/sockets.ndjson" || p == "nodes/n1/mounts.ndjson" },
			[]string{"/0/net/sockets.ndjson", "/mounts.ndjson"}},
		{collector.Only{"nodes/*/0/proc/sys/net/core/somaxconn", "nodes/*/0/clock.json", "nodes/*/0/sys/kernel/mm/transparent_hugepage/*"},
			func(p string) bool {
				return strings.HasSuffix(p, "/somaxconn") || strings.HasSuffix(p, "/clock.json") || strings.Contains(p, "/transparent_hugepage/")
			},
			[]string{"/somaxconn", "/clock.json"}},
		{collector.Only{"nodes/*/node.json"}, func(string) bool { return false }, nil},
	} {
		sink := newMemSink()
		n := New(Options{Node: "n1", Host: true, Samples: 2, Interval: time.Millisecond, Only: tt.only})
		results := collector.Run(t.Context(), sink, []collector.Collector{n}, collector.Options{})
		var all []string
		for path := range sink.files {
			if all = append(all, path); path != "nodes/n1/node.json" && !tt.want(path) {
				t.Errorf("%v: stored %s", tt.only, path)
			}
		}
		for _, end := range append(tt.must, "/node.json") {
			if !slices.ContainsFunc(all, func(p string) bool { return strings.HasSuffix(p, end) }) {
				t.Errorf("%v: no …%s among %v", tt.only, end, all)
			}
		}
		for _, r := range results {
			if r.Path != "" && !tt.only.Wants(r.Path) && !tt.only.WantsBelow(r.Path) && r.Path != "nodes/n1/node.json" && r.Path != "nodes/n1/netns" {
				t.Errorf("%v: a result of what nobody wants: %+v", tt.only, r)
			}
		}
	}
}

// A wanted text brings the table that it depends on; a wanted summary of
// connections does not bring the connections.
func TestOnlyKeepsWhatOthersBuildOn(t *testing.T) {
	name, pid := oneNamespace(t, "o")
	feed(t, name, "add table inet demo\n", "nft", "-f", "-")
	sink, _ := inSpace(t, pid, func(g *gatherer) {
		g.o.Only = collector.Only{"x/nftables.txt", "x/conntrack-summary.json"}
		g.netfilter(t.Context(), "x/", true, false)
		g.conntrack(t.Context(), "x/", false)
	})
	for path := range sink.files {
		if path != "x/nftables.txt" && path != "x/nftables.ndjson" && !strings.HasPrefix(path, "x/conntrack-s") {
			t.Errorf("stored %s", path)
		}
	}
	if !strings.Contains(string(sink.files["x/nftables.txt"]), "demo") {
		t.Errorf("nftables.txt: %q", sink.files["x/nftables.txt"])
	}
}
