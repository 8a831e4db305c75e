package collector

import "testing"

func TestOnly(t *testing.T) {
	everything := Only(nil)
	if !everything.Wants("nodes/n1/node.json") || !everything.WantsBelow("cluster") {
		t.Error("without a glob something is not wanted")
	}
	for _, tt := range []struct {
		glob, path  string
		file, below bool
	}{
		{"nodes/*/0/net/links.ndjson", "nodes/n1/0/net/links.ndjson", true, true},
		{"nodes/*/0/net/links.ndjson", "nodes/n1/1/net/links.ndjson", false, false},
		{"nodes/*/0/net/links.ndjson", "nodes/n1/0/net", false, true},
		{"nodes/*/0/net/links.ndjson", "nodes/n1/0/net/", false, true},
		{"nodes/*/0/net/links.ndjson", "nodes/n1/0/netns", false, false},
		{"nodes/*/0/net/links.ndjson", "nodes", false, true},
		{"nodes/*/*/proc/net/snmp", "nodes/n1/netns/4026532000/0/proc/net/snmp", false, false},
		{"nodes/*/cni/**", "nodes/n1/cni/net.d/10.conf", true, true},
		{"nodes/*/cni/**", "nodes/n1/cni", false, true},
		{"nodes/*/cni/**", "nodes/n1/etc", false, false},
		{"nodes/**/sockets.ndjson", "nodes/n1/netns/4026532000/0/net/sockets.ndjson", true, true},
		{"nodes/**/sockets.ndjson", "nodes/n1/0/net/unix.ndjson", false, true}, // it could be a folder
		{"nodes/**/sockets.ndjson", "cluster/logs", false, false},
		{"cluster/logs/*/pg-?/*.log", "cluster/logs/shop/pg-1/postgres.previous.log", true, true},
		{"cluster/logs/*/pg-?/*.log", "cluster/logs/shop/pg-10", false, false},
		{"a/[/b", "a/[/b", false, false}, // no glob of ours
	} {
		o := Only{tt.glob}
		if got := o.Wants(tt.path); got != tt.file {
			t.Errorf("%s wants %s: %v", tt.glob, tt.path, got)
		}
		if got := o.WantsBelow(tt.path); got != tt.below {
			t.Errorf("%s wants something below %s: %v", tt.glob, tt.path, got)
		}
	}
	if both := (Only{"a/*", "b/*"}); !both.Wants("b/x") || both.Wants("c/x") {
		t.Error("two globs are not either of them")
	}
}
