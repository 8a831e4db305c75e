package redact

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// rulesAsText is what nft and iptables-save print of a proxy's rules.
const rulesAsText = `table ip kube-proxy {
	comment "rules for kube-proxy"
	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		comment "ClusterIP, ExternalIP and LoadBalancer IP traffic"
		elements = { 10.96.0.17 . tcp . 80 comment "payments-prod/ledger-api:http" : goto service-ULMVA6XW-payments-prod/ledger-api/tcp/http,
			     10.96.0.18 . tcp . 80 comment "metrics/status:http" : goto service-4AT6LBPK-metrics/status/tcp/http,
			     10.96.0.10 . udp . 53 comment "kube-system/kube-dns:dns" : goto service-FY5PMXPG-kube-system/kube-dns/udp/dns,
			     10.96.0.19 . tcp . 80 comment "default/frontend:http" : goto service-XX6LBPK2-default/frontend/tcp/http }
	}
	set cluster-ips { type ipv4_addr; flags interval; elements = { 10.96.0.1-10.96.0.9, 10.200.0.0/16 } }
	chain endpoint-2CRNCTTE-payments-prod/ledger-api/tcp/http__10.244.1.5/8080 { # handle 77
		ip saddr 10.244.1.5 jump mark-for-masquerade # handle 78
		ether saddr 02:42:ac:11:00:02 meta l4proto tcp dnat to 10.244.1.5:8080 # handle 79
	}
	chain endpoint-3CRNCTTE-metrics/status/tcp/http__fd00:10:244::5/8080 {
		ip6 saddr fd00:10:244::5 counter packets 3 bytes 180 jump mark-for-masquerade comment "metrics/status:http"
	}
}
-A KUBE-SERVICES -d 10.96.0.17/32 -p tcp -m comment --comment "payments-prod/ledger-api:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-TCOU7JCQXEZGVUNU
-A KUBE-SERVICES -d 10.96.0.18/32 -p tcp -m comment --comment "metrics/status has no endpoints" -j REJECT --reject-with icmp-port-unreachable
-A KUBE-SEP-ABC -s 10.244.1.5/32 -m comment --comment "metrics/status:http" -j KUBE-MARK-MASQ
`

// rulesAsRows are the same in the rows of a node.
const rulesAsRows = `{"kind":"element","family":"ip","table":"kube-proxy","set":"service-ips","key":"10.96.0.18 . tcp . 80","verdict":"goto service-4AT6LBPK-metrics/status/tcp/http","comment":"metrics/status:http"}
{"kind":"element","family":"ip","table":"kube-proxy","set":"cluster-ips","key":"10.96.0.1","keyEnd":"10.96.0.9"}
{"kind":"chain","family":"ip","table":"kube-proxy","chain":"endpoint-2CRNCTTE-payments-prod/ledger-api/tcp/http__10.244.1.5/8080","handle":77,"use":2}
{"kind":"rule","family":"ip","table":"kube-proxy","chain":"endpoint-2CRNCTTE-payments-prod/ledger-api/tcp/http__10.244.1.5/8080","exprs":[{"expr":"cmp","value":"10.244.1.5"},{"expr":"cmp","value":"02:42:ac:11:00:02 . ip"},{"expr":"immediate","value":"fd00:10:244::5"}],"comment":"payments-prod/ledger-api:http"}
{"kind":"rule","family":"ip","table":"nat","chain":"KUBE-SEP-ABC","number":2,"src":"! 10.244.1.5/32","xt":{"target":"DNAT","info":"10.244.1.5:8080"},"matches":[{"match":"tcp","info":"dport 80"}],"comment":"metrics/status:http"}
{"kind":"element","set":"cali40all-hosts","key":"10.244.1.5,tcp:80,10.200.0.0/16"}
{"kind":"element","set":"macs","key":"10.244.1.5,02:42:ac:11:00:02"}
{"index":3,"name":"br0","kind":"bridge","info":{"bridgeID":"8000.02:42:ac:11:00:02"},"port":{"rootID":"8000.02:42:ac:11:00:02"}}
`

// TestStrictRules holds that nothing that a proxy writes into its rules tells
// of whom they are: a service stands there as namespace/name, and then even a
// name like an ordinary word is one.
func TestStrictRules(t *testing.T) {
	r := strictRedactor(t, []pseudonym.Name{
		{Kind: pseudonym.KindNamespace, Value: "payments-prod"}, {Kind: pseudonym.KindObject, Value: "ledger-api"},
		{Kind: pseudonym.KindNamespace, Value: "metrics"}, {Kind: pseudonym.KindObject, Value: "status"},
		{Kind: pseudonym.KindNamespace, Value: "default"}, {Kind: pseudonym.KindObject, Value: "frontend"},
	})
	leaks := regexp.MustCompile(`payments|ledger|metrics/|/status|status[:/]|frontend|10\.96\.0\.1[0-9]|10\.244\.|10\.200\.|fd00:10:244|02:42:ac:11`)
	for path, in := range map[string]string{"nodes/n1/0/net/nftables.txt": rulesAsText, "nodes/n1/0/net/nftables.ndjson": rulesAsRows} {
		out := throughStrict(t, r, path, in)
		for _, found := range leaks.FindAllString(out, -1) {
			t.Errorf("%s still has %q", path, found)
		}
		for word, least := range map[string]int{"kube-proxy": 1, "KUBE-SEP-ABC": 1, "8080": 2, "service-ips": 1, "2CRNCTTE-ns-": 1} {
			if strings.Count(out, word) < least {
				t.Errorf("%s lost %q:\n%s", path, word, out)
			}
		}
	}
	one, many := strings.TrimSpace(throughStrict(t, r, "a.log", "10.244.1.5\n")), throughStrict(t, r, "nodes/n1/0/net/nftables.txt", rulesAsText)
	if _, err := netip.ParseAddr(one); err != nil || strings.Count(many, one) != 4 {
		t.Errorf("10.244.1.5 is %s, which is %d times among the rules:\n%s", one, strings.Count(many, one), many)
	}
}

// TestPairsOfNames holds where an ordinary word is a name, and where not.
func TestPairsOfNames(t *testing.T) {
	r := strictRedactor(t, []pseudonym.Name{{Kind: pseudonym.KindNamespace, Value: "metrics"}, {Kind: pseudonym.KindObject, Value: "status"}})
	ns, name := string(r.mapper.Name(nil, pseudonym.KindNamespace, []byte("metrics"))), string(r.mapper.Name(nil, pseudonym.KindObject, []byte("status")))
	for in, want := range map[string]string{
		"metrics/status:http":          ns + "/" + name + ":http",
		"pod default/status is gone":   "pod default/" + name + " is gone",
		"GET /metrics/status":          "GET /metrics/status",
		"the status of metrics":        "the status of metrics",
		"metrics/other and status/all": "metrics/other and status/all",
		"metrics / status":             "metrics / status",
	} {
		if got := strings.TrimSpace(throughStrict(t, r, "a.log", in+"\n")); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
