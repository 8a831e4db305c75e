package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing/fstest"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// Probe runs one module over files that were laid out by hand: how the
// conformance kit asks what a module makes of them.
type Probe struct {
	set *Set
	u   *unit
}

// NewProbe compiles the module and has it describe itself.
func NewProbe(ctx context.Context, m Module, o Options) *Probe {
	s := Load(ctx, []Module{m}, o)
	<-s.ready
	return &Probe{set: s, u: s.units[0]}
}

// Close ends what the probe runs.
func (p *Probe) Close() { p.set.Close() }

// Declaration is what the module says of itself, if the result's status is
// [abi.ModuleOK].
func (p *Probe) Declaration() (abi.Declaration, abi.ModuleResult) {
	r := p.u.result
	if !p.u.ended() {
		r.Status = abi.ModuleOK
	}
	return p.u.decl, r
}

// Run calls a verb of the module over the files (paths without a leading
// slash) and returns what it printed, unread. A module that was refused does
// not run.
func (p *Probe) Run(ctx context.Context, verb string, files map[string][]byte) ([]byte, abi.ModuleResult) {
	r := p.u.result
	if p.u.ended() {
		return nil, r
	}
	log, out := newLog(), &capture{keep: maxStdout, limit: maxStdout}
	w, e := p.u.start(ctx, nil, log)
	if e.Status == abi.ModuleOK {
		w.clean()
		e = p.phase(ctx, w, verb, files, out, log)
		w.close()
	}
	r.Status, r.Reason, r.Log, r.Fuel = e.Status, cleanReason(e.Reason), cleanReason(string(log.kept)), e.Fuel
	return out.kept, r
}

func (p *Probe) phase(ctx context.Context, w *worker, verb string, files map[string][]byte, out, log *capture) ending {
	laid, err := input.Project(ctx, fstest.MapFS{}, []input.Request{{Spool: w.spool}}, input.Limits{})
	if err != nil {
		return ending{Status: abi.ModuleUnavailable, Reason: err.Error()}
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		laid[0].Add(path, files[path])
	}
	j := job{u: p.u, o: p.set.o}
	if j.spooled, err = laid[0].Seal(); err != nil {
		return ending{Status: abi.ModuleUnavailable, Reason: err.Error()}
	}
	c := j.command()
	c.Verb = verb
	return w.phase(ctx, c, p.set.o.AnalyzeTimeout, out, log)
}

// CheckOutput holds what analyze printed against the declaration, but for
// its evidence, which only a bundle can judge. It gives the first bad line,
// from 1; 0 is none.
func CheckOutput(d abi.Declaration, printed []byte) (line int, err error) {
	if _, err := parseOutput(d, printed); err != nil {
		return err.line, fmt.Errorf("line %d: %w", err.line, err.why)
	}
	return 0, nil
}

// ParseDeclaration reads what describe printed, and holds it against the ABI.
func ParseDeclaration(printed []byte) (abi.Declaration, error) { return parseDeclaration(printed) }
