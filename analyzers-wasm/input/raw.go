package input

import (
	"errors"
	"io"
)

// rawTaker lays a file out below bundle/ for one module, whose first input
// with room for it is charged.
type rawTaker struct {
	p      *Projection
	outs   []*output // that name the file
	out    *output
	stream *stream // nil when none of them has room
	cut    bool
}

func rawTakers(outs []*output) []*rawTaker {
	of := map[*Projection]*rawTaker{}
	var list []*rawTaker
	for _, o := range outs {
		t := of[o.p]
		if t == nil {
			t = &rawTaker{p: o.p}
			of[o.p] = t
			list = append(list, t)
		}
		t.outs = append(t.outs, o)
	}
	return list
}

func (t *rawTaker) begin(path string) {
	for _, o := range t.outs {
		if !o.full {
			t.out, t.stream = o, &stream{w: t.p.w, file: File{Path: bundleFolder + path}}
			t.p.raw[path] = t.stream
			return
		}
	}
}

func (t *rawTaker) take(path string, text []byte) {
	if t.stream == nil || t.cut {
		return
	}
	if t.cut = !t.out.room(path, int64(len(text))); !t.cut {
		t.out.took(len(text))
		t.stream.append(text)
	}
}

// end writes what is left, and tells the other inputs of a cut.
func (t *rawTaker) end(path string) {
	if t.stream == nil {
		return
	}
	t.stream.flush()
	for _, o := range t.outs {
		if t.cut && o != t.out {
			o.lacks(path, "cut short at a cap")
		}
	}
}

// rawSource reads files as they stand.
func (r *run) rawSource(p *pipeline, path string, outs []*output, g *group) *source {
	s := newSource(path, g)
	s.outs, s.raw = outs, rawTakers(outs)
	s.read = func(s *source) error {
		f, err := r.fsys.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		c := &cutter{r: f}
		for {
			b := s.group.block(path, origin{})
			if b.lines, err = c.fill(b.lines, chunkSize); len(b.lines) > 0 && !p.send(s, b) || err != nil || c.eof {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				return err
			}
		}
	}
	return s
}
