package host

import (
	"context"
	"os"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// parent is a process that runs a module without an end, to be killed.
func parent(child []string) {
	spin := spec{declare: declares("loop"), analyze: loop()}.bytes()
	runs := Run(context.Background(), []Module{{Name: "loop", Wasm: spin}}, Options{
		Exec: child, Bundle: testBundle(), AnalyzeTimeout: time.Hour})
	if runs[0].Result.Status != abi.ModuleOK {
		os.Exit(1)
	}
	os.Exit(0)
}
