package input

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Bounds of an index, so that a broken bundle does not blow it up.
const (
	maxMissing     = 200
	maxReason      = 500
	maxBadPerFile  = 3
	indexSuffix    = ".index"
	ndjsonSuffix   = ".ndjson"
	rowsSuffix     = ".rows"
	inFolder       = "in/"
	bundleFolder   = "bundle/"
	resultsPath    = "collection/results.ndjson"
	planPath       = "collection/plan.json"
	resourceFolder = "cluster/resources/"
)

// Projection is all that one module sees of a bundle.
type Projection struct {
	w         *spoolWriter
	lim       Limits
	told      map[string]Told
	node      string // all that a module of scope node sees; "" for everything
	outputs   []*output
	next      int64 // number of the next row
	stretches []stretch
	marks     []byte             // see stretch
	row, bin  []byte             // being made
	raw       map[string]*stream // below bundle/, by bundle path
	files     []File
	bytes     int64 // of rows and raw files
	declared  map[string]bool
	err       error
}

func newProjection(r Request, lim Limits) *Projection {
	return &Projection{
		w: &spoolWriter{spool: r.Spool}, lim: lim, node: r.Node, told: r.Facts, next: 1,
		raw: map[string]*stream{}, declared: map[string]bool{},
	}
}

// Files lists the virtual files, sorted by path.
func (p *Projection) Files() []File { return p.files }

// Add lays out one more virtual file, after [Project].
func (p *Projection) Add(path string, data []byte) {
	s := stream{w: p.w, file: File{Path: path}}
	s.append(data)
	s.flush()
	p.files = append(p.files, s.file)
}

// Seal writes the list of virtual files to the spool, as JSON, and says where
// it lies. It is the last write.
func (p *Projection) Seal() (Extent, error) {
	text, err := json.Marshal(p.files)
	if err != nil {
		return Extent{}, err
	}
	e := p.w.write(text)
	return e, p.Err()
}

// Index returns the index of each input, by name.
func (p *Projection) Index() map[string]abi.Index {
	m := make(map[string]abi.Index, len(p.outputs))
	for _, o := range p.outputs {
		m[o.in.Name] = o.index
	}
	return m
}

// Declared says whether a bundle file exists and an input of the module names
// it, so that the module may cite it.
func (p *Projection) Declared(path string) bool { return p.declared[path] }

// Err is the reason why the module has no inputs, or nil.
func (p *Projection) Err() error {
	if p.err != nil {
		return p.err
	}
	return p.w.err
}

func (p *Projection) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// output is one input of one module while it is filled.
type output struct {
	p      *Projection
	in     abi.Input
	ndjson *stream // nil where the form is another
	binary *stream
	want   *fields
	enc    *encoder
	globs  []Glob // which files it reads, or would read
	where  *where // nil for all rows
	match  *matcher
	log    *logSelector
	index  abi.Index
	failed int    // rows for which where failed
	reason string // of the first
	cost   uint64 // of where so far
	bytes  int64  // of rows or raw files
	full   bool   // over a cap: takes nothing more
}

// newOutput takes in an input that was validated.
func (p *Projection) newOutput(in abi.Input, globs []Glob) (*output, error) {
	o := &output{p: p, in: in, globs: globs, index: abi.Index{Complete: true}}
	p.outputs = append(p.outputs, o)
	if in.Files != "" {
		return o, nil
	}
	var err error
	if o.want, err = parseFields(in.Fields); err != nil {
		return nil, err
	}
	if in.Where != "" {
		if o.where, err = compileWhere(in.Where); err != nil {
			return nil, err
		}
	}
	if in.Match != "" {
		if o.match, err = compileMatch(in.Match); err != nil {
			return nil, err
		}
	}
	if in.Logs != "" {
		sel, err := parseLogs(in.Logs)
		if err != nil {
			return nil, err
		}
		o.log = &sel
	}
	if in.Form != abi.FormRows {
		o.ndjson = &stream{w: p.w, file: File{Path: inFolder + in.Name + ndjsonSuffix}}
	}
	if in.Form != abi.FormNDJSON {
		o.binary = &stream{w: p.w, file: File{Path: inFolder + in.Name + rowsSuffix}}
		o.enc = newEncoder(o.want)
		o.binary.append(o.enc.header())
	}
	return o, nil
}

// wants says whether the input reads a file.
func (o *output) wants(path string) bool {
	if !o.p.holds(path) {
		return false
	}
	if o.log != nil {
		f, ok := logOf(path)
		return ok && o.log.takes(f)
	}
	segs := strings.Split(path, "/")
	for _, g := range o.globs {
		if match(g, segs, false) {
			return true
		}
	}
	return false
}

// lacks writes down that something of the input is missing.
func (o *output) lacks(source, reason string) {
	o.index.Complete = false
	if len(o.index.Missing) > maxMissing {
		return
	}
	if len(o.index.Missing) == maxMissing {
		source, reason = "…", "and more"
	}
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	o.index.Missing = append(o.index.Missing, abi.Missing{Source: Clean(source), Reason: Clean(reason)})
}

// fill marks the input as cut off at a cap.
func (o *output) fill(source, reason string) {
	if !o.full {
		o.full = true
		o.lacks(source, reason)
	}
}

// begin notes that a file is read for this input.
func (o *output) begin(path string) {
	o.p.declared[path] = true
	o.index.Files = append(o.index.Files, path)
}

// room says whether n more bytes fit, and closes the input if not.
func (o *output) room(path string, n int64) bool {
	switch {
	case o.full:
		return false
	case o.index.Rows >= o.p.lim.Rows:
		o.fill(path, fmt.Sprintf("more than %d rows; the rest was left out", o.p.lim.Rows))
	case o.bytes+n > o.p.lim.InputBytes:
		o.fill(path, fmt.Sprintf("more than %d bytes; the rest was left out", o.p.lim.InputBytes))
	case o.p.bytes+n > o.p.lim.ModuleBytes:
		o.fill(path, fmt.Sprintf("the module's inputs have more than %d bytes; the rest was left out", o.p.lim.ModuleBytes))
	}
	return !o.full
}

// took counts bytes against the caps.
func (o *output) took(n int) {
	o.bytes += int64(n)
	o.p.bytes += int64(n)
}

// put writes a row in every form that is asked for.
func (o *output) put(pick *picker, d *document, path string, org origin, at spot) {
	p := o.p
	row, bin := p.row[:0], p.bin[:0]
	if o.ndjson != nil {
		row = rowHead(row, p.next, org)
		row = append(pick.row(row, d), '}', '\n')
	}
	if o.binary != nil {
		bin = o.enc.row(bin, pick, d, p.next, org)
	}
	p.row, p.bin = row, bin
	if !o.room(path, int64(len(row)+len(bin))) {
		return
	}
	off := int64(0)
	if o.binary != nil {
		off = o.binary.file.Size
		o.binary.append(bin)
	}
	if o.ndjson != nil {
		off = o.ndjson.file.Size
		o.ndjson.append(row)
	}
	o.took(len(row) + len(bin))
	o.index.Rows++
	p.mark(o, path, at, off)
	if cap(row) > 2*blockBytes || cap(bin) > 2*blockBytes {
		p.row, p.bin = nil, nil
	}
}

// finish writes what is left and the indexes.
func (p *Projection) finish(r *run) {
	for _, o := range p.outputs {
		if o.failed > 0 {
			o.lacks(o.root(), fmt.Sprintf("where failed for %d rows, which were left out; the first: %s", o.failed, o.reason))
		}
		o.judge(r)
		for _, s := range []*stream{o.ndjson, o.binary} {
			if s != nil {
				s.flush()
				p.files = append(p.files, s.file)
			}
		}
		text, err := json.Marshal(o.index)
		if err != nil {
			p.fail(fmt.Errorf("index of input %s: %w", o.in.Name, err))
			return
		}
		index := stream{w: p.w, file: File{Path: inFolder + o.in.Name + indexSuffix}}
		index.append(append(text, '\n'))
		index.flush()
		p.files = append(p.files, index.file)
	}
	for _, s := range p.raw {
		p.files = append(p.files, s.file)
	}
	sort.Slice(p.files, func(i, j int) bool { return p.files[i].Path < p.files[j].Path })
}
