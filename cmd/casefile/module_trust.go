package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/analyzers-wasm/host"
	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/sdk/abi"
)

const policyName = "modules.json"

// moduleFlags are on every verb that runs modules of others.
func moduleFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "module-policy", Usage: "which key may ship which rules, as `FILE` says (default: " + policyName + " beside your identity, if it is there)"},
		&cli.StringFlag{Name: "module-key", Usage: "run only modules signed by the public key in `FILE`, whatever the policy says"},
	}, registryFlags()...)
}

// moduleTrust says whose modules may run: those of one key, those that a policy
// lets in, or all, with a word about those that nobody known has signed.
type moduleTrust struct {
	keys   bundle.Keyring
	policy *modulePolicy
	demand string // what is not signed by one of the keys may not run; says why, and how to go on
}

func moduleTrustOf(c *cli.Context) (*moduleTrust, error) {
	if c.IsSet("module-key") {
		if c.IsSet("module-policy") {
			return nil, usagef("give --module-key or --module-policy, not both")
		}
		v, err := verifierFrom(c.String("module-key"))
		return &moduleTrust{keys: bundle.Keyring{v}, demand: "--module-key wants it signed by that key"}, err
	}
	p, err := modulePolicyOf(c)
	if err != nil {
		return nil, err
	}
	if p != nil {
		return p.trust(), nil
	}
	keys, _, err := defaultKeys()
	return &moduleTrust{keys: keys}, err
}

// modulePolicyOf reads the policy of --module-policy, or that of the config
// folder; nil when there is none.
func modulePolicyOf(c *cli.Context) (*modulePolicy, error) {
	file := c.String("module-policy")
	if !c.IsSet("module-policy") {
		dir, err := configDir()
		if err != nil {
			return nil, nil //nolint:nilerr // without a config folder there is no policy in it
		}
		file = filepath.Join(dir, policyName)
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	var known []trusted
	if dir, err := trustFolder(); err == nil {
		if known, err = readTrust(dir); err != nil {
			return nil, err
		}
	}
	p, err := readModulePolicy(file, known)
	if err != nil {
		return nil, usagef("module policy: %v", err)
	}
	return p, nil
}

// signedModule is a module and what is known of its signer.
type signedModule struct {
	*moduleFile
	signer string // fingerprint; empty when nobody known has signed it
	denied error  // why it is not authentic, or may not be shipped by its signer
	note   string // for whom it runs all the same
}

// check holds the signature of m against t. It reads nothing of the module.
func (t *moduleTrust) check(m *moduleFile) *signedModule {
	s := &signedModule{moduleFile: m}
	if m.signature == nil {
		if t.demand != "" {
			s.denied = errors.New("it is not signed; " + t.demand)
		} else {
			s.note = fmt.Sprintf("%s is not signed: nobody vouches for it, only the sandbox holds it", m.from)
		}
		return s
	}
	by, err := bundle.CheckBlob(m.signature, m.wasm, t.keys)
	switch {
	case err == nil:
		s.signer = by
	case !errors.Is(err, bundle.ErrUnknownSigner):
		s.denied = err
	case t.demand != "":
		s.denied = fmt.Errorf("it says it is signed by %s; %s", by, t.demand)
	default:
		s.note = fmt.Sprintf("%s says it is signed by %s, whom you do not know: only the sandbox holds it", m.from, by)
	}
	return s
}

// trust lets in what p does.
func (p *modulePolicy) trust() *moduleTrust {
	return &moduleTrust{keys: p.ring, policy: p, demand: fmt.Sprintf("the module policy %s lets in modules of the keys that it names; add the key there, or give --module-key PUB once you trust it", p.file)}
}

// module is m for the sandbox. What the policy forbids is refused there, before
// it runs for anything but describe.
func (t *moduleTrust) module(s *signedModule) host.Module {
	m := host.Module{Name: s.name, Wasm: s.wasm, Signer: s.signer}
	if s.denied != nil {
		m.Refuse = s.denied.Error()
		return m
	}
	if t.policy == nil {
		return m
	}
	g := t.policy.grant(s.signer)
	m.MemoryMiB, m.Fuel = g.MemoryMiB, g.Fuel
	m.Admit = func(d abi.Declaration) error {
		s.denied = g.admit(d)
		return s.denied
	}
	return m
}

// outsideModules are the modules that a flag names, held against whose modules
// may run.
func outsideModules(c *cli.Context, flag string) (modules []host.Module, outside []*signedModule, err error) {
	var trust *moduleTrust
	for _, name := range c.StringSlice(flag) {
		if trust == nil {
			if trust, err = moduleTrustOf(c); err != nil {
				return nil, nil, err
			}
		}
		m, err := readModule(c, name)
		switch {
		case err != nil && isReference(name):
			return nil, nil, fmt.Errorf("--%s: %w", flag, err)
		case err != nil:
			return nil, nil, usagef("--%s: %v", flag, err)
		}
		s := trust.check(m)
		if s.note != "" {
			fmt.Fprintf(os.Stderr, "note: %s\n", oneLine(s.note))
		}
		modules, outside = append(modules, trust.module(s)), append(outside, s)
	}
	return modules, outside, nil
}
