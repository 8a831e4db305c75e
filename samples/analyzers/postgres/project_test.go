package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// A vendor's test needs nothing of this file: analyzertest.Run asks the
// casefile binary to lay the inputs out and to run the module. Here, in
// Casefile's own tree, that would be a binary that is not built yet.

// spool is a projection's spool in memory.
type spool struct{ bytes.Buffer }

func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.Bytes()).ReadAt(p, off)
}

// project lays out the module's inputs as the host does.
func project(bundle fs.FS, d abi.Declaration) (fs.FS, func(int64) (abi.ReportedEvidence, error), error) {
	if err := input.Validate(d); err != nil {
		return nil, nil, err
	}
	s := &spool{}
	projections, err := input.Project(context.Background(), bundle, []input.Request{{Inputs: d.Inputs, Spool: s}}, input.Limits{})
	if err != nil {
		return nil, nil, err
	}
	p := projections[0]
	if err := p.Err(); err != nil {
		return nil, nil, err
	}
	files := fstest.MapFS{}
	for _, f := range p.Files() {
		text, err := io.ReadAll(io.NewSectionReader(f.ReaderAt(s), 0, f.Size))
		if err != nil {
			return nil, nil, err
		}
		files[f.Path] = &fstest.MapFile{Data: text}
	}
	return files, func(at int64) (abi.ReportedEvidence, error) {
		e, ok, err := p.Resolve(at)
		if err == nil && !ok {
			err = fmt.Errorf("no row %d", at)
		}
		return e, err
	}, nil
}

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
