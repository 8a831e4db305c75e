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
	logs   []*output
	flows  []*output
	dns    []*output
	facts  []*output
}

// add takes in one input of a module.
func (r *run) add(p *Projection, in abi.Input) error {
	list, globs, err := r.kind(in)
	if err != nil {
		return err
	}
	o, err := p.newOutput(in, globs)
	if err != nil {
		return err
	}
	*list = append(*list, o)
	return nil
}

// kind says with which inputs one goes, and which files it reads.
func (r *run) kind(in abi.Input) (list *[]*output, globs []Glob, err error) {
	var g Glob
	switch {
	case len(in.Counters) > 0:
		return &r.counts, counterGlobs(in.Counters), nil
	case in.Logs != "":
		list = &r.logs
		globs, err = logGlobs(in.Logs)
		return list, globs, err
	case in.FactRows != "":
		return &r.facts, nil, nil
	case in.Files != "":
		list = &r.raws
		g, err = ParseGlob(in.Files)
	case in.Flows != "":
		list = &r.flows
		g, err = ParseGlob(captureGlob(in.Flows))
	case in.DNS != "":
		list = &r.dns
		g, err = ParseGlob(captureGlob(in.DNS))
	case in.Resource != "":
		list = &r.tables
		g, err = resourceGlob(in.Resource)
	default:
		list = &r.tables
		g, err = ParseGlob(in.Table)
	}
	return list, []Glob{g}, err
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
	for _, o := range outs {
		if !o.wants(path) {
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
	b := &lineReader{path: path, lines: 1, b: block{g: newGroup(outs), takes: make([]take, len(outs))}}
	b.b.reset(path, originOf(path))
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

// lineReader takes the lines of a file to the inputs that read it.
type lineReader struct {
	path  string
	b     block
	lines int // number of the next line
	bad   int
}

func (b *lineReader) lack(reason string) {
	for _, o := range b.b.g.outs {
		o.lacks(b.path, reason)
	}
}

func (b *lineReader) read(ctx context.Context, f io.Reader, limit int) error {
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
func (b *lineReader) whole(f io.Reader, limit int) error {
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

func (b *lineReader) full() bool {
	for _, o := range b.b.g.outs {
		if !o.full {
			return false
		}
	}
	return true
}

func (b *lineReader) line(line []byte) {
	nr := b.lines
	b.lines++
	if isBlank(line) {
		return
	}
	if b.b.full() {
		b.flush()
	}
	if !b.b.add(line, spot{line: nr}) {
		if b.bad++; b.bad <= maxBadPerFile {
			b.lack(b.b.bad[len(b.b.bad)-1])
		}
	}
}

func (b *lineReader) flush() {
	b.b.deliver()
	b.b.reset(b.path, b.b.origin)
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
