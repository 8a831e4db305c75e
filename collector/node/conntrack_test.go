//go:build linux

package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/collector"
)

// trackedTraffic makes connections of many kinds between two namespaces of
// which the first tracks and translates them.
func trackedTraffic(t *testing.T) (a string, pid int) {
	t.Helper()
	needRoot(t, "nft", "conntrack", "ping")
	a, b, pid := twoNamespaces(t)
	sh(t, "set -e\nip netns exec "+a+` sysctl -q -w net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_timestamp=1
ip netns exec `+a+` nft -f - <<X
table ip cf {
	chain out { type nat hook output priority -100; ip daddr 10.99.0.1 tcp dport 80 dnat to 10.9.9.2:8080; }
	chain post { type nat hook postrouting priority 100; ip daddr 10.9.9.2 tcp dport 8080 snat to 10.9.9.1:30000-30100; }
}
table inet cf { chain in { type filter hook output priority 0; ct state new ct mark set 0x17; }; }
X
ip -n `+a+` route add 10.99.0.1 via 10.9.9.2`)
	sitIn(t, b, "listen:10.9.9.2:8080 listen:[fd09::2]:8081 udp:10.9.9.2:5353")
	sitIn(t, a, "dial:10.99.0.1:80 dial:10.99.0.1:80 dial:[fd09::2]:8081")
	sh(t, "ip netns exec "+a+` sh -c 'ping -q -c1 -w2 10.9.9.2; ping -q -c1 -w2 fd09::2
echo x | nc -u -w0 10.9.9.2 5353; exit 0'
ip netns exec `+a+` conntrack -I -p udp -s 10.1.1.1 -d 10.1.1.2 --sport 53 --dport 5000 -t 3000 -m 42 -w 7 2>&1
ip netns exec `+a+` conntrack -I -f ipv6 -p tcp -s fd10::1 -d fd10::2 --sport 44 --dport 5000 -t 3000 --state SYN_SENT -u SEEN_REPLY,ASSURED 2>&1
ip netns exec `+a+` conntrack -I -p sctp -s 10.1.1.1 -d 10.1.1.2 --sport 9 --dport 8 -t 3000 --state ESTABLISHED --orig-vtag 1 --reply-vtag 2 2>&1 || true
ip netns exec `+a+` conntrack -I -p 89 -s 10.1.1.1 -d 10.1.1.9 -t 3000 2>&1 || true`)
	return a, pid
}

// asTool writes an entry as conntrack -L -o extended does, without what
// changes by itself.
func asTool(r ctRow) string {
	family := map[string]string{"inet": "ipv4", "inet6": "ipv6"}[r.Family]
	proto := r.Proto
	if len(proto) > 0 && proto[0] >= '0' && proto[0] <= '9' {
		proto = "unknown"
	}
	words := []string{family, proto}
	if r.State != "" {
		words = append(words, r.State)
	}
	if !r.ReplySrc.IsValid() {
		r.ReplySrc, r.ReplyDst, r.ReplySport, r.ReplyDport = r.Dst, r.Src, r.Dport, r.Sport
	}
	side := func(src, dst any, sport, dport uint16) {
		words = append(words, fmt.Sprintf("src=%v dst=%v", src, dst))
		switch r.Proto {
		case "tcp", "udp", "sctp":
			words = append(words, fmt.Sprintf("sport=%d dport=%d", sport, dport))
		}
	}
	side(r.Src, r.Dst, r.Sport, r.Dport)
	if strings.HasPrefix(r.Proto, "icmp") {
		words = append(words, fmt.Sprintf("type=%d code=%d id=%d", r.ICMPType, r.ICMPCode, r.ICMPID))
	}
	words = append(words, fmt.Sprintf("packets=%d bytes=%d", r.Packets, r.Bytes)) // the test switches the counters on
	if strings.Contains(r.Flags, "UNREPLIED") {
		words = append(words, "[UNREPLIED]")
	}
	side(r.ReplySrc, r.ReplyDst, r.ReplySport, r.ReplyDport)
	if strings.HasPrefix(r.Proto, "icmp") {
		reply := map[uint8]int{8: 0, 128: 129}[r.ICMPType]
		words = append(words, fmt.Sprintf("type=%d code=%d id=%d", reply, r.ICMPCode, r.ICMPID))
	}
	words = append(words, fmt.Sprintf("packets=%d bytes=%d", r.ReplyPackets, r.ReplyBytes))
	if strings.Contains(r.Flags, "ASSURED") {
		words = append(words, "[ASSURED]")
	}
	words = append(words, fmt.Sprintf("mark=%d", r.Mark))
	if r.Zone != 0 {
		words = append(words, fmt.Sprintf("zone=%d", r.Zone))
	}
	return strings.Join(words, " ")
}

// toolEntries reads the tool's table as asTool writes entries.
func toolEntries(t *testing.T, a string) []string {
	var list []string
	for _, family := range []string{"ipv4", "ipv6"} {
		for line := range strings.Lines(sh(t, "ip netns exec "+a+" conntrack -L -o extended -f "+family+" 2>/dev/null")) {
			f := strings.Fields(line)
			words := []string{f[0], f[2]}
			for _, w := range f[5:] { // after the numbers of the family and the protocol, and the timeout
				if !strings.HasPrefix(w, "use=") && !strings.HasPrefix(w, "delta-time=") {
					words = append(words, w)
				}
			}
			list = append(list, strings.Join(words, " "))
		}
	}
	return list
}

func TestConntrackAgainstTool(t *testing.T) {
	a, pid := trackedTraffic(t)
	before := toolEntries(t, a)
	sink, results := collect(t, Options{})
	pfx := fmt.Sprintf("nodes/n1/netns/%d/0/net/", inodeOf(t, pid))
	got := rows[ctRow](t, sink, pfx+"conntrack.ndjson")
	text := lines(got, asTool)
	if after := toolEntries(t, a); slices.Equal(slices.Sorted(slices.Values(before)), slices.Sorted(slices.Values(after))) {
		compare(t, "conntrack", after, text)
	} else {
		t.Fatalf("the table does not stand still:\n%q\n%q", before, after)
	}
	kinds := map[string]bool{}
	for _, r := range got {
		for f := range strings.FieldsSeq(r.Flags) {
			kinds[f] = true
		}
		kinds[r.Proto], kinds[r.Family], kinds[fmt.Sprint("zone ", r.Zone)] = true, true, true
		if r.StartNanos == 0 && r.Packets > 0 || r.TimeoutSec == 0 {
			t.Errorf("no start or timeout: %+v", r)
		}
	}
	for _, k := range []string{"UNREPLIED", "ASSURED", "SNAT", "DNAT", "tcp", "udp", "icmp", "icmpv6", "inet", "inet6", "zone 7"} {
		if !kinds[k] {
			t.Errorf("the test lacks %s: %v", k, kinds)
		}
	}
	checkSummary(t, sink.files[pfx+"conntrack-summary.json"], got)
	checkCTStats(t, a, rows[ctStatsRow](t, sink, pfx+"conntrack-stats.ndjson"), len(got))
	for _, r := range results {
		if strings.HasPrefix(r.Path, pfx+"conntrack") && r.Status != collector.StatusOK {
			t.Errorf("%+v", r)
		}
	}
}

func checkSummary(t *testing.T, text []byte, got []ctRow) {
	t.Helper()
	var s ctSummary
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	byProto, byFlag, byState := map[string]int{}, map[string]int{}, map[string]int{}
	for _, r := range got {
		byProto[r.Proto]++
		if r.State != "" {
			byState[r.Proto+" "+r.State]++
		}
		for f := range strings.FieldsSeq(r.Flags) {
			byFlag[f]++
		}
	}
	if s.Entries != len(got) || s.Kept != len(got) || int(s.Count) != len(got) || s.Fraction != 1 || !s.Complete || s.Max == 0 ||
		!maps.Equal(s.ByProto, byProto) || !maps.Equal(s.ByFlag, byFlag) || !maps.Equal(s.ByState, byState) || s.ByZone["7"] != 1 {
		t.Errorf("%s\nof %d entries: %v %v %v", text, len(got), byProto, byFlag, byState)
	}
	services := map[string]int{}
	for _, r := range s.Services.Top {
		services[fmt.Sprint(r.Proto, " ", r.Dst, " ", r.Dport)] = r.N
	}
	if services["tcp 10.99.0.1 80"] != 2 || services["tcp fd09::2 8081"] != 1 || s.Services.Error != 0 {
		t.Errorf("services %v", s.Services)
	}
	if len(s.SNAT.Top) != 1 || s.SNAT.Top[0].N != 2 || s.SNAT.Top[0].Src.String() != "10.9.9.1" || s.SNAT.Top[0].Dst.String() != "10.9.9.2" || s.SNAT.Top[0].Dport != 8080 {
		t.Errorf("translated sources %+v", s.SNAT)
	}
}

// checkCTStats holds the counters against conntrack -S, which names some of
// them otherwise.
func checkCTStats(t *testing.T, a string, got []ctStatsRow, entries int) {
	t.Helper()
	if len(got) < 2 || got[0].Entries == nil || int(*got[0].Entries) != entries {
		t.Fatalf("%+v", got)
	}
	var want, have []string
	for line := range strings.Lines(sh(t, "ip netns exec "+a+" conntrack -S")) {
		want = append(want, strings.Join(strings.Fields(line), " "))
	}
	for _, r := range got[1:] {
		have = append(have, fmt.Sprintf("cpu=%d found=%d invalid=%d insert=%d insert_failed=%d drop=%d early_drop=%d error=%d search_restart=%d clash_resolve=%d chaintoolong=%d",
			*r.CPU, r.Found, r.Invalid, r.Insert, r.InsertFailed, r.Drop, r.EarlyDrop, r.Error, r.SearchRestart, r.ClashResolve, r.ChainTooLong))
	}
	compare(t, "conntrack -S", want, have)
}

// Looking at a namespace without connections leaves it as it is.
func TestConntrackLeavesNoTrace(t *testing.T) {
	_, _, pid := twoNamespaces(t)
	table := func() string {
		return sh(t, fmt.Sprintf("nsenter -t %d -n sh -c 'conntrack -C; cat /proc/net/nf_conntrack 2>/dev/null; nft list hooks 2>/dev/null | grep -c conntrack || true'", pid))
	}
	modules, _ := os.ReadFile("/proc/modules")
	before := table()
	collect(t, Options{})
	if after := table(); after != before || !strings.HasPrefix(after, "0") {
		t.Errorf("before %q, after %q", before, after)
	}
	if now, _ := os.ReadFile("/proc/modules"); string(now) != string(modules) {
		t.Error("modules were loaded")
	}
}

func TestConntrackAsked(t *testing.T) {
	root := t.TempDir()
	if err := conntrackThere(root); err == nil {
		t.Error("asks where there is no connection tracking")
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(root+path[:strings.LastIndex(path, "/")], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("/sys/net/netfilter/nf_conntrack_count", "1")
	if err := conntrackThere(root); err != nil {
		t.Errorf("no modules at all: %v", err)
	}
	write("/modules", "nf_conntrack 1 2 nf_nat, Live 0x0\nxt_nf_conntrack_netlink 1 2 - Live 0x0\n")
	if err := conntrackThere(root); err == nil {
		t.Error("asks although that loads a module")
	}
	write("/modules", "nf_conntrack 1 2 nf_nat, Live 0x0\nnf_conntrack_netlink 1 2 - Live 0x0\n")
	if err := conntrackThere(root); err != nil {
		t.Error(err)
	}
}
