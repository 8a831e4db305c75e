// Package conform holds a module against the ABI: what sdk/ABI.md says that a
// module must and should do, tried one sentence after the other in the
// sandbox of package host. The ID of a result is the number of its sentence.
//
// A module is given inputs with nothing in them, inputs that are incomplete,
// and what the bundles of [Options] hold for it: as it is, with keys that no
// version knows, without one of the two forms of rows, and many times over.
package conform

import (
	"context"
	"io/fs"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
)

// Level is how binding a sentence of the ABI is.
type Level string

// The levels of RFC 2119 that a check has.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
)

// Status is what a check came to.
type Status string

// Statuses of a check.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped" // could not be tried; Detail says why
)

// Result is one check.
type Result struct {
	ID     string `json:"id"` // the number of the sentence in ABI.md, "M4"
	Level  Level  `json:"level"`
	Status Status `json:"status"`
	Says   string `json:"says"` // what was checked
	Detail string `json:"detail,omitempty"`
}

// Options say how to run the module, and over what beside empty inputs.
type Options struct {
	Host    host.Options
	Bundles []fs.FS // whose rows the module is given; paths without the top folder
}

// Check tries the module. It returns results in a fixed order; those behind a
// failure that leaves nothing to try are skipped.
func Check(ctx context.Context, wasm []byte, o Options) []Result {
	o.Host.CaptureTime = captureTime()
	p := host.NewProbe(ctx, host.Module{Name: "module", Wasm: wasm}, o.Host)
	defer p.Close()
	k := &kit{ctx: ctx, o: o, probe: p}
	if !k.describe() {
		return k.results
	}
	k.texts()
	k.empty()
	k.incomplete()
	k.bundles()
	return k.results
}

// Violated says whether the module fails where it must not.
func Violated(results []Result) bool {
	for _, r := range results {
		if r.Level == Must && r.Status == Failed {
			return true
		}
	}
	return false
}
