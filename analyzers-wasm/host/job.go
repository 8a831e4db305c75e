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

// job is one module on its way through [Run].
type job struct {
	m       Module
	o       Options
	run     abi.ModuleRun
	log     capture
	millis  time.Duration
	files   *files   // module and spool; nil until describe
	child   *session // nil when there is none
	inputs  *input.Projection
	spooled input.Extent
}

func newJob(m Module, o Options) *job {
	j := &job{m: m, o: o, log: capture{keep: maxLog, limit: maxLogTotal}}
	name := input.Clean(m.Name)
	if len(name) > maxNameBytes {
		name = name[:maxNameBytes]
	}
	j.run.Result = abi.ModuleResult{Name: strings.ToValidUTF8(name, ""), Digest: digest(m.Wasm), Signer: m.Signer}
	if m.MemoryMiB > 0 {
		j.o.MemoryMiB = min(j.o.MemoryMiB, m.MemoryMiB)
	}
	switch {
	case m.Refuse != "":
		j.end(abi.ModuleRefused, m.Refuse)
	case len(m.Wasm) > MaxModule:
		j.end(abi.ModuleRefused, fmt.Sprintf("the module has %d bytes, more than %d", len(m.Wasm), MaxModule))
	}
	return j
}

func (j *job) ended() bool { return j.run.Result.Status != "" }

// end fixes the status and lets the child go.
func (j *job) end(status, reason string) {
	if !j.ended() {
		j.run.Result.Status = status
		j.run.Result.Reason = input.Clean(strings.ToValidUTF8(reason, "\uFFFD"))
	}
	j.stop()
}

// disown refuses a module whose rules are another's, so that each rule has
// one result.
func (j *job) disown(reason string) {
	j.run.Declaration.Rules = nil
	j.end(abi.ModuleRefused, reason)
}

// stop ends the child, if there is one.
func (j *job) stop() {
	if j.child != nil {
		j.child.close()
		j.child = nil
	}
}

func (j *job) close() {
	j.stop()
	if j.files != nil {
		j.files.close()
		j.files = nil
	}
}

// start brings up a child that has the module compiled.
func (j *job) start(ctx context.Context) bool {
	if j.files == nil {
		f, err := newFiles(j.o.TempDir, j.m.Wasm)
		if err != nil {
			j.end(abi.ModuleUnavailable, err.Error())
			return false
		}
		j.files = f
	}
	child, err := startSession(ctx, j.o, j.files, j.setup())
	if err != nil {
		j.end(abi.ModuleUnavailable, err.Error())
		return false
	}
	j.child = child
	return j.phase(ctx, command{Verb: verbPrepare}, j.o.DescribeTimeout, &capture{})
}

func (j *job) setup() setup {
	return setup{
		ModuleSize: int64(len(j.m.Wasm)),
		MemoryMiB:  j.o.MemoryMiB,
		Clock:      j.o.CaptureTime.UnixNano(),
		Seed:       seed(j.o.BundleID, j.run.Result.Digest),
		CPUSeconds: cpuSeconds(j.o),
	}
}

// cpuSeconds is well above what the wall clock allows; it bounds a child that
// has outlived its parent.
func cpuSeconds(o Options) uint64 {
	return 2*uint64((2*o.DescribeTimeout+o.AnalyzeTimeout)/time.Second) + 10
}

// phase runs one command of the child and says whether it went well.
func (j *job) phase(ctx context.Context, c command, timeout time.Duration, out *capture) bool {
	start := time.Now()
	end := j.child.phase(ctx, c, timeout, out, &j.log)
	j.millis += time.Since(start)
	if end.Status != abi.ModuleOK {
		j.end(end.Status, end.Reason)
	}
	return end.Status == abi.ModuleOK
}

func (j *job) describe(ctx context.Context) {
	if !j.start(ctx) {
		return
	}
	out := &capture{keep: maxDescribe, limit: maxDescribe}
	if !j.phase(ctx, command{Verb: abi.VerbDescribe, MemoryMiB: j.o.MemoryMiB}, j.o.DescribeTimeout, out) {
		return
	}
	d, err := parseDeclaration(out.kept)
	if err != nil {
		j.end(abi.ModuleRefused, "describe: "+err.Error())
		return
	}
	if j.m.Admit != nil {
		if err := j.m.Admit(d); err != nil {
			j.end(abi.ModuleRefused, err.Error())
			return
		}
	}
	j.run.Declaration = d
	j.run.Result.Name, j.run.Result.Version = d.Name, d.Version
}

func parseDeclaration(text []byte) (abi.Declaration, error) {
	var d abi.Declaration
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
	if err := input.Validate(d); err != nil {
		return abi.Declaration{}, err
	}
	return d, nil
}

func (j *job) analyze(ctx context.Context) {
	if j.child == nil && !j.start(ctx) {
		return
	}
	memory := j.o.MemoryMiB
	if asked := j.run.Declaration.Limits.MemoryMiB; asked > 0 {
		memory = min(memory, asked)
	}
	out := &capture{keep: maxStdout, limit: maxStdout}
	whole := j.phase(ctx, command{Verb: abi.VerbAnalyze, Name: j.run.Declaration.Name, MemoryMiB: memory, Files: j.spooled}, j.o.AnalyzeTimeout, out)
	j.stop()
	j.read(ctx, out.kept, whole)
	j.close()
}

// read checks what analyze printed. Of a module that was cut off the last,
// unfinished line does not count.
func (j *job) read(ctx context.Context, text []byte, whole bool) {
	if !whole {
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	out, err := parseOutput(j.run.Declaration, text)
	cited := citations{ctx: ctx, bundle: j.o.Bundle, inputs: j.inputs}
	found, cerr := cited.resolve(out.findings)
	j.run.Findings = found
	if cerr != nil && (err == nil || cerr.line < err.line) {
		err = cerr
	}
	if err != nil {
		j.end(abi.ModuleFailed, fmt.Sprintf("line %d of its output: %s; what came before it is kept", err.line, err.why))
	}
	if !j.ended() {
		j.end(abi.ModuleOK, "")
	}
	j.run.Outcomes = outcomes(j.run.Declaration, found, out.outcomes, j.run.Result)
}

// finish returns the run. A module that was refused has no rules to speak of.
func (j *job) finish() abi.ModuleRun {
	if j.run.Outcomes == nil {
		j.run.Outcomes = outcomes(j.run.Declaration, nil, nil, j.run.Result)
	}
	j.run.Result = j.result()
	return j.run
}

func (j *job) result() abi.ModuleResult {
	r := j.run.Result
	if r.Status == "" {
		r.Status = abi.ModuleOK
	}
	r.Log = input.Clean(strings.ToValidUTF8(string(j.log.kept), "\uFFFD"))
	r.Millis = j.millis.Milliseconds()
	return r
}

// capture keeps the first bytes of a stream and counts them all.
type capture struct {
	kept  []byte
	keep  int
	limit int // more than that ends the module
	total int
}

// add says whether the stream is still within its limit.
func (c *capture) add(p []byte) bool {
	c.total += len(p)
	if room := c.keep - len(c.kept); room > 0 {
		c.kept = append(c.kept, p[:min(room, len(p))]...)
	}
	return c.total <= c.limit
}
