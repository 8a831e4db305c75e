// Package redact takes credentials out of everything on its way into a bundle.
//
// The bundle writer gives every entry to [Redactor.Reader] and stores what
// comes out: there is no other way to bytes. The path of an entry decides how
// it is read:
//
//	captures/**.pcapng        packets, cut by the payload policy
//	**.ndjson  **.jsonl       JSON, line by line
//	**.json                   one JSON document
//	**.log **.txt … proc, sys text, in bounded memory
//	anything else             text if it is valid UTF-8, otherwise refused
//
// JSON is redacted by structure first (literal env values, Secrets, ConfigMap
// values, last-applied configurations), then every string goes through the
// text rules. What is masked leaves [REDACTED:rule] behind. IP addresses,
// UUIDs, digests and resource versions stay. POLICY.md beside this file says
// for every class of data what happens to it.
//
// [PolicyStrict] has a second stage behind all that: package pseudonym, in text
// and, by its structure, in JSON, in the hex columns of files of the kernel, in
// packets, and in the paths themselves.
//
// Everything fails closed: what cannot be parsed, is too large or of an unknown
// kind ends in an error that wraps [ErrRedaction], and never in raw bytes.
package redact

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// ErrRedaction says that an entry could not be redacted and must be dropped.
var ErrRedaction = errors.New("cannot be redacted")

// Policy names a set of rules.
type Policy string

// PolicyStandard masks credentials; names and addresses stay. PolicyStrict
// puts pseudonyms in their place as well.
const (
	PolicyStandard Policy = "standard"
	PolicyStrict   Policy = "strict"
)

// ParsePolicy reads the name of a policy.
func ParsePolicy(s string) (Policy, error) {
	switch s {
	case string(PolicyStandard), string(PolicyStrict):
		return Policy(s), nil
	}
	return "", fmt.Errorf("unknown redaction policy %q: use standard or strict", s)
}

// How much of a packet is kept.
const (
	PayloadNone    = "none"    // link to transport headers
	PayloadDefault = "default" // and DNS messages, TLS handshakes and alerts, headers inside ICMP errors
	PayloadFull    = "full"    // everything
)

func isPayload(s string) bool {
	return s == PayloadNone || s == PayloadDefault || s == PayloadFull
}

// Options of [New].
type Options struct {
	Payload string   // PayloadNone, PayloadDefault (when empty) or PayloadFull
	Rules   Rules    // on top of our own
	Masks   []string // names of rules that masked before, so that [REDACTED:name] stays

	Key   pseudonym.Key    // of the pseudonyms: PolicyStrict needs it
	Names []pseudonym.Name // that the API server knows, for PolicyStrict
}

// Redactor redacts entries and counts what it masked. Safe for concurrent use.
type Redactor struct {
	policy  Policy
	payload string
	pack    string // sha256 of the rules on top of ours
	scanner *scanner
	mapper  *pseudonym.Mapper // nil unless strict
	key     string            // the id of its key

	mu      sync.Mutex
	rules   map[string]int
	paths   map[string]map[string]int
	omitted int
}

// New makes a redactor.
func New(p Policy, o Options) (*Redactor, error) {
	if _, err := ParsePolicy(string(p)); err != nil {
		return nil, err
	}
	if o.Payload == "" {
		o.Payload = PayloadDefault
	}
	if !isPayload(o.Payload) {
		return nil, fmt.Errorf("unknown payload policy %q: use none, default or full", o.Payload)
	}
	if p == PolicyStrict && o.Payload == PayloadFull {
		return nil, errors.New("redaction policy strict cannot keep the payload of packets, for which there are no pseudonyms: use payload none or default")
	}
	mapper, err := newMapper(p, o)
	if err != nil {
		return nil, err
	}
	key := ""
	if mapper != nil {
		key = o.Key.ID()
	}
	return &Redactor{
		mapper:  mapper,
		key:     key,
		policy:  p,
		payload: o.Payload,
		pack:    o.Rules.SHA256(),
		scanner: newScanner(o.Rules, o.Masks...),
		rules:   map[string]int{},
		paths:   map[string]map[string]int{},
	}, nil
}

// Reader yields src as it may be stored. It is the entry that is called path
// (which has no top folder) before [Redactor.Path]. A failure of redaction is a
// read error that wraps [ErrRedaction], one of src is passed on as it is; what
// was read before an error must not be used. The redactions of an entry are
// counted when its end has been read.
func (r *Redactor) Reader(path string, src io.Reader) io.Reader {
	counts := counts{}
	return &reader{redactor: r, path: r.Path(path), counts: counts, step: r.strict(path, r.open(path, src, counts), counts)}
}

// counts of redactions by rule, of one entry.
type counts map[string]int

// step is the redaction of one entry: next appends some redacted bytes to out
// and ends with io.EOF.
type step interface {
	next(out []byte) ([]byte, error)
}

type reader struct {
	redactor *Redactor
	path     string
	counts   counts
	step     step
	buf      []byte // redacted, buf[off:] not yet read
	off      int
	err      error
}

func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.off == len(r.buf) {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.buf[r.off:])
	r.off += n
	return n, nil
}

func (r *reader) fill() {
	buf, err := r.step.next(r.buf[:0])
	r.buf, r.off, r.err = buf, 0, err
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && !errors.Is(err, ErrRedaction):
		r.err = io.EOF
		r.redactor.commit(r.path, r.counts)
	default:
		r.buf = r.buf[:0]
	}
}

func failf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRedaction}, args...)...)
}
