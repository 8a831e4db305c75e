package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// A vendor's test needs nothing of this file: analyzertest.Run asks the
// casefile binary to lay the inputs out and to run the module. Here, in
// Casefile's own tree, that would be a binary that is not built yet.

// module builds the module as the README says, and gives a function that runs
// it.
func module(t *testing.T) func(verb string, files fs.FS) ([]byte, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postgres.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(text))
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	t.Cleanup(func() { r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	compiled, err := r.CompileModule(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	return func(verb string, files fs.FS) ([]byte, error) {
		var out, log bytes.Buffer
		c := wazero.NewModuleConfig().WithName("").WithArgs("postgres", verb).WithFS(files).WithStdout(&out).WithStderr(&log)
		mod, err := r.InstantiateModule(ctx, compiled, c)
		if exit, ok := err.(*sys.ExitError); ok && exit.ExitCode() == 0 { //nolint:errorlint // wazero returns it bare
			err = nil
		}
		if mod != nil {
			mod.Close(ctx)
		}
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, &log)
		}
		return out.Bytes(), err
	}
}
