package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// job is one run of one module: over everything, or over one node.
type job struct {
	u       *unit
	node    string  // of a module of scope node
	o       Options // with the evidence
	w       *worker // nil until it has a child
	spool   *spool  // nil when the worker has it, or none is needed any more
	inputs  *input.Projection
	spooled input.Extent
	log     *capture
	spent   time.Duration
	stdout  int // bytes that it printed
	fuel    int64
	lacks   []string

	end      ending // no status as long as all is well
	out      printed
	findings []abi.ResolvedFinding
	facts    []toldFact
}

// toldFact is what a module of scope node said of its node.
type toldFact struct {
	name  string
	value json.RawMessage
	place abi.ReportedEvidence // the first evidence
}

func newLog() *capture { return &capture{keep: maxLog, limit: maxLogTotal} }

// job takes the unit's idle child, if there is one.
func (u *unit) job(o Options) *job {
	j := &job{u: u, o: o, w: u.idle, log: newLog()}
	u.idle = nil
	return j
}

func (j *job) ended() bool { return j.end.Status != "" }

func (j *job) fail(status, reason string) {
	if !j.ended() {
		j.end = ending{Status: status, Reason: cleanReason(reason)}
	}
	j.close()
}

func (j *job) close() {
	j.w.close()
	if j.spool != nil {
		j.spool.close()
	}
	j.w, j.spool = nil, nil
}

// target is where the inputs go.
func (j *job) target() (*spool, error) {
	if j.w != nil {
		return j.w.spool, nil
	}
	var err error
	if j.spool == nil {
		j.spool, err = newSpool(j.o.TempDir)
	}
	return j.spool, err
}

// seal adds the configuration and the list of files to the spool.
func (j *job) seal() error {
	config, err := json.Marshal(abi.Config{ABI: abi.VersionMax, CaptureTime: j.o.CaptureTime.UTC().Format(time.RFC3339), Settings: j.o.Settings})
	if err != nil {
		return err
	}
	j.inputs.Add("config.json", append(config, '\n'))
	j.spooled, err = j.inputs.Seal()
	return err
}

func parseDeclaration(text []byte) (abi.Declaration, error) {
	var d abi.Declaration
	var other struct {
		ABI [2]int `json:"abi"`
	}
	if json.Unmarshal(text, &other) == nil && other.ABI[0] > abi.VersionMax && other.ABI[1] >= other.ABI[0] {
		d.ABI = other.ABI // its other keys may have other shapes
		return d, input.Validate(d)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&d); err != nil {
		if errors.Is(err, io.EOF) {
			return abi.Declaration{}, errors.New("it printed nothing; want one JSON declaration")
		}
		return abi.Declaration{}, fmt.Errorf("no declaration: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return abi.Declaration{}, errors.New("more than one JSON value")
	}
	if err := knownInputs(text); err != nil {
		return abi.Declaration{}, err
	}
	if err := input.Validate(d); err != nil {
		return abi.Declaration{}, err
	}
	return d, nil
}

// knownInputs refuses keys of inputs that this host does not know: a condition
// that it passed over would give the module other rows than it asked for.
func knownInputs(text []byte) error {
	var d struct {
		Inputs []json.RawMessage `json:"inputs"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	for i, raw := range d.Inputs {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&abi.Input{}); err != nil {
			return fmt.Errorf("input %d: %w: %s", i+1, input.ErrUnsupported, strings.TrimPrefix(err.Error(), "json: "))
		}
	}
	return nil
}

// analyze runs the module over its inputs and reads what it printed.
func (j *job) analyze(ctx context.Context) {
	begun := time.Now()
	defer func() { j.spent = time.Since(begun) }()
	if j.w == nil {
		s := j.spool
		j.spool = nil // the worker's
		w, e := j.u.start(ctx, s, j.log)
		if e.Status != abi.ModuleOK {
			j.fail(e.Status, e.Reason)
			return
		}
		w.clean()
		j.w = w
	}
	j.lacks = j.w.lacks
	c := j.command()
	limit := maxStdout
	if j.u.decl.Scope == abi.ScopeNode {
		limit = maxNodeStdout
	}
	out := newLines(j.u.decl, limit)
	e := j.w.phase(ctx, c, j.o.AnalyzeTimeout, out, j.log)
	j.w.session.close()
	j.stdout = out.total
	j.fuel = min(max(e.Fuel, 0), c.Fuel)
	switch {
	case e.Status == abi.ModuleFuel && c.Fuel == j.o.Fuel:
		e.Reason += "; if it is meant to, give it more with --fuel"
	case e.Status == abi.ModuleFuel && c.Fuel == j.u.m.Fuel:
		e.Reason += ", which is the bound of this module"
	case e.Status == abi.ModuleFuel:
		e.Reason += ", by its own declaration (limits.fuel)"
	}
	if e.Status != abi.ModuleOK {
		j.end = ending{Status: e.Status, Reason: cleanReason(e.Reason)}
	}
	j.read(ctx, out)
	j.close()
}

// command is analyze, with what the module declared to need of the bounds.
func (j *job) command() command {
	d := j.u.decl
	c := command{Verb: abi.VerbAnalyze, Name: d.Name, MemoryMiB: j.u.o.MemoryMiB, Fuel: j.o.Fuel, Files: j.spooled,
		Clock: j.o.CaptureTime.UnixNano(), Seed: seed(j.o.BundleID, j.u.result.Digest)}
	if d.Limits.MemoryMiB > 0 {
		c.MemoryMiB = min(c.MemoryMiB, d.Limits.MemoryMiB)
	}
	if j.u.m.Fuel > 0 {
		c.Fuel = min(c.Fuel, j.u.m.Fuel)
	}
	if d.Limits.Fuel > 0 {
		c.Fuel = min(c.Fuel, d.Limits.Fuel)
	}
	return c
}

// read takes what analyze printed. Of a module that was cut off the last,
// unfinished line does not count.
func (j *job) read(ctx context.Context, text *lines) {
	if !j.ended() {
		text.end()
	}
	out, err := text.parser.out, text.err
	cited := citations{ctx: ctx, bundle: j.o.Bundle, inputs: j.inputs}
	found, cerr := cited.resolve(out.findings)
	for i, f := range found {
		if told := out.findings[i]; told.fact == "" {
			j.findings = append(j.findings, f)
		} else {
			t := toldFact{name: told.fact, value: told.value}
			if len(f.Places) > 0 {
				t.place = f.Places[0]
			}
			j.facts = append(j.facts, t)
		}
	}
	if cerr != nil && (err == nil || cerr.line < err.line) {
		err = cerr
	}
	j.out = printed{outcomes: out.outcomes} // findings and facts stand resolved
	if err != nil && !j.ended() {
		j.end = ending{Status: abi.ModuleFailed, Reason: cleanReason(fmt.Sprintf("line %d of its output: %s; what came before it is kept", err.line, err.why))}
	}
	if !j.ended() {
		j.end.Status = abi.ModuleOK
	}
}
