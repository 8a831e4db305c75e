package main

import (
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
)

const moduleSignHelp = `Writes FILE.wasm` + signatureSuffix + `, a Sigstore bundle v0.3 over the bytes of the module, and prints
its name. Keep the two beside each other: analyze looks for it there. Without Casefile:

   cosign verify-blob --key KEY.pub --bundle FILE.wasm` + signatureSuffix + ` --insecure-ignore-tlog FILE.wasm

What cosign sign-blob --key --bundle writes is as good. The key is one of casefile keygen or
cosign, or NAME://KEY of a key management service.`

func moduleSignCommand() *cli.Command {
	return &cli.Command{Name: "sign", Usage: "sign a module", ArgsUsage: "FILE.wasm", Description: moduleSignHelp,
		Flags: []cli.Flag{&cli.StringFlag{Name: "key", Usage: "sign with the private key in `FILE` (default: your own identity)"}},
		Action: func(c *cli.Context) error {
			return withModule(c, func(m *moduleFile) error { return signModule(c, m) })
		}}
}

func signModule(c *cli.Context, m *moduleFile) error {
	if isReference(m.from) {
		return usagef("module sign wants a file: casefile module pull %s, sign, and push it again", m.from)
	}
	s, err := signerOf(c)
	if err != nil {
		return err
	}
	signature, err := bundle.SignBlob(s, m.wasm)
	if err != nil {
		return err
	}
	fingerprint, err := bundle.Fingerprint(s.Public())
	if err != nil {
		return err
	}
	name := m.from + signatureSuffix
	if err := os.WriteFile(name, signature, 0o644); err != nil { //nolint:gosec // a signature is public
		return err
	}
	fmt.Println(name)
	fmt.Fprintf(os.Stderr, "signed sha256:%x by %s\n", sha256.Sum256(m.wasm), fingerprint)
	return nil
}
