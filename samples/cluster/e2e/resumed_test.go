package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testResumed collects from a node whose own way to everybody else is broken,
// or breaks meanwhile: it gets all that the others' bundles have.
func testResumed(t *testing.T, k *kit) {
	for _, c := range []struct {
		name, fault string
		after       time.Duration // of the fault; 0 is before anything is started
		lasts       time.Duration // 0 is until the end
		shows       string        // by which it is known to be there
	}{
		{name: "eth0 loses a fifth", fault: "faults/eth0-loss-20.sh", shows: "% packet loss"},
		{name: "eth0 is too small", fault: "faults/eth0-mtu.sh", shows: "100% packet loss"},
		{name: "what is large vanishes for a while", fault: "faults/eth0-blackhole.sh", after: 6 * time.Second, lasts: 35 * time.Second, shows: "100% packet loss"},
		{name: "the kubelet starts again", fault: "faults/kubelet-killed.sh", after: 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer k.script(t, 2*time.Minute, c.fault, "undo")
			inject := func() {
				k.script(t, time.Minute, c.fault, "inject")
				if seen := k.script(t, time.Minute, c.fault, "show"); !strings.Contains(seen, c.shows) || strings.Contains(seen, " 0% packet loss") {
					t.Errorf("the fault is not there: %s", seen)
				}
			}
			if c.after == 0 {
				inject()
			} else {
				k.settle(t)
				defer time.AfterFunc(c.after, inject).Stop()
			}
			if c.lasts > 0 {
				defer time.AfterFunc(c.after+c.lasts, func() { k.script(t, time.Minute, c.fault, "undo") }).Stop()
			}
			file := filepath.Join(t.TempDir(), "b.tar.zst")
			began := time.Now()
			log := k.collectAnyway(t, 5*time.Minute, "--sample-interval", "8s", "-o", file)
			t.Logf("%s: resumed %d times", time.Since(began).Round(time.Second), strings.Count(log, "the stream goes on"))
			if c.after > 0 && !strings.Contains(log, "node cf-n2: the stream goes on at byte") {
				t.Errorf("it does not say that a stream was resumed:\n%s", log)
			}
			k.run(t, time.Minute, 0, "verify", file, "--unverified")
			for node, r := range k.nodeResults(t, file) {
				if r.Status != "ok" {
					t.Errorf("%s: %s %s\n%s", node, r.Status, r.Reason, log)
				}
			}
			assertWholeNodes(t, k, file, "")
			assertNothingLeft(t, k)
		})
	}
}

// settle waits until the kubelet of cf-n2 takes note of pods again: a fault that
// was there before may have cost it its connections.
func (k *kit) settle(t *testing.T) {
	t.Helper()
	k.apply(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"settled","namespace":"cf-demo"},"spec":{"nodeName":"cf-n2","terminationGracePeriodSeconds":1,`+
		`"containers":[{"name":"c","image":"cf.local/nettool:1","args":["sleep"]}]}}`)
	for range 60 {
		if strings.Contains(k.kubectl(t, "-n", "cf-demo", "get", "pod", "settled", "-o", "jsonpath={.status.phase}"), "Running") {
			break
		}
		time.Sleep(time.Second)
	}
	k.kubectl(t, "-n", "cf-demo", "delete", "pod", "settled", "--grace-period=1")
}

// collectAnyway collects, which may be partial, and returns what it said.
func (k *kit) collectAnyway(t *testing.T, limit time.Duration, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var log bytes.Buffer
	cmd := k.command(ctx, t, append([]string{"collect", "--no-sign", "--yes"}, args...)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 4) {
		t.Fatalf("collect: %v\n%s", err, log.String())
	}
	return log.String()
}

type result struct{ Source, Path, Status, Reason string }

// nodeResults are what a bundle says of each node as a whole.
func (k *kit) nodeResults(t *testing.T, file string) map[string]result {
	t.Helper()
	out, _ := k.run(t, time.Minute, 0, "bundle", "cat", file, "collection/results.ndjson", "--unverified")
	nodes := map[string]result{}
	for line := range strings.Lines(out) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(r.Source, "node/") && r.Path == "" {
			if _, known := nodes[r.Source]; !known || r.Status != "ok" {
				nodes[r.Source] = r
			}
		}
	}
	if len(nodes) == 0 {
		t.Fatal("no result of a node")
	}
	return nodes
}

// testTruth ends the agent of one node while it works: the bundle is sealed,
// says what is missing there and why, and has all of the other nodes.
func testTruth(t *testing.T, k *kit) {
	for _, c := range []struct{ name, fault, says, pause string }{
		{"the agent is killed", "faults/agent-killed.sh", "exit code 137", "8s"},
		{"its pod is deleted", "faults/agent-deleted.sh", "the agent's", "15s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer time.AfterFunc(6*time.Second, func() { k.script(t, time.Minute, c.fault, "inject") }).Stop()
			file := filepath.Join(t.TempDir(), "b.tar.zst")
			_, log := k.run(t, 5*time.Minute, 4, "collect", "--no-sign", "--yes", "--sample-interval", c.pause, "-o", file)
			k.run(t, time.Minute, 0, "verify", file, "--unverified")
			for node, r := range k.nodeResults(t, file) {
				if node != "node/cf-n2" && r.Status != "ok" {
					t.Errorf("%s: %s %s", node, r.Status, r.Reason)
				}
				if node == "node/cf-n2" && (r.Status == "ok" || !strings.Contains(r.Reason, c.says)) {
					t.Errorf("%s: %s %s\n%s", node, r.Status, r.Reason, log)
				}
				t.Logf("%s: %s %s", node, r.Status, r.Reason)
			}
			assertNothingLeft(t, k)
		})
	}
}

// testWays brings agents onto a node by the other ways, and says of each what
// the node's result is.
func testWays(t *testing.T, k *kit) {
	for _, c := range []struct {
		name   string
		args   []string
		status string
		pods   bool // their namespaces are there
	}{
		{"pod", []string{"--agent-via", "pod"}, "ok", true},
		{"debug", []string{"--agent-via", "debug"}, "partial", false},
		{"unprivileged", []string{"--agent-unprivileged"}, "ok", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "b.tar.zst")
			log := k.collectAnyway(t, 2*time.Minute, append(c.args, "-n", "cf-demo", "--nodes", "kubernetes.io/hostname=cf-n2", "--sample-interval", "1s", "-o", file)...)
			k.run(t, time.Minute, 0, "verify", file, "--unverified")
			r := k.nodeResults(t, file)["node/cf-n2"]
			if r.Status != c.status {
				t.Errorf("%s %s\n%s", r.Status, r.Reason, log)
			}
			listing, _ := k.run(t, time.Minute, 0, "bundle", "ls", file, "--unverified")
			for _, want := range []string{"nodes/cf-n2/1/proc/net/netstat", "nodes/cf-n2/1/net/sockets.ndjson", "nodes/cf-n2/1/net/routes.ndjson"} {
				if !strings.Contains(listing, want) {
					t.Errorf("no %s\n%s", want, log)
				}
			}
			if strings.Contains(listing, "nodes/cf-n2/netns/") != c.pods {
				t.Errorf("namespaces of pods: %t, want %t", !c.pods, c.pods)
			}
			assertNothingLeft(t, k)
		})
	}
}
