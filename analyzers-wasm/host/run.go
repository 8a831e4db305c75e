package host

import (
	"context"
	"slices"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// Run runs the set over the evidence of o (Bundle, BundleID, CaptureTime,
// Settings, Limits; the rest is as it was given to [Load]) and returns one run
// for each module, in their order. It may be called again.
func (s *Set) Run(ctx context.Context, o Options) []abi.ModuleRun {
	<-s.ready
	own := s.o
	own.Bundle, own.BundleID, own.CaptureTime, own.Settings, own.Limits = o.Bundle, o.BundleID, o.CaptureTime, o.Settings, o.Limits
	p := &pass{ctx: ctx, o: own, cluster: map[*unit]*job{}, perNode: map[*unit][]*job{}}
	p.all(s.units)
	runs := make([]abi.ModuleRun, len(s.units))
	for i, u := range s.units {
		switch jobs, scoped := p.perNode[u]; {
		case scoped:
			runs[i] = u.merge(jobs)
		default:
			runs[i] = u.run(p.cluster[u])
		}
	}
	return runs
}

// pass is one run of a set.
type pass struct {
	ctx     context.Context
	o       Options
	cluster map[*unit]*job   // runs over everything
	perNode map[*unit][]*job // runs of modules of scope node, in the order of the nodes
}

// all runs the modules of scope node, some nodes at a time, and beside the
// first of them the modules that ask for no facts; then the others.
func (p *pass) all(units []*unit) {
	var now, later []*job
	var scoped []*unit
	for _, u := range units {
		switch {
		case u.ended():
		case u.decl.Scope == abi.ScopeNode:
			scoped = append(scoped, u)
			p.perNode[u] = nil
		default:
			j := u.job(p.o)
			p.cluster[u] = j
			if slices.ContainsFunc(u.decl.Inputs, func(in abi.Input) bool { return in.FactRows != "" }) {
				later = append(later, j)
			} else {
				now = append(now, j)
			}
		}
	}
	for _, nodes := range p.batches(scoped) {
		for _, u := range scoped {
			for _, node := range nodes {
				j := u.job(p.o)
				j.node = node
				p.perNode[u] = append(p.perNode[u], j)
				now = append(now, j)
			}
		}
		p.analyze(now, nil)
		now = nil
		for _, u := range scoped {
			settle(p.perNode[u])
		}
	}
	p.analyze(now, nil)
	p.analyze(later, told(p.perNode))
}

// batches are the nodes of the bundle, if any module wants them one by one.
func (p *pass) batches(scoped []*unit) [][]string {
	if len(scoped) == 0 {
		return nil
	}
	nodes, err := nodesOf(p.o.Bundle)
	if err != nil {
		for _, u := range scoped {
			delete(p.perNode, u)
			j := u.job(p.o)
			p.cluster[u] = j
			j.fail(abi.ModuleFailed, err.Error())
		}
		return nil
	}
	return slices.Collect(slices.Chunk(nodes, max(1, nodesAtOnce/len(scoped))))
}

// analyze lays out the inputs of the jobs and runs them.
func (p *pass) analyze(jobs []*job, facts map[string]input.Told) {
	defer func() {
		for _, j := range jobs {
			j.close()
		}
	}()
	p.project(jobs, facts)
	each(jobs, p.o.Jobs, func(_ int, j *job) { j.analyze(p.ctx) })
}

// project fills the spools of the jobs in one pass.
func (p *pass) project(jobs []*job, facts map[string]input.Told) {
	var in []*job
	var reqs []input.Request
	for _, j := range jobs {
		s, err := j.target()
		if err != nil {
			j.fail(abi.ModuleUnavailable, err.Error())
			continue
		}
		in = append(in, j)
		reqs = append(reqs, input.Request{Inputs: j.u.decl.Inputs, Spool: s, Node: j.node, Facts: facts})
	}
	if len(in) == 0 {
		return
	}
	projections, err := input.Project(p.ctx, p.o.Bundle, reqs, p.o.Limits)
	for i, j := range in {
		if err != nil {
			j.fail(abi.ModuleFailed, "its inputs could not be read: "+err.Error())
			continue
		}
		j.inputs = projections[i]
		if err := j.seal(); err != nil {
			j.fail(abi.ModuleFailed, err.Error())
		}
	}
}

// run tells what came of the module; j is nil when it was not run.
func (u *unit) run(j *job) abi.ModuleRun {
	run := abi.ModuleRun{Declaration: u.decl, Result: u.result}
	if j == nil {
		run.Outcomes = outcomes(u.decl, nil, nil, run.Result)
		return run
	}
	run.Result.Status, run.Result.Reason, run.Result.Fuel = j.end.Status, j.end.Reason, j.fuel
	run.Result.Log = cleanReason(string(j.log.kept))
	run.Result.Millis += j.spent.Milliseconds()
	run.Result.Unguarded = j.lacks
	run.Findings = j.findings
	run.Outcomes = outcomes(u.decl, j.findings, j.out.outcomes, run.Result)
	return run
}
