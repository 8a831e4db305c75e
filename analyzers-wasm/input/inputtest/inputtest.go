// Package inputtest lays out the inputs of a module for tests that run it
// without a sandbox.
package inputtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"testing/fstest"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

// spool is a projection's spool in memory.
type spool struct{ bytes.Buffer }

func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.Bytes()).ReadAt(p, off)
}

// Project lays out the inputs that d declares, of the files of a bundle, as
// the host does. It returns the files that the module sees, and what says
// where the row with a number came from.
func Project(bundle fs.FS, d abi.Declaration) (fs.FS, func(at int64) (abi.ReportedEvidence, error), error) {
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
		text := make([]byte, f.Size) // at most what the spool holds
		if _, err := io.ReadFull(io.NewSectionReader(f.ReaderAt(s), 0, f.Size), text); err != nil {
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
