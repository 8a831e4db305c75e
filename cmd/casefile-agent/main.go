// Command casefile-agent runs on a node and reads it for the casefile command
// line, which brings it there, talks to it and takes it away again. It is of
// no use by hand.
//
//	casefile-agent wait [--dir DIR]     the agent: it waits for a caller, does what it is asked for, and ends a
//	                                    minute (--patience) after the caller was lost
//	casefile-agent collect [--dir DIR]  a connection to it: plan on stdin, records on stdout, as package link has
//	                                    them; it may break and be made again
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
	"time"

	"github.com/casefile-io/casefile/collector/agent/link"
)

// version is set by the build.
var version = "0.1.0-dev"

const defaultDir = "/run/casefile"

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
	dir := flags.String("dir", defaultDir, "where the agent's socket is, and what waits to be sent")
	patience := flags.Duration("patience", time.Minute, "how long wait goes on without a caller")
	if err := flags.Parse(args[1:]); err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "casefile-agent: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var err error
	switch args[0] {
	case "collect":
		err = link.Bridge(*dir, stdin, stdout)
	case "wait":
		err = serve(ctx, *dir, *patience)
	case "version":
		fmt.Fprintln(stdout, version)
	default:
		fmt.Fprintf(stderr, "casefile-agent: no such verb: %q; there are collect, wait and version\n", args[0])
		return 2
	}
	if err != nil {
		fmt.Fprintln(stderr, "casefile-agent:", err)
		return 1
	}
	return 0
}
