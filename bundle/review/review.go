// Package review tells what is in a bundle, for the people who must approve
// what leaves a site: every class of data with its size and what was masked or
// left out, the names and addresses that can be seen, who talked in the
// captures and how much payload is left, strings that look like keys all the
// same, and lines picked at random.
//
//	rv, err := review.Scan(ctx, reader, review.Options{})
//	err = rv.Text(os.Stdout)   // or rv.HTML(f)
//
// Scan reads everything once, in bounded memory: lists stop at a limit and say
// by how much they went on. Values that look like secrets are shown by their
// first characters only, so that a review is no leak itself.
package review

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits of what is listed; the rest is counted.
const (
	maxNames    = 2000 // of one kind, kept
	maxSuspects = 200
	maxSamples  = 3 // lines of a class
	maxTalkers  = 20
	maxKeys     = 2000 // of ConfigMaps
	maxMissing  = 500
	sampleWidth = 200 // bytes of a sampled line
)

// Head is what the manifest says of the bundle.
type Head struct {
	Top       string
	ID        string
	Created   time.Time
	Producer  string
	Cluster   string
	Signer    string // fingerprint; empty when unsigned
	Policy    string
	Payload   string
	Note      string
	Labels    map[string]string
	Encrypted bool
}

// File is one entry of the bundle.
type File struct {
	Path string
	Size int64
}

// Review is what Scan found.
type Review struct {
	Head     Head           `json:"head"`
	Files    int            `json:"files"`
	Bytes    int64          `json:"bytes"`
	Classes  []*Class       `json:"classes"`
	Rules    map[string]int `json:"rules"` // redactions by rule
	Missing  []Missing      `json:"missing"`
	Lacking  int            `json:"lacking"` // results like those of Missing, listed or not
	Names    []NameList     `json:"names"`
	Config   []ConfigMap    `json:"configMaps"`
	Captures []Capture      `json:"captures"`
	Suspects []Suspect      `json:"suspects"`
	Omitted  int            `json:"omitted"` // suspects beyond the limit
}

// Class is one class of data.
type Class struct {
	Name    string         `json:"name"`
	What    string         `json:"what"` // in plain words
	Files   int            `json:"files"`
	Bytes   int64          `json:"bytes"`
	Masked  map[string]int `json:"masked"` // by rule
	Refused int            `json:"refused"`
	Samples []Sample       `json:"samples"`

	picks *picker
}

// Sample is one line, picked by a hash of its place.
type Sample struct {
	Path string `json:"path"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Missing is something that was asked for and is not there, or not whole.
type Missing struct {
	Source string `json:"source"`
	Path   string `json:"path"`
	Status string `json:"status"`
	Reason string `json:"reason"`
}

// NameList is what can be seen of one kind of name.
type NameList struct {
	Kind  string   `json:"kind"` // nodes, namespaces, IPv4 addresses …
	Names []string `json:"names"`
	More  int      `json:"more"` // beyond the limit
}

// ConfigMap lists the keys of one ConfigMap and whose values are there.
type ConfigMap struct {
	Name   string   `json:"name"` // namespace/name
	Kept   []string `json:"kept"`
	Masked []string `json:"masked"`
}

// Suspect is a string that looks like a key or a token.
type Suspect struct {
	Path    string  `json:"path"`
	Line    int     `json:"line"`
	Length  int     `json:"length"`
	Entropy float64 `json:"entropy"` // bits a character
	Begin   string  `json:"begin"`   // its first characters
}

// Options of Scan.
type Options struct {
	Head     Head
	Files    []File                               // all entries
	Progress func(path string, done, total int64) // may be nil
}

// Scan reads all files of the bundle.
func Scan(ctx context.Context, bundle fs.FS, o Options) (*Review, error) {
	s := newScan(o)
	total, done := int64(0), int64(0)
	for _, f := range o.Files {
		total += f.Size
	}
	for _, f := range o.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(f.Path, done, total)
		}
		if err := s.file(bundle, f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		done += f.Size
	}
	return s.finish(), nil
}

// scan gathers a Review.
type scan struct {
	*Review
	classes map[string]*Class
	names   map[string]*nameSet
	tokens  tokens
}

func newScan(o Options) *scan {
	s := &scan{Review: &Review{Head: o.Head, Rules: map[string]int{}}, classes: map[string]*Class{}, names: map[string]*nameSet{}}
	s.tokens = newTokens(s.found)
	return s
}

// nameSet counts names of one kind.
type nameSet struct {
	seen map[string]bool
	more int
}

// name takes note of a name.
func (s *scan) name(kind, value string) {
	set := s.names[kind]
	if set == nil {
		set = &nameSet{seen: map[string]bool{}}
		s.names[kind] = set
	}
	switch {
	case value == "" || set.seen[value]:
	case len(set.seen) == maxNames:
		set.more++
	default:
		set.seen[value] = true
	}
}

func (s *scan) class(path string) *Class {
	name, what := classOf(path)
	c := s.classes[name]
	if c == nil {
		c = &Class{Name: name, What: what, Masked: map[string]int{}, picks: &picker{}}
		s.classes[name] = c
		s.Classes = append(s.Classes, c)
	}
	return c
}

// file reads one entry.
func (s *scan) file(bundle fs.FS, f File) error {
	c := s.class(f.Path)
	c.Files++
	c.Bytes += f.Size
	s.Files++
	s.Bytes += f.Size
	s.pathNames(f.Path)
	src, err := bundle.Open(f.Path)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	switch {
	case strings.HasSuffix(f.Path, ".pcapng"):
		return s.capture(f.Path, src)
	case f.Path == "collection/redaction.json":
		return s.redaction(src)
	}
	return s.lines(f.Path, c, src)
}

// redaction takes the counts of the redaction, by class.
func (s *scan) redaction(src io.Reader) error {
	var sum struct {
		Rules map[string]int            `json:"rules"`
		Paths map[string]map[string]int `json:"paths"`
	}
	if err := json.NewDecoder(io.LimitReader(src, maxSummary)).Decode(&sum); err != nil {
		return err
	}
	s.Rules = sum.Rules
	for path, rules := range sum.Paths {
		c := s.class(path)
		for rule, n := range rules {
			c.Masked[rule] += n
		}
	}
	return nil
}

const maxSummary = 64 << 20

// finish puts everything in order.
func (s *scan) finish() *Review {
	slices.SortFunc(s.Classes, func(a, b *Class) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range s.Classes {
		c.Samples = c.picks.samples()
	}
	for _, kind := range slices.Sorted(maps.Keys(s.names)) {
		set := s.names[kind]
		s.Names = append(s.Names, NameList{Kind: kind, Names: slices.Sorted(maps.Keys(set.seen)), More: set.more})
	}
	slices.SortFunc(s.Config, func(a, b ConfigMap) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.Suspects, func(a, b Suspect) int {
		if a.Entropy*float64(a.Length) > b.Entropy*float64(b.Length) {
			return -1
		}
		return 1
	})
	return s.Review
}
