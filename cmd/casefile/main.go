// Command casefile makes, checks and reads casefiles: signed, compressed
// support bundles of a sick Kubernetes cluster.
//
// main wires; every verb is a file of its own. Results go to stdout, talk and
// progress to stderr, and the exit code says how it ended (see [exitCode]).
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/urfave/cli/v2"
)

// version is set by the build.
var version = "0.1.0-dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == sandboxVerb {
		os.Exit(sandboxChild())
	}
	// Collectors enter other network namespaces on threads that end with them.
	// The first thread cannot end: nothing but main may run on it.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	code := run(ctx, os.Args)
	stop()
	os.Exit(code)
}

// run is the whole command but for the process: it returns the exit code.
func run(ctx context.Context, argv []string) int {
	app := newApp()
	args, err := reorder(app, argv)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	return printError(ctx, os.Stderr, err)
}

func newApp() *cli.App {
	return &cli.App{
		Name:                      "casefile",
		Usage:                     "a signed support bundle of a sick Kubernetes cluster, and what is wrong in it",
		Version:                   version,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		UseShortOptionHandling:    false,
		Description:               appHelp,
		Commands: []*cli.Command{
			collectCommand(), analyzeCommand(), verifyCommand(), explainCommand(), demoCommand(), captureCommand(),
			keygenCommand(), trustCommand(), bundleCommand(), moduleCommand(), agentCommand(),
		},
		CommandNotFound: nil,
		Action:          noVerb,
		OnUsageError:    onUsageError,
		ExitErrHandler:  func(*cli.Context, error) {}, // report prints and picks the code
	}
}

const appHelp = `Collect once, on site:      casefile collect -o bundle.tar.zst
Check what arrived:         casefile verify bundle.tar.zst --key customer.pub
Find out what is wrong:     casefile analyze bundle.tar.zst
See it work, no cluster:    casefile demo

EXIT STATUS
   0  done
   1  failed
   2  wrong usage
   3  done, and a finding is at or above --fail-on
   4  done, but incomplete: something was denied, failed, unreachable or over budget
   5  not authentic: tampered with, or signed by a key that is not trusted`

func noVerb(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("no verb %q; see casefile --help", c.Args().First())
	}
	return cli.ShowAppHelp(c)
}

func onUsageError(_ *cli.Context, err error, _ bool) error {
	return usagef("%v; see --help", err)
}
