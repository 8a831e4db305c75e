package main

import (
	"fmt"
	"os"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
)

// sandboxVerb starts this binary as the killable child that runs one module.
// It stands outside the command line proper, since it is nobody's business.
const sandboxVerb = "sandbox-child"

func sandboxChild() int { return host.Child(os.Stdin, os.Stdout) }

func sandboxOptions() (host.Options, error) {
	self, err := os.Executable()
	if err != nil {
		return host.Options{}, fmt.Errorf("cannot find this program to start the sandbox with: %w", err)
	}
	return host.Options{Exec: []string{self, sandboxVerb}}, nil
}
