package redact

import (
	"strings"
	"testing"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// TestStrictProbes holds rows of probes, and what names their ends, to the
// names in them: ordinary words too, which the text alone would not give away.
func TestStrictProbes(t *testing.T) {
	r := strictRedactor(t, []pseudonym.Name{{Kind: pseudonym.KindObject, Value: "status"}, {Kind: pseudonym.KindNamespace, Value: "metrics"},
		{Kind: pseudonym.KindNode, Value: "worker"}})
	for path, rows := range map[string][]string{
		"probes/dns.ndjson": {
			`{"node":"worker","action":3,"from":"pod/metrics/status","row":"try","qname":"ledger.hush.example","server":"10.7.8.9","answers":["ledger.hush.example.","10.7.8.9"]}`,
			`{"node":"worker","row":"summary","host":"ledger","nameservers":["10.7.8.9"],"searches":["hush.example"],"qnames":["ledger.hush.example","ledger"],"muslQnames":["ledger"],"rcodes":{"NOERROR":1}}`},
		"probes/tcp.ndjson":         {`{"node":"worker","from":"node/worker","target":"service/metrics/status:80","host":"ledger","address":"10.7.8.9","attempts":[{"outcome":"connected","local":"10.7.8.9:4711","icmpFrom":"10.7.8.9"}],"lookup":{"host":"ledger","addresses":["10.7.8.9"]}}`},
		"probes/mtu.ndjson":         {`{"node":"worker","said":[{"by":"10.7.8.9","mtu":1400}],"target":"node/worker"}`},
		"probes/path.ndjson":        {`{"hops":[{"ttl":1,"answers":[{"by":"10.7.8.9","icmp":"time-exceeded"}]}]}`},
		"probes/http.ndjson":        {`{"host":"ledger","redirectHost":"ledger.hush.example","tls":{"serverName":"ledger.hush.example","certificates":[{"commonName":"ledger.hush.example","issuerCommonName":"ledger.hush.example","dnsNames":["ledger.hush.example"]}]}}`},
		"probes/contrasts.json":     {`{"between":["pod/metrics/status","tcp://ledger:5432","node/worker"],"cells":[{"id":"pod-service","source":"pod","from":"pod/metrics/status","target":"service/metrics/status","host":"status.metrics.svc"}],"reading":{"outcome":"mixed"}}`},
		"collection/actions.ndjson": {`{"node":"worker","action":3,"from":"node/worker","kind":"tcp","host":"ledger","port":5432}`},
	} {
		for _, row := range rows {
			got := throughStrict(t, r, path, row+"\n")
			for _, secret := range []string{"ledger", "hush", "10.7.8.9", "metrics/status", "pod/metrics", "node/worker", `"worker"`, "/status"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s: %s is still there: %s", path, secret, got)
				}
			}
			for _, kept := range []string{":5432", ":80", `"id":"pod-service"`, `"icmp":"time-exceeded"`, "tcp://", "pod/", `"NOERROR"`} {
				if strings.Contains(row, kept) && !strings.Contains(got, kept) {
					t.Errorf("%s: %s is gone: %s", path, kept, got)
				}
			}
		}
	}
}

func TestTargets(t *testing.T) {
	for s, want := range map[string]bool{"pod/a/b": true, "pod/a": false, "node/n": true, "node/a/b": false, "service/a/b:80": true, "tcp://h:1": true, "tcp://h/x": false, "x/a/b": false, "pod": false, "tcp:/x": false} {
		if isTarget([]byte(s)) != want {
			t.Errorf("%s: %v", s, !want)
		}
	}
}
