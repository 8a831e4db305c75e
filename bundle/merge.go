package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// MaxMerged bounds the bundles that one can be merged of.
const MaxMerged = 64

// ErrMerge says that bundles cannot be merged as they are.
var ErrMerge = errors.New("these bundles cannot be merged")

// MergeSource is one bundle of a merge. It must be verified.
type MergeSource struct {
	Reader *Reader
	Name   string            // how messages call it
	Rename map[string]string // folder below nodes/ → what it is called in the merged bundle
}

// MergeOptions of [Merge].
type MergeOptions struct {
	Top      string
	Plan     []byte // becomes collection/plan.json
	Info     Info   // Producer, Provenance and Timestamp; the rest comes from the sources
	Signer   Signer // nil leaves the bundle unsigned
	SpoolDir string
	Random   io.Reader // as in [Options]
}

// MergeResult says what came of a merge.
type MergeResult struct {
	Manifest *Manifest
	Moved    []MovedEntries
	Filled   []string // nodes whose data is that of another source than the one that failed to get it
}

// MovedEntries are entries of a source that are called otherwise now.
type MovedEntries struct {
	Source   string
	From, To string // prefixes of paths
}

// Merged names a bundle that a merged one holds as a whole. The signed root of
// its tree lies at collection/merged/<id>/sealed/, where its files are is said
// in collection/merged/sources.json: see [Reader.Merged].
type Merged struct {
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint,omitempty"` // of the key that sealed it; empty: nobody did
	PublicKey   []byte `json:"publicKey,omitempty"`   // PKIX DER
	Manifest    []byte `json:"manifest"`              // SHA-256 of its manifest.json
	Root        []byte `json:"root"`
	Leaves      int    `json:"leaves"`
}

// Merge writes one bundle that holds all entries of several: what each says of
// a cluster, of nodes and of captures side by side, bit by bit as it was, and
// what each says of its own making below collection/merged/<id>/. Entries keep
// their salts, so that [Reader.Merged] can show who sealed them first.
//
// Two sources with data of the same node do not merge, unless one of them never
// got to the end of it, as when the node could not be reached: then the other
// one's takes its place, and what there was is kept apart. Rename settles the
// rest.
func Merge(ctx context.Context, w io.Writer, sources []MergeSource, o MergeOptions) (*MergeResult, error) {
	m := &merger{ctx: ctx, o: o, result: &MergeResult{}, from: map[string]mergedEntry{}}
	if err := m.place(sources); err != nil {
		return nil, err
	}
	if err := m.begin(w); err != nil {
		return nil, err
	}
	if err := m.run(); err != nil {
		m.w.abandon()
		return nil, err
	}
	return m.result, nil
}

// merger is one run of Merge.
type merger struct {
	ctx    context.Context
	o      MergeOptions
	w      *Writer
	parts  []*mergePart
	from   map[string]mergedEntry // by path in the new bundle
	result *MergeResult
}

// mergedEntry is where an entry comes from.
type mergedEntry struct {
	part  *mergePart
	entry entry
}

func (m *merger) begin(w io.Writer) error {
	var sources []MergeSource
	for _, p := range m.parts {
		sources = append(sources, p.MergeSource)
	}
	_, at := MergedAbout(sources)
	a, err := newCopier(Options{Top: m.o.Top, Time: at, SpoolDir: m.o.SpoolDir})
	if err != nil {
		return err
	}
	m.w = a.writer(w, m.o.Random)
	m.w.salted = m.salted
	return nil
}

// salted gives an entry the salt that it had.
func (m *merger) salted(f *file) bool {
	e, ok := m.from[f.path]
	if !ok {
		return false
	}
	sum, err := e.entry.sum()
	salt, err2 := e.entry.salt()
	if err != nil || err2 != nil || sum != f.sum || e.entry.size != f.size {
		return false
	}
	f.salt = salt
	return true
}

func (m *merger) run() error {
	for _, p := range m.parts {
		if err := m.copy(p); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		if err := m.storeSealed(p); err != nil {
			return err
		}
	}
	completeness, err := m.storeOwn()
	if err != nil {
		return err
	}
	m.result.Manifest, err = m.w.Close(m.info(completeness), m.o.Signer)
	return err
}

// copy takes over all entries of a source, in the order of its stream.
func (m *merger) copy(p *mergePart) error {
	for _, e := range p.Reader.inStream() {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		to := p.to(e.path)
		m.from[to] = mergedEntry{p, e}
		f := &openFile{r: p.Reader, node: node{path: e.path, size: e.size, parts: []entry{e}}, hash: sha256.New()}
		class := p.Reader.chunks[p.Reader.chunkAt(e.off-1)].class
		if _, err := m.w.store(to, class, f); err != nil {
			return err
		}
	}
	return nil
}

// storeSealed stores what shows that a source was sealed.
func (m *merger) storeSealed(p *mergePart) error {
	manifest, signature := p.Reader.Seal()
	files := []struct {
		name string
		b    []byte
	}{{nameManifest, manifest}, {nameSeal, signature}, {nameTree, p.Reader.tail.proofs[nameTree]}, {nameProvenance, p.Reader.Provenance()}}
	for _, f := range files {
		if len(f.b) == 0 {
			continue
		}
		if _, err := m.w.store(p.folder()+sealedDir+f.name, ClassMeta, strings.NewReader(string(f.b))); err != nil {
			return err
		}
	}
	return nil
}

// info is the manifest of the merged bundle.
func (m *merger) info(c *Completeness) Info {
	info := m.o.Info
	info.Completeness = c
	var sources []MergeSource
	for i, p := range m.parts {
		was := p.Reader.manifest
		info.Recovered = info.Recovered || was.Recovered
		info.Incident = union(info.Incident, was.Incident)
		if i == 0 {
			info.Redaction = was.Redaction
		} else {
			info.Redaction = weaker(info.Redaction, was.Redaction)
		}
		for k, v := range was.Labels {
			if info.Labels == nil {
				info.Labels = map[string]string{}
			}
			if _, ok := info.Labels[k]; !ok {
				info.Labels[k] = v
			}
		}
		if was.Note != "" && !slices.Contains(strings.Split(info.Note, "; "), was.Note) {
			info.Note = strings.TrimPrefix(info.Note+"; "+was.Note, "; ")
		}
		info.Merged = append(info.Merged, p.merged())
		sources = append(sources, p.MergeSource)
	}
	info.Cluster, _ = MergedAbout(sources)
	return info
}

// MergedAbout says what a merged bundle is of, and of when: of the cluster, if
// one of the sources holds its objects, since analyzers judge them by that
// time; else of the latest machine.
func MergedAbout(sources []MergeSource) (about *Cluster, created time.Time) {
	for _, s := range sources {
		m := s.Reader.manifest
		if i := s.Reader.search(clusterDir); i < len(s.Reader.nodes) && strings.HasPrefix(s.Reader.nodes[i].path, clusterDir) {
			return m.Cluster, m.Created
		}
		if about == nil {
			about = m.Cluster
		}
		if m.Created.After(created) {
			created = m.Created
		}
	}
	return about, created
}

func union(a, b *Window) *Window {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	w := *a
	if b.From.Before(w.From) {
		w.From = b.From
	}
	if b.To.After(w.To) {
		w.To = b.To
	}
	return &w
}

// weaker is what can be said of entries of both policies; nil is nothing.
func weaker(a, b *Redaction) *Redaction {
	if a == nil || b == nil {
		return nil
	}
	r := *a
	if b.Policy != "strict" {
		r.Policy = b.Policy
	}
	if r.Payload != b.Payload && lessPayload(r.Payload, b.Payload) == r.Payload {
		r.Payload = b.Payload
	}
	return &r
}
