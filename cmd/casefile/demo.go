package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/cluster/launch"
	"github.com/casefile-io/casefile/collector/cluster/serve"
	"github.com/casefile-io/casefile/samples/bundles"
)

const demoHelp = `Replays a broken three-node cluster that was recorded from a real one: its API through a
read-only server inside this process, its nodes' agents byte for byte. The rest is the
real thing: collect, redact, seal, verify, and analyze in the sandbox.
It needs no cluster, no root and no network, and leaves a bundle to look at.`

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:        "demo",
		Usage:       "the whole pipeline on a recorded, broken cluster; needs nothing",
		ArgsUsage:   " ",
		Description: demoHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "o", Aliases: []string{"output"}, Usage: "write the bundle to `FILE` (default ./casefile-demo-<UTC>.tar.zst)"},
			&cli.BoolFlag{Name: "with-this-host", Usage: "also collect this machine's own kernel and network data"},
			langFlag(),
		}, redactFlags()...),
		Action: demo,
	}
}

// sample describes a recording; sample.json holds one.
type sample struct {
	Top      string         `json:"top"`
	Time     time.Time      `json:"time"`
	Cluster  bundle.Cluster `json:"cluster"`
	Plans    []agent.Plan   `json:"plans"`
	Captures []captureIndex `json:"captures"`
}

func demo(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("demo takes no arguments, only flags")
	}
	lang, err := checkLang(c)
	if err != nil {
		return err
	}
	module, err := builtinModule()
	if err != nil {
		return err
	}
	options, err := sandboxOptions()
	if err != nil {
		return err
	}
	a := &analysis{modules: []host.Module{{Name: "builtin", Wasm: module}}, options: options, format: "text", lang: lang, failOn: -1,
		color: isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == ""}
	a.load(c.Context)
	defer a.set.Close()
	status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
	defer status.done()
	private, public, err := bundle.GenerateKey(nil)
	if err != nil {
		return err
	}
	signer, err := bundle.LoadSigner(private, func() ([]byte, error) { return nil, nil })
	if err != nil {
		return err
	}
	j, err := demoJob(c, status, signer)
	if err != nil {
		return err
	}
	status.say("1. collect from a recorded cluster, redact, and seal with a throw-away key")
	if err := j.run(c.Context, c.Context); err != nil && exitCode(err) != exitIncomplete {
		return err
	}
	key := filepath.Join(filepath.Dir(j.output), "casefile-demo.pub")
	if err := os.WriteFile(key, public, 0o644); err != nil {
		return err
	}
	return a.show(c.Context, j, key)
}

// show verifies and analyses what the demo has made.
func (a *analysis) show(ctx context.Context, j *job, key string) error {
	f, err := os.Open(j.output)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	v, err := verifierFrom(key)
	if err != nil {
		return err
	}
	r, err := bundle.Open(f, info.Size(), v)
	if err != nil {
		return err
	}
	j.status.say("2. verify every byte against %s", key)
	if err := r.Verify(ctx, nil); err != nil {
		return err
	}
	j.status.say("3. analyze in the sandbox")
	report, err := a.bundle(ctx, &opened{Reader: r, file: f, verified: true})
	if err != nil {
		return err
	}
	if err := a.write(os.Stdout, report); err != nil {
		return err
	}
	j.status.say("\nLook further:\n  casefile bundle ls %[1]s --key %[2]s\n  casefile analyze %[1]s --key %[2]s --lang zh\n  tar --zstd -tf %[1]s", j.output, key)
	return nil
}

func demoJob(c *cli.Context, status *statusLine, signer bundle.Signer) (*job, error) {
	files, err := bundles.Demo()
	if err != nil {
		return nil, err
	}
	var s sample
	b, err := fs.ReadFile(files, "sample.json")
	if err != nil {
		return nil, fmt.Errorf("this casefile was built without its sample: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	recorded, err := fs.ReadFile(files, "cluster.tar.zst")
	if err != nil {
		return nil, err
	}
	objects, err := bundle.OpenUnverified(bytes.NewReader(recorded), int64(len(recorded))) // it is part of this program
	if err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	api, err := serve.Start(objects)
	if err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	context.AfterFunc(c.Context, func() { _ = api.Close() }) // it has no state to lose
	k, err := cluster.New(api.Config(), cluster.Options{UserAgent: "casefile-demo"})
	if err != nil {
		return nil, err
	}
	p := &plan{Command: "demo", Version: version, Samples: 2, interval: 2 * time.Second, Interval: "2s", Payload: "default", Redaction: c.String("redact"),
		Nodes: "auto", MaxBytes: 256e6, timeout: 5 * time.Minute, Timeout: "5m0s", Note: "recorded sample, replayed by casefile demo"}
	if p.policy, err = redact.ParsePolicy(p.Redaction); err != nil {
		return nil, usagef("--redact: %v", err)
	}
	j := &job{plan: p, output: c.String("o"), signer: signer, status: status, started: s.Time, captures: s.Captures}
	if j.output == "" {
		j.output = topFolder("demo", time.Now().UTC()) + ".tar.zst"
	}
	if j.strict, err = strictFrom(c, p.policy, status.say); err != nil {
		return nil, err
	}
	names, err := j.clusterNames(c.Context, k, s.Cluster)
	if err != nil {
		return nil, err
	}
	if c.Bool("with-this-host") {
		more, err := withThisHost(j)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	if err := j.redaction(names); err != nil {
		return nil, err
	}
	if err := j.name(s.Cluster); err != nil {
		return nil, err
	}
	dialer := agent.Dialer(replay{files})
	if j.strict == nil {
		j.top = s.Top // that of the recorded frames
	} else {
		dialer = strictReplay{files, s.Top}
		for i := range s.Plans {
			s.Plans[i].Policy, s.Plans[i].Top = p.Redaction, j.top
			j.strict.agentPlan(&s.Plans[i])
		}
	}
	j.collectors = append(j.collectors, k, launch.Nodes(dialer, s.Plans, launch.NodesOptions{Ended: j.ended}))
	return j, nil
}

// replay stands in for the agents: it answers each node's plan with what that
// node's agent sent when the sample was recorded.
type replay struct{ files fs.FS }

func (r replay) Dial(_ context.Context, node string) (io.ReadWriteCloser, error) {
	f, err := r.files.Open(node + ".stream")
	if err != nil {
		return nil, fmt.Errorf("sample: %w", err)
	}
	return replayed{f}, nil
}

type replayed struct{ fs.File }

func (replayed) Write(b []byte) (int, error) { return len(b), nil } // the plan and keepalives: a recording does not listen

// recordSample writes sample.json beside the recorded streams.
func (j *job) recordSample(dir string, plans []agent.Plan) error {
	s := sample{Top: j.top, Time: j.started, Cluster: j.cluster, Captures: j.captures}
	for _, p := range plans {
		p.Pods, p.Key, p.Names = nil, nil, nil // the agent's business, long done
		s.Plans = append(s.Plans, p)
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "sample.json"), append(b, '\n'), 0o644)
}
