// Package input turns what a module declares that it reads into the files
// that it sees, and remembers where every row came from.
//
// [Validate] holds a declaration against the rules of the ABI. [Project] then
// reads a bundle (an fs.FS with paths without the top folder) once for all
// modules together and lays out, per module, one spool of virtual files:
//
//	in/NAME.ndjson   projected rows, one JSON object a line
//	in/NAME.index    whether the input is whole, and what it lacks ([abi.Index])
//	bundle/PATH      raw files of inputs of the kind "files"
//
// # Rows
//
// A row keeps the nesting of its source but only the declared fields, in the
// order of declaration. null, false, 0, "" and [] are left out like absent
// fields; an empty object at the end of a path stays, since its presence
// tells. An array keeps its length: an element of which nothing is left
// becomes {} (null if it was no object). What a path ends at is copied as it
// stands, so that big integers stay exact. A .json file is one row, of line 1.
//
// Rows are numbered by "_at" over all inputs of a module, from 1, and
// [Projection.Resolve] turns such a number back into a place in the bundle.
//
// # Completeness
//
// An input is complete when collection/results.ndjson names no failure below
// its paths and does name, or hold, something there: "listed and empty" is
// complete, "never asked for" is not. Caps and damaged lines make an input
// incomplete with the reason; nothing is dropped silently.
//
// # What is refused
//
// A line is one JSON object as RFC 8259 has it, all of it, whatever a module
// asks for: in UTF-8, nested up to 256 deep, up to [Limits].Line bytes. Of
// several members with one key the last counts. A line that is none costs
// itself alone. A where and a match are counted in steps, for a row and for an
// input; a row that is too much for its where is left out, and told of.
//
// # What is held
//
// A few blocks of 256 KiB for each hand, longer lines one at a time, and a few
// bytes for each row that was written: where it is from.
package input

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"sort"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Limits bound what a projection may take; a zero is its default.
type Limits struct {
	Line        int   // bytes of one line or .json file; 16 MiB
	Rows        int   // rows of one input; 5 million
	InputBytes  int64 // bytes of one input; 512 MiB
	ModuleBytes int64 // bytes of all inputs of a module; 1 GiB
	Files       int   // files of one input; 100,000
	Listed      int   // files of the bundle; 1 million

	Parallel int    // files, blocks and modules at a time; the number of CPUs, up to 16
	Steps    uint64 // of the where, or the match, of one input; 1,000 million
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.Line, 16<<20)
	def(&l.Rows, 5_000_000)
	def(&l.Files, 100_000)
	def(&l.Listed, 1_000_000)
	if l.Parallel <= 0 {
		l.Parallel = runtime.GOMAXPROCS(0)
	}
	l.Parallel = min(l.Parallel, maxHands)
	if l.Steps == 0 {
		l.Steps = 1_000_000_000
	}
	if l.InputBytes <= 0 {
		l.InputBytes = 512 << 20
	}
	if l.ModuleBytes <= 0 {
		l.ModuleBytes = 1 << 30
	}
	return l
}

// Spool takes the bytes of a module's virtual files, one after the other, and
// gives them back. An *os.File does.
type Spool interface {
	io.Writer
	io.ReaderAt
}

// Request is what one run of a module reads, already validated.
type Request struct {
	Inputs []abi.Input
	Spool  Spool

	// Node is whose run it is of a module of scope node: what it sees then is
	// what lies below nodes/<node>/, and captures that were taken there.
	Node string

	// Facts are what the modules of scope node told, by the name of the fact,
	// in the order of the rows.
	Facts map[string]Told
}

// Told is a fact as the nodes told it.
type Told struct {
	Rows    []FactRow
	Missing []abi.Missing // nodes whose module failed, and why
}

// FactRow is what a module said of one node. Place is the first evidence.
type FactRow struct {
	Node  string
	Value json.RawMessage
	Place abi.ReportedEvidence
}

// Project reads the bundle once and fills the spool of every request. It
// returns one projection per request; a spool that cannot be written costs
// only its own module ([Projection.Err]). The error is the bundle's or ctx's.
func Project(ctx context.Context, bundle fs.FS, reqs []Request, lim Limits) ([]*Projection, error) {
	lim = lim.withDefaults()
	files, err := list(ctx, bundle, lim.Listed)
	if err != nil {
		return nil, err
	}
	run := &run{ctx: ctx, fsys: bundle, lim: lim, files: files, results: readResults(bundle)}
	projections := make([]*Projection, len(reqs))
	for i, r := range reqs {
		projections[i] = newProjection(r, lim)
		for _, in := range r.Inputs {
			if err := run.add(projections[i], in); err != nil {
				projections[i].fail(err)
			}
		}
	}
	if err := run.sources(); err != nil {
		return nil, err
	}
	for _, step := range []func() error{run.counters, run.captures, run.factRows} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	for _, p := range projections {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p.finish(run)
	}
	return projections, nil
}

// list names every file of the bundle, sorted.
func list(ctx context.Context, bundle fs.FS, limit int) ([]string, error) {
	var files []string
	err := fs.WalkDir(bundle, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return ctx.Err()
		}
		if len(files) == limit {
			return fmt.Errorf("more than %d files", limit)
		}
		files = append(files, path)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the bundle: %w", err)
	}
	sort.Strings(files)
	return files, nil
}

// ErrUnsupported marks a declaration that is well formed but asks for what
// this host does not do.
var ErrUnsupported = errors.New("not supported by this host")
