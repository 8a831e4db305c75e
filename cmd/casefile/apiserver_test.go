package main

import (
	"bytes"
	"io/fs"
	"net/http/httptest"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/collector/cluster/serve"
	"github.com/casefile-io/casefile/samples/bundles"
)

// startAPIServer serves the objects of the demo's cluster at $APISERVER.
func startAPIServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: apiserver")
	}
	files, err := bundles.Demo()
	ts.Check(err)
	recorded, err := fs.ReadFile(files, "cluster.tar.zst")
	ts.Check(err)
	objects, err := bundle.OpenUnverified(bytes.NewReader(recorded), int64(len(recorded)))
	ts.Check(err)
	h, err := serve.New(objects)
	ts.Check(err)
	s := httptest.NewServer(h)
	ts.Defer(s.Close)
	ts.Setenv("APISERVER", s.URL)
}
