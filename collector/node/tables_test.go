//go:build linux

package node

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/collector"
)

func fromIP[T any](t *testing.T, args string) []T {
	t.Helper()
	out := sh(t, "ip -j "+args)
	var list []T
	if strings.TrimSpace(out) == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return list
}

func compare(t *testing.T, what string, want, got []string) {
	t.Helper()
	slices.Sort(want)
	slices.Sort(got)
	if len(want) == 0 {
		t.Errorf("%s: nothing to compare with", what)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (- the tool, + ours): %s", what, diff)
	}
}

func lines[T any](list []T, line func(T) string) (out []string) {
	for _, v := range list {
		if s := line(v); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// Everything that a namespace shows is held against iproute2 and sysctl.
func TestNamespaceAgainstTools(t *testing.T) {
	a, _, pidA := twoNamespaces(t)
	sh(t, "ip -n "+a+" neigh add 10.9.9.78 lladdr 02:00:00:00:00:78 dev eth0 nud stale")
	sink, results := collect(t, Options{})
	pfx := fmt.Sprintf("nodes/n1/netns/%d/0/", inodeOf(t, pidA))
	t.Run("links", func(t *testing.T) { checkLinks(t, sink, pfx, a) })
	t.Run("addrs", func(t *testing.T) { checkAddrs(t, sink, pfx, a) })
	t.Run("routes", func(t *testing.T) { checkRoutes(t, sink, pfx, a) })
	t.Run("rules", func(t *testing.T) { checkRules(t, sink, pfx, a) })
	t.Run("neighbours", func(t *testing.T) { checkNeighbours(t, sink, pfx, a) })
	t.Run("sockets", func(t *testing.T) { checkSockets(t, sink, pfx, a, pidA) })
	t.Run("sysctls", func(t *testing.T) { checkSysctls(t, sink, pfx, a) })
	t.Run("counters", func(t *testing.T) { checkCounters(t, sink, pfx) })
	t.Run("qdiscs", func(t *testing.T) {
		for _, q := range rows[qdiscRow](t, sink, pfx+"net/qdiscs.ndjson") {
			if q.Dev == "eth0" && q.Kind == "noqueue" && q.Parent == "root" {
				return
			}
		}
		t.Errorf("no qdisc of eth0: %s", sink.files[pfx+"net/qdiscs.ndjson"])
	})
	for _, r := range results {
		if strings.HasPrefix(r.Path, pfx) && r.Status != collector.StatusOK {
			t.Errorf("%+v", r)
		}
	}
}

func checkLinks(t *testing.T, sink *memSink, pfx, a string) {
	type ipLink struct {
		Ifindex, Mtu, Txqlen       int
		Ifname, Address, Operstate string
		Qdisc, Link, Master        string
		LinkIndex                  int    `json:"link_index"`
		LinkNetnsid                *int   `json:"link_netnsid"`
		LinkType                   string `json:"link_type"`
		Linkinfo                   struct {
			Kind string `json:"info_kind"`
		}
		Flags []string
	}
	want, index := []string{}, map[string]int{}
	list := fromIP[ipLink](t, "-n "+a+" -d link")
	for _, l := range list {
		index[l.Ifname] = l.Ifindex
	}
	for _, l := range list {
		kind := l.Linkinfo.Kind
		if l.LinkType == "loopback" {
			kind, l.Address = "loopback", ""
		}
		nsid := -1
		if l.LinkNetnsid != nil {
			nsid = *l.LinkNetnsid
		}
		if l.Link != "" {
			l.LinkIndex = index[l.Link]
		}
		slices.Sort(l.Flags)
		want = append(want, fmt.Sprint(l.Ifindex, l.Ifname, kind, l.Mtu, l.Txqlen, l.Address, strings.ToLower(l.Operstate), l.Qdisc, l.LinkIndex, nsid, index[l.Master], l.Flags))
	}
	got := lines(rows[linkRow](t, sink, pfx+"net/links.ndjson"), func(l linkRow) string {
		nsid := -1
		if l.LinkNetnsID != nil {
			nsid = *l.LinkNetnsID
		}
		if l.Name == "eth0" && (l.Stats == nil || l.Stats.RxPackets == 0 || l.Stats.TxBytes == 0) {
			t.Errorf("stats of eth0: %+v", l.Stats)
		}
		if l.Name == "vx0" && (l.Vxlan == nil || *l.Vxlan != vxlanRow{ID: 42, Port: 8472, Local: "10.9.9.1", Dev: "eth0", Learning: true, Ageing: 300, UDPCsum: true}) {
			t.Errorf("vxlan: %+v", l.Vxlan)
		}
		if l.Qdisc == "" { // ip says noop of a device that never was up
			l.Qdisc = "noop"
		}
		l.Flags = slices.DeleteFunc(l.Flags, func(f string) bool { return f == "RUNNING" }) // which ip does not show
		if !slices.Contains(l.Flags, "LOWER_UP") && slices.Contains(l.Flags, "UP") {
			l.Flags = append(l.Flags, "NO-CARRIER")
		}
		slices.Sort(l.Flags)
		link := l.Link
		if l.Vxlan != nil {
			link = 0 // ip -d tells it as linkinfo
		}
		return fmt.Sprint(l.Index, l.Name, l.Kind, l.MTU, l.TxQueueLen, l.MAC, l.State, l.Qdisc, link, nsid, l.Master, l.Flags)
	})
	compare(t, "links", want, got)
}

func checkAddrs(t *testing.T, sink *memSink, pfx, a string) {
	type ipAddr struct {
		Ifname    string
		Ifindex   int
		Addr_info []struct {
			Family, Local, Scope string
			Prefixlen            int
		}
	}
	var want []string
	for _, l := range fromIP[ipAddr](t, "-n "+a+" addr") {
		for _, i := range l.Addr_info {
			want = append(want, fmt.Sprintf("%d %s %s/%d %s %s", l.Ifindex, l.Ifname, i.Local, i.Prefixlen, i.Family, i.Scope))
		}
	}
	compare(t, "addrs", want, lines(rows[addrRow](t, sink, pfx+"net/addrs.ndjson"), func(r addrRow) string {
		return fmt.Sprintf("%d %s %s %s %s", r.Index, r.Dev, r.Addr, r.Family, r.Scope)
	}))
}

func checkRoutes(t *testing.T, sink *memSink, pfx, a string) {
	type hop struct {
		Gateway, Dev string
		Weight       int
	}
	type ipRoute struct {
		Dst, Gateway, Dev, Table, Type, Prefsrc string
		Metric                                  int
		Metrics                                 []struct{ Mtu int }
		Nexthops                                []hop
	}
	var want []string
	for family, flag := range map[string]string{"inet": "-4", "inet6": "-6"} {
		for _, r := range fromIP[ipRoute](t, "-n "+a+" -N "+flag+" route show table all") {
			mtu := 0
			if len(r.Metrics) > 0 {
				mtu = r.Metrics[0].Mtu
			}
			if r.Table == "" {
				r.Table = "254"
			}
			want = append(want, fmt.Sprint(family, " ", strings.TrimSuffix(strings.TrimSuffix(r.Dst, "/32"), "/128"), " ", r.Gateway, " ", r.Dev, " ", r.Table, " ", r.Prefsrc, " ", r.Metric, " ", mtu, " ", r.Nexthops))
		}
	}
	types := map[string]string{}
	got := lines(rows[routeRow](t, sink, pfx+"net/routes.ndjson"), func(r routeRow) string {
		types[r.Dst] = r.Type
		var hops []hop
		for _, n := range r.Nexthops {
			hops = append(hops, hop{n.GW, n.Dev, n.Weight})
		}
		return fmt.Sprint(r.Family, " ", strings.TrimSuffix(strings.TrimSuffix(r.Dst, "/32"), "/128"), " ", r.GW, " ", r.Dev, " ", r.Table, " ", r.Src, " ", r.Metric, " ", r.MTU, " ", hops)
	})
	compare(t, "routes", want, got)
	for dst, typ := range map[string]string{"10.30.0.0/16": "blackhole", "10.9.9.1/32": "local", "10.9.9.255/32": "broadcast", "default": "unicast"} {
		if types[dst] != typ {
			t.Errorf("type of %s is %q", dst, types[dst])
		}
	}
}

func checkRules(t *testing.T, sink *memSink, pfx, a string) {
	type ipRule struct {
		Priority     int
		Src, Dst     string
		Srclen       int
		Table        string
		Fwmark, Mask string `json:",omitempty"`
		Fwmask       string
	}
	var want []string
	for _, flag := range []string{"-4", "-6"} {
		for _, r := range fromIP[ipRule](t, "-n "+a+" -N "+flag+" rule") {
			src := strings.TrimSuffix(r.Src, "all")
			if src != "" && r.Srclen > 0 {
				src = fmt.Sprintf("%s/%d", src, r.Srclen)
			}
			want = append(want, fmt.Sprint(r.Priority, " ", src, " ", r.Table, " ", r.Fwmark, "/", r.Fwmask))
		}
	}
	compare(t, "rules", want, lines(rows[ruleRow](t, sink, pfx+"net/rules.ndjson"), func(r ruleRow) string {
		mark, mask := "", ""
		if r.Mark != 0 {
			mark, mask = fmt.Sprintf("%#x", r.Mark), fmt.Sprintf("%#x", r.Mask)
		}
		return fmt.Sprint(r.Priority, " ", r.Src, " ", r.Table, " ", mark, "/", mask)
	}))
}

func checkNeighbours(t *testing.T, sink *memSink, pfx, a string) {
	type ipNeigh struct {
		Dst, Dev, Lladdr string
		State            []string
	}
	steady := func(s []string) bool { return slices.Contains(s, "PERMANENT") || slices.Contains(s, "STALE") }
	want := lines(fromIP[ipNeigh](t, "-n "+a+" neigh show nud all"), func(n ipNeigh) string {
		if !steady(n.State) {
			return "" // may change between the two looks
		}
		return fmt.Sprint(n.Dst, n.Dev, n.Lladdr, n.State)
	})
	compare(t, "neighbours", want, lines(rows[neighRow](t, sink, pfx+"net/neighbors.ndjson"), func(n neighRow) string {
		if !steady(n.State) {
			return ""
		}
		return fmt.Sprint(n.IP, n.Dev, n.MAC, n.State)
	}))
	for _, f := range rows[neighRow](t, sink, pfx+"net/fdb.ndjson") {
		if f.Dev == "vx0" && f.MAC == "02:00:00:00:00:99" && f.IP == "10.9.9.2" && slices.Contains(f.Flags, "self") {
			return
		}
	}
	t.Errorf("the fdb lacks the tunnel's entry: %s", sink.files[pfx+"net/fdb.ndjson"])
}

// plain writes an address of ss as ours are: * is both families' any, and
// IPv4 on an IPv6 socket is IPv4.
func plain(s string) string {
	s = strings.NewReplacer("::ffff:", "").Replace(s)
	if rest, ok := strings.CutPrefix(s, "*:"); ok {
		s = "[::]:" + rest
	}
	return strings.TrimSuffix(s, "*") + map[bool]string{true: "0"}[strings.HasSuffix(s, "*")]
}

func endpoint(s socketRow, a netip.Addr, port uint16) string {
	if s.Family == "inet6" {
		return fmt.Sprintf("[%s]:%d", a, port)
	}
	return fmt.Sprintf("%s:%d", a, port)
}

// checkSockets holds the sockets against ss, whose columns are state, queues,
// local and peer.
func checkSockets(t *testing.T, sink *memSink, pfx, a string, pid int) {
	want := []string{}
	for proto, flag := range map[string]string{"tcp": "-tan", "udp": "-uan"} {
		for line := range strings.Lines(sh(t, "ip netns exec "+a+" ss -H "+flag)) {
			f := strings.Fields(line)
			want = append(want, fmt.Sprint(proto, " ", f[0], " ", f[1], " ", f[2], " ", plain(f[3]), " ", plain(f[4])))
		}
	}
	listening := map[uint16]socketRow{}
	established := 0
	got := lines(rows[socketRow](t, sink, pfx+"net/sockets.ndjson"), func(s socketRow) string {
		if s.State == "LISTEN" {
			listening[s.Sport] = s
		}
		if s.State == "ESTAB" && s.SndMSS > 500 && s.PMTU > 1000 && s.Cwnd > 0 && s.RTTUsec > 0 {
			established++
		}
		return fmt.Sprintf("%s %s %d %d %s %s", s.Proto, s.State, s.Rqueue, s.Wqueue, endpoint(s, s.Src, s.Sport), endpoint(s, s.Dst, s.Dport))
	})
	compare(t, "sockets", want, got)
	if s := listening[7000]; s.Rqueue != 2 || s.Wqueue != 77 || s.PID != pid || s.Comm != "node.test" {
		t.Errorf("the listener's accept queue, backlog (somaxconn 77) and owner: %+v", s)
	}
	if s := listening[7001]; s.Src.String() != "127.0.0.1" {
		t.Errorf("the loopback listener: %+v", s)
	}
	if established < 4 {
		t.Errorf("%d established sockets with tcp_info", established)
	}
}

func checkSysctls(t *testing.T, sink *memSink, pfx, a string) {
	for _, key := range []string{"net/ipv4/tcp_retries2", "net/core/somaxconn", "net/ipv4/ip_local_port_range", "net/ipv4/conf/eth0/rp_filter",
		"net/ipv6/conf/eth0/mtu", "net/ipv4/neigh/eth0/gc_stale_time", "net/netfilter/nf_conntrack_max"} {
		want := sh(t, fmt.Sprintf("ip netns exec %s cat /proc/sys/%s", a, key))
		if got := string(sink.files[pfx+"proc/sys/"+key]); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	all := strings.Fields(sh(t, "ip netns exec "+a+" find /proc/sys/net -type f -perm /444"))
	var want, got []string
	for _, path := range all {
		if rel := strings.TrimPrefix(path, "/proc/sys/net/"); !skipSysctl(path) {
			want = append(want, rel)
		}
	}
	for path := range sink.files {
		if rel, ok := strings.CutPrefix(path, pfx+"proc/sys/net/"); ok {
			got = append(got, rel)
		}
	}
	compare(t, "sysctls", want, got)
	if len(want) == len(all) {
		t.Error("nothing was skipped")
	}
}

func checkCounters(t *testing.T, sink *memSink, pfx string) {
	for name, word := range map[string]string{"netstat": "ListenOverflows", "snmp": "RetransSegs", "snmp6": "Ip6InReceives", "sockstat": "TCP: inuse", "dev": "eth0:"} {
		if !strings.Contains(string(sink.files[pfx+"proc/net/"+name]), word) {
			t.Errorf("%s lacks %s", name, word)
		}
	}
	if !strings.Contains(string(sink.files["nodes/n1/0/proc/net/stat/arp_cache"]), "table_fulls") { // one per machine
		t.Errorf("stat/arp_cache of the node lacks table_fulls: %.200q", sink.files["nodes/n1/0/proc/net/stat/arp_cache"])
	}
	ct, ok := sink.files[pfx+"proc/net/stat/nf_conntrack"]
	if !ok {
		t.Skip("this kernel has no connection tracking")
	}
	head, rest, _ := strings.Cut(string(ct), "\n")
	names := strings.Fields(head)
	if !slices.Contains(names, "entries") || !slices.Contains(names, "insert_failed") || !slices.Contains(names, "drop") {
		t.Errorf("header %q", head)
	}
	for line := range strings.Lines(rest) {
		if len(strings.Fields(line)) != len(names) {
			t.Errorf("row %q of %d columns", line, len(names))
		}
	}
}

// Reading must not switch NAT hooks on in a namespace, nor leave warnings in
// the kernel log.
func TestLeavesNoTrace(t *testing.T) {
	needRoot(t, "ip")
	ns := fmt.Sprintf("cfnode-t%d", os.Getpid())
	sh(t, "ip netns add "+ns+" && ip -n "+ns+" link set lo up")
	t.Cleanup(func() { sh(t, "ip netns del "+ns) })
	pid := sitIn(t, ns, "listen:127.0.0.1:7001")
	names := fmt.Sprintf("ip netns exec %s cat /proc/net/ip_tables_names /proc/net/ip6_tables_names", ns)
	if before := sh(t, names); before != "" {
		t.Fatalf("not a fresh namespace: %q", before)
	}
	collect(t, Options{Samples: 2})
	if after := sh(t, names); after != "" {
		t.Errorf("tables made by reading: %q", after)
	}
	sink, _ := collect(t, Options{})
	pfx := fmt.Sprintf("nodes/n1/netns/%d/0/proc/", inodeOf(t, pid))
	if b, ok := sink.files[pfx+"net/ip_tables_names"]; ok && len(b) > 0 {
		t.Errorf("ip_tables_names: %q", b)
	}
	for path := range sink.files {
		if strings.HasSuffix(path, "base_reachable_time") || strings.HasSuffix(path, "_key") || strings.HasSuffix(path, "stable_secret") {
			t.Errorf("%s was read", path)
		}
	}
	log := rows[kmsgRow](t, sink, "nodes/n1/kmsg.ndjson")
	if len(log) == 0 || log[len(log)-1].Time.IsZero() {
		t.Fatal("no kernel log")
	}
	for _, k := range log {
		if strings.Contains(k.Text, "deprecated sysctl") && strings.Contains(k.Text, "node.test") {
			t.Errorf("left in the kernel log: %+v", k)
		}
	}
}
