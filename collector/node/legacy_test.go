//go:build linux

package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/collector"
)

const legacyRules = `*nat
:PREROUTING ACCEPT [10:600]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [3:180]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-TCOU7JCQXEZGVUNU - [0:0]
:KUBE-SEP-ABC - [0:0]
[5:300] -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
[1:60] -A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 ! -o cni+ -j MASQUERADE --random-fully
[2:120] -A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment "kube-system/kube-dns:dns cluster IP" -m udp --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU
[0:0] -A KUBE-SVC-TCOU7JCQXEZGVUNU -m statistic --mode random --probability 0.33333333349 -g KUBE-SEP-ABC
[4:240] -A KUBE-SEP-ABC -i eth0 -p tcp -m tcp --sport 1024:65535 ! --dport 80 -m mark ! --mark 0x1/0xff -j DNAT --to-destination 10.244.1.5:8080
COMMIT
*filter
:INPUT DROP [7:420]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
[9:540] -A INPUT -p tcp -m multiport --dports 22,80:90 -j ACCEPT
[0:0] -A INPUT -p icmp -j RETURN
[3:180] -A FORWARD -s 192.168.0.0/24
[0:0] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j MARK --set-xmark 0x4000/0x4000
COMMIT
`

// saveLine writes a row as iptables-save would, for what we decode.
func saveLine(r xtRow) string {
	if r.Kind == "chain" {
		policy := strings.ToUpper(r.Policy)
		if policy == "" {
			policy = "-"
		}
		return fmt.Sprintf("%s:%s %s [%d:%d]", r.Table, r.Chain, policy, r.Counter.Packets, r.Counter.Bytes)
	}
	s := fmt.Sprintf("%s[%d:%d] -A %s", r.Table, r.Counter.Packets, r.Counter.Bytes, r.Chain)
	add := func(flag, value string) {
		if rest, ok := strings.CutPrefix(value, "! "); ok {
			flag, value = "! "+flag, rest
		}
		if value != "" {
			s += " " + flag + " " + value
		}
	}
	add("-s", r.Src)
	add("-d", r.Dst)
	add("-i", r.Iif)
	add("-o", r.Oif)
	add("-p", r.Proto)
	if r.Comment != "" {
		s += fmt.Sprintf(" --comment %q", r.Comment)
	}
	for _, m := range r.Matches {
		s += fmt.Sprintf(" -m %v {%v}", m["match"], m["info"])
	}
	switch verb, chain, _ := strings.Cut(r.Verdict, " "); {
	case verb == "jump":
		s += " -j " + chain
	case verb == "goto":
		s += " -g " + chain
	case verb != "":
		s += " -j " + strings.ToUpper(verb)
	}
	if r.Target != nil {
		s += fmt.Sprintf(" -j %v {%v}", r.Target["target"], r.Target["info"])
	}
	return s
}

// braced writes a line of iptables-save the same way.
func braced(table, line string) string {
	return table + strings.NewReplacer(
		" -m comment", "", " -m udp --dport 53", " -m udp {dport 53}",
		" -m statistic --mode random --probability 0.33333333349", " -m statistic {random 0.33333333349}",
		" -m tcp --sport 1024:65535 ! --dport 80", " -m tcp {sport 1024:65535 ! dport 80}",
		" -m mark ! --mark 0x1/0xff", " -m mark {! 0x1/0xff}", "-j DNAT --to-destination 10.244.1.5:8080", "-j DNAT {10.244.1.5:8080}",
		"-j DNAT --to-destination [fd44::5]:8080", "-j DNAT {[fd44::5]:8080}", " -p ipv6-icmp", " -p ipv6-icmp",
		"MASQUERADE --random-fully", "MASQUERADE {random-fully}", " -m multiport --dports 22,80:90", " -m multiport {dports 22,80:90}",
		" -m conntrack --ctstate RELATED,ESTABLISHED", " -m conntrack {<nil>}", "-j MARK --set-xmark 0x4000/0x4000", "-j MARK {set 0x4000/0x4000}",
	).Replace(line)
}

func TestLegacyAgainstTool(t *testing.T) {
	needRoot(t, "iptables-legacy-save", "ip6tables-legacy-save")
	ns, pid := oneNamespace(t, "i")
	feed(t, ns, legacyRules, "iptables-legacy-restore", "-c")
	six := strings.NewReplacer("10.244.0.0/16", "fd44::/48", "10.96.0.10/32", "fd96::a/128", "10.244.1.5:8080", "[fd44::5]:8080", "192.168.0.0/24", "fd01::/64", "-p icmp", "-p ipv6-icmp").Replace(legacyRules)
	feed(t, ns, six, "ip6tables-legacy-restore", "-c")
	sink, results := inSpace(t, pid, func(g *gatherer) { g.legacy(t.Context(), "", false) })
	allOK(t, results)
	for family, word := range map[string]string{"ip": "iptables", "ip6": "ip6tables"} {
		save := sh(t, "ip netns exec "+ns+" "+word+"-legacy-save -c")
		var want []string
		table := ""
		for line := range strings.Lines(save) {
			line = strings.TrimSpace(line)
			switch {
			case strings.HasPrefix(line, "*"):
				table = line[1:]
			case strings.HasPrefix(line, ":"), strings.HasPrefix(line, "["):
				want = append(want, braced(table, line))
			}
		}
		got := lines(rows[xtRow](t, sink, "iptables.ndjson"), func(r xtRow) string {
			if r.Family != family {
				return ""
			}
			return saveLine(r)
		})
		compare(t, word, want, got)
		text := string(sink.files[word+"-legacy.txt"])
		for line := range strings.Lines(save) {
			if !strings.HasPrefix(line, "#") && !strings.Contains(text, line) {
				t.Errorf("%s-legacy.txt lacks %q", word, line)
			}
		}
	}
}

// A namespace without legacy tables has none afterwards, whatever the tools.
func TestRulesLeaveNoTrace(t *testing.T) {
	ns, pid := oneNamespace(t, "t")
	feed(t, ns, "*filter\n:INPUT ACCEPT [0:0]\n[0:0] -A INPUT -p tcp -m comment --comment seen -j ACCEPT\nCOMMIT\n", "iptables-nft-restore", "-c")
	state := func() string {
		return sh(t, "ip netns exec "+ns+" sh -c 'cat /proc/net/*_tables_names; nft list ruleset; ipset list'")
	}
	before := state()
	sink, results := inSpace(t, pid, func(g *gatherer) { g.netfilter(t.Context(), "", false, false) })
	if after := state(); after != before || strings.Contains(after, "mangle") {
		t.Errorf("before %q, after %q", before, after)
	}
	for _, r := range results {
		if r.Status != collector.StatusOK && !strings.Contains(r.Reason, "has no") {
			t.Errorf("%+v", r)
		}
	}
	if !strings.Contains(string(sink.files["iptables-nft.txt"]), "--comment seen") {
		t.Errorf("iptables-nft.txt: %q", sink.files["iptables-nft.txt"])
	}
	for _, r := range rows[nftRow](t, sink, "nftables.ndjson") {
		if r.Kind == "rule" {
			b, _ := json.Marshal(r.Exprs)
			if !strings.Contains(string(b), `{"expr":"match","info":"seen","match":"comment"}`) {
				t.Errorf("the rule: %s", b)
			}
		}
	}
}

func FuzzLegacy(f *testing.F) {
	f.Add(make([]byte, xtInfoSize), make([]byte, 176), true)
	f.Add(make([]byte, xtInfoSize), make([]byte, 600), false)
	f.Fuzz(func(t *testing.T, info, blob []byte, six bool) {
		if len(info) < xtInfoSize {
			return
		}
		tab := &xtTable{family: map[bool]string{true: "ip6", false: "ip"}[six], name: "filter", blob: blob}
		tab.readInfo(info)
		_ = tab.rows(func(r xtRow) error {
			_, err := json.Marshal(r)
			return err
		})
	})
}
