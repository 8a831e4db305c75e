package main

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/bundle/registry"
	"github.com/casefile-io/casefile/sdk/abi"
)

const modulePushHelp = `Stores the module as an OCI artifact of the type ` + registry.ModuleArtifactType + `:
one layer application/wasm, and its signature (FILE.wasm` + signatureSuffix + `), if there is one, as the
second, so that mirrors copy both. Prints the reference by digest, by which the very same
bytes can be had for good. analyze --module takes such references.

Logins are those of docker login and podman login.`

const modulePullHelp = `Fetches a module and its signature into FILE.wasm and FILE.wasm` + signatureSuffix + `, for a site
without network. It does not check who signed: casefile module verify FILE.wasm does.`

func modulePushCommand() *cli.Command {
	return &cli.Command{Name: "push", Usage: "store a module in an OCI registry", ArgsUsage: "FILE.wasm oci://HOST/REPO:TAG", Description: modulePushHelp,
		Flags: registryFlags(), Action: modulePush}
}

func modulePullCommand() *cli.Command {
	return &cli.Command{Name: "pull", Usage: "fetch a module from an OCI registry", ArgsUsage: "oci://HOST/REPO[:TAG|@sha256:…]", Description: modulePullHelp,
		Flags: append(registryFlags(), &cli.StringFlag{Name: "o", Usage: "write the module to `FILE` (default: REPO.wasm)"}),
		Action: func(c *cli.Context) error {
			return withModule(c, func(m *moduleFile) error { return keepModule(c, m) })
		}}
}

func modulePush(c *cli.Context) error {
	if c.NArg() != 2 {
		return usagef("module push needs a module and a place for it: casefile module push FILE.wasm oci://HOST/REPO:TAG")
	}
	ref, err := registry.Parse(c.Args().Get(1))
	if err != nil {
		return usagef("module push: %v", err)
	}
	if !ref.Tagged() {
		return usagef("module push: say under which tag: %s:TAG", ref)
	}
	m, err := readModule(c, c.Args().First())
	if err != nil {
		return err
	}
	if err := checkWasm(m); err != nil {
		return err
	}
	sandbox, err := sandboxOptions()
	if err != nil {
		return err
	}
	d, result := host.Describe(c.Context, host.Module{Name: m.name, Wasm: m.wasm}, sandbox)
	if result.Status != abi.ModuleOK {
		return fmt.Errorf("%s: %s: %s; casefile module check says more", m.from, result.Status, result.Reason)
	}
	status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
	defer status.done()
	o, err := registryOptions(c, status, "push")
	if err != nil {
		return err
	}
	digest, err := registry.PushModule(c.Context, ref, registry.Module{Name: d.Name, Version: d.Version, Wasm: m.wasm, Signature: m.signature}, o)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, explainRegistry(err))
	}
	status.done()
	if m.signature == nil {
		fmt.Fprintln(os.Stderr, "It is not signed: casefile module sign it first, and push again, if others shall trust it.")
	}
	fmt.Println(ref.At(digest))
	return nil
}

// keepModule writes a module that was fetched, and its signature, anew.
func keepModule(c *cli.Context, m *moduleFile) error {
	if m.pinned == "" {
		return usagef("module pull needs a reference: casefile module pull oci://HOST/REPO:TAG")
	}
	name := c.String("o")
	if name == "" {
		name = m.name + ".wasm"
	}
	for _, file := range []string{name, name + signatureSuffix} {
		if _, err := os.Lstat(file); err == nil {
			return usagef("%s is there already: choose another name with -o, or move it away", file)
		}
	}
	if m.signature != nil {
		if err := writeNew(name+signatureSuffix, m.signature, 0o644); err != nil {
			return err
		}
	}
	if err := writeNew(name, m.wasm, 0o644); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, m.pinned)
	fmt.Println(name)
	return nil
}
