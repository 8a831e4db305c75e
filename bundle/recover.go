package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"
)

// RecoverOptions of [Recover].
type RecoverOptions struct {
	Signer   Signer // of the new bundle; nil leaves it unsigned
	Producer string // name and version of the program
	SpoolDir string // for entries that outgrow memory; empty: the system's
	// Info tells what collection/plan.json, nil when it is lost, says about
	// the run. It is asked only when the manifest is lost too; may be nil.
	Info   func(plan []byte) Info
	Random io.Reader // as in [Options]
}

// Recovery says what Recover kept and, to the byte, what is missing.
type Recovery struct {
	Manifest *Manifest // of the new bundle
	SealedBy string    // fingerprint of the seal of the damaged bundle, when that still held; it does not say whose key it is
	Entries  int       // kept, as they were
	Bytes    int64     // of their content
	Ended    bool      // the collection had come to its end: collection/results.ndjson was written
	Named    bool      // the index was there: Missing names every entry that is lost
	Missing  []Missing // in the order of the file, a million at most
	More     int       // missing beyond that
	Damaged  []DamagedRange
	Tail     []string // lost members of the format's own: "index", "manifest", "seal", "end of archive", "seek table"
}

// Whole says that nothing of the content is missing, as far as can be known:
// only the seal had to be made anew.
func (r *Recovery) Whole() bool {
	return r.Ended && len(r.Missing) == 0 && len(r.Damaged) == 0
}

// Missing is an entry that is not in the recovered bundle, or not all of it.
type Missing struct {
	Path       string
	Have, Size int64  // bytes of content that were there, of how many; Size is -1 when nobody knows
	Reason     string // "cut off", "in damaged frames 7 to 9", "parts from 4 on never came", "recorded, but not in the file", …
}

// DamagedRange is a run of bytes of the file that gave nothing.
type DamagedRange struct {
	Frame    int   // number of the frame, from 0; those before it that are lost without a trace do not count
	From, To int64 // in the file; To is its end when the frame is cut off
	Err      error // wraps ErrTruncated for what is cut off, else ErrDamaged
}

// ErrWhole is what Recover returns for a bundle that lacks nothing.
var ErrWhole = errors.New("the bundle is whole: there is nothing to recover")

// Recover reads every complete frame of an unfinished, truncated or damaged
// bundle and writes a new one of the entries that are complete in it, bit by
// bit as they were, sealed as recovered and incomplete. What is missing is in
// the Recovery and, a line for each, in collection/results.ndjson, together
// with what the lost run had recorded in collection/journal.
//
// The file is hostile input: nothing of it was authenticated unless SealedBy
// is set, and the new seal only says what was recovered, and by whom. Recover
// needs a few MiB beside the list of entries. Errors: ErrNotBundle when not
// one complete entry is there, ErrWhole, those of the output and of ctx.
func Recover(ctx context.Context, src io.ReaderAt, size int64, out io.Writer, o RecoverOptions) (*Recovery, error) {
	r, err := OpenUnverified(src, size)
	if err == nil {
		wrong := r.Verify(ctx, nil)
		if wrong == nil {
			return nil, ErrWhole
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return recoverIndexed(ctx, r, wrong, out, o)
	}
	return recoverScanned(ctx, src, size, out, o)
}

// recovering is one run of Recover.
type recovering struct {
	ctx     context.Context
	o       RecoverOptions
	w       *Writer
	rec     *Recovery
	results results
	plan    []byte
	old     *Manifest       // of the damaged bundle, nil when it is lost
	chains  map[string]part // the last part of each entry that came in parts
}

// begin makes the writer, once top folder and time are known.
func (r *recovering) begin(out io.Writer, top string, mtime int64) error {
	a, err := newCopier(Options{Top: top, Time: time.Unix(mtime, 0), SpoolDir: r.o.SpoolDir})
	if err != nil {
		return err
	}
	r.w = a.writer(out, r.o.Random)
	r.chains = map[string]part{}
	return nil
}

// source is the content of one entry of the damaged bundle. Its reader fails
// with a *goneError when not all of it is there.
type source struct {
	path  string
	size  int64
	class Class
	r     io.Reader
}

// goneError says why the content of an entry is not whole.
type goneError struct{ why string }

func (e *goneError) Error() string { return e.why }

// keep stores an entry, or writes down why it cannot. An error ends it all.
func (r *recovering) keep(e source) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	body := &meter{r: e.r}
	var kept io.Reader = body
	buf := r.results.want(e.path, e.size)
	if e.path == planPath && e.size <= maxProof {
		buf = new(capture)
	}
	if buf != nil {
		kept = io.TeeReader(body, buf)
	}
	err := checkPath(e.path)
	switch {
	case err != nil:
	case e.path == resultsPath && buf == nil:
		err = fmt.Errorf("%w: %d bytes of results", ErrTooLarge, e.size)
	case e.path == resultsPath:
		_, err = io.Copy(io.Discard, kept) // written anew, with what is missing
	default:
		_, err = r.w.store(e.path, e.class, kept)
	}
	if failed := r.w.failed.Load(); failed != nil {
		return *failed
	}
	if err != nil {
		r.miss(e, body.n, err)
		return nil
	}
	r.rec.Entries, r.rec.Bytes = r.rec.Entries+1, r.rec.Bytes+e.size
	if p, ok := partOf(e.path); ok {
		r.chains[p.base] = p
	}
	if buf != nil {
		r.took(e.path, buf)
	}
	return nil
}

// took reads the entries that say how the collection went.
func (r *recovering) took(path string, c *capture) {
	if path == planPath {
		r.plan = c.b
		return
	}
	r.rec.Ended = r.rec.Ended || path == resultsPath
	r.results.add(path, c.b)
}

func (r *recovering) miss(e source, have int64, err error) {
	reason := err.Error()
	if gone := (*goneError)(nil); errors.As(err, &gone) {
		reason = gone.why
	}
	r.rec.miss(Missing{Path: e.path, Have: have, Size: e.size, Reason: reason})
}

func (r *Recovery) miss(m Missing) {
	if len(r.Missing) == MaxFiles {
		r.More++
		return
	}
	r.Missing = append(r.Missing, m)
}

// finish writes what is missing into collection/results.ndjson, and seals.
func (r *recovering) finish() (*Recovery, error) {
	for _, base := range sortedParts(r.chains) {
		if p := r.chains[base]; !p.end {
			r.rec.miss(Missing{Path: base, Size: -1, Reason: fmt.Sprintf("parts from %d on never came", p.n+1)})
		}
	}
	r.results.absent(r.rec, r.w.names)
	lines, counts := r.results.merged(r.rec)
	if _, err := r.w.store(resultsPath, ClassMeta, lines); err != nil {
		return nil, fmt.Errorf("%s: %w", resultsPath, err)
	}
	info := r.info()
	info.Recovered, info.Completeness = true, &Completeness{Results: counts}
	if r.o.Producer != "" {
		info.Producer = r.o.Producer
	}
	m, err := r.w.Close(info, r.o.Signer)
	if err != nil {
		return nil, err
	}
	r.rec.Manifest = m
	return r.rec, nil
}

// info is what is known about the damaged bundle.
func (r *recovering) info() Info {
	if m := r.old; m != nil {
		return Info{Producer: m.Producer, Cluster: m.Cluster, Labels: m.Labels, Note: m.Note, Incident: m.Incident, Redaction: m.Redaction}
	}
	if r.o.Info != nil {
		return r.o.Info(r.plan)
	}
	return Info{}
}

// abandon ends the writer after an error.
func (r *recovering) abandon(err error) error {
	if r.w != nil {
		r.w.abandon()
	}
	return err
}

// recoverIndexed recovers a bundle whose seal, index and seek table hold, so
// that only chunks are damaged: everything about the entries is known.
func recoverIndexed(ctx context.Context, b *Reader, wrong error, out io.Writer, o RecoverOptions) (*Recovery, error) {
	r := &recovering{ctx: ctx, o: o, old: b.manifest, rec: &Recovery{Named: true}}
	if b.manifest.Signer != nil {
		r.rec.SealedBy = b.manifest.Signer.Fingerprint
	}
	for i := range b.chunks {
		if _, err := b.decode(i, nil); err != nil {
			r.rec.Damaged = append(r.rec.Damaged, DamagedRange{Frame: i, From: b.offsets[i], To: b.offsets[i+1], Err: err})
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if len(r.rec.Damaged) == 0 { // sealed as it is, but not by a writer of this format
		r.rec.Damaged = []DamagedRange{{From: 0, To: b.offsets[len(b.chunks)], Err: wrong}}
	}
	if err := r.begin(out, b.manifest.Top, b.manifest.Created.Unix()); err != nil {
		return nil, err
	}
	for _, e := range b.inStream() {
		at := b.chunkAt(e.off)
		class := ClassMeta
		if at < len(b.chunks) {
			class = b.chunks[at].class
		}
		f := &openFile{r: b, node: node{path: e.path, size: e.size, parts: []entry{e}}, hash: sha256.New()}
		if err := r.keep(source{path: e.path, size: e.size, class: class, r: indexedContent{f}}); err != nil {
			return nil, r.abandon(err)
		}
	}
	rec, err := r.finish()
	if err != nil {
		return nil, r.abandon(err)
	}
	return rec, nil
}

// indexedContent turns the errors of an entry into what a person wants to read.
type indexedContent struct{ f *openFile }

func (c indexedContent) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		why := err.Error()
		if d := (*DamageError)(nil); errors.As(err, &d) {
			why = "in damaged " + d.Part
		}
		return n, &goneError{why: why}
	}
	return n, err
}

// meter counts what was read.
type meter struct {
	r io.Reader
	n int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	return n, err
}
