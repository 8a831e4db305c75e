package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/sdk/abi"
)

// modulePolicy says which keys may ship which rules. It is one JSON object:
//
//	{"version": 1, "keys": [
//	  {"name": "acme", "key": "acme.pub", "rules": ["postgres/*"], "modules": ["acme-postgres"], "memoryMiB": 256}
//	]}
//
// A key is the name of a file (looked for beside the policy), the PEM itself,
// or, by its fingerprint alone, one of the trust folder. Where there is a
// policy, a module that it does not let in is not run.
type modulePolicy struct {
	Version int           `json:"version"`
	Keys    []moduleGrant `json:"keys"`

	file string
	ring bundle.Keyring
}

// moduleGrant is what the holder of one key may ship.
type moduleGrant struct {
	Name        string   `json:"name,omitempty"` // what to call the holder
	Key         string   `json:"key,omitempty"`
	Fingerprint string   `json:"fingerprint,omitempty"`
	Rules       []string `json:"rules"`               // topic/name, topic/* or *; facts too
	Modules     []string `json:"modules,omitempty"`   // names; all when empty
	MemoryMiB   int      `json:"memoryMiB,omitempty"` // at most for each of them
	Fuel        int64    `json:"fuel,omitempty"`      // at most for each of them
}

const maxPolicyBytes = 1 << 20

// readModulePolicy reads a policy file; known are the keys of the trust folder.
func readModulePolicy(file string, known []trusted) (*modulePolicy, error) {
	text, err := readCapped(file, maxPolicyBytes)
	if err != nil {
		return nil, err
	}
	p, err := parseModulePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p.file = file
	for i := range p.Keys {
		v, err := p.Keys[i].load(filepath.Dir(file), known)
		if err == nil && slices.ContainsFunc(p.Keys[:i], func(g moduleGrant) bool { return g.Fingerprint == p.Keys[i].Fingerprint }) {
			err = errors.New("the key stands there twice: put its rules together")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: keys[%d]: %w", file, i, err)
		}
		p.ring = append(p.ring, v)
	}
	return p, nil
}

// parseModulePolicy is strict: what is not understood might have been meant to
// forbid something.
func parseModulePolicy(text []byte) (*modulePolicy, error) {
	if err := noDoubledKeys(text); err != nil {
		return nil, err
	}
	var p modulePolicy
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return nil, err
	}
	if p.Version != 1 {
		return nil, fmt.Errorf("version %d: want \"version\": 1", p.Version)
	}
	for i, g := range p.Keys {
		if err := g.check(); err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
	}
	return &p, nil
}

var rulePattern = regexp.MustCompile(`^(\*|[a-z0-9-]+/(\*|[a-z0-9-]+))$`)

func (g moduleGrant) check() error {
	switch {
	case g.Key == "" && g.Fingerprint == "":
		return errors.New(`no key: give "key", a file or the PEM itself, or the "fingerprint" of one in the trust folder`)
	case len(g.Rules) == 0:
		return errors.New(`no rules: say what the key may ship, such as "rules": ["postgres/*"]`)
	case g.MemoryMiB < 0 || g.Fuel < 0:
		return errors.New("memoryMiB and fuel are more than nothing")
	}
	for _, r := range g.Rules {
		if !rulePattern.MatchString(r) {
			return fmt.Errorf("rule %q: want topic/name, topic/* or *", r)
		}
	}
	return nil
}

// load finds the public key and its fingerprint.
func (g *moduleGrant) load(dir string, known []trusted) (bundle.Verifier, error) {
	text := []byte(g.Key)
	switch {
	case g.Key == "":
		i := slices.IndexFunc(known, func(t trusted) bool { return t.fingerprint == g.Fingerprint })
		if i < 0 {
			return nil, fmt.Errorf("no key with the fingerprint %s in the trust folder: casefile trust add KEY.pub, or give \"key\"", g.Fingerprint)
		}
		return verifierFrom(known[i].file)
	case !strings.HasPrefix(g.Key, "-----BEGIN "):
		file := g.Key
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		var err error
		if text, err = readCapped(file, maxKeyBytes); err != nil {
			return nil, err
		}
	}
	v, err := bundle.LoadVerifier(text)
	if err != nil {
		return nil, err
	}
	id, err := bundle.FingerprintPEM(text)
	if err != nil {
		return nil, err
	}
	if g.Fingerprint != "" && g.Fingerprint != id {
		return nil, fmt.Errorf("the key has the fingerprint %s, not %s", id, g.Fingerprint)
	}
	g.Fingerprint = id
	return v, nil
}

// grant is what the key with this fingerprint may ship.
func (p *modulePolicy) grant(fingerprint string) moduleGrant {
	for _, g := range p.Keys {
		if g.Fingerprint == fingerprint {
			return g
		}
	}
	return moduleGrant{Fingerprint: fingerprint} // nothing
}

// admit says whether the holder of the key may ship this module.
func (g moduleGrant) admit(d abi.Declaration) error {
	who := strings.TrimSpace(g.Name + " " + g.Fingerprint)
	if len(g.Modules) > 0 && !slices.Contains(g.Modules, d.Name) {
		return fmt.Errorf("the module policy lets %s ship %s, not a module named %s", who, strings.Join(g.Modules, ", "), d.Name)
	}
	for _, r := range d.Rules {
		if !g.allows(r.ID) {
			return fmt.Errorf("the module policy lets %s ship %s, not the rule %s", who, strings.Join(g.Rules, ", "), r.ID)
		}
	}
	for _, f := range d.Facts {
		if !g.allows(f.Fact) {
			return fmt.Errorf("the module policy lets %s ship %s, not the fact %s", who, strings.Join(g.Rules, ", "), f.Fact)
		}
	}
	return nil
}

func (g moduleGrant) allows(rule string) bool {
	return slices.ContainsFunc(g.Rules, func(pattern string) bool {
		topic, all := strings.CutSuffix(pattern, "*")
		return pattern == rule || all && strings.HasPrefix(rule, topic)
	})
}

// noDoubledKeys refuses a JSON text in which an object has a key twice, in any
// spelling: Go would take the last one, a reader the first.
func noDoubledKeys(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := walkJSON(dec, 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

func walkJSON(dec *json.Decoder, depth int) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	open, nested := t.(json.Delim)
	if !nested {
		return nil
	}
	if depth > 16 {
		return errors.New("nested too deeply")
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			name := strings.ToLower(fmt.Sprint(key))
			if seen[name] {
				return fmt.Errorf("%q stands there twice", key)
			}
			seen[name] = true
		}
		if err := walkJSON(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}
