package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/casefile-io/casefile/bundle/registry"
	"github.com/casefile-io/casefile/bundle/registry/registrytest"
)

func TestMain(m *testing.M) {
	registrytest.Main()
	var err error
	if binDir, err = os.MkdirTemp("", "casefile-test-*"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(binDir) // a temporary folder
	os.Exit(code)
}

// startRegistry starts a registry in a process of its own, with the login
// USER:PASSWORD if one is given, and puts its address into $REGISTRY.
func startRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: registry [USER:PASSWORD]")
	}
	var o registrytest.Options
	if len(args) == 1 {
		o.User, o.Password, _ = strings.Cut(args[0], ":")
	}
	p, err := registrytest.Start(context.Background(), o)
	ts.Check(err)
	ts.Defer(func() { _ = p.Stop() }) // it has no state that matters
	ts.Setenv("REGISTRY", p.Host)
}

// TestPulledName: what a registry says of a bundle names nothing but a file in
// this folder.
func TestPulledName(t *testing.T) {
	ref, err := registry.Parse("oci://registry.example/support/bundles:t1")
	if err != nil {
		t.Fatal(err)
	}
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for top, want := range map[string]string{
		"casefile-prod-20261121T090000Z": "casefile-prod-20261121T090000Z.tar.zst",
		"":                               "bundles-0123456789ab.tar.zst", "../../etc/passwd": "bundles-0123456789ab.tar.zst",
		"casefile-a/../../b": "bundles-0123456789ab.tar.zst", "casefile-" + strings.Repeat("a", 200): "bundles-0123456789ab.tar.zst",
		"casefile-\x1b[2J": "bundles-0123456789ab.tar.zst",
	} {
		if got := pulledName(ref, &registry.Found{Digest: digest, Top: top}); got != want {
			t.Errorf("%q: %s, want %s", top, got, want)
		}
	}
	if got := pulledName(ref, &registry.Found{Digest: digest, Encrypted: true}); got != "bundles-0123456789ab.tar.zst.age" {
		t.Errorf("encrypted: %s", got)
	}
}
