// Command child is the sandbox's child alone, for tests that cannot be it
// themselves: the race detector needs more memory than a child may have.
package main

import (
	"os"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
)

func main() { os.Exit(host.Child(os.Stdin, os.Stdout)) }
