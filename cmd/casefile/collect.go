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
	"github.com/casefile-io/casefile/collector/capture"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/cluster/launch"
	"github.com/casefile-io/casefile/collector/node/ebpf"
	"github.com/casefile-io/casefile/collector/probe"
)

const collectHelp = `Takes a snapshot of the cluster that kubectl would talk to: its objects, events and
logs, and of every node the kernel and network data of the node and of each pod's
network namespace, twice, so that counters have deltas. Secret values are never asked
for; passwords, tokens and keys are taken out before a byte is written.

   casefile collect                              all of it, signed, into ./casefile-<cluster>-<UTC>.tar.zst
   casefile collect -n shop --capture 'pod/shop/web-0=tcp port 8080'
   casefile collect --nodes none                 the API server only, nothing is created
   sudo casefile collect --host                  this machine only, no Kubernetes; see bundle merge
   casefile collect --between 'pod/shop/web-0 service/shop/db:5432'
   casefile collect --between 'pod/shop/web-0 tcp://db.example.com:5432'
   casefile collect --probe dns:db.shop.svc@pod/shop/web-0 --probe tcp:mesh --probe clock
   casefile collect --probe mtu:node/n2@node/n1 --probe https://shop.example.com/health

   casefile collect --for vendor.wasm -n shop    just what that analyzer reads

On nodes it runs one Job each, in kube-system, that removes itself; what will be made
is shown first. Its image is found by a ladder: --agent-image, casefile.local/agent
loaded beforehand (see casefile agent image), an image on the node that has a shell.

Nothing is sent to anybody unless --probe or --between ask for it; what will be is shown
first, and each probe is a line in collection/actions.ndjson. --between captures both
ends and connects from a pod of A and from its node to a pod of B on the same node and
on another, to its Service by address and by name: probes/contrasts.json is the table,
and says along which of these the outcome differs.

With --redact strict the names of nodes, namespaces, objects, hosts and users, and all
addresses become pseudonyms; casefile bundle reveal turns them back, for you alone.

A run that was denied something, or lost a node, still ends with a sealed bundle and
exit status 4; collection/results.ndjson in it says what is missing and why.`

func collectCommand() *cli.Command {
	return &cli.Command{
		Name:        "collect",
		Usage:       "make a bundle of the cluster, or of this machine",
		ArgsUsage:   " ",
		Description: collectHelp,
		Flags:       slices.Concat(collectFlags(), recordingFlags(), probeFlags(), redactFlags(), moduleFlags(), clusterFlags()),
		Action:      collect,
	}
}

func collectFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "o", Aliases: []string{"output"}, Usage: "write the bundle to `FILE`, - is stdout (default ./casefile-<cluster>-<UTC>.tar.zst)"},
		&cli.StringFlag{Name: "profile", Value: cluster.ProfileStandard, Usage: "how much of the logs: quick (suspects only), standard or full, as `NAME`"},
		&cli.StringSliceFlag{Name: "n", Aliases: []string{"namespace"}, Usage: "only this `NAMESPACE`, may be repeated (default all)"},
		&cli.DurationFlag{Name: "since", Usage: "logs no older than `DURATION`"},
		&cli.StringFlag{Name: "nodes", Value: "auto", Usage: "auto, all, none, or a label `SELECTOR`"},
		&cli.BoolFlag{Name: "host", Usage: "this machine instead of a cluster"},
		&cli.IntFlag{Name: "samples", Value: 2, Usage: "how many `TIMES` to read the kernel's counters (1 to 10)"},
		&cli.DurationFlag{Name: "sample-interval", Value: 10 * time.Second, Usage: "`DURATION` from one sample to the next"},
		&cli.StringSliceFlag{Name: "capture", Usage: "capture packets at `TARGET[=FILTER]`: pod/NS/NAME, node/NAME, service/NS/NAME or host; may be repeated"},
		&cli.DurationFlag{Name: "capture-duration", Value: 30 * time.Second, Usage: "how long to capture, as `DURATION`"},
		&cli.IntFlag{Name: "snaplen", Value: 128, Usage: "`BYTES` kept of each packet"},
		&cli.StringFlag{Name: "payload", Value: "default", Usage: "`WHAT` stays of captured payload: none, default (DNS and TLS handshakes) or full"},
		&cli.DurationFlag{Name: "ebpf", Usage: "watch each node's kernel for `DURATION` (10s is good): drops by reason and place, retransmissions, resets, TCP states"},
		&cli.StringSliceFlag{Name: "label", Usage: "put `KEY=VALUE` into the manifest, may be repeated"},
		&cli.StringFlag{Name: "note", Usage: "put `TEXT` into the manifest"},
		&cli.BoolFlag{Name: "review", Usage: "also write a page that says what is in the bundle, for whoever must approve it, beside it"},
		&cli.StringFlag{Name: "key", Usage: "sign with the private key in `FILE`, or held elsewhere as NAME://KEY (default: an own identity, made on first use)"},
		&cli.BoolFlag{Name: "no-sign", Usage: "do not sign; readers will need --unverified"},
		timestampFlag(),
		encryptFlag(),
		&cli.StringFlag{Name: "max-size", Value: "256MB", Usage: "stop collecting after `SIZE` of data, and seal what there is"},
		&cli.DurationFlag{Name: "timeout", Value: 10 * time.Minute, Usage: "stop collecting after `DURATION` and seal what there is"},
		&cli.StringFlag{Name: "agent-image", Usage: "`IMAGE` of the node agent"},
		&cli.StringFlag{Name: "agent-namespace", Value: "kube-system", Usage: "`NAMESPACE` for the agents' Jobs"},
		&cli.BoolFlag{Name: "agent-unprivileged", Usage: "give agents seven capabilities rather than privileged containers: for clusters that admit only that; the kernel's log is lost"},
		&cli.StringFlag{Name: "agent-via", Value: launch.ViaAuto, Usage: "how agents get onto nodes, as `WAY`: job, pod, auto (Jobs, or pods where those are forbidden), or debug (a debug container in a running pod; sees less)"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask before Jobs are made on nodes"},
		forFlag(),
		rulesFlag(),
		&cli.StringFlag{Name: "record-streams", Hidden: true, Usage: "also keep each node's raw stream in `DIR` (how samples are made)"},
	}
}

// clusterFlags are client-go's own.
func clusterFlags() []cli.Flag {
	const category = "Kubernetes client"
	s := func(name, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Category: category}
	}
	return []cli.Flag{
		s("kubeconfig", "`FILE` to use (default $KUBECONFIG, then ~/.kube/config)"),
		s("context", "`NAME` of the kubeconfig context"), s("cluster", "`NAME` of the kubeconfig cluster"), s("user", "`NAME` of the kubeconfig user"),
		s("server", "`URL` of the API server"), s("token", "bearer `TOKEN`"), s("as", "`USER` to impersonate"),
		&cli.StringSliceFlag{Name: "as-group", Usage: "`GROUP` to impersonate, may be repeated", Category: category},
		s("certificate-authority", "`FILE` of the API server's CA"), s("client-certificate", "`FILE` of the client's certificate"),
		s("client-key", "`FILE` of the client's key"), s("tls-server-name", "`NAME` expected in the server's certificate"),
		&cli.BoolFlag{Name: "insecure-skip-tls-verify", Usage: "do not check the server's certificate", Category: category},
		&cli.DurationFlag{Name: "request-timeout", Value: 30 * time.Second, Usage: "give up on one request after `DURATION`", Category: category},
	}
}

func configFlags(c *cli.Context) cluster.ConfigFlags {
	return cluster.ConfigFlags{
		Kubeconfig: c.String("kubeconfig"), Context: c.String("context"), Cluster: c.String("cluster"), User: c.String("user"),
		Server: c.String("server"), Token: c.String("token"), As: c.String("as"), AsGroups: c.StringSlice("as-group"),
		CertificateAuthority: c.String("certificate-authority"), ClientCertificate: c.String("client-certificate"), ClientKey: c.String("client-key"),
		TLSServerName: c.String("tls-server-name"), InsecureSkipTLSVerify: c.Bool("insecure-skip-tls-verify"), RequestTimeout: c.Duration("request-timeout"),
	}
}

// plan is what a run was asked for; it goes into the bundle as
// collection/plan.json.
type plan struct {
	Command    string           `json:"command"`
	Version    string           `json:"version"`
	Cluster    string           `json:"cluster,omitempty"`
	Host       bool             `json:"host,omitempty"`
	Profile    string           `json:"profile,omitempty"`
	Namespaces []string         `json:"namespaces,omitempty"`
	Since      string           `json:"since,omitempty"`
	Nodes      string           `json:"nodes,omitempty"`
	Samples    int              `json:"samples"`
	Interval   string           `json:"sampleInterval"`
	Captures   []captureRequest `json:"captures,omitempty"`
	Duration   string           `json:"captureDuration,omitempty"`
	Snaplen    int              `json:"snaplen,omitempty"`
	Probes     []probePlan      `json:"probes,omitempty"`
	Between    []string         `json:"between,omitempty"`
	Payload    string           `json:"payload"`
	ringPlan
	forPlan
	EBPF      string            `json:"ebpf,omitempty"`
	Redaction string            `json:"redaction"`
	RulePack  string            `json:"rulePack,omitempty"` // sha256 of --redact-rules
	MaxBytes  int64             `json:"maxBytes"`
	Timeout   string            `json:"timeout"`
	Labels    map[string]string `json:"labels,omitempty"`
	Note      string            `json:"note,omitempty"`

	since, interval, duration, timeout, ebpf time.Duration

	policy   redact.Policy
	pack     rulePack
	requests []probe.Request
	ends     [2]cluster.EndSpec // of Between
}

// captureRequest is one --capture.
type captureRequest struct {
	Target string `json:"target"`
	Filter string `json:"filter,omitempty"`
}

// timeToSeal is what captures that wait for a trigger leave of --timeout.
const timeToSeal = 30 * time.Second

// planFrom checks every flag before anything is touched.
func planFrom(c *cli.Context) (*plan, error) {
	if c.Args().Present() {
		return nil, usagef("collect takes no arguments, only flags; what is %q?", c.Args().First())
	}
	p := &plan{Command: "collect", Version: version, Host: c.Bool("host"), Profile: c.String("profile"), Namespaces: c.StringSlice("n"), Nodes: c.String("nodes"),
		Samples: c.Int("samples"), Snaplen: c.Int("snaplen"), Payload: c.String("payload"), Redaction: c.String("redact"), Note: c.String("note"),
		ebpf: c.Duration("ebpf"), since: c.Duration("since"), interval: c.Duration("sample-interval"), duration: c.Duration("capture-duration"), timeout: c.Duration("timeout")}
	var err error
	if p.policy, err = redact.ParsePolicy(p.Redaction); err != nil {
		return nil, usagef("--redact: %v", err)
	}
	if p.pack, err = rulesFrom(c); err != nil {
		return nil, err
	}
	p.RulePack = p.pack.rules.SHA256()
	if p.Labels, err = parseLabels(c.StringSlice("label")); err != nil {
		return nil, err
	}
	if p.MaxBytes, err = parseSize(c.String("max-size")); err != nil {
		return nil, usagef("--max-size: %v", err)
	}
	for _, s := range c.StringSlice("capture") {
		target, filter, _ := strings.Cut(s, "=")
		if err := capture.Check(filter); err != nil {
			return nil, usagef("--capture %s: %v", target, err)
		}
		p.Captures = append(p.Captures, captureRequest{Target: target, Filter: filter})
	}
	if p.ringPlan, err = recordingFrom(c); err != nil {
		return nil, err
	}
	if len(p.Until) > 0 && !c.IsSet("capture-duration") {
		p.duration = max(p.timeout-timeToSeal-p.after, p.timeout/4)
	}
	if err := p.readProbes(c); err != nil {
		return nil, err
	}
	p.Interval, p.Duration, p.Timeout = p.interval.String(), p.duration.String(), p.timeout.String()
	if p.since > 0 {
		p.Since = p.since.String()
	}
	if p.ebpf > 0 {
		p.EBPF = p.ebpf.String()
	}
	if err := p.ringPlan.check(len(p.Captures)+2*len(p.Between), p.timeout-p.duration); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, p.readFor(c)
}

func (p *plan) check() error {
	switch {
	case p.Samples < 1 || p.Samples > 10:
		return usagef("--samples is 1 to 10, not %d", p.Samples)
	case p.interval < 0 || p.interval > time.Hour:
		return usagef("--sample-interval is at most 1h, not %s", p.interval)
	case p.timeout <= 0:
		return usagef("--timeout must be longer than nothing")
	case len(p.Captures)+len(p.Between) > 0 && (p.duration <= 0 || p.duration >= p.timeout):
		return usagef("--capture-duration %s must lie between nothing and --timeout %s", p.duration, p.timeout)
	case time.Duration(p.Samples-1)*p.interval >= p.timeout:
		return usagef("%d samples %s apart do not fit into --timeout %s", p.Samples, p.interval, p.timeout)
	case p.ebpf < 0 || p.ebpf > ebpf.MaxWindow || p.ebpf >= p.timeout:
		return usagef("--ebpf %s must lie between nothing and --timeout %s, and is at most %s", p.ebpf, p.timeout, ebpf.MaxWindow)
	case p.Snaplen < 14 || p.Snaplen > 262144:
		return usagef("--snaplen is 14 to 262144 bytes, not %d", p.Snaplen)
	case p.Payload != "none" && p.Payload != "default" && p.Payload != "full":
		return usagef("--payload is none, default or full, not %q", p.Payload)
	case p.Profile != cluster.ProfileQuick && p.Profile != cluster.ProfileStandard && p.Profile != cluster.ProfileFull:
		return usagef("--profile is quick, standard or full, not %q", p.Profile)
	case p.policy == redact.PolicyStrict && p.Payload == redact.PayloadFull:
		return usagef("--payload full keeps what strict redaction cannot look into: use default or none")
	case len(p.Note) > 4096:
		return usagef("--note is at most 4096 bytes long")
	}
	return nil
}

func collect(c *cli.Context) error {
	p, err := planFrom(c)
	if err != nil {
		return err
	}
	signer, err := signerOf(c)
	if err != nil {
		return err
	}
	if c.Bool("review") && c.String("o") == "-" {
		return usagef("--review reads the bundle again: give it a name with -o FILE")
	}
	readers, err := recipients(c)
	if err != nil {
		return err
	}
	stamper, err := stamperOf(c)
	if err != nil {
		return err
	}
	terminal := isTerminal(os.Stderr)
	status := newStatusLine(os.Stderr, terminal)
	defer status.done()
	ctx, cancel := context.WithTimeout(c.Context, p.timeout)
	defer cancel()

	j := &job{plan: p, output: c.String("o"), signer: signer, stamper: stamper, readers: readers, review: c.Bool("review"), status: status, started: time.Now().UTC()}
	if j.strict, err = strictFrom(c, p.policy, status.say); err != nil {
		return err
	}
	if p.Host {
		err = hostJob(j)
	} else {
		err = clusterJob(ctx, c, j)
	}
	if err != nil {
		return err
	}
	j.tellFor()
	p.listen(ctx, j.note)
	return j.run(ctx, c.Context)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && os.Getenv("TERM") != ""
}

func parseLabels(list []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, s := range list {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" || len(k) > 63 || len(v) > 255 {
			return nil, usagef("--label %q: want KEY=VALUE, a key of at most 63 and a value of at most 255 bytes", s)
		}
		if _, twice := labels[k]; twice {
			return nil, usagef("--label %s is given twice", k)
		}
		labels[k] = v
	}
	if len(labels) > 32 {
		return nil, usagef("at most 32 labels")
	}
	return labels, nil
}

// parseSize reads 256MB, 1GiB, 500k or plain bytes.
func parseSize(s string) (int64, error) {
	units := []struct {
		suffix string
		factor int64
	}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"b", 1}}
	text, factor := strings.ToLower(strings.TrimSpace(s)), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			text, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	var n float64
	var rest string
	if k, _ := fmt.Sscanf(text, "%g%s", &n, &rest); k != 1 || !(n > 0) || n*float64(factor) > 1<<50 {
		return 0, fmt.Errorf("%q is no size: say 256MB or 1GiB", s)
	}
	return int64(n * float64(factor)), nil
}

// nodePrefix is the folder that a node's data lies in.
func nodePrefix(node string) string { return "nodes/" + node + "/" }
