package conform

import (
	"context"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/sdk/abi"
)

// kit is one module on its way through the checks.
type kit struct {
	ctx     context.Context
	o       Options
	module  host.Module
	d       abi.Declaration
	results []Result
}

func (k *kit) add(id string, level Level, says, failure string) {
	r := Result{ID: id, Level: level, Status: OK, Says: says}
	if failure != "" {
		r.Status, r.Detail = Failed, failure
	}
	k.results = append(k.results, r)
}

// describe checks what the module says of itself.
func (k *kit) describe() bool {
	d, r := host.Describe(k.ctx, k.module, k.o.Host)
	k.d = d
	failure := ""
	if r.Status != abi.ModuleOK {
		failure = r.Status + ": " + r.Reason
	}
	k.add("D1", Must, "describe prints a declaration that a host accepts", failure)
	return failure == ""
}
