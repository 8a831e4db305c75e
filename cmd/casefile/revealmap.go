package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"

	"github.com/casefile-io/casefile/bundle/encrypt"
	"github.com/casefile-io/casefile/bundle/redact"
)

// revealMap is what a *.reveal.age file holds: which value each pseudonym of a
// bundle stands for. Addresses are not in it, the key alone turns them back.
type revealMap struct {
	Schema     string            `json:"schema"`
	Top        string            `json:"top"` // of the bundle
	KeyID      string            `json:"keyId"`
	Pseudonyms map[string]string `json:"pseudonyms"` // token → value
}

const (
	revealSchema   = "casefile.dev/reveal/v1"
	revealSuffix   = ".reveal.age"
	maxReveal      = 1_000_000 // pseudonyms
	maxRevealBytes = 256 << 20 // of the JSON
)

// createReveal opens the file of the map, beside the bundle, before anything is
// collected. Standard redaction has none.
func (s *strictness) createReveal(bundleName, top string) (*output, error) {
	if s == nil {
		return &output{done: true}, nil // standard has no map
	}
	if bundleName == "-" {
		bundleName = top
	}
	name := bundleName + revealSuffix
	if _, err := os.Lstat(name); err == nil {
		return nil, usagef("%s, the map of names, is there already: choose another name with -o, or move it away", name)
	}
	f, err := os.OpenFile(name+".partial", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, usagef("%s.partial is there already, from a run that is going on or was killed: remove it, or choose another -o", name)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write the map of names: %w", err)
	}
	return &output{name: name, f: f}, nil
}

// writeReveal writes the map of names for whoever has the own identity.
func (s *strictness) writeReveal(out *output, r *redact.Redactor, top string) error {
	if s == nil {
		return nil
	}
	m := revealMap{Schema: revealSchema, Top: top, KeyID: s.key.ID(), Pseudonyms: r.Pseudonyms()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Pseudonyms == nil {
		m.Pseudonyms = map[string]string{}
	}
	maps.Copy(m.Pseudonyms, s.agents)
	w, err := encrypt.NewWriter(out, s.to)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(w).Encode(m); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.keep()
}

// readReveal opens a map of names.
func readReveal(name string, ids encrypt.Identities) (*revealMap, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxRevealBytes {
		return nil, errors.New("not a map of names: no regular file, or too large")
	}
	src, n, err := encrypt.Open(f, info.Size(), ids)
	if err != nil {
		return nil, err
	}
	if n > maxRevealBytes {
		return nil, errors.New("not a map of names: too large")
	}
	return parseReveal(io.NewSectionReader(src, 0, n))
}

// parseReveal reads what a map holds. Anybody can encrypt for a recipient, so
// that nothing in it may steer a terminal.
func parseReveal(r io.Reader) (*revealMap, error) {
	var m revealMap
	if err := json.NewDecoder(io.LimitReader(r, maxRevealBytes)).Decode(&m); err != nil {
		return nil, fmt.Errorf("not a map of names: %w", err)
	}
	if m.Schema != revealSchema || len(m.Pseudonyms) > maxReveal {
		return nil, fmt.Errorf("not a map of names of this version: schema %.40q", m.Schema)
	}
	for token, value := range m.Pseudonyms {
		if oneLine(value) != value || value == "" || strings.ContainsAny(value, "\n\t") || !tokens.MatchString(token) {
			return nil, fmt.Errorf("not a map of names: it has %.40q for %.40q", value, token)
		}
	}
	return &m, nil
}
