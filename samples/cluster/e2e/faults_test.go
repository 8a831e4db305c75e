package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// fault is one way to break the cluster, the rule that must see it, and where.
type fault struct {
	name, rule string
	subject    string   // part of the subject that must be named: namespace/name or node
	evidence   string   // prefix of a path that must be cited
	traffic    bool     // the fault shows only while its own show runs
	timed      bool     // inject holds the fault for 25 s and undoes it itself
	collect    []string // further flags
}

func faults() []fault {
	return []fault{
		{name: "service-no-endpoints", rule: "service/no-ready-endpoints", subject: "fault-service-no-endpoints/empty", evidence: "cluster/resources/"},
		{name: "crashloop", rule: "workload/crash-loop", subject: "fault-crashloop/crash", evidence: "cluster/resources/core/v1/pods/fault-crashloop.ndjson"},
		{name: "oomkilled", rule: "workload/oom-killed", subject: "fault-oomkilled/oom", evidence: "cluster/resources/core/v1/pods/fault-oomkilled.ndjson"},
		{name: "app-on-loopback", rule: "app/listens-on-loopback", subject: "fault-app-on-loopback/local", evidence: "nodes/cf-n2/netns/"},
		{name: "cpu-throttle", rule: "node/cpu-throttled", subject: "fault-cpu-throttle/burn", evidence: "nodes/cf-n2/"},
		{name: "listen-overflow", rule: "app/accept-queue-overflow", subject: "fault-listen-overflow/full", evidence: "nodes/cf-n2/netns/", traffic: true},
		{name: "mtu-blackhole", rule: "underlay/mtu-mismatch", subject: "cf-n2", evidence: "nodes/cf-n2/"},
		{name: "packet-loss-20", rule: "underlay/retransmissions", subject: "cf-n2", evidence: "nodes/cf-n2/netns/", traffic: true},
		{name: "coredns-down", rule: "dns/coredns-unavailable", subject: "kube-system/", evidence: "cluster/resources/"},
		{name: "conntrack-full", rule: "node/conntrack-full", subject: "cf-n", evidence: "nodes/cf-n", timed: true, collect: []string{"--sample-interval", "3s"}},
	}
}

// testFaults breaks the cluster in one way after another. The rule for each
// must be clear before, found while it lasts, and name the right place.
func testFaults(t *testing.T, k *kit) {
	healthy := k.examine(t)
	for _, f := range healthy.Findings {
		if k.stale(f) {
			continue
		}
		t.Errorf("a finding on a healthy cluster: %s: %s", f.Rule, f.Message)
	}
	before := healthy
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			if o := k.outcome(before, f.rule); !strings.HasPrefix(o, abi.OutcomeClear) {
				t.Errorf("%s before the fault: %s, want clear", f.rule, o)
			}
			before = k.withFault(t, f)
			for again := 0; again < 3 && f.timed && !strings.HasPrefix(k.outcome(before, f.rule), abi.OutcomeFound); again++ {
				before = k.withFault(t, f) // too early, too late, or too full for us to get through
			}
			if o := k.outcome(before, f.rule); !strings.HasPrefix(o, abi.OutcomeFound) {
				t.Fatalf("%s while the fault lasts: %s, want found", f.rule, o)
			}
			assertFinding(t, before, f)
		})
	}
}

func (k *kit) withFault(t *testing.T, f fault) abi.Report {
	t.Helper()
	script := filepath.Join("faults", f.name+".sh")
	defer k.script(t, 3*time.Minute, script, "undo")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch {
	case f.timed:
		done := make(chan struct{})
		go func() { defer close(done); _, _ = k.try(time.Minute, script, "inject") }()
		defer func() { <-done }()
		time.Sleep(4 * time.Second) // the fault is there for 25 s and this is well within
	default:
		k.script(t, 3*time.Minute, script, "inject")
		if f.name == "crashloop" || f.name == "oomkilled" { // they show once the kubelet has seen them die
			k.script(t, 3*time.Minute, script, "show")
		}
	}
	if f.traffic {
		done := make(chan struct{})
		go func() { defer close(done); k.keepShowing(ctx, script) }()
		defer func() { cancel(); <-done }()
	}
	if f.timed { // it hits our own connections, too: some nodes may be missing
		file := filepath.Join(t.TempDir(), "bundle.tar.zst")
		_, _ = k.casefileWithin(time.Minute, append([]string{"collect", "--no-sign", "--yes", "-o", file, "--sample-interval", "5s"}, f.collect...)...)
		return k.analyze(t, file)
	}
	return k.examine(t, f.collect...)
}

// casefileWithin runs casefile whatever becomes of it.
func (k *kit) casefileWithin(limit time.Duration, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, k.casefile, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(k.home, "admin.conf"))
	return cmd.CombinedOutput()
}

// keepShowing runs the fault's show until ctx ends: the traffic that suffers.
func (k *kit) keepShowing(ctx context.Context, script string) {
	for ctx.Err() == nil {
		_ = exec.CommandContext(ctx, filepath.Join(k.scripts, script), "show").Run()
	}
}

func assertFinding(t *testing.T, r abi.Report, f fault) {
	t.Helper()
	var seen []string
	for _, x := range r.Findings {
		if x.Rule != f.rule {
			continue
		}
		about := []string{x.Subject.Namespace + "/" + x.Subject.Name, x.Subject.Node}
		for _, s := range x.Affected {
			about = append(about, s.Namespace+"/"+s.Name, s.Node)
		}
		for _, e := range x.Evidence {
			seen = append(seen, strings.Join(about, " ")+" "+e.Path)
			if strings.Contains(strings.Join(about, " "), f.subject) && strings.HasPrefix(e.Path, f.evidence) {
				return
			}
		}
	}
	t.Errorf("%s names neither %s nor %s…:\n%s", f.rule, f.subject, f.evidence, strings.Join(seen, "\n"))
}
