package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle"
)

const trustHelp = `The trust folder holds the public keys whose bundles you accept without --key.
Names show up in verify. A key only gets here by your hand:

   casefile trust add customer.pub
   casefile trust add --from bundle.tar.zst --name customer --fingerprint SHA256:…

The second takes the key out of a bundle. What a bundle says of itself proves nothing:
have its sender read the fingerprint to you on another way than the bundle came.`

func trustCommand() *cli.Command {
	return &cli.Command{
		Name:            "trust",
		Usage:           "whose bundles to accept",
		Description:     trustHelp,
		HideHelpCommand: true,
		Action:          noSubVerb,
		Subcommands: []*cli.Command{
			{Name: "add", Usage: "accept a public key, from a file, from stdin (-) or out of a bundle", ArgsUsage: "FILE.pub|-",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "name", Usage: "call it `NAME` (default: that of the file)"},
					&cli.StringFlag{Name: "from", Usage: "take the key that `BUNDLE` names as its signer's"},
					identityFlag(),
					&cli.StringFlag{Name: "fingerprint", Usage: "only if the key has this `FINGERPRINT`"},
				},
				Action: trustAdd},
			{Name: "list", Usage: "list fingerprints and names", ArgsUsage: " ", Action: trustList},
			{Name: "remove", Usage: "accept a key no longer", ArgsUsage: "NAME|FINGERPRINT", Action: trustRemove},
		},
	}
}

// trusted is a key in a trust folder: NAME.pub.
type trusted struct {
	name, file, fingerprint string
}

// trustFolder is the user's own.
func trustFolder() (string, error) {
	dir, err := configDir()
	if err != nil {
		return "", fmt.Errorf("no config folder for trusted keys: %w", err)
	}
	return filepath.Join(dir, "trust"), nil
}

// readTrust lists the keys of a trust folder, which may be missing.
func readTrust(dir string) ([]trusted, error) {
	files, err := publicKeys(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []trusted
	for _, file := range files {
		b, err := readCapped(file, maxKeyBytes)
		if err != nil {
			return nil, err
		}
		id, err := bundle.FingerprintPEM(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; remove the file or put the right one there", file, err)
		}
		list = append(list, trusted{strings.TrimSuffix(filepath.Base(file), ".pub"), file, id})
	}
	return list, nil
}

// trustedNames gives the names of the keys that c trusts, by fingerprint.
func trustedNames(c *cli.Context) (map[string]string, error) {
	dir, err := c.String("trust"), error(nil)
	switch {
	case c.IsSet("key"):
		return nil, nil
	case dir == "":
		if dir, err = trustFolder(); err != nil {
			return nil, nil //nolint:nilerr // without a config folder nobody has a name
		}
	}
	list, err := readTrust(dir)
	names := map[string]string{}
	for _, t := range list {
		names[t.fingerprint] = t.name
	}
	return names, err
}

func trustAdd(c *cli.Context) error {
	key, name, err := keyToTrust(c)
	if err != nil {
		return err
	}
	id, err := bundle.FingerprintPEM(key)
	if err != nil {
		return usagef("%v; want the .pub file of casefile keygen or cosign", err)
	}
	if want := c.String("fingerprint"); c.IsSet("fingerprint") && want != id {
		return &exitError{exitForged, fmt.Errorf("not added: the key has the fingerprint %s, not %s: ask its owner again, on another way", id, oneLine(want))}
	}
	if c.IsSet("from") && !c.IsSet("fingerprint") {
		fmt.Println(id)
		return usagef("not added: have the sender read this fingerprint to you on another way than the bundle came, then add --fingerprint %s", id)
	}
	if err := checkTrustName(name); err != nil {
		return err
	}
	dir, err := trustFolder()
	if err != nil {
		return err
	}
	list, err := readTrust(dir)
	if err != nil {
		return err
	}
	for _, t := range list {
		if t.fingerprint == id {
			return fmt.Errorf("%s is trusted already, as %s", id, t.name)
		}
		if strings.EqualFold(t.name, name) {
			return fmt.Errorf("%s is the name of another key, %s: choose another --name, or casefile trust remove %s first", t.name, t.fingerprint, t.name)
		}
	}
	if err := writeTrusted(dir, name, key); err != nil {
		return fmt.Errorf("cannot add to the trust folder: %w", err)
	}
	fmt.Printf("%s  %s\n", id, name)
	return nil
}

// keyToTrust gives the PEM public key that trust add was called for, and what
// to call it.
func keyToTrust(c *cli.Context) (key []byte, name string, err error) {
	name = c.String("name")
	switch {
	case c.IsSet("from") && c.NArg() > 0, !c.IsSet("from") && c.NArg() != 1:
		return nil, "", usagef("trust add needs one public key: casefile trust add FILE.pub, or - for stdin, or --from BUNDLE")
	case c.IsSet("from"):
		key, err = keyOf(c, c.String("from"))
		return key, name, err
	case c.Args().First() == "-":
		key, err = io.ReadAll(io.LimitReader(os.Stdin, maxKeyBytes)) //nolint:forbidigo // bounded by the LimitReader
		return key, name, err
	}
	file := c.Args().First()
	if !c.IsSet("name") {
		name = strings.TrimSuffix(filepath.Base(file), ".pub")
	}
	if key, err = readCapped(file, maxKeyBytes); err != nil {
		return nil, "", usagef("public key: %v", err)
	}
	return key, name, nil
}

// keyOf is the public key that a bundle names as its signer's, which proves
// nothing.
func keyOf(c *cli.Context, file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	src, size, _, err := plainText(c, f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r, err := bundle.OpenUnverified(src, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s := r.Manifest().Signer
	if s == nil {
		return nil, fmt.Errorf("%s: %w: there is no key in it", file, bundle.ErrUnsigned)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: s.PublicKey}), nil
}

var trustName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@+_-]*(\.[A-Za-z0-9@+_-]+)*$`)

func checkTrustName(name string) error {
	switch {
	case name == "":
		return usagef("say what to call the key: --name NAME")
	case len(name) > 64 || !trustName.MatchString(name):
		return usagef("--name %q: want at most 64 letters, digits and . _ - + @, beginning with a letter or digit", name)
	}
	return nil
}

// writeTrusted puts NAME.pub there at once or not at all.
func writeTrusted(dir, name string, key []byte) error {
	block, _ := pem.Decode(key)
	if block == nil {
		return errors.New("no PEM block")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())                                                     //nolint:errcheck // it is gone once it has its name
	clean := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}) // without what stood around it
	_, err = f.Write(clean)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name+".pub"))
}

func trustList(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("trust list takes no arguments")
	}
	dir, err := trustFolder()
	if err != nil {
		return err
	}
	list, err := readTrust(dir)
	if err != nil {
		return err
	}
	for _, t := range list {
		fmt.Printf("%s  %s\n", t.fingerprint, oneLine(t.name))
	}
	if own, err := readCapped(filepath.Join(filepath.Dir(dir), "identity.pub"), maxKeyBytes); err == nil {
		id, err := bundle.FingerprintPEM(own)
		if err != nil {
			return fmt.Errorf("your own identity: %w", err)
		}
		fmt.Printf("%s  (your own identity)\n", id)
	}
	return nil
}

func trustRemove(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("trust remove needs a name or a fingerprint; casefile trust list shows them")
	}
	dir, err := trustFolder()
	if err != nil {
		return err
	}
	list, err := readTrust(dir)
	if err != nil {
		return err
	}
	for _, t := range list {
		if what := c.Args().First(); what == t.name || what == t.fingerprint {
			if err := os.Remove(t.file); err != nil {
				return err
			}
			fmt.Printf("%s  %s\n", t.fingerprint, oneLine(t.name))
			return nil
		}
	}
	return fmt.Errorf("no key %q in the trust folder; casefile trust list shows what is there", c.Args().First())
}
