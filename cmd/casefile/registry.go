package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/bundle/encrypt"
	"github.com/casefile-io/casefile/bundle/registry"
	"github.com/casefile-io/casefile/collector"
)

const pushHelp = `Stores the file as it is, as an OCI artifact of the type ` + registry.ArtifactType + `,
and the seal as a referrer to it. The file is checked first, every byte of it, as verify
does. Of an encrypted bundle only the file is stored, and it is not opened.

Prints the reference by digest, by which the very same file can be had for good. Logins are
those of docker login and podman login.`

const pullHelp = `Fetches what bundle push has stored, into FILE.partial, and checks it as verify does
before it gets its name. With --unverified only size and digest are checked; so it is for an
encrypted bundle that is to be opened elsewhere.`

func pushCommand() *cli.Command {
	return &cli.Command{Name: "push", Usage: "store it in an OCI registry", ArgsUsage: "FILE oci://HOST/REPO:TAG", Description: pushHelp,
		Flags: append(registryFlags(), readFlags()...), Action: bundlePush}
}

func pullCommand() *cli.Command {
	return &cli.Command{Name: "pull", Usage: "fetch one from an OCI registry", ArgsUsage: "oci://HOST/REPO[:TAG|@sha256:…]", Description: pullHelp,
		Flags: append(append(registryFlags(), &cli.StringFlag{Name: "o", Usage: "write the bundle to `FILE` (default: its own name)"}), readFlags()...), Action: bundlePull}
}

func registryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "plain-http", Usage: "speak to the registry without TLS (to this machine always allowed)"},
		&cli.StringFlag{Name: "ca", Usage: "also trust the authorities in the PEM `FILE`"},
	}
}

// registryOptions are those of the flags; phase names the transfer on the
// status line.
func registryOptions(c *cli.Context, status *statusLine, phase string) (registry.Options, error) {
	o := registry.Options{PlainHTTP: c.Bool("plain-http"), UserAgent: "casefile/" + version}
	o.Progress = func(done, total int64) {
		status.progress(collector.Progress{Phase: phase, Bytes: done, Note: "of " + byteSize(total)})
	}
	if c.IsSet("ca") {
		b, err := readCapped(c.String("ca"), maxIdentityBytes)
		if err != nil {
			return o, usagef("--ca: %v", err)
		}
		o.CA = b
	}
	return o, nil
}

func bundlePush(c *cli.Context) error {
	if c.NArg() != 2 {
		return usagef("bundle push needs a bundle and a place for it: casefile bundle push FILE oci://HOST/REPO:TAG")
	}
	ref, err := registry.Parse(c.Args().Get(1))
	if err != nil {
		return usagef("bundle push: %v", err)
	}
	if !ref.Tagged() {
		return usagef("bundle push: say under which tag: %s:TAG", ref)
	}
	status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
	defer status.done()
	o, err := registryOptions(c, status, "push")
	if err != nil {
		return err
	}
	f, err := os.Open(c.Args().First())
	if err != nil {
		return err
	}
	defer f.Close()
	a, err := artifactOf(c, f, status)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), explainOpen(err))
	}
	digest, err := registry.Push(c.Context, ref, a, o)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, explainRegistry(err))
	}
	status.done()
	if a.Encrypted {
		fmt.Fprintln(os.Stderr, "It is encrypted: nothing about it is stored beside it, and it was not checked.")
	}
	fmt.Println(ref.At(digest))
	return nil
}

// artifactOf is what is stored of f, once every byte of it was checked.
func artifactOf(c *cli.Context, f *os.File, status *statusLine) (registry.Artifact, error) {
	info, err := f.Stat()
	if err != nil {
		return registry.Artifact{}, err
	}
	a := registry.Artifact{File: f, Size: info.Size(), Encrypted: encrypt.Encrypted(f)}
	if a.Encrypted {
		return a, nil
	}
	b, err := openFile(c, f)
	if err != nil {
		return a, err
	}
	if err := checkAll(c, b, status); err != nil {
		return a, err
	}
	m := b.Manifest()
	a.ID, a.Top, a.Created = m.ID, m.Top, m.Created
	a.Manifest, a.Signature = b.Seal()
	return a, nil
}

func checkAll(c *cli.Context, b *opened, status *statusLine) error {
	return b.Verify(c.Context, func(done, total int64) {
		status.progress(collector.Progress{Phase: "verify", Bytes: done, Note: "of " + byteSize(total)})
	})
}

func bundlePull(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("bundle pull needs one reference: casefile bundle pull oci://HOST/REPO:TAG")
	}
	ref, err := registry.Parse(c.Args().First())
	if err != nil {
		return usagef("bundle pull: %v", err)
	}
	status := newStatusLine(os.Stderr, isTerminal(os.Stderr))
	defer status.done()
	o, err := registryOptions(c, status, "pull")
	if err != nil {
		return err
	}
	found, err := registry.Find(c.Context, ref, o)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, explainRegistry(err))
	}
	name := c.String("o")
	if name == "" {
		name = pulledName(ref, found)
	}
	out, err := createPulled(name)
	if err != nil {
		return err
	}
	if err := fetchInto(c, found, out, status); err != nil {
		out.Close()
		_ = os.Remove(out.Name()) // the error to report is the one that led here
		return fmt.Errorf("%s: %w", ref, err)
	}
	if err := keepPulled(out, name); err != nil {
		return err
	}
	status.done()
	fmt.Fprintln(os.Stderr, ref.At(found.Digest))
	fmt.Println(name)
	return nil
}

// fetchInto fills out, and checks what came unless that is declined.
func fetchInto(c *cli.Context, found *registry.Found, out *os.File, status *statusLine) error {
	if err := found.Fetch(c.Context, out); err != nil {
		return explainRegistry(err)
	}
	if c.Bool("unverified") && found.Encrypted {
		return nil
	}
	b, err := openFile(c, out)
	if err != nil {
		return fmt.Errorf("not kept, since it cannot be verified: %w", explainOpen(err))
	}
	if err := checkAll(c, b, status); err != nil {
		return fmt.Errorf("not kept: %w", err)
	}
	return nil
}

var safeTop = regexp.MustCompile(`^casefile-[a-z0-9][a-zA-Z0-9.-]*$`)

// pulledName is the name for a file that the user gave none. What the registry
// says about it is not trusted with more than that.
func pulledName(ref registry.Reference, f *registry.Found) string {
	name := f.Top
	if len(name) > 128 || !safeTop.MatchString(name) {
		name = ref.Repository() + "-" + strings.TrimPrefix(f.Digest, "sha256:")[:12]
	}
	name += ".tar.zst"
	if f.Encrypted {
		name += ".age"
	}
	return name
}

// createPulled makes NAME.partial, to be written and then read.
func createPulled(name string) (*os.File, error) {
	if _, err := os.Lstat(name); err == nil {
		return nil, usagef("%s is there already: choose another name with -o, or move it away", name)
	}
	f, err := os.OpenFile(name+".partial", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, usagef("%s.partial is there already, from a run that is going on or was killed: remove it, or choose another -o", name)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write the bundle: %w; choose a place with -o FILE", err)
	}
	return f, nil
}

func keepPulled(f *os.File, name string) error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%w; what was fetched is in %s", err, f.Name())
	}
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("%s came up meanwhile; the bundle is in %s", name, filepath.Base(f.Name()))
	}
	return os.Rename(f.Name(), name)
}

// explainRegistry adds what to do next.
func explainRegistry(err error) error {
	switch {
	case errors.Is(err, registry.ErrDenied):
		return fmt.Errorf("%w; log in with docker login or podman login", err)
	case errors.Is(err, registry.ErrPlainHTTP):
		return fmt.Errorf("%w; allow it with --plain-http if the network between is yours", err)
	case errors.Is(err, registry.ErrCorrupt):
		return &exitError{exitForged, err}
	}
	return err
}
