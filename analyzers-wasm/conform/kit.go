package conform

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/sdk/abi"
)

// kit is one module on its way through the checks.
type kit struct {
	ctx     context.Context
	o       Options
	probe   *host.Probe
	d       abi.Declaration
	results []Result
}

// add tells one check; no failure is none.
func (k *kit) add(id string, level Level, says, failure string) {
	r := Result{ID: id, Level: level, Status: OK, Says: says}
	if failure != "" {
		r.Status, r.Detail = Failed, failure
	}
	k.results = append(k.results, r)
}

func (k *kit) skip(id string, level Level, says, why string) {
	k.results = append(k.results, Result{ID: id, Level: level, Status: Skipped, Says: says, Detail: why})
}

// describe checks what the module is and what it says of itself; false leaves
// nothing more to try.
func (k *kit) describe() bool {
	d, r := k.probe.Declaration()
	k.d = d
	k.structure(r)
	if r.Status != abi.ModuleOK {
		return false
	}
	first, one := k.probe.Run(k.ctx, abi.VerbDescribe, nil)
	second, two := k.probe.Run(k.ctx, abi.VerbDescribe, nil)
	failure := ""
	switch {
	case one.Status != abi.ModuleOK:
		failure = ended(one)
	case two.Status != abi.ModuleOK:
		failure = ended(two)
	case !bytes.Equal(first, second):
		failure = "two runs print different bytes: " + difference(first, second)
	}
	k.add("M7", Must, "describe prints the same bytes each time", failure)
	return failure == ""
}

// structure turns the host's one word on a module into the sentences that it
// may have broken. They are tried in this order, so that those before the
// broken one hold.
func (k *kit) structure(r abi.ModuleResult) {
	steps := []struct{ id, says, sign string }{
		{"M1", "it is a WebAssembly module of the core format", "not a WebAssembly|component|WebAssembly version|cut off or damaged"},
		{"M2", "it imports functions of wasi_snapshot_preview1 only", "imports "},
		{"M3", "it exports the function _start and its memory", "exports no"},
		{"D1", "describe prints one declaration that keeps to the ABI", "describe: "},
	}
	broken := len(steps)
	if r.Status != abi.ModuleOK {
		broken = -1
		for i, s := range steps {
			for sign := range strings.SplitSeq(s.sign, "|") {
				if broken < 0 && strings.Contains(r.Reason, sign) {
					broken = i
				}
			}
		}
	}
	for i, s := range steps {
		switch {
		case broken < 0 && s.id == "D1":
			k.add("M5", Must, "it keeps to the limits of the sandbox, and exits with 0", ended(r))
			k.skip(s.id, Must, s.says, "it did not get that far")
		case i == broken:
			k.add(s.id, Must, s.says, r.Reason)
		case i < broken || broken < 0:
			k.add(s.id, Must, s.says, "")
		default:
			k.skip(s.id, Must, s.says, "it did not get that far")
		}
	}
}

// analyze runs the module over files and checks what holds for every run.
// What it returns is nil if the run itself failed.
func (k *kit) analyze(over string, files map[string][]byte) ([]byte, string) {
	out, r := k.probe.Run(k.ctx, abi.VerbAnalyze, files)
	if r.Status != abi.ModuleOK {
		return nil, "over " + over + ": " + ended(r)
	}
	if _, err := host.CheckOutput(k.d, out); err != nil {
		return nil, "over " + over + ": " + err.Error()
	}
	return append([]byte{}, out...), ""
}

// ended tells how a run ended.
func ended(r abi.ModuleResult) string {
	s := r.Status + ": " + r.Reason
	if lines := strings.Split(strings.TrimSpace(r.Log), "\n"); lines[0] != "" {
		s += " (its log begins " + fmt.Sprintf("%q", lines[0]) + ")"
	}
	return s
}

// difference is the first line in which two outputs differ.
func difference(a, b []byte) string {
	as, bs := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(as), len(bs)) {
		if !bytes.Equal(as[i], bs[i]) {
			return fmt.Sprintf("line %d is %s, then %s", i+1, short(as[i]), short(bs[i]))
		}
	}
	return fmt.Sprintf("%d lines, then %d", len(as), len(bs))
}

func short(line []byte) string {
	const shown = 120
	if len(line) > shown {
		line = append(bytes.Clone(line[:shown]), "…"...)
	}
	return strings.ToValidUTF8(string(line), "\uFFFD")
}

// outcomes reads the outcomes that a module printed, in order.
func outcomes(printed []byte) []abi.Outcome {
	var all []abi.Outcome
	for line := range bytes.Lines(printed) {
		var o abi.Outcome
		if json.Unmarshal(line, &o) == nil && o.Outcome != "" {
			all = append(all, o)
		}
	}
	return all
}
