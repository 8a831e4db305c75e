package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/bundle/redact"
)

// DeriveOptions of [Derive].
type DeriveOptions struct {
	Keep     func(path string) bool // nil keeps all
	Redactor *redact.Redactor       // nil copies what is kept bit by bit
	// HideNames leaves out the manifest of the first bundle, which names the
	// cluster. Who sealed it, and the proof, stay.
	HideNames bool
	By        string // what collection/results.ndjson says: "N files left out by …"
	Top       string // the new top folder; empty: as in the source
	Info      *Info  // of the new bundle but for completeness and origin; nil: as in the source
	Signer    Signer // nil leaves the new bundle unsigned
	SpoolDir  string
	Random    io.Reader // as in [Options]
}

// Derived says what became of the entries of the source, by their paths there.
type Derived struct {
	Manifest   *Manifest
	NoOrigin   string // why the new bundle has no origin: "the source is not signed", …
	Kept       int    // entries that are bit by bit as the first bundle had them
	Altered    []string
	Added      []string
	Dropped    []string // left out as asked for, or since they name what is
	Unredacted []Unredacted
}

// Unredacted is an entry that was left out because it cannot be redacted.
type Unredacted struct {
	Path string
	Err  error
}

// Derive writes a new bundle of what is left of r when entries are left out or
// redacted, sealed anew for the whole. Entries that stay as they are keep their
// salts and with them their leaves in the tree of r, so that, with the signed
// root of that tree and a proof below origin/, [Reader.Origin] can show that
// they are the ones that r's signer sealed. A bundle that was redacted before
// hands on its own origin.
//
// What is left out is not named anywhere in the new bundle: lines of
// collection/ and findings/ that name it are taken out, and documents there
// that do are left out too. r must be verified; what is damaged ends Derive
// with an error that wraps ErrDamaged.
func Derive(ctx context.Context, r *Reader, w io.Writer, o DeriveOptions) (*Derived, error) {
	d := &deriver{ctx: ctx, r: r, o: o, was: map[string]string{}, gone: map[string]bool{}, result: &Derived{}}
	if err := d.begin(w); err != nil {
		return nil, err
	}
	if err := d.run(); err != nil {
		d.w.abandon()
		return nil, err
	}
	return d.result, nil
}

// deriver is one run of Derive.
type deriver struct {
	ctx    context.Context
	r      *Reader
	o      DeriveOptions
	w      *Writer
	before *proof            // with the leaves of r, of the first bundle
	report *OriginReport     // of r; nil when r is the first
	handed map[string][]byte // the members below origin/ of r
	origin *Origin           // nil: the new bundle has none
	result *Derived

	kept    []node // in the order of the stream, but for those that speak of others
	own     []node // collection/, findings/, capture.json
	gone    map[string]bool
	hidden  mentions
	was     map[string]string // paths of the source by those of the new bundle
	results *Completeness
}

func (d *deriver) begin(w io.Writer) error {
	m := d.r.manifest
	top := d.o.Top
	if top == "" {
		top = m.Top
	}
	if err := d.openOrigin(); err != nil {
		return err
	}
	a, err := newCopier(Options{Top: top, Time: m.Created, SpoolDir: d.o.SpoolDir})
	if err != nil {
		return err
	}
	d.w = a.writer(w, d.o.Random)
	d.w.salted = d.salted
	return nil
}

// salted gives an entry that is as it was the salt that it had.
func (d *deriver) salted(f *file) bool {
	e, ok := d.r.entryAt(f.path)
	if !ok || e.size != f.size || strings.HasPrefix(f.path, originDir) {
		return false
	}
	sum, err := e.sum()
	salt, err2 := e.salt()
	if err != nil || err2 != nil || sum != f.sum {
		return false
	}
	f.salt = salt
	return true
}

func (d *deriver) run() error {
	d.sortOut()
	for _, n := range d.kept {
		if err := d.copy(n); err != nil {
			return err
		}
	}
	d.hidden = hide(d.gone, d.kept, d.own)
	if err := d.copyOwn(); err != nil {
		return err
	}
	if err := d.w.Flush(); err != nil { // now every entry has its salt
		return err
	}
	if err := d.writeOrigin(); err != nil {
		return err
	}
	m, err := d.w.Close(d.info(), d.o.Signer)
	if err != nil {
		return err
	}
	d.result.Manifest = m
	slices.Sort(d.result.Dropped)
	return nil
}

// sortOut tells what is kept from what is dropped.
func (d *deriver) sortOut() {
	nodes := slices.Clone(d.r.nodes)
	slices.SortFunc(nodes, func(a, b node) int { return int(min(1, max(-1, a.parts[0].off-b.parts[0].off))) })
	for _, n := range nodes {
		switch {
		case d.report != nil && strings.HasPrefix(n.path, originDir):
		case d.o.Keep != nil && !d.o.Keep(n.path):
			d.drop(n.path)
		case speaksOfOthers(n.path):
			d.own = append(d.own, n)
		default:
			d.kept = append(d.kept, n)
		}
	}
}

func (d *deriver) drop(path string) {
	d.gone[path] = true
	d.result.Dropped = append(d.result.Dropped, path)
}

// copy takes over an entry.
func (d *deriver) copy(n node) error {
	if d.o.Redactor == nil {
		for _, e := range n.parts {
			f := &openFile{r: d.r, node: node{path: n.path, size: e.size, parts: []entry{e}}, hash: sha256.New()}
			if err := d.store(e.path, e.path, d.class(e), f); err != nil {
				return err
			}
		}
		return nil
	}
	f := &openFile{r: d.r, node: n, hash: sha256.New()}
	return d.putRedacted(n, d.o.Redactor.Reader(n.path, f))
}

// putRedacted stores what an entry became, or notes that it cannot be redacted.
func (d *deriver) putRedacted(n node, src io.Reader) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	path, err := d.path(n.path)
	if err == nil && n.parts[0].part {
		err = d.recut(n, path, src)
	} else if err == nil {
		err = d.store(path, n.path, d.class(n.parts[0]), src)
	}
	switch {
	case err == nil:
		return nil
	case d.w.failed.Load() != nil, errors.Is(err, ErrDamaged), errors.Is(err, ErrTruncated):
		return err
	case errors.Is(err, redact.ErrRedaction), errors.Is(err, ErrPath), errors.Is(err, ErrTooLarge):
		d.gone[n.path] = true
		d.result.Unredacted = append(d.result.Unredacted, Unredacted{n.path, err})
		return nil
	}
	return err
}

// path is what an entry is called in the new bundle.
func (d *deriver) path(p string) (string, error) {
	if d.o.Redactor == nil {
		return p, nil
	}
	to := d.o.Redactor.Path(p)
	return to, checkPath(to)
}

// store writes an entry that was called from.
func (d *deriver) store(path, from string, class Class, src io.Reader) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if _, err := d.w.store(path, class, src); err != nil {
		return err
	}
	d.was[path] = from
	return nil
}

// class is that of the frame in which an entry begins.
func (d *deriver) class(e entry) Class {
	return d.r.chunks[d.r.chunkAt(e.off-1)].class // its header, when it is empty
}

func (d *deriver) info() Info {
	m := d.r.manifest
	info := Info{Producer: m.Producer, Cluster: m.Cluster, Labels: m.Labels, Note: m.Note, Incident: m.Incident, Redaction: m.Redaction, Recovered: m.Recovered}
	if d.o.Info != nil {
		info = *d.o.Info
	}
	if d.o.Redactor != nil && info.Redaction != nil {
		now := d.o.Redactor.Summary()
		info.Redaction = &Redaction{Policy: now.Policy, Payload: lessPayload(info.Redaction.Payload, now.Payload)}
	}
	info.Completeness, info.Origin = d.results, d.origin
	return info
}

// lessPayload is what packets have left that were cut by a and then by b.
func lessPayload(a, b string) string {
	for _, p := range []string{redact.PayloadNone, redact.PayloadDefault} {
		if a == p || b == p {
			return p
		}
	}
	return a
}

// leftOut is what collection/results.ndjson says about what is gone.
func (d *deriver) leftOut() []result {
	var lines []result
	if n := len(d.result.Dropped); n > 0 {
		by := d.o.By
		if by == "" {
			by = "the redaction"
		}
		lines = append(lines, result{Source: deriveSource, Status: "skipped", Reason: fmt.Sprintf("%d files left out by %s", n, by)})
	}
	if n := len(d.result.Unredacted); n > 0 {
		lines = append(lines, result{Source: deriveSource, Status: "failed", Reason: fmt.Sprintf("%d files left out that could not be redacted", n)})
	}
	return lines
}

const deriveSource = "bundle redact"
