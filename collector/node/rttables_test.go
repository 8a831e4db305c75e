//go:build linux

package node

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/collector"
)

// qdiscRow is what rules read of a line of qdiscs.ndjson.
type qdiscRow struct {
	Index      int    `json:"index"`
	Dev        string `json:"dev,omitempty"`
	Kind       string `json:"kind"`
	Handle     string `json:"handle"`
	Parent     string `json:"parent"`
	Bytes      uint64 `json:"bytes,omitempty"`
	Packets    uint32 `json:"packets,omitempty"`
	Drops      uint32 `json:"drops,omitempty"`
	Overlimits uint32 `json:"overlimits,omitempty"`
	Requeues   uint32 `json:"requeues,omitempty"`
	Backlog    uint32 `json:"backlog,omitempty"` // bytes
	Qlen       uint32 `json:"qlen,omitempty"`
}

// routedNamespace has nexthops, queues, filters and policies.
func routedNamespace(t *testing.T) (ns string, pid int) {
	t.Helper()
	ns, pid = oneNamespace(t, "r")
	far := ns + "f"
	sh(t, "ip netns add "+far)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", far).Run() })
	sh(t, fmt.Sprintf(`set -e
ip -n %[1]s link add eth0 type veth peer name eth0 netns %[2]s
ip -n %[1]s addr add 10.9.9.1/24 dev eth0 label eth0:a brd +
ip -n %[1]s addr add 10.9.8.1/24 dev eth0 valid_lft 3000 preferred_lft 2000
ip -n %[1]s addr add 10.9.7.1 peer 10.9.7.2/32 dev eth0
ip -n %[1]s link set eth0 up
ip -n %[2]s link set eth0 up
ip -n %[1]s nexthop add id 1 via 10.9.9.2 dev eth0
ip -n %[1]s nexthop add id 2 blackhole
ip -n %[1]s nexthop add id 3 via 10.9.9.3 dev eth0 onlink
ip -n %[1]s nexthop add id 10 group 1,5/3,2
ip -n %[1]s route add 10.77.0.0/16 via 10.9.9.2 advmss 1200 initcwnd 20 tos 0x10
ip -n %[1]s route add 10.78.0.0/16 nhid 10
ip -n %[1]s rule add priority 500 ipproto tcp sport 80-90 dport 443 uidrange 5-6 table 100 suppress_prefixlength 0
ip -n %[1]s rule add priority 501 from 10.8.0.0/16 blackhole
ip netns exec %[1]s sysctl -qw net.ipv4.conf.eth0.forwarding=1 net.ipv4.conf.eth0.rp_filter=2 net.ipv4.neigh.eth0.gc_stale_time=77
ip netns exec %[1]s tc qdisc add dev eth0 root handle 1: htb default 10
ip netns exec %[1]s tc class add dev eth0 parent 1: classid 1:10 htb rate 80mbit ceil 160mbit prio 3
ip netns exec %[1]s tc class add dev eth0 parent 1:10 classid 1:11 htb rate 8mbit
ip netns exec %[1]s tc qdisc add dev eth0 parent 1:11 handle 20: tbf rate 8mbit burst 10k limit 20k
ip netns exec %[1]s tc qdisc add dev eth0 clsact
ip netns exec %[1]s tc filter add dev eth0 ingress bpf bytecode '1,6 0 0 4294967295,' direct-action
ip netns exec %[1]s tc filter add dev eth0 egress protocol ip pref 7 u32 match u32 0 0 flowid 1:7
ip netns exec %[1]s tc filter add dev eth0 parent 1: protocol ip prio 5 u32 match ip dst 10.1.1.1/32 flowid 1:10
ip -n %[1]s xfrm policy add src 10.2.0.0/16 dst 10.3.0.0/16 dir out priority 9 tmpl src 10.1.1.1 dst 10.1.1.2 proto esp reqid 7 mode tunnel
ip -n %[1]s xfrm policy add src fd02::/64 dst fd03::/64 dir in priority 8 action block
ip netns exec %[1]s ping -q -c 1 -W 1 10.9.9.9 >/dev/null || true`, ns, far))
	return ns, pid
}

// toolJSON runs a tool that prints JSON in the namespace.
func toolJSON(t *testing.T, ns, line string) []map[string]any {
	t.Helper()
	out := sh(t, "ip netns exec "+ns+" "+line)
	var list []map[string]any
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return list
}

// pick writes chosen fields of rows, which must be there in at least one.
func pick[T map[string]any | object](list []T, fields string) []string {
	var out []string
	for _, o := range list {
		var parts []string
		for f := range strings.FieldsSeq(fields) {
			parts = append(parts, dig(map[string]any(o), f))
		}
		out = append(out, strings.Join(parts, " "))
	}
	return out
}

func keep(list []map[string]any, ok func(map[string]any) bool) []map[string]any {
	return slices.DeleteFunc(list, func(o map[string]any) bool { return !ok(o) })
}

func TestTablesAgainstTools(t *testing.T) {
	ns, pid := routedNamespace(t)
	var results []collector.Result
	var sink *memSink
	var qdiscs []map[string]any
	for range 20 { // until no packet came in between
		qdiscs = toolJSON(t, ns, "tc -s -j qdisc show")
		sink, results = inSpace(t, pid, func(g *gatherer) { g.tables(t.Context(), Netns{}, "", false) })
		if fmt.Sprint(qdiscs) == fmt.Sprint(toolJSON(t, ns, "tc -s -j qdisc show")) {
			break
		}
	}
	allOK(t, results)
	all := func(name string) []map[string]any { return rows[map[string]any](t, sink, name+".ndjson") }

	compare(t, "nexthops", pick(toolJSON(t, ns, "ip -j nexthop"), "id gateway dev"), pick(all("nexthops"), "id gw dev"))
	for _, n := range all("nexthops") {
		if fmt.Sprint(n["id"]) == "10" && fmt.Sprint(n["nexthops"]) != "[map[id:1 weight:5] map[id:3 weight:2]]" || fmt.Sprint(n["id"]) == "2" && n["blackhole"] != true {
			t.Errorf("nexthop %v", n)
		}
	}
	ntable := toolJSON(t, ns, "ip -s -j ntable show name arp_cache")
	compare(t, "neighbour tables", pick(ntable, "dev thresh1 thresh2 thresh3 gc_interval gc_stale ucast_probes base_reachable locktime queue table_fulls"),
		pick(keep(all("neightables"), func(o map[string]any) bool { return o["name"] == "arp_cache" }),
			"parms.dev thresh1 thresh2 thresh3 gcIntervalMs parms.gcStaleMs parms.ucastProbes parms.baseReachableMs parms.locktimeMs parms.queueLen stats.tableFulls"))
	compare(t, "netconf", pick(toolJSON(t, ns, "ip -j netconf"), "family interface forwarding rp_filter"), offAs(pick(all("netconf"), "family dev forwarding rpFilter")))
	compare(t, "qdiscs", pick(qdiscs, "kind dev bytes packets drops overlimits requeues backlog qlen"), pick(all("qdiscs"), "kind dev bytes packets drops overlimits requeues backlog qlen"))
	checkQueues(t, ns, all)
	checkPolicies(t, ns, all("xfrm"))
	checkFullRows(t, sink)
}

// offAs writes what ip says of a filter that is off, and of IPv6, which has none.
func offAs(lines []string) []string {
	for i, l := range lines {
		if strings.HasPrefix(l, "inet ") && strings.HasSuffix(l, " ") {
			lines[i] += "off"
		}
	}
	return lines
}

func checkQueues(t *testing.T, ns string, all func(string) []map[string]any) {
	t.Helper()
	var want []string // class htb 1:10 root prio 3 rate 80Mbit ceil 160Mbit …
	for line := range strings.Lines(sh(t, "ip netns exec "+ns+" tc class show dev eth0")) {
		if f := strings.Fields(line); len(f) > 4 && f[1] == "htb" {
			parent := f[3]
			if parent == "parent" {
				parent = f[4]
			}
			want = append(want, fmt.Sprint(f[2], " ", parent, " ", f[slices.Index(f, "rate")+1], " ", f[slices.Index(f, "ceil")+1]))
		}
	}
	var got []string
	for _, c := range all("classes") {
		opts, _ := c["options"].(map[string]any)
		if params, ok := opts["params"].(map[string]any); ok && c["dev"] == "eth0" {
			bits := func(k string) string { return fmt.Sprintf("%gMbit", params[k].(float64)*8/1e6) }
			got = append(got, fmt.Sprint(c["handle"], " ", c["parent"], " ", bits("rate"), " ", bits("ceil")))
		}
	}
	compare(t, "classes", want, got)
	var filters []string
	for _, q := range []struct{ where, parent string }{{"ingress", "ingress"}, {"egress", "egress"}, {"", "1:0"}} {
		for _, f := range toolJSON(t, ns, "tc -j filter show dev eth0 "+q.where) {
			filters = append(filters, fmt.Sprint(q.parent, " ", f["protocol"], " ", f["pref"], " ", f["kind"], " ", dig(f, "options.flowid")))
		}
	}
	compare(t, "filters", filters, lines(all("filters"), func(f map[string]any) string {
		if f["kind"] == "bpf" && f["handle"] != "0x0" && !strings.Contains(dig(f, "options.flags"), "direct-action") {
			t.Errorf("filter %v", f)
		}
		return fmt.Sprint(f["parent"], " ", f["protocol"], " ", f["pref"], " ", f["kind"], " ", dig(f, "options.classID"))
	}))
}

func checkPolicies(t *testing.T, ns string, list []map[string]any) {
	t.Helper()
	text := sh(t, "ip -n "+ns+" xfrm policy")
	for _, p := range list {
		want := fmt.Sprintf("src %v dst %v \n\tdir %v ", p["selSrc"], p["selDst"], p["dir"])
		if p["action"] == "block" {
			want += "action block "
		}
		if want += fmt.Sprintf("priority %v", p["priority"]); !strings.Contains(text, want) {
			t.Errorf("policy %v: not in\n%s", p, text)
		}
	}
	if len(list) != 2 || !strings.Contains(fmt.Sprint(list), "map[dst:10.1.1.2 mode:tunnel proto:esp reqid:7 src:10.1.1.1]") {
		t.Errorf("policies %v", list)
	}
}

func checkFullRows(t *testing.T, sink *memSink) {
	t.Helper()
	found := 0
	for _, a := range rows[addrRow](t, sink, "addrs.ndjson") {
		if a.Addr == "10.9.9.1/24" && a.Label == "eth0:a" && a.Broadcast == "10.9.9.255" && a.ValidSec == 0 ||
			a.Addr == "10.9.7.1/32" && a.Peer == "10.9.7.2/32" || a.Addr == "10.9.8.1/24" && a.ValidSec > 2900 && a.PreferredSec > 1900 && a.PreferredSec <= 2000 {
			found++
		}
	}
	for _, r := range rows[routeRow](t, sink, "routes.ndjson") {
		if r.Dst == "10.77.0.0/16" && r.AdvMSS == 1200 && r.InitCwnd == 20 && r.TOS == 16 || r.Dst == "10.78.0.0/16" && r.Nexthop == 10 && len(r.Nexthops) == 2 && r.Nexthops[0].Weight == 5 {
			found++
		}
	}
	for _, r := range rows[ruleRow](t, sink, "rules.ndjson") {
		if r.Priority == 500 && r.IPProto == 6 && r.Sport == "80-90" && r.Dport == "443" && r.UIDs == "5-6" && r.SuppressPrefixLen != nil && *r.SuppressPrefixLen == 0 ||
			r.Priority == 501 && r.Action == "blackhole" {
			found++
		}
	}
	if found != 7 {
		t.Errorf("%d of 7 rows are full: %s%s%s", found, sink.files["addrs.ndjson"], sink.files["routes.ndjson"], sink.files["rules.ndjson"])
	}
}

// Keys of IPsec must not come out, whatever the algorithm.
func TestXfrmStateByLayout(t *testing.T) {
	body := make([]byte, xfrmState)
	copy(body[56:], []byte{10, 1, 1, 2})
	copy(body[80:], []byte{10, 1, 1, 1})
	body[76], body[72], body[75] = 50, 1, 2
	body[212], body[214] = familyINET, 1
	algo := append(append([]byte("rfc4106(gcm(aes))"), make([]byte, 64-17+8)...), "SECRETKEYSECRETKEY"...)
	for typ := range uint16(40) {
		table := xfrmStates()
		err := table.rows(append(slices.Clone(body), attr(typ, algo)...), func(o object) error {
			b, _ := json.Marshal(o)
			if strings.Contains(string(b), "SECRET") || !strings.Contains(string(b), `"dst":"10.1.1.2"`) || !strings.Contains(string(b), `"src":"10.1.1.1"`) {
				t.Errorf("attribute %d: %s", typ, b)
			}
			if typ == 18 && o["aead"] != "rfc4106(gcm(aes))" || o["spi"] != "0x1000002" || o["mode"] != "tunnel" || o["proto"] != "esp" {
				t.Errorf("attribute %d: %s", typ, b)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestBridgeTablesByLayout(t *testing.T) {
	head := []byte{7, 0, 0, 0, 9, 0, 0, 0}
	var got []string
	emit := func(o object) error {
		b, _ := json.Marshal(o)
		got = append(got, string(b))
		return nil
	}
	vlans, mdb := vlanTable(), mdbTable()
	entry := attr(1, append(attr(1, []byte{6, 0, 10, 0}), append(attr(2, []byte{12, 0}), attr(3, []byte{3})...)...))
	_ = vlans.rows(append(slices.Clone(head), append(entry, attr(1, attr(1, []byte{0, 0, 20, 0}))...)...), emit)
	group := make([]byte, 28)
	group[0], group[4], group[6] = 4, 1, 10
	copy(group[8:], []byte{239, 1, 2, 3})
	group[24] = 8
	_ = mdb.rows(append(slices.Clone(head), attr(1, attr(1, attr(1, group)))...), emit)
	want := []string{`{"flags":["pvid","untagged"],"index":9,"state":"forwarding","vlan":10,"vlanEnd":12}`, `{"index":9,"vlan":20}`,
		`{"bridge":9,"grp":"239.1.2.3","index":4,"state":"permanent","vlan":10}`}
	compare(t, "vlans and groups", want, got)
}

func FuzzTables(f *testing.F) {
	f.Add(byte(0), make([]byte, 300))
	f.Add(byte(3), append([]byte{7, 0, 0, 0, 9, 0, 0, 0}, attr(1, attr(1, []byte{6, 0, 10, 0}))...))
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		list := []rtTable{nexthopTable(), neighTables(), netconfTable(2), vlanTable(), mdbTable(), xfrmStates(), xfrmPolicies()}
		_ = list[int(which)%len(list)].rows(b, func(o object) error {
			_, err := json.Marshal(o)
			return err
		})
		row := newTCDecoder([]string{"qdiscs", "classes", "filters"}[which%3]).row(b)
		if row != nil {
			filterHead(row, b)
			if _, err := json.Marshal(row); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzRoutes(f *testing.F) {
	f.Add(append([]byte{2, 16, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0}, append(attr(1, []byte{10, 8, 0, 0}), attr(9, append([]byte{16, 0, 0, 4, 2, 0, 0, 0}, attr(5, []byte{10, 0, 0, 1})...))...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		route, _ := newRouteDecoder(nil).row(b)
		neigh, _ := parseNeigh(neighSchema(), b, nil)
		addr, _ := parseAddr(addrSchema(), b, nil)
		if _, err := json.Marshal([]any{route, neigh, addr}); err != nil {
			t.Error(err)
		}
	})
}

func FuzzRules(f *testing.F) {
	f.Add(append([]byte{2, 0, 16, 0, 254, 0, 0, 1, 0, 0, 0, 0}, append(attr(2, []byte{10, 8, 0, 0}), attr(23, []byte{80, 0, 90, 0})...)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		row, _ := parseRule(ruleDecoder(), b)
		if _, err := json.Marshal(row); err != nil {
			t.Error(err)
		}
	})
}

// The number that a device has for its peer's namespace is told with the inode
// by which the bundle knows that one.
func TestNamespacesBehindDevices(t *testing.T) {
	a, b, pidA := twoNamespaces(t)
	pidB := sitIn(t, b, "listen:127.0.0.1:7009")
	sink, _ := collect(t, Options{})
	for _, c := range []struct{ from, to int }{{pidA, pidB}, {pidB, pidA}} {
		at := fmt.Sprintf("nodes/n1/netns/%d/0/net/", inodeOf(t, c.from))
		var id *int
		for _, l := range rows[linkRow](t, sink, at+"links.ndjson") {
			if l.Name == "eth0" {
				id = l.LinkNetnsID
			}
		}
		got := rows[struct {
			ID    int
			Inode uint64
		}](t, sink, at+"netnsids.ndjson")
		if len(got) != 1 || id == nil || got[0].ID != *id || got[0].Inode != inodeOf(t, c.to) {
			t.Errorf("%+v, want %v for namespace %d (%s, %s)", got, id, inodeOf(t, c.to), a, b)
		}
	}
}
