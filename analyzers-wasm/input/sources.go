package input

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// run is one call of [Project].
type run struct {
	ctx     context.Context
	fsys    fs.FS
	lim     Limits
	files   []string
	results results

	tables []*output // resource and table inputs
	raws   []*output
	counts []*output
}

// add takes in one input of a module.
func (r *run) add(p *Projection, in abi.Input) error {
	switch {
	case len(in.Counters) > 0:
		r.counts = append(r.counts, p.newOutput(in, counterGlobs(in.Counters)))
		return nil
	case in.Files != "":
		g, err := ParseGlob(in.Files)
		if err != nil {
			return err
		}
		r.raws = append(r.raws, p.newOutput(in, []Glob{g}))
		return nil
	}
	want, err := parseFields(in.Fields)
	if err != nil {
		return err
	}
	var g Glob
	if in.Resource != "" {
		g, err = resourceGlob(in.Resource)
	} else {
		g, err = ParseGlob(in.Table)
	}
	if err != nil {
		return err
	}
	o := p.newOutput(in, []Glob{g})
	o.want = want
	r.tables = append(r.tables, o)
	return nil
}

// resourceGlob gives the files of "v1/pods" or "apps/v1/deployments".
func resourceGlob(resource string) (Glob, error) {
	segs := strings.Split(resource, "/")
	if len(segs) == 2 {
		segs = append([]string{"core"}, segs...)
	}
	if len(segs) != 3 || !resourceSegment(segs[0]) || !resourceSegment(segs[1]) || !resourceSegment(segs[2]) {
		return nil, fmt.Errorf(`resource %q: write "v1/pods" or "apps/v1/deployments"`, resource)
	}
	return ParseGlob(resourceFolder + strings.Join(segs, "/") + "/*.ndjson")
}

func resourceSegment(s string) bool {
	if s == "" {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return s[0] != '.'
}

// sources reads every file that an input names, once, in order of paths.
func (r *run) sources() error {
	for _, path := range r.files {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if rows := r.wanting(r.tables, path); len(rows) > 0 {
			r.project(path, rows)
		}
		if raws := r.wanting(r.raws, path); len(raws) > 0 {
			r.copy(path, raws)
		}
	}
	return nil
}

// wanting picks the outputs that read a file, and tells them that it is there.
func (r *run) wanting(outs []*output, path string) []*output {
	var take []*output
	segs := strings.Split(path, "/")
	for _, o := range outs {
		if !match(o.globs[0], segs, false) {
			continue
		}
		if len(o.index.Files) >= r.lim.Files {
			o.fill(path, fmt.Sprintf("more than %d files; the rest was left out", r.lim.Files))
		}
		if !o.full {
			o.begin(path)
			take = append(take, o)
		}
	}
	return take
}

// project scans a file once and writes the rows of all its consumers.
func (r *run) project(path string, outs []*output) {
	union := &fields{}
	for _, o := range outs {
		union.merge(o.want)
	}
	b := &batch{path: path, origin: originOf(path), shape: newShape(union), lines: 1}
	for _, o := range outs {
		b.outs, b.pickers = append(b.outs, o), append(b.pickers, newPicker(o.want, b.shape))
	}
	f, err := r.fsys.Open(path)
	if err == nil {
		if strings.HasSuffix(path, ".json") {
			err = b.whole(f, r.lim.Line)
		} else {
			err = b.read(r.ctx, f, r.lim.Line)
		}
		b.flush()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		b.lack("could not be read to its end: " + err.Error())
	}
}

// batch is a handful of lines on their way from one file to its consumers;
// each consumer takes a batch at a time, so that its rows lie side by side.
type batch struct {
	path    string
	origin  origin
	shape   *shape
	outs    []*output
	pickers []*picker

	lines int // number of the next line
	bad   int
	docs  []document
	from  []int // line of each document
	n     int
	bytes int
	row   []byte
}

const batchBytes = 256 << 10

func (b *batch) lack(reason string) {
	for _, o := range b.outs {
		o.lacks(b.path, reason)
	}
}

func (b *batch) read(ctx context.Context, f io.Reader, limit int) error {
	br := bufio.NewReaderSize(f, 64<<10)
	var long []byte
	for {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if len(long)+len(line) > limit {
				return fmt.Errorf("line %d has more than %d bytes", b.lines, limit)
			}
			long = append(long, line...)
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(long) > 0 {
			line = append(long, line...)
			long = line[:0]
		}
		if len(line) > limit {
			return fmt.Errorf("line %d has more than %d bytes", b.lines, limit)
		}
		b.line(bytes.TrimRight(line, "\r\n"))
		if err != nil || b.full() {
			return nil
		}
		if b.lines%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// whole takes a .json file as one row.
func (b *batch) whole(f io.Reader, limit int) error {
	text, err := readBounded(f, int64(limit))
	if err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return err
	}
	b.line(compact.Bytes())
	return nil
}

func (b *batch) full() bool {
	for _, o := range b.outs {
		if !o.full {
			return false
		}
	}
	return true
}

func (b *batch) line(line []byte) {
	nr := b.lines
	b.lines++
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	if b.n == len(b.docs) {
		b.docs, b.from = append(b.docs, document{}), append(b.from, 0)
	}
	d := &b.docs[b.n]
	if err := d.parse(append(d.text[:0], line...), b.shape); err != nil {
		if b.bad++; b.bad <= maxBadPerFile {
			b.lack(fmt.Sprintf("line %d %v", nr, err))
		}
		return
	}
	b.from[b.n] = nr
	b.n++
	if b.bytes += len(line); b.n == stretchRows || b.bytes >= batchBytes {
		b.flush()
	}
}

// flush hands the waiting lines to every consumer.
func (b *batch) flush() {
	for i, o := range b.outs {
		for j := range b.n {
			if o.full {
				break
			}
			row := rowHead(b.row[:0], o.p.next, b.origin)
			row = append(b.pickers[i].row(row, &b.docs[j]), '}', '\n')
			b.row = row
			if o.room(b.path, int64(len(row))) {
				o.add(row, b.path, b.from[j], nil)
			}
		}
	}
	for j := range b.n {
		if d := &b.docs[j]; cap(d.text) > batchBytes || cap(d.vals) > batchBytes/16 {
			*d = document{} // one long line must not be held for each place of the batch
		}
	}
	b.n, b.bytes = 0, 0
}

// copy lays a raw file out below bundle/ for every consumer, once a module.
func (r *run) copy(path string, outs []*output) {
	taking := map[*stream]*output{}
	for _, o := range outs {
		if o.p.raw[path] == nil {
			s := &stream{w: o.p.w, file: File{Path: bundleFolder + path}}
			o.p.raw[path] = s
			taking[s] = o
		}
	}
	err := r.copyTo(path, taking)
	for _, o := range outs {
		switch {
		case err != nil:
			o.lacks(path, "could not be read to its end: "+err.Error())
		case taking[o.p.raw[path]] == nil:
			o.lacks(path, "cut short at a cap")
		}
	}
}

// copyTo reads the file into the streams; one that is full is taken out.
func (r *run) copyTo(path string, taking map[*stream]*output) error {
	f, err := r.fsys.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, chunkSize)
	for len(taking) > 0 {
		n, err := f.Read(buf)
		for s, o := range taking {
			if !o.room(path, int64(n)) {
				delete(taking, s)
				continue
			}
			o.took(n)
			s.append(buf[:n])
			s.flush()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = r.ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
