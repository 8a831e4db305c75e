package host

import (
	"context"

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
	jobs := make([]*job, len(s.units))
	var in []*job
	for i, u := range s.units {
		if !u.ended() {
			jobs[i] = u.job(own)
			in = append(in, jobs[i])
		}
	}
	defer func() {
		for _, j := range in {
			j.close()
		}
	}()
	project(ctx, in, own)
	each(in, own.Jobs, func(_ int, j *job) { j.analyze(ctx) })
	runs := make([]abi.ModuleRun, len(s.units))
	for i, u := range s.units {
		runs[i] = u.run(jobs[i])
	}
	return runs
}

// project fills the spools of the jobs in one pass.
func project(ctx context.Context, jobs []*job, o Options) {
	var in []*job
	var reqs []input.Request
	for _, j := range jobs {
		s, err := j.target()
		if err != nil {
			j.fail(abi.ModuleUnavailable, err.Error())
			continue
		}
		in = append(in, j)
		reqs = append(reqs, input.Request{Inputs: j.u.decl.Inputs, Spool: s})
	}
	if len(in) == 0 {
		return
	}
	projections, err := input.Project(ctx, o.Bundle, reqs, o.Limits)
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
	if j != nil {
		run.Result.Status, run.Result.Reason, run.Result.Fuel = j.end.Status, j.end.Reason, j.fuel
		run.Result.Log = cleanReason(string(j.log.kept))
		run.Result.Millis += j.spent.Milliseconds()
		run.Result.Unguarded = j.lacks
		run.Findings = j.findings
		run.Outcomes = outcomes(u.decl, j.findings, j.out.outcomes, run.Result)
		return run
	}
	run.Outcomes = outcomes(u.decl, nil, nil, run.Result)
	return run
}
