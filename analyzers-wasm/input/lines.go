package input

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// cutter cuts a file into pieces of whole lines. Of a line that is too long
// only the start is kept, so that its reader sees that it is.
type cutter struct {
	r    io.Reader
	keep int         // bytes of a line
	long func() bool // waits until a long line may be held; false to give up
	rest []byte
	skip bool // the rest of a line that was too long
	eof  bool
}

// next appends a piece to buf, or gives io.EOF.
func (c *cutter) next(buf []byte) ([]byte, error) {
	buf = append(buf, c.rest...)
	c.rest = c.rest[:0]
	for want := blockBytes; ; want = max(blockBytes, min(2*want, c.keep+1)) {
		if want > largeBlock && !c.long() {
			return buf[:0], context.Canceled
		}
		var err error
		if buf, err = c.fill(buf, want); err != nil {
			return c.whole(buf), err
		}
		if c.skip {
			i := bytes.IndexByte(buf, '\n')
			if i < 0 {
				buf, want = buf[:0], 0
				if c.eof {
					return buf, io.EOF
				}
				continue
			}
			buf, c.skip = buf[:copy(buf, buf[i+1:])], false
		}
		cut := bytes.LastIndexByte(buf, '\n') + 1
		switch {
		case c.eof && len(buf) == 0:
			return buf, io.EOF
		case c.eof:
			return buf, nil
		case cut > 0:
			c.rest = append(c.rest, buf[cut:]...)
			return buf[:cut], nil
		case len(buf) > c.keep:
			c.skip = true
			return append(buf[:c.keep+1], '\n'), nil
		}
	}
}

// whole is what there is of whole lines when reading fails.
func (c *cutter) whole(buf []byte) []byte {
	if c.skip {
		buf = buf[bytes.IndexByte(buf, '\n')+1:]
	}
	return buf[:bytes.LastIndexByte(buf, '\n')+1]
}

// fill reads until there are so many bytes.
func (c *cutter) fill(buf []byte, want int) ([]byte, error) {
	for len(buf) < want && !c.eof {
		if cap(buf) < want {
			buf = append(make([]byte, 0, want), buf...)
		}
		n, err := c.r.Read(buf[len(buf):want])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			c.eof = true
		} else if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// readLines sends a file in blocks of whole lines.
func (r *run) readLines(p *pipeline, s *source, keep int) error {
	f, err := r.fsys.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	c, nr, from := &cutter{r: f, keep: keep, long: func() bool { return p.myTurn(s) }}, 1, originOf(s.path)
	for {
		b := s.group.block(s.path, from)
		b.nr = nr
		if b.lines, err = c.next(b.lines); errors.Is(err, io.EOF) {
			return nil
		}
		nr += bytes.Count(b.lines, []byte("\n"))
		if !p.send(s, b) || err != nil {
			return err
		}
	}
}

// readWhole sends a .json file as one line.
func (r *run) readWhole(p *pipeline, s *source) error {
	f, err := r.fsys.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() > largeBlock && !p.myTurn(s) {
		return err
	}
	text, err := readBounded(f, int64(r.lim.Line))
	if err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return err
	}
	b := s.group.block(s.path, originOf(s.path))
	b.nr, b.lines = 1, compact.Bytes()
	p.send(s, b)
	return nil
}

// scanLines scans lines of a table until there is enough for once.
func (r *run) scanLines(b *block) {
	for b.next < len(b.lines) && len(b.vals) < blockValues && !b.wait {
		start, end := b.next, len(b.lines)
		if i := bytes.IndexByte(b.lines[start:], '\n'); i >= 0 {
			end = start + i
		}
		at := spot{line: b.nr}
		next := end + 1
		switch line := b.lines[start:end]; {
		case len(line) > r.lim.Line:
			b.flaws.damaged(at.line, fmt.Errorf("has more than %d bytes", r.lim.Line))
		case isBlank(line):
		default:
			b.scan(line, blockRow{start: start, end: end, line: true, spot: at})
		}
		if !b.wait {
			b.next = next
			b.nr++
		}
	}
	b.sift()
}

// tableSource reads resources and tables.
func (r *run) tableSource(p *pipeline, path string, g *group) *source {
	s := newSource(path, g)
	s.scan = r.scanLines
	s.read = func(s *source) error {
		if strings.HasSuffix(path, ".json") {
			return r.readWhole(p, s)
		}
		return r.readLines(p, s, r.lim.Line)
	}
	return s
}

func newSource(path string, g *group) *source {
	return &source{path: path, outs: g.outs, group: g, blocks: make(chan *block, aheadOf), turn: make(chan struct{})}
}
