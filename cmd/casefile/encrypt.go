package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/casefile-io/casefile/bundle/encrypt"
)

const maxIdentityBytes = 1 << 20

// encryptFlag is on verbs that write a bundle.
func encryptFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "encrypt-to", Usage: "encrypt with age for `RECIPIENT` (age1…), or for those in a file, one a line; may be repeated"}
}

// identityFlag is on verbs that read a bundle.
func identityFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "identity", Usage: "open an encrypted bundle with the age identity in `FILE`, may be repeated (default: your own)"}
}

// plainText is the bundle in f, decrypted as it is read when it is encrypted.
// A bundle that is not needs no identity, and none is loaded.
func plainText(c *cli.Context, f *os.File, size int64) (src io.ReaderAt, n int64, encrypted bool, err error) {
	if !encrypt.Encrypted(f) {
		return f, size, false, nil
	}
	ids, err := identities(c)
	if err != nil {
		return nil, 0, true, err
	}
	src, n, err = encrypt.Open(f, size, ids)
	return src, n, true, explainIdentity(err, c, ids)
}

// identities are those of --identity alone, or else the own one, if there is one.
func identities(c *cli.Context) (encrypt.Identities, error) {
	var all encrypt.Identities
	for _, name := range c.StringSlice("identity") {
		ids, err := identitiesIn(name)
		if err != nil {
			return nil, usagef("--identity %s: %v", name, err)
		}
		all = append(all, ids...)
	}
	if c.IsSet("identity") {
		return all, nil
	}
	name, err := ownIdentityFile()
	if err != nil || !exists(name) {
		return nil, nil //nolint:nilerr // without a config folder there is no own identity
	}
	ids, err := identitiesIn(name)
	if err != nil {
		return nil, fmt.Errorf("your own identity %s: %w", name, err)
	}
	return ids, nil
}

func identitiesIn(name string) (encrypt.Identities, error) {
	b, err := readCapped(name, maxIdentityBytes)
	if err != nil {
		return nil, err
	}
	return encrypt.ParseIdentities(b, prompt(name))
}

// prompt is the user at the terminal, or nobody.
func prompt(name string) encrypt.Prompt {
	return encrypt.Prompt{
		Say:      func(text string) { fmt.Fprintln(os.Stderr, oneLine(text)) },
		Password: func() ([]byte, error) { return password(fmt.Sprintf("Passphrase for %s: ", name)) },
		Terminal: term.IsTerminal(int(os.Stdin.Fd())),
	}
}

func explainIdentity(err error, c *cli.Context, ids encrypt.Identities) error {
	switch {
	case !errors.Is(err, encrypt.ErrNoIdentity):
		return err
	case c.IsSet("identity"):
		return fmt.Errorf("%w; was it encrypted for another key? give that one with --identity FILE", err)
	case len(ids) > 0:
		return fmt.Errorf("%w; your own identity is not among them: give --identity FILE", err)
	}
	return fmt.Errorf("%w; give the age identity that it was encrypted for: --identity FILE", err)
}

// recipients are those of --encrypt-to and the own one, so that whoever sends
// a bundle can read what was sent. It is nil without the flag.
func recipients(c *cli.Context) (encrypt.Recipients, error) {
	if !c.IsSet("encrypt-to") {
		return nil, nil
	}
	to, err := encrypt.ParseRecipients(c.StringSlice("encrypt-to"), prompt("--encrypt-to"))
	if err != nil {
		return nil, usagef("--encrypt-to: %v", err)
	}
	hybrid, err := to.PostQuantum()
	if err != nil {
		return nil, usagef("--encrypt-to: %v", err)
	}
	own, err := ownRecipient(hybrid)
	if err != nil {
		return nil, err
	}
	return to.With(own), nil
}

// encryptTo is w, or an encrypting writer onto it when --encrypt-to is given.
// What came encrypted does not become a plain file because a flag was left out.
func encryptTo(c *cli.Context, w io.Writer, cameEncrypted bool) (io.WriteCloser, error) {
	to, err := recipients(c)
	if err != nil {
		return nil, err
	}
	if to == nil && cameEncrypted {
		return nil, usagef("the bundle is encrypted, and age does not tell for whom: say with --encrypt-to who shall read the new one")
	}
	return encrypting(w, to)
}

// encrypting is w, encrypted for to unless that is nil. Its Close does not
// close w.
func encrypting(w io.Writer, to encrypt.Recipients) (io.WriteCloser, error) {
	if to == nil {
		return plainWriter{w}, nil
	}
	return encrypt.NewWriter(w, to)
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

func ownIdentityFile() (string, error) {
	dir, err := configDir()
	return filepath.Join(dir, "identity.age"), err
}

// ownRecipient is the public half of the own identity, which is made on first
// use. Where none can be kept the user is told, and only the others can read.
func ownRecipient(hybrid bool) (encrypt.Recipients, error) {
	name, err := ownIdentityFile()
	if err == nil && !exists(name) {
		err = makeOwnIdentity(name)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "No own age identity can be kept (%v): only the recipients you named will be able to read the bundle, not you.\n", err)
		return nil, nil
	}
	ids, err := identitiesIn(name)
	if err != nil {
		return nil, usagef("your own age identity %s: %v; move it away to have a new one made", name, err)
	}
	own := ids.Own(hybrid)
	if len(own) == 0 {
		return nil, usagef("your own age identity %s has no key of the sort of the recipients: add the output of casefile keygen --age%s to it, or move it away to have a new one made", name, map[bool]string{true: " --pq"}[hybrid])
	}
	return own, nil
}

// makeOwnIdentity makes one key of each sort, since they do not mix in a file.
func makeOwnIdentity(name string) error {
	text := []byte("# Your own keys in casefile: they open what you encrypted. Keep them, and keep them secret.\n")
	for _, hybrid := range []bool{false, true} {
		key, _, err := encrypt.GenerateIdentity(hybrid)
		if err != nil {
			return err
		}
		text = append(text, key...)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	err := writeNew(name, text, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil // another run was first
	}
	if err == nil {
		fmt.Fprintf(os.Stderr, "Made an age identity, %s. With it you can read the bundles that you encrypt for others; keep it secret.\n", name)
	}
	return err
}

// keygenAge makes a key pair to encrypt for.
func keygenAge(c *cli.Context) error {
	key, recipient, err := encrypt.GenerateIdentity(c.Bool("pq"))
	if err != nil {
		return err
	}
	prefix := c.String("o") + ".age"
	if err := writeKeyPair(prefix, key, prefix+".pub", []byte(recipient+"\n")); err != nil {
		return fmt.Errorf("%w; choose another -o PREFIX", err)
	}
	fmt.Println(recipient)
	fmt.Fprintf(os.Stderr, "%s opens what is encrypted for it: keep it secret.\n%s.pub is to hand out: collect --encrypt-to %[1]s.pub\n", prefix, prefix)
	return nil
}
