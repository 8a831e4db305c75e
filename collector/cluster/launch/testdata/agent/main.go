// Command agent is the least that a node agent can be: it waits, speaks the
// protocol, and sends what it sees of the node as one fragment.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/agent/link"
)

const dir = "/run/casefile"

func main() {
	if len(os.Args) != 2 {
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "version":
		fmt.Println("casefile-agent test")
	case "wait":
		err = link.Serve(context.Background(), dir, link.Options{}, func(ctx context.Context, caller io.ReadWriter) error {
			return agent.Serve(ctx, caller, caller, agent.Hello{Agent: "test", Arch: runtime.GOARCH}, collect)
		})
	case "collect":
		err = link.Bridge(dir, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
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
