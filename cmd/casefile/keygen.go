package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/casefile-io/casefile/bundle"
)

func keygenCommand() *cli.Command {
	return &cli.Command{
		Name:      "keygen",
		Usage:     "make a key pair that signs bundles",
		ArgsUsage: " ",
		Description: `Writes PREFIX.key (ECDSA P-256, encrypted, the format of cosign) and PREFIX.pub.
The password comes from ` + passwordVariable + ` (may be empty) or is asked for.
Sign with collect --key PREFIX.key; give PREFIX.pub to whom shall check.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "o", Value: "casefile", Usage: "write `PREFIX`.key and PREFIX.pub"},
		},
		Action: keygen,
	}
}

func keygen(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("keygen takes no arguments; name the files with -o PREFIX")
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
