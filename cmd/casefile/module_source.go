package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/registry"
)

// signatureSuffix is what the name of a module's signature adds to its own.
const signatureSuffix = ".sigstore.json"

// moduleFile is a module as it came, from a file or a registry.
type moduleFile struct {
	from      string // as the user named it
	name      string // what to call it until it has described itself
	wasm      []byte
	signature []byte // nil when there is none
	pinned    string // the reference by digest, of one from a registry
}

// readModule reads the module at from, FILE.wasm with FILE.wasm.sigstore.json
// beside it, or oci://HOST/REPO:TAG.
func readModule(c *cli.Context, from string) (*moduleFile, error) {
	if isReference(from) {
		return pullModule(c, from)
	}
	m := &moduleFile{from: from, name: strings.TrimSuffix(filepath.Base(from), ".wasm")}
	var err error
	if m.wasm, err = readCapped(from, host.MaxModule); err != nil {
		return nil, err
	}
	m.signature, err = readCapped(from+signatureSuffix, bundle.MaxBlobSignature)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // a signature that cannot be read is not the same as none
	}
	return m, nil
}

func isReference(from string) bool { return strings.HasPrefix(from, "oci://") }

func pullModule(c *cli.Context, from string) (*moduleFile, error) {
	ref, err := registry.Parse(from)
	if err != nil {
		return nil, usagef("%v", err)
	}
	status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
	defer status.done()
	o, err := registryOptions(c, status, "pull")
	if err != nil {
		return nil, err
	}
	m, digest, err := registry.PullModule(c.Context, ref, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, explainRegistry(err))
	}
	return &moduleFile{from: from, name: ref.Repository(), wasm: m.Wasm, signature: m.Signature, pinned: ref.At(digest)}, nil
}

// checkWasm says in words what is wrong with a file that is no module: the
// first mistake of those who build one. All else is for the sandbox to judge.
func checkWasm(m *moduleFile) error {
	magic, version := []byte("\x00asm"), []byte{1, 0, 0, 0}
	switch {
	case !bytes.HasPrefix(m.wasm, magic):
		return fmt.Errorf("%s: not WebAssembly: build it for WASI, such as GOOS=wasip1 GOARCH=wasm go build -o %s.wasm .", m.from, m.name)
	case len(m.wasm) < 8 || bytes.Equal(m.wasm[4:8], []byte{0x0d, 0, 1, 0}):
		return fmt.Errorf("%s: a component, not a module: build it for WASI preview 1 (wasm32-wasip1, wasip1), without a component step", m.from)
	case !bytes.Equal(m.wasm[4:8], version):
		return fmt.Errorf("%s: WebAssembly of version %d, not 1", m.from, m.wasm[4])
	}
	return nil
}

// withModule reads the only argument of a verb.
func withModule(c *cli.Context, f func(*moduleFile) error) error {
	if c.NArg() != 1 {
		return usagef("%s needs one module: casefile %[1]s FILE.wasm", verbOf(c))
	}
	m, err := readModule(c, c.Args().First())
	if err != nil {
		return err
	}
	if err := checkWasm(m); err != nil {
		return err
	}
	return f(m)
}
