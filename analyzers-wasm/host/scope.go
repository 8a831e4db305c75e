package host

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// Bounds of modules of scope node.
const (
	maxNodes     = 10_000
	nodesAtOnce  = 64 // that have their inputs laid out; each takes files
	maxNodesSaid = 5  // named in a reason

	maxNodeStdout   = 1 << 20 // on one node; on all together maxStdout
	maxNodeFindings = 1000
)

// nodesOf lists the nodes that the bundle has data of, sorted.
func nodesOf(bundle fs.FS) ([]string, error) {
	list, err := fs.ReadDir(bundle, "nodes")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	var nodes []string
	for _, e := range list {
		if e.IsDir() {
			nodes = append(nodes, e.Name())
		}
	}
	slices.Sort(nodes)
	if len(nodes) > maxNodes {
		return nil, fmt.Errorf("%d nodes, more than %d", len(nodes), maxNodes)
	}
	return nodes, nil
}

// settle holds what the module has printed on the nodes so far against what it
// may print on all together, in the order of the nodes, and keeps no more.
func settle(jobs []*job) {
	bytes, found, logged := 0, 0, 0
	for _, j := range jobs {
		if bytes += j.stdout; bytes > maxStdout {
			j.end = ending{Status: abi.ModuleOutput, Reason: fmt.Sprintf("printed more than %d bytes on all nodes together", maxStdout)}
			j.findings, j.facts, j.out = nil, nil, printed{}
		}
		if room := maxFindings + 1 - found; len(j.findings) > room {
			j.findings = slices.Clone(j.findings[:room])
		}
		found += len(j.findings)
		if logged >= maxLog {
			j.log.kept = nil
		}
		logged += len(j.log.kept)
	}
}

// merge makes one run of the module of its runs on each node: a rule that is
// found on one is found; what is unknown on some says on which.
func (u *unit) merge(jobs []*job) abi.ModuleRun {
	run := abi.ModuleRun{Declaration: u.decl, Result: u.result}
	r := &run.Result
	r.Status = abi.ModuleOK
	log := newLog()
	var failed []*job
	for _, j := range jobs {
		if j.end.Status != abi.ModuleOK {
			failed = append(failed, j)
		}
		r.Fuel += j.fuel
		r.Millis += j.spent.Milliseconds()
		r.Unguarded = j.lacks
		if len(j.log.kept) > 0 {
			log.add([]byte("node " + j.node + ":\n"))
			log.add(j.log.kept)
		}
		run.Findings = append(run.Findings, j.findings...)
	}
	r.Log = cleanReason(string(log.kept))
	if len(failed) > 0 {
		r.Status = failed[0].end.Status
		r.Reason = fmt.Sprintf("on %d of %d nodes (%s): %s", len(failed), len(jobs), nodeNames(failed), failed[0].end.Reason)
	}
	if len(run.Findings) > maxFindings {
		run.Findings = run.Findings[:maxFindings]
		r.Status, r.Reason = abi.ModuleOutput, fmt.Sprintf("more than %d findings over all nodes; the rest was left out", maxFindings)
	}
	if len(jobs) == 0 {
		run.Outcomes = outcomes(u.decl, nil, nil, abi.ModuleResult{Name: r.Name, Status: "nothing to look at", Reason: "no node data was collected; collect with --nodes auto or --host"})
		return run
	}
	run.Outcomes = u.mergeOutcomes(jobs)
	return run
}

func (u *unit) mergeOutcomes(jobs []*job) []abi.RuleResult {
	perNode := make([][]abi.RuleResult, len(jobs))
	for i, j := range jobs {
		perNode[i] = outcomes(u.decl, j.findings, j.out.outcomes, abi.ModuleResult{Name: u.decl.Name, Status: j.end.Status, Reason: j.end.Reason})
	}
	merged := make([]abi.RuleResult, 0, len(u.decl.Rules))
	for k, rule := range u.decl.Rules {
		res := abi.RuleResult{Rule: rule.ID, Outcome: abi.OutcomeClear}
		var unknown []*job
		first := ""
		for i, j := range jobs {
			switch o := perNode[i][k]; o.Outcome {
			case abi.OutcomeFound:
				res.Outcome = abi.OutcomeFound
			case abi.OutcomeUnknown:
				if len(unknown) == 0 {
					first = o.Reason
				}
				unknown = append(unknown, j)
				res.Missing = addMissing(res.Missing, o.Missing)
			}
		}
		if len(unknown) > 0 {
			if res.Outcome == abi.OutcomeClear {
				res.Outcome = abi.OutcomeUnknown
			}
			res.Reason = fmt.Sprintf("unknown on %d of %d nodes (%s)", len(unknown), len(jobs), nodeNames(unknown))
			if first != "" {
				res.Reason += ": " + first
			}
		}
		merged = append(merged, res)
	}
	return merged
}

func addMissing(to, more []string) []string {
	for _, m := range more {
		if len(to) < maxMissing && !slices.Contains(to, m) {
			to = append(to, m)
		}
	}
	return to
}

// nodeNames names the nodes of some runs, in short.
func nodeNames(jobs []*job) string {
	var names []string
	for _, j := range jobs[:min(len(jobs), maxNodesSaid)] {
		names = append(names, input.Clean(j.node))
	}
	if more := len(jobs) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// told gathers what the modules of scope node said, by fact, in the order of
// the nodes. A node on which the module did not end well is missing.
func told(perNode map[*unit][]*job) map[string]input.Told {
	facts := map[string]input.Told{}
	for u, jobs := range perNode {
		for _, d := range u.decl.Facts {
			var t input.Told
			for _, j := range jobs {
				for _, f := range j.facts {
					if f.name == d.Fact {
						t.Rows = append(t.Rows, input.FactRow{Node: j.node, Value: f.value, Place: f.place})
					}
				}
				if j.end.Status != abi.ModuleOK {
					t.Missing = append(t.Missing, abi.Missing{Source: "nodes/" + j.node, Reason: fmt.Sprintf("module %s: %s: %s", u.decl.Name, j.end.Status, j.end.Reason)})
				}
			}
			if len(jobs) == 0 {
				t.Missing = append(t.Missing, abi.Missing{Source: "nodes", Reason: "no node data was collected; collect with --nodes auto or --host"})
			}
			facts[d.Fact] = t
		}
	}
	return facts
}
