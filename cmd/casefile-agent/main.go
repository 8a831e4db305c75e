// Command casefile-agent runs on a node and reads it for the casefile command
// line, which brings it there, talks to it and takes it away again. It is of
// no use by hand.
//
//	casefile-agent wait [--heartbeat FILE]     the first process of the agent's container: ends a minute
//	                                           after the last heartbeat, or when told to
//	casefile-agent collect [--heartbeat FILE]  plan on stdin, records on stdout; ends with stdin
//	casefile-agent version
//
// Exit codes: 0 done, 1 failed (the reason is on stderr), 2 usage.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// version is set by the build.
var version = "0.1.0-dev"

const defaultHeartbeat = "/run/casefile/heartbeat"

func main() {
	runtime.LockOSThread() // threads that enter a pod's namespace must end, which the first one cannot
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(stderr, "casefile-agent: give a verb: collect, wait or version")
		return 2
	}
	flags := flag.NewFlagSet("casefile-agent "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	heartbeat := flags.String("heartbeat", defaultHeartbeat, "file that the collecting process touches while its caller lives")
	if err := flags.Parse(args[1:]); err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "casefile-agent: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	switch args[0] {
	case "collect":
		if err := collect(ctx, stdin, stdout, *heartbeat); err != nil {
			fmt.Fprintln(stderr, "casefile-agent:", err)
			return 1
		}
	case "wait":
		wait(ctx, *heartbeat, waitTiming{look: lookEvery, patience: patience})
	case "version":
		fmt.Fprintln(stdout, version)
	default:
		fmt.Fprintf(stderr, "casefile-agent: no such verb: %q; there are collect, wait and version\n", args[0])
		return 2
	}
	return 0
}
