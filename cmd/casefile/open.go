package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
)

// readFlags are on every verb that reads a bundle.
func readFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "key", Usage: "accept only bundles signed by the public key in `FILE`"},
		&cli.StringFlag{Name: "trust", Usage: "accept bundles signed by any public key in `DIR` (default: the trust folder beside your own identity)"},
		&cli.BoolFlag{Name: "unverified", Usage: "read without checking the signature: trust nothing that you see"},
		identityFlag(),
	}
}

// opened is a bundle on disk.
type opened struct {
	*bundle.Reader
	file      *os.File
	verified  bool
	own       bool // signed by this user's own identity
	encrypted bool
}

// signer is the fingerprint of the key that sealed the bundle; it means
// something only when verified is set.
func (o *opened) signer() string {
	if s := o.Manifest().Signer; s != nil {
		return s.Fingerprint
	}
	return ""
}

// Close releases the file; it was only read, so there is nothing to lose.
func (o *opened) Close() { _ = o.file.Close() }

// openBundle opens the bundle at name as the flags of c say.
func openBundle(c *cli.Context, name string) (*opened, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	o, err := openFile(c, f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, explainOpen(err))
	}
	return o, nil
}

func openFile(c *cli.Context, f *os.File) (*opened, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", bundle.ErrNotBundle)
	}
	blind := c.Bool("unverified")
	if blind && (c.IsSet("key") || c.IsSet("trust")) {
		return nil, usagef("--unverified does not go with --key or --trust")
	}
	var keys bundle.Keyring
	var own string
	if !blind {
		if keys, own, err = trustedKeys(c); err != nil {
			return nil, err
		}
	}
	src, size, encrypted, err := plainText(c, f, info.Size())
	if err != nil {
		return nil, err
	}
	if blind {
		r, err := bundle.OpenUnverified(src, size)
		return &opened{Reader: r, file: f, encrypted: encrypted}, err
	}
	r, err := bundle.Open(src, size, keys)
	if err != nil {
		return nil, err
	}
	o := &opened{Reader: r, file: f, verified: true, encrypted: encrypted}
	o.own = own != "" && o.signer() == own
	return o, nil
}

// withBundle opens the only argument of a verb, and closes it after f.
func withBundle(c *cli.Context, f func(name string, b *opened) error) error {
	if c.NArg() != 1 {
		return usagef("%s needs one bundle: casefile %[1]s FILE", verbOf(c))
	}
	name := c.Args().First()
	b, err := openBundle(c, name)
	if err != nil {
		return err
	}
	defer b.Close()
	return f(name, b)
}

// trustedKeys gathers the public keys that count: that of --key alone, those
// in the folder of --trust alone, or by default those in the user's own trust
// folder and the user's own identity. A flag that is given but empty, as an
// unset variable makes it, is a mistake and never falls back to the default.
func trustedKeys(c *cli.Context) (keys bundle.Keyring, own string, err error) {
	switch {
	case c.IsSet("key") && c.IsSet("trust"):
		return nil, "", usagef("give --key or --trust, not both")
	case c.IsSet("key"):
		v, err := verifierFrom(c.String("key"))
		return bundle.Keyring{v}, "", err
	case c.IsSet("trust"):
		keys, err := keysIn(c.String("trust"))
		if err == nil && len(keys) == 0 {
			err = usagef("--trust %s: no *.pub files in it", c.String("trust"))
		}
		return keys, "", err
	}
	return defaultKeys()
}

// defaultKeys are those of the user's own trust folder and own identity.
func defaultKeys() (keys bundle.Keyring, own string, err error) {
	dir, err := configDir()
	if err != nil {
		return nil, "", nil //nolint:nilerr // without a config folder nobody is trusted by default
	}
	if folder := filepath.Join(dir, "trust"); exists(folder) {
		if keys, err = keysIn(folder); err != nil {
			return nil, "", err
		}
	}
	identity := filepath.Join(dir, "identity.pub")
	if !exists(identity) {
		return keys, "", nil // nobody has collected here yet
	}
	b, err := readCapped(identity, maxKeyBytes)
	if err != nil {
		return nil, "", fmt.Errorf("your own identity: %w", err)
	}
	v, err := bundle.LoadVerifier(b)
	if err != nil {
		return nil, "", fmt.Errorf("your own identity: %w", err)
	}
	own, err = bundle.FingerprintPEM(b)
	return append(keys, v), own, err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// keysIn loads every *.pub of a folder.
func keysIn(dir string) (bundle.Keyring, error) {
	files, err := publicKeys(dir)
	if err != nil {
		return nil, usagef("--trust: %v", err)
	}
	var keys bundle.Keyring
	for _, name := range files {
		v, err := verifierFrom(name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, v)
	}
	return keys, nil
}

func publicKeys(dir string) ([]string, error) {
	if _, err := os.ReadDir(dir); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.pub"))
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, ".age.pub") }) // recipients sign nothing
	sort.Strings(files)
	return files, err
}

func verifierFrom(name string) (bundle.Verifier, error) {
	b, err := readCapped(name, maxKeyBytes)
	if err != nil {
		return nil, usagef("public key: %v", err)
	}
	v, err := bundle.LoadVerifier(b)
	if err != nil {
		return nil, usagef("public key %s: %v; want the .pub file of casefile keygen or cosign", name, err)
	}
	return v, nil
}

// explainOpen adds what to do next.
func explainOpen(err error) error {
	switch {
	case errors.Is(err, bundle.ErrUnknownSigner):
		return fmt.Errorf("%w; compare that fingerprint with the sender's, then casefile trust add --from FILE --fingerprint SHA256:… --name NAME, or give --key FILE, or look at it with --unverified", err)
	case errors.Is(err, bundle.ErrUnsigned):
		return &exitError{exitForged, fmt.Errorf("%w; read it with --unverified if you know where it comes from", err)}
	case errors.Is(err, bundle.ErrTruncated):
		return fmt.Errorf("%w; was the download or upload cut short?", err)
	}
	return err
}
