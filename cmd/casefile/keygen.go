package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/casefile-io/casefile/bundle"
)

func keygenCommand() *cli.Command {
	return &cli.Command{
		Name:      "keygen",
		Usage:     "make a key pair that signs bundles, or one that they are encrypted for",
		ArgsUsage: " ",
		Description: `Writes PREFIX.key (ECDSA P-256, encrypted, the format of cosign) and PREFIX.pub.
The password comes from ` + passwordVariable + ` (may be empty) or is asked for.
Sign with collect --key PREFIX.key; give PREFIX.pub to whom shall check.

A key that is held elsewhere is named NAME://KEY: the program sigstore-kms-NAME signs with
it, and keygen --public-of NAME://KEY writes its PREFIX.pub.

With --age it writes PREFIX.age, an age identity that opens bundles, not encrypted, and
PREFIX.age.pub, the recipient to hand out, which it also prints. Encrypt with
collect --encrypt-to PREFIX.age.pub; read with --identity PREFIX.age.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "o", Value: "casefile", Usage: "write `PREFIX`.key and PREFIX.pub"},
			&cli.StringFlag{Name: "public-of", Usage: "make no key: only write the public half of `KEY`, a file or NAME://KEY"},
			&cli.BoolFlag{Name: "age", Usage: "a key to encrypt for: PREFIX.age and PREFIX.age.pub"},
			&cli.BoolFlag{Name: "pq", Usage: "with --age: one that also holds against quantum computers (ML-KEM-768 and X25519)"},
		},
		Action: keygen,
	}
}

func keygen(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("keygen takes no arguments; name the files with -o PREFIX")
	}
	switch {
	case c.IsSet("public-of") && (c.Bool("age") || c.Bool("pq")):
		return usagef("--public-of is about a key that signs: it does not go with --age")
	case c.IsSet("public-of"):
		return writePublic(c)
	case c.Bool("age"):
		return keygenAge(c)
	case c.Bool("pq"):
		return usagef("--pq goes with --age")
	}
	pass, err := newPassword()
	if err != nil {
		return err
	}
	private, public, err := bundle.GenerateKey(pass)
	if err != nil {
		return err
	}
	prefix := c.String("o")
	if err := writeKeyPair(prefix+".key", private, prefix+".pub", public); err != nil {
		return fmt.Errorf("%w; choose another -o PREFIX", err)
	}
	fingerprint, err := bundle.FingerprintPEM(public)
	if err != nil {
		return err
	}
	fmt.Printf("%s.key\n%s.pub\n", prefix, prefix)
	fmt.Fprintf(os.Stderr, "fingerprint %s\n", fingerprint)
	return nil
}

// writePublic writes the public half of a key that is there.
func writePublic(c *cli.Context) error {
	s, err := signerFrom(c.Context, c.String("public-of"))
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(s.Public())
	if err != nil {
		return err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	name := c.String("o") + ".pub"
	if err := writeNew(name, public, 0o644); err != nil {
		return fmt.Errorf("%w; choose another -o PREFIX", err)
	}
	fingerprint, err := bundle.FingerprintPEM(public)
	if err != nil {
		return err
	}
	fmt.Println(name)
	fmt.Fprintf(os.Stderr, "fingerprint %s\n", fingerprint)
	return nil
}

func newPassword() ([]byte, error) {
	if p, ok := os.LookupEnv(passwordVariable); ok {
		return []byte(p), nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil, usagef("no terminal to ask for a password on: set %s (empty for none)", passwordVariable)
	}
	first, err := password("Password for the new key (empty for none): ")
	if err != nil {
		return nil, err
	}
	again, err := password("Again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, usagef("the passwords differ")
	}
	return first, nil
}
