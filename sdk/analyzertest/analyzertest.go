// Package analyzertest runs the cases of an analyzer's rules under go test.
//
//	func TestCases(t *testing.T) { analyzertest.Run(t, analyzer(), "testdata/*.txtar") }
//
// Package cases tells how a case is written. [Run] asks the casefile binary
// ($CASEFILE, or casefile on PATH) to lay out the inputs as a host does, runs
// the rules as plain Go and, if the test's folder is a main package, builds
// the WebAssembly module and has casefile run it: both must give what the case
// wants, to the byte. Without a casefile binary the test is skipped, and with
// CASEFILE_STRICT=1 it fails.
//
// With -update, or ANALYZERTEST_UPDATE=1, what came out is written into the
// cases: read the difference before you commit it.
package analyzertest

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
	"github.com/casefile-io/casefile/sdk/analyzertest/cases"
)

var update = flag.Bool("update", false, "write what came out into the analyzer's cases") //nolint:gochecknoglobals // go test knows flags by such variables only

// Projector lays out what a module declares, as the host does: the files in/…
// and bundle/…, and a function that turns a row's number into its place.
type Projector func(bundle fs.FS, d abi.Declaration) (files fs.FS, resolve func(at int64) (abi.ReportedEvidence, error), err error)

// Runner analyses what was laid out and returns what the module printed.
type Runner func(files fs.FS) ([]byte, error)

// Native runs the analyzer as the plain Go that it is.
func Native(a sdk.Analyzer) Runner {
	return func(files fs.FS) ([]byte, error) {
		var out, log bytes.Buffer
		if err := a.Analyze(files, &out, &log); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, &log)
		}
		return out.Bytes(), nil
	}
}

// RunWith runs every case that the pattern of filepath.Glob names, natively,
// over what project lays out.
func RunWith(t *testing.T, a sdk.Analyzer, project Projector, pattern string) {
	t.Helper()
	for _, path := range match(t, pattern) {
		t.Run(name(path), func(t *testing.T) {
			archive, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got, want, err := Check(a, project, Native(a), archive)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, path, archive, got, want)
		})
	}
}

func match(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no case matches %s (%v)", pattern, err)
	}
	return paths
}

func name(path string) string { return strings.TrimSuffix(filepath.Base(path), ".txtar") }

// compare fails unless got is what the case wants; with -update it writes the
// case anew.
func compare(t *testing.T, path string, archive []byte, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	if *update || os.Getenv("ANALYZERTEST_UPDATE") == "1" {
		c, err := cases.Parse(archive)
		if err == nil {
			err = os.WriteFile(path, c.Update(got), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s is written anew:\n%s", path, got)
		return
	}
	t.Errorf("got:\n%s\nwant:\n%s", got, want)
}

// Check runs one case and returns what came out and what the case wants, as
// text.
func Check(a sdk.Analyzer, project Projector, run Runner, archive []byte) (got, want string, err error) {
	c, err := cases.Parse(archive)
	if err != nil {
		return "", "", err
	}
	d, err := a.Declaration()
	if err != nil {
		return "", "", err
	}
	files, resolve, err := project(c.Bundle, d)
	if err != nil {
		return "", "", fmt.Errorf("project: %w", err)
	}
	if _, err := fs.Stat(files, "config.json"); err != nil {
		files = overlay{files, fstest.MapFS{"config.json": {Data: c.Config}}}
	}
	out, err := run(files)
	if err != nil {
		return "", "", err
	}
	result, err := cases.Run(d, out, resolve)
	if err != nil {
		return "", "", err
	}
	got, err = cases.Text(result)
	return got, c.Want, err
}

type overlay struct {
	fs.FS
	top fs.FS
}

func (o overlay) Open(name string) (fs.File, error) {
	if f, err := o.top.Open(name); err == nil {
		return f, nil
	}
	return o.FS.Open(name)
}
