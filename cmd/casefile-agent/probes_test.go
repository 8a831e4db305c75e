//go:build linux

package main

import (
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/probe"
)

// TestProbes has an agent, as a process, connect to this one: the rows come
// over its stream, after the actions, and a pod that is not there is a result.
func TestProbes(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	plan := testPlan()
	plan.Samples = 1
	plan.Probes = []agent.Probe{{Kind: "tcp", To: lis.Addr().String(), From: "node/n1", Cell: "x", Count: 2}, {Kind: "clock", From: "node/n1"},
		{Kind: "dns", To: "web", From: "pod/shop/gone", PodUID: "no-such-pod"}}
	a := start(t)
	var mu sync.Mutex
	var kinds []string
	var row probe.TCPRow
	out := collector.NewOutput(writerSink{newWriter(t, io.Discard, plan.Top, plan.Time)}, collector.Options{Observed: func(o collector.Observation) {
		mu.Lock()
		defer mu.Unlock()
		kinds = append(kinds, o.Kind)
		if o.Kind == "tcp" {
			_ = json.Unmarshal(o.Row, &row) // the test sees what is missing
		}
	}})
	if _, err := agent.Converse(t.Context(), a.call(t, nil), plan, out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(kinds, " "); got != "action tcp action clock" {
		t.Errorf("observed %s", got)
	}
	if row.Outcome != "connected" || len(row.Attempts) != 2 || row.Node != "n1" || row.Cell != "x" {
		t.Errorf("%+v", row)
	}
	status := map[string]collector.Result{}
	for _, r := range out.Results() {
		status[r.Source] = r
	}
	if status["probe/tcp/node/n1"].Status != collector.StatusOK || status["probe/clock/node/n1"].Status != collector.StatusOK {
		t.Errorf("%+v", status)
	}
	if r := status["probe/dns/pod/shop/gone"]; r.Status != collector.StatusFailed || !strings.Contains(r.Reason, "no process of pod/shop/gone runs on this node") {
		t.Errorf("%+v", r)
	}
}
