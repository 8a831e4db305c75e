package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/capture"
)

const captureHelp = `Captures packets and writes pcapng: into a file, or into a pipe for those who watch.

   sudo casefile capture -i eth0 -w - | wireshark -k -i -
   sudo casefile capture --filter 'port 53' -w dns.pcapng                    this host, all interfaces
   casefile capture pod/shop/web-0 --filter 'tcp port 8080' -w - | tcpdump -r -
   casefile capture pod/shop/web-0 service/shop/db -w both/                  both ends, a file each

A TARGET is on this machine, as root:
   host (when none is given)  netns/NAME  pid/PID  container/ID
or in the cluster that kubectl would talk to:
   pod/NS/NAME  node/NAME  service/NS/NAME (its pods)
There it runs one Job a node, in kube-system, that removes itself. Several targets start
together: each node begins when all are connected.

Of payload only DNS and TLS handshakes leave the machine (--payload default); the filter
is tcpdump's. Ctrl-C ends the capture, and the file is whole.

A flight recorder keeps the last of a capture and ends when something happens:
   casefile capture pod/shop/web-0 --ring 64MB --until 'counter TcpExt.ListenDrops +1' -w drop.pcapng
TRIGGER, of --until, looked at five times a second; any one, anywhere, ends all captures:
   ` + capture.UntilHelp

func captureCommand() *cli.Command {
	return &cli.Command{
		Name:        "capture",
		Usage:       "capture packets on this host, or in a pod",
		ArgsUsage:   "[TARGET…]",
		Description: captureHelp,
		Flags:       slices.Concat(captureFlags(), recordingFlags(), agentFlags(), clusterFlags()),
		Action:      captureAction,
	}
}

func captureFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "w", Usage: "write to `FILE`, into the folder DIR/ a file for each target, or - for stdout (default - when that is no terminal)"},
		&cli.StringFlag{Name: "i", Aliases: []string{"interface"}, Usage: "one `INTERFACE`, or any", Value: "any"},
		&cli.StringFlag{Name: "filter", Aliases: []string{"f"}, Usage: "only packets that match the `EXPRESSION`, tcpdump's"},
		&cli.IntFlag{Name: "snaplen", Aliases: []string{"s"}, Value: 262144, Usage: "`BYTES` kept of each packet, before the payload policy"},
		&cli.StringFlag{Name: "payload", Value: redact.PayloadDefault, Usage: "`WHAT` stays of payload: none, default (DNS and TLS handshakes) or full"},
		&cli.DurationFlag{Name: "duration", Usage: "end after `DURATION` (default: with Ctrl-C; in a cluster after an hour)"},
		&cli.StringFlag{Name: "max-size", Usage: "end a file at `SIZE`"},
	}
}

// agentFlags are those of the node agent.
func agentFlags() []cli.Flag {
	return slices.DeleteFunc(collectFlags(), func(f cli.Flag) bool {
		return !slices.Contains([]string{"agent-image", "agent-namespace", "yes"}, f.Names()[0])
	})
}

// forever is how long a capture runs that nobody gave an end; in a cluster
// somebody may have forgotten it.
const (
	forever        = 10 * 365 * 24 * time.Hour
	longestCluster = time.Hour
	unbounded      = 1 << 50
)

// capturing is one run of the verb.
type capturing struct {
	targets  []string
	w        string
	iface    string
	filter   string
	snaplen  int
	payload  string
	duration time.Duration
	maxSize  int64
	ringPlan
	status *statusLine
}

func captureAction(c *cli.Context) error {
	r, err := capturingFrom(c)
	if err != nil {
		return err
	}
	r.status = newStatusLine(os.Stderr, isTerminal(os.Stderr))
	defer r.status.done()
	ignoreBrokenPipe()
	redactor, err := redact.New(redact.PolicyStandard, redact.Options{Payload: r.payload})
	if err != nil {
		return err
	}
	out := &captureOutput{w: r.w, redactor: redactor}
	list, err := r.collectors(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	out.broken = cancel // whoever reads has gone: there is nothing more to do
	r.listen(ctx, r.status.say)
	results := collector.Run(ctx, out, list, collector.Options{Progress: r.status.progress})
	r.status.done()
	return r.tell(c.Context, out, results)
}

// capturingFrom checks every flag before anything is touched.
func capturingFrom(c *cli.Context) (*capturing, error) {
	r := &capturing{targets: c.Args().Slice(), w: c.String("w"), iface: c.String("i"), filter: c.String("filter"), snaplen: c.Int("snaplen"),
		payload: c.String("payload"), duration: c.Duration("duration"), maxSize: unbounded}
	var err error
	if r.iface == "any" {
		r.iface = ""
	}
	if len(r.targets) == 0 {
		r.targets = []string{"host"}
	}
	if r.ringPlan, err = recordingFrom(c); err != nil {
		return nil, err
	}
	if s := c.String("max-size"); s != "" {
		if r.maxSize, err = parseSize(s); err != nil {
			return nil, usagef("--max-size: %v", err)
		}
	}
	if err := capture.Check(r.filter); err != nil {
		return nil, usagef("--filter: %v", err)
	}
	if r.duration == 0 {
		r.duration = forever
	}
	if err := r.ringPlan.check(len(r.targets), forever); err != nil {
		return nil, err
	}
	return r, r.check()
}

func (r *capturing) check() error {
	seen := map[string]bool{}
	for _, t := range r.targets {
		if seen[t] {
			return usagef("%s is given twice", t)
		}
		seen[t] = true
	}
	switch {
	case r.duration < 0:
		return usagef("--duration must be longer than nothing")
	case r.snaplen < 14 || r.snaplen > 262144:
		return usagef("--snaplen is 14 to 262144 bytes, not %d", r.snaplen)
	case r.payload != redact.PayloadNone && r.payload != redact.PayloadDefault && r.payload != redact.PayloadFull:
		return usagef("--payload is none, default or full, not %q", r.payload)
	case (r.w == "" || r.w == "-") && isTerminal(os.Stdout):
		return usagef("the packets would go to the terminal: say -w FILE, or -w - and a pipe:  casefile capture … -w - | wireshark -k -i -   or   … | tcpdump -r -")
	case len(r.targets) > 1 && !strings.HasSuffix(r.w, "/"):
		return usagef("%d targets make several files: say -w DIR/", len(r.targets))
	case len(r.targets) > capture.MaxSpecs:
		return usagef("at most %d targets", capture.MaxSpecs)
	}
	if r.w == "" {
		r.w = "-"
	}
	return nil
}

// tell says on stderr what came of each target.
func (r *capturing) tell(ctx context.Context, out *captureOutput, results []collector.Result) error {
	if err := out.err(); err != nil {
		return err
	}
	if out.gone() {
		return nil // whoever read has seen enough
	}
	stopped := ctx.Err() != nil || r.maxSize < unbounded
	var failures []string
	lacking := 0
	for _, res := range results {
		target, ours := strings.CutPrefix(res.Source, "capture/")
		switch {
		case ours && (res.Status == collector.StatusOK || res.Status == collector.StatusPartial):
			fmt.Fprintf(os.Stderr, "%s: %s\n", target, oneLine(res.Reason))
			if res.Status == collector.StatusPartial && !stopped {
				lacking++
			}
		case res.Status.Incomplete() && (!stopped || ours):
			failures = append(failures, oneLine(res.Source+": "+res.Reason))
		}
	}
	switch {
	case len(failures) > 0 && out.files() == 0:
		return fmt.Errorf("%s", strings.Join(failures, "; "))
	case len(failures) > 0:
		return incompletef("%s", strings.Join(failures, "; "))
	case lacking > 0:
		return incompletef("done, but incomplete")
	}
	return nil
}
