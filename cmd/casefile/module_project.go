package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
	"github.com/casefile-io/casefile/sdk/analyzertest/cases"
)

// laidOut is what a module would see of a case, and where its rows come from.
// Package analyzertest reads it, so that an author's go test runs over the very
// projection that the host makes.
type laidOut struct {
	Case   string                 `json:"case"`
	Files  map[string][]byte      `json:"files,omitempty"`
	Places []abi.ReportedEvidence `json:"places,omitempty"` // of row 1, 2, …
	Error  string                 `json:"error,omitempty"`
}

const maxDeclaration = 4 << 20

// projectCases prints one object a line for each case. What is wrong with a
// case stands in its line.
func projectCases(ctx context.Context, w io.Writer, declaration string, files []string) error {
	text, err := readDeclaration(declaration)
	if err != nil {
		return usagef("--project: %v", err)
	}
	var d abi.Declaration
	if err := json.Unmarshal(text, &d); err != nil {
		return usagef("--project: %v", err)
	}
	if err := input.Validate(d); err != nil {
		return fmt.Errorf("the declaration: %w", err)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, file := range files {
		l, err := layOut(ctx, d, file)
		if err != nil {
			l = laidOut{Error: err.Error()}
		}
		l.Case = file
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func readDeclaration(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, maxDeclaration)) //nolint:forbidigo // bounded by the LimitReader
	}
	return readCapped(name, maxDeclaration)
}

func layOut(ctx context.Context, d abi.Declaration, file string) (laidOut, error) {
	archive, err := readCapped(file, maxCaseBytes)
	if err != nil {
		return laidOut{}, err
	}
	one, err := cases.Parse(archive)
	if err != nil {
		return laidOut{}, err
	}
	config, err := configOf(one.Config)
	if err != nil {
		return laidOut{}, err
	}
	s := &memorySpool{}
	projections, err := input.Project(ctx, one.Bundle, []input.Request{{Inputs: d.Inputs, Spool: s}}, input.Limits{})
	if err != nil {
		return laidOut{}, err
	}
	p := projections[0]
	if err := p.Err(); err != nil {
		return laidOut{}, err
	}
	text, err := json.Marshal(config)
	if err != nil {
		return laidOut{}, err
	}
	l := laidOut{Files: map[string][]byte{"config.json": append(text, '\n')}}
	for _, f := range p.Files() {
		b := make([]byte, f.Size)
		if _, err := f.ReaderAt(s).ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
			return laidOut{}, err
		}
		l.Files[f.Path] = b
	}
	for at := int64(1); ; at++ {
		place, ok, err := p.Resolve(at)
		if err != nil || !ok {
			return l, err
		}
		l.Places = append(l.Places, place)
	}
}

// memorySpool is a projection's spool in memory.
type memorySpool struct{ bytes.Buffer }

// ReadAt reads what was written.
func (s *memorySpool) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(s.Bytes()).ReadAt(p, off)
}
