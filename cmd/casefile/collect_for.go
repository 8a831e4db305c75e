package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
	"github.com/casefile-io/casefile/collector/node"
	"github.com/casefile-io/casefile/sdk/abi"
)

// forPlan is what --for comes to: the bundle holds what the modules declare
// that they read, and nothing else. It is empty without --for.
type forPlan struct {
	For  []forModule    `json:"for,omitempty"`
	Only collector.Only `json:"only,omitempty"` // all that the modules read; completeness is judged by it

	seek      collector.Only      // of Only, what this run goes for
	lacks     []collector.Result  // what it cannot have
	resources []string            // of seek, as cluster.ResourceDir names them
	asks      map[string][]string // who asks for a resource
	nodes     bool                // whether something of nodes is needed
	samples   int                 // how many readings of the kernel
}

// forModule is a module that a bundle was collected for.
type forModule struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

func (m forModule) String() string { return m.Name + "@" + m.Version }

// nodeJSON is written of each node that is visited, whatever else is.
const nodeJSON = "nodes/*/node.json"

// declared is a module and what it said of itself.
type declared struct {
	forModule
	says abi.Declaration
}

// ways are the ways to data that the other flags open.
type ways struct {
	host, nodes, captures, probes, ebpf bool
	samples                             int
}

func forFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "for", Usage: "collect just what the analyzer in `M.wasm` declares that it reads, may be repeated; --nodes, --capture, --probe, --ebpf and --samples add what they say"}
}

// readFor describes the modules of --for, in the sandbox, and narrows the plan.
func (p *plan) readFor(c *cli.Context) error {
	if len(c.StringSlice("for")) == 0 {
		return nil
	}
	modules, err := describeFor(c)
	if err != nil {
		return err
	}
	p.forPlan, err = planFor(modules, ways{host: p.Host, nodes: p.Nodes != "none", captures: len(p.Captures)+len(p.Between) > 0,
		probes: len(p.Probes)+len(p.Between) > 0, ebpf: p.ebpf > 0, samples: p.Samples})
	if !c.IsSet("samples") {
		p.Samples = min(p.Samples, max(p.samples, 1))
	}
	return err
}

// describeFor runs describe of each module that may run at all.
func describeFor(c *cli.Context) ([]declared, error) {
	options, err := sandboxOptions()
	if err != nil {
		return nil, err
	}
	modules, outside, err := outsideModules(c, "for")
	if err != nil {
		return nil, err
	}
	var list []declared
	for i, m := range modules {
		d, result := host.Describe(c.Context, m, options)
		switch {
		case outside[i].denied != nil:
			return nil, fmt.Errorf("--for: %w", notAuthentic(outside[i]))
		case result.Status != abi.ModuleOK:
			return nil, fmt.Errorf("--for %s: the module is of no use here, %s: %s", outside[i].from, result.Status, oneLine(result.Reason))
		}
		told := forModule{d.Name, d.Version, result.Digest}
		if !slices.ContainsFunc(list, func(other declared) bool { return other.forModule == told }) {
			list = append(list, declared{told, d})
		}
	}
	return list, nil
}

// planFor turns what the modules declare into what is to be collected.
func planFor(modules []declared, w ways) (forPlan, error) {
	p := forPlan{Only: collector.Only{cluster.VersionPath, nodeJSON, "collection/plan.json"}, samples: 1, asks: map[string][]string{}}
	for _, m := range modules {
		p.For = append(p.For, m.forModule)
		for _, in := range m.says.Inputs {
			paths, err := input.Paths(in)
			if err != nil {
				return p, fmt.Errorf("--for %s, input %s: %w", m.forModule, in.Name, err)
			}
			if in.FactRows != "" && !toldBy(modules, in.FactRows) {
				p.lack(m.String(), "", "the fact "+in.FactRows+", which none of the modules given tells: add the one that does with --for")
			}
			if in.Resource != "" {
				p.resource(strings.TrimSuffix(strings.TrimPrefix(paths[0], "cluster/resources/"), "/*.ndjson"), m)
			}
			for _, path := range paths {
				p.path(m, in, path, w)
			}
		}
	}
	return p, nil
}

func (p *forPlan) resource(dir string, m declared) {
	if len(p.asks[dir]) == 0 {
		p.resources = append(p.resources, dir)
	}
	if !slices.Contains(p.asks[dir], m.String()) {
		p.asks[dir] = append(p.asks[dir], m.String())
	}
}

func toldBy(modules []declared, fact string) bool {
	return slices.ContainsFunc(modules, func(m declared) bool {
		return slices.ContainsFunc(m.says.Facts, func(f abi.FactDecl) bool { return f.Fact == fact })
	})
}

// path takes in one glob of an input.
func (p *forPlan) path(m declared, in abi.Input, path string, w ways) {
	p.Only = add(p.Only, path)
	why := w.unreachable(path, in)
	switch {
	case why != "":
		p.lack(m.String(), path, why)
		return
	case in.Logs != "" && !w.logs(path, in.Logs):
		return
	}
	p.seek = add(p.seek, path)
	if (collector.Only{path}).WantsBelow("nodes") {
		p.nodes = true
		p.samples = max(p.samples, samplesOf(path, w.samples))
	}
}

func (p *forPlan) lack(who, path, why string) {
	p.lacks = append(p.lacks, collector.Result{Source: "for/" + who, Path: path, Status: collector.StatusSkipped, Reason: why})
}

func add(list collector.Only, glob string) collector.Only {
	if slices.Contains(list, glob) {
		return list
	}
	return append(list, glob)
}

// unreachable says why nothing that a glob stands for can be collected; it is
// empty when something can.
func (w ways) unreachable(glob string, in abi.Input) string {
	segments := strings.Split(glob, "/")
	switch segments[0] {
	case "captures":
		if !w.captures {
			return "packets are captured only where you say: add --capture pod/NAMESPACE/NAME, or --between 'A B'"
		}
	case "probes":
		if !w.probes {
			return "nothing is sent unless you say so: add --probe KIND:ARG, or --between 'A B'"
		}
	case "cluster":
		if w.host && in.Logs == "" {
			return "--host reads this machine alone: collect from the cluster without it"
		}
	case "nodes":
		switch {
		case !w.nodes && (in.Logs == "" || w.logs(glob, in.Logs)):
			return "--nodes none leaves the nodes out"
		case len(segments) == 3 && slices.Contains(ebpfFiles(), segments[2]) && !w.ebpf:
			return "the kernel is watched only when you say so: add --ebpf 10s"
		case in.Logs == "" && !w.host && len(segments) > 3 && segments[2] == "logs" && segments[3] == "pods":
			return "nodes have the logs of their containers with --host only: read cluster/logs"
		}
	case "collection", "**", "*":
	default:
		return "a collection makes no such path"
	}
	return ""
}

// ebpfFiles are those of a window into the kernel, below nodes/<node>/.
func ebpfFiles() []string {
	return []string{"drops.ndjson", "retransmits.ndjson", "resets.ndjson", "tcpstates.ndjson", "ebpf.json"}
}

// logs says which of the places of a log are there: the API server has those
// of containers, or with --host this machine, and a machine those of its units.
func (w ways) logs(glob, selector string) bool {
	switch {
	case strings.HasPrefix(glob, "cluster/"):
		return !w.host
	case strings.HasPrefix(glob, "nodes/*/logs/pods/"):
		return w.host
	}
	return node.HasLog(selector) || strings.ContainsAny(selector, "*?")
}

// samplesOf is how many readings of the kernel a glob below nodes/ asks for:
// as many as there are, unless it names one.
func samplesOf(glob string, all int) int {
	segments := strings.Split(glob, "/")
	if slices.Contains(segments, "**") {
		return all
	}
	at := 2
	if len(segments) > at && segments[at] == "netns" {
		at = 4
	}
	if len(segments) <= at+1 {
		return 1 // a file of the node's own
	}
	if k, err := strconv.Atoi(segments[at]); err == nil {
		return max(min(k+1, all), 1)
	}
	if strings.ContainsAny(segments[at], "*?") {
		return all
	}
	return 1
}

// of gives the globs for one top folder, and a file that is always there, so
// that they never come to everything.
func (p *forPlan) of(folder, always string) collector.Only {
	if len(p.Only) == 0 {
		return nil
	}
	globs := collector.Only{always}
	for _, g := range p.seek {
		if (collector.Only{g}).WantsBelow(folder) {
			globs = add(globs, g)
		}
	}
	return globs
}

func (p *forPlan) ofCluster() collector.Only { return p.of("cluster", cluster.VersionPath) }
func (p *forPlan) ofNodes() collector.Only   { return p.of("nodes", "nodes/*/node.json") }

// leavesNodes says whether nodes are visited only where captures and the like
// need it.
func (p *plan) leavesNodes() bool {
	return len(p.Only) > 0 && !p.forPlan.nodes && p.ebpf == 0 && len(p.Probes) == 0
}

// unserved finds out which of the resources the server does not serve.
func (p *forPlan) unserved(ctx context.Context, k *cluster.Cluster) error {
	if len(p.resources) == 0 {
		return nil
	}
	missing, err := k.Unserved(ctx, p.resources)
	for _, dir := range missing {
		for _, who := range p.asks[dir] {
			p.lack(who, "cluster/resources/"+dir, "the API server does not serve "+strings.TrimPrefix(dir, "core/")+": is its custom resource definition installed?")
		}
	}
	return err
}

// tellFor says what the modules come to, and adds what cannot be had to the
// results.
func (j *job) tellFor() {
	p := &j.plan.forPlan
	if len(p.Only) == 0 {
		return
	}
	var names []string
	for _, m := range p.For {
		names = append(names, m.String())
	}
	what := []string{}
	if n := len(p.ofCluster()) - 1; n > 0 {
		what = append(what, fmt.Sprintf("%d kinds of files of the cluster", n))
	}
	if n := len(p.ofNodes()) - 1; n > 0 && p.nodes {
		what = append(what, fmt.Sprintf("%d kinds of files of nodes, read %s", n, map[bool]string{true: "once", false: strconv.Itoa(j.plan.Samples) + " times"}[j.plan.Samples == 1]))
	}
	j.note("collecting for %s alone: %s; collection/plan.json lists them", strings.Join(names, ", "), cmp.Or(strings.Join(what, " and "), "nothing of the cluster or its nodes"))
	for _, r := range p.lacks {
		j.note("%s will lack %s", strings.TrimPrefix(r.Source, "for/"), strings.TrimPrefix(r.Path+": "+r.Reason, ": "))
	}
	if len(p.lacks) > 0 {
		j.collectors = append(j.collectors, untried(p.lacks))
	}
}

// untried records what a run cannot have, and why.
type untried []collector.Result

func (untried) Name() string { return "for" }

func (u untried) Collect(_ context.Context, out *collector.Output) error {
	for _, r := range u {
		out.Record(r)
	}
	return nil
}
