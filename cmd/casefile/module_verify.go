package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/sdk/abi"
)

const moduleVerifyHelp = `Checks who signed a module, over every byte of it. Exit status 0: a key that you trust did.
5: not signed, changed since, or signed by somebody else.

Whom you trust is, as for bundles, one --key, the keys of a --trust folder, or your own trust
folder. Where there is a module policy (see casefile module --help), and neither flag is
given, the policy decides instead: the module is asked, in the sandbox, what it ships, and
its signer must be allowed to.`

func moduleVerifyCommand() *cli.Command {
	return &cli.Command{Name: "verify", Usage: "check who signed a module", ArgsUsage: "FILE.wasm|oci://HOST/REPO:TAG", Description: moduleVerifyHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "key", Usage: "accept only the public key in `FILE`"},
			&cli.StringFlag{Name: "trust", Usage: "accept any public key in `DIR` (default: the trust folder beside your own identity)"},
			&cli.StringFlag{Name: "module-policy", Usage: "accept what the policy in `FILE` lets in"},
		}, registryFlags()...),
		Action: func(c *cli.Context) error {
			return withModule(c, func(m *moduleFile) error { return verifyModule(c, m) })
		}}
}

func verifyModule(c *cli.Context, m *moduleFile) error {
	t, err := verifyTrust(c)
	if err != nil {
		return err
	}
	s := t.check(m)
	if s.denied != nil {
		return notAuthentic(s)
	}
	if t.policy != nil {
		if err := describeAdmitted(c, t, s); err != nil {
			return err
		}
	}
	names, err := trustedNames(c)
	if err != nil {
		return err
	}
	_, own, err := trustedKeys(c)
	if err != nil {
		return err
	}
	fmt.Printf("OK  %s\n", oneLine(m.from))
	say := sayer(os.Stdout)
	say("signed by", "%s", party{s.signer, names[s.signer], own != "" && own == s.signer, true})
	say("digest", "sha256:%x", sha256.Sum256(m.wasm))
	if m.pinned != "" {
		say("reference", "%s", m.pinned)
	}
	if t.policy != nil {
		say("may ship", "%s", strings.Join(t.policy.grant(s.signer).Rules, ", "))
	}
	return nil
}

// verifyTrust is whom module verify trusts: always somebody, never all.
func verifyTrust(c *cli.Context) (*moduleTrust, error) {
	byKey := c.IsSet("key") || c.IsSet("trust")
	if byKey && c.IsSet("module-policy") {
		return nil, usagef("--module-policy does not go with --key or --trust")
	}
	if !byKey {
		p, err := modulePolicyOf(c)
		if err != nil {
			return nil, err
		}
		if p != nil {
			return p.trust(), nil
		}
	}
	keys, _, err := trustedKeys(c)
	return &moduleTrust{keys: keys, demand: "want it signed by a key you trust: compare the fingerprint with its author's, then give --key FILE.pub, or casefile trust add FILE.pub"}, err
}

// describeAdmitted asks the module what it is, if its signer may ship that.
func describeAdmitted(c *cli.Context, t *moduleTrust, s *signedModule) error {
	o, err := sandboxOptions()
	if err != nil {
		return err
	}
	_, result := host.Describe(c.Context, t.module(s), o)
	switch {
	case s.denied != nil:
		return notAuthentic(s)
	case result.Status != abi.ModuleOK:
		return fmt.Errorf("%s: %s: %s", s.from, result.Status, result.Reason)
	}
	return nil
}

// notAuthentic ends with 5 and says what to do.
func notAuthentic(s *signedModule) error {
	err := fmt.Errorf("%s: %w", s.from, s.denied)
	if errors.Is(s.denied, bundle.ErrSignature) {
		err = fmt.Errorf("%w; it or its signature was changed: get both again from whom you have them", err)
	}
	return &exitError{exitForged, err}
}
