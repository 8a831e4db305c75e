package redact

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

func newMapper(p Policy, o Options) (*pseudonym.Mapper, error) {
	if p != PolicyStrict {
		return nil, nil //nolint:nilnil // no mapper is what standard has
	}
	if o.Key.IsZero() {
		return nil, errors.New("redaction policy strict needs a key for its pseudonyms")
	}
	m, err := pseudonym.New(o.Key, o.Names)
	if err != nil {
		return nil, fmt.Errorf("pseudonyms: %w", err)
	}
	return m, nil
}

// Path returns the path under which an entry is stored: the names in it are
// mapped if the policy is strict.
func (r *Redactor) Path(path string) string {
	if r.mapper == nil {
		return path
	}
	return r.mapper.Path(path)
}

// Pseudonyms returns what was mapped one way so far, by token. It must never
// get into a bundle. Nil unless the policy is strict.
func (r *Redactor) Pseudonyms() map[string]string {
	if r.mapper == nil {
		return nil
	}
	return r.mapper.Used()
}

// packetMapper gives what the packets are mapped with, if anything is.
func (r *Redactor) packetMapper() mapper {
	if r.mapper == nil {
		return nil
	}
	return r.mapper
}

// strict puts the mapping of names and addresses behind the step of an entry.
// Packets map their own, and a summary holds neither.
func (r *Redactor) strict(name string, s step, c counts) step {
	if r.mapper == nil || name == SummaryPath || path.Ext(name) == ".pcapng" && strings.HasPrefix(name, "captures/") {
		return s
	}
	switch path.Ext(name) {
	case ".json", ".ndjson", ".jsonl":
		return newStrictJSON(s, r.mapper, c)
	}
	return &strictText{inner: s, mapper: r.mapper, counts: c, columns: columnsOf(name), hosted: hostedLines(name)}
}

// Text maps the names and addresses in a text that gets into a bundle beside
// its entries. It stays as it is unless the policy is strict.
func (r *Redactor) Text(s string) string {
	if r.mapper == nil {
		return s
	}
	return string(r.mapper.Text(nil, []byte(s), counts{}))
}
