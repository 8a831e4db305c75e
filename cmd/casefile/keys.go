package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/kms"
)

// passwordVariable opens an encrypted key where there is no terminal.
const passwordVariable = "CASEFILE_KEY_PASSWORD"

const maxKeyBytes = 64 << 10

// configDir is the user's folder for Casefile's keys.
func configDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "casefile"), nil
}

// signerFrom loads the private key in file, or asks the key management service
// that NAME://KEY stands for.
func signerFrom(ctx context.Context, file string) (bundle.Signer, error) {
	if kms.IsReference(file) {
		s, err := kms.Load(ctx, file)
		if err != nil { // not s, which would be a nil *Signer in the interface
			return nil, err
		}
		return s, nil
	}
	b, err := readCapped(file, maxKeyBytes)
	if err != nil {
		return nil, fmt.Errorf("reading the signing key: %w", err)
	}
	s, err := bundle.LoadSigner(b, func() ([]byte, error) { return password(fmt.Sprintf("Password for %s: ", file)) })
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", file, err)
	}
	return s, nil
}

// identity is the signer that collect uses without --key: it is made on first
// use. created says that it is new.
func identity() (s bundle.Signer, public string, created bool, err error) {
	dir, err := configDir()
	if err != nil {
		return nil, "", false, usagef("no config folder for a signing identity (%v): give --key FILE (see casefile keygen) or --no-sign", err)
	}
	key := filepath.Join(dir, "identity.key")
	public = filepath.Join(dir, "identity.pub")
	if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
		if err := makeIdentity(dir, key, public); err != nil {
			return nil, "", false, usagef("cannot keep a signing identity in %s (%v): give --key FILE (see casefile keygen) or --no-sign", dir, err)
		}
		created = true
	}
	b, err := readCapped(key, maxKeyBytes)
	if err != nil {
		return nil, "", false, usagef("cannot read the signing identity %s (%v): give --key FILE or --no-sign", key, err)
	}
	s, err = bundle.LoadSigner(b, func() ([]byte, error) { return nil, nil })
	if err != nil {
		return nil, "", false, fmt.Errorf("signing identity %s: %w; move it away to have a new one made", key, err)
	}
	return s, public, created, nil
}

func makeIdentity(dir, key, public string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	private, pub, err := bundle.GenerateKey(nil)
	if err != nil {
		return err
	}
	return writeKeyPair(key, private, public, pub)
}

// writeKeyPair writes both files anew; neither may exist.
func writeKeyPair(key string, private []byte, public string, pub []byte) error {
	if err := writeNew(key, private, 0o600); err != nil {
		return err
	}
	if err := writeNew(public, pub, 0o644); err != nil {
		_ = os.Remove(key) // a private key without its public half is of no use
		return err
	}
	return nil
}

func writeNew(name string, b []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// password takes the password from the environment or asks on the terminal.
func password(prompt string) ([]byte, error) {
	if p, ok := os.LookupEnv(passwordVariable); ok {
		return []byte(p), nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil, fmt.Errorf("the key is encrypted and there is no terminal to ask on: set %s", passwordVariable)
	}
	fmt.Fprint(os.Stderr, prompt)
	p, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	return p, err
}

// readCapped reads a whole file that must not be larger than limit.
func readCapped(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1)) //nolint:forbidigo // bounded by the LimitReader
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, limit)
	}
	return b, nil
}

// signerOf is the signer that the flags ask for: nil with --no-sign.
func signerOf(c *cli.Context) (bundle.Signer, error) {
	if c.Bool("no-sign") {
		if c.IsSet("key") {
			return nil, usagef("give --key or --no-sign, not both")
		}
		return nil, nil
	}
	if c.IsSet("key") { // empty, as an unset variable makes it, is a mistake: no other key steps in
		return signerFrom(c.Context, c.String("key"))
	}
	s, public, created, err := identity()
	if err != nil || !created {
		return s, err
	}
	fingerprint, err := bundle.Fingerprint(s.Public())
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "Made a signing identity, %s. Whoever receives your bundles needs it once; paste this into the ticket:\n  casefile signer %s\n", public, fingerprint)
	return s, nil
}
