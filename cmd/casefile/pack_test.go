package main

import (
	"bytes"
	"io/fs"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/sdk/analyzertest/cases"
)

// pack CASE.txtar FILE makes a bundle, unsigned, of what a test case of an
// analyzer holds: through the real writer, and so through redaction.
func pack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pack CASE.txtar FILE")
	}
	archive, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	c, err := cases.Parse(archive)
	ts.Check(err)
	policy, err := redact.ParsePolicy("standard")
	ts.Check(err)
	redactor, err := redact.New(policy, redact.Options{Payload: redact.PayloadFull})
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	at := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	w, err := bundle.NewWriter(f, bundle.Options{Top: "casefile-test-20261128T090000Z", Time: at, Redactor: redactor})
	ts.Check(err)
	ts.Check(fs.WalkDir(c.Bundle, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		_, err = w.Put(path, bundle.ClassCluster, bytes.NewReader(c.Bundle[path].Data))
		return err
	}))
	_, err = w.Close(bundle.Info{Producer: "casefile test", Completeness: &bundle.Completeness{Complete: true}, Redaction: &bundle.Redaction{Policy: "standard"}}, nil)
	ts.Check(err)
	ts.Check(f.Close())
}
