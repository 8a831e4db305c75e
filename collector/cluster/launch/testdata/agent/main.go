// Command agent is the least that a node agent can be: it waits, speaks the
// protocol, and sends what it sees of the node as one fragment.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

const heartbeat = "/run/casefile/heartbeat"

func main() {
	if len(os.Args) != 2 {
		os.Exit(2)
	}
	switch os.Args[1] {
	case "version":
		fmt.Println("casefile-agent test")
	case "wait":
		wait()
	case "collect":
		beat := func() { _ = os.WriteFile(heartbeat, nil, 0o600) }
		err := agent.Serve(context.Background(), agent.Beats(os.Stdin, beat), os.Stdout, agent.Hello{Agent: "test", Arch: runtime.GOARCH}, collect)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// wait ends a minute after the last heartbeat.
func wait() {
	last := time.Now()
	for time.Since(last) < time.Minute {
		time.Sleep(time.Second)
		if s, err := os.Stat(heartbeat); err == nil && s.ModTime().After(last) {
			last = s.ModTime()
		}
	}
}

// collect takes as long as the plan's sample interval says.
func collect(ctx context.Context, p agent.Plan, s agent.Session) (agent.End, error) {
	host, err := os.Hostname()
	if err != nil {
		return agent.End{}, err
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return agent.End{}, err
	}
	select {
	case <-ctx.Done():
		return agent.End{}, ctx.Err()
	case <-time.After(time.Duration(p.IntervalMS) * time.Millisecond):
	}
	if _, err := fmt.Fprintf(s.Frames(), "host %s processes %d\n", host, len(procs)); err != nil {
		return agent.End{}, err
	}
	s.Record(collector.Result{Source: "node/" + p.Node, Status: collector.StatusOK, Path: p.Prefixes[0] + "/x"})
	return agent.End{Redaction: map[string]int{"test": 1}}, nil
}
