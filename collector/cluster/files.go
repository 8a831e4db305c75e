package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/casefile-io/casefile/collector"
)

// clusterScope is the file name of objects without a namespace.
const clusterScope = "_cluster"

// stream is one file on its way into the sink, written as pages arrive.
type stream struct {
	pipe *io.PipeWriter
	buf  *bufio.Writer
	done chan error
	err  error // the sink's refusal: the file is lost, writes go nowhere
}

func openStream(out *collector.Output, path string) *stream {
	r, w := io.Pipe()
	s := &stream{pipe: w, buf: bufio.NewWriterSize(w, 32<<10), done: make(chan error, 1)}
	go func() {
		err := errors.New("sink gave up") // also after a panic, which must not hang the writer
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%s: panic: %v", path, p)
			}
			if err != nil {
				r.CloseWithError(err)
			}
			s.done <- err
		}()
		err = out.Put(Source, path, collector.ClassCluster, r)
	}()
	return s
}

func (s *stream) write(b []byte) {
	if s.err == nil {
		_, s.err = s.buf.Write(b)
	}
}

// close ends the file and returns the sink's verdict.
func (s *stream) close() error {
	if s == nil {
		return nil
	}
	if s.err == nil {
		s.err = s.buf.Flush()
	}
	s.pipe.Close()
	if err := <-s.done; err != nil {
		return err
	}
	return s.err
}

// files writes the rows of one list, namespace by namespace: one object file
// and one table file are open at a time.
type files struct {
	out     *collector.Output
	res     resource
	only    collector.Only
	columns []column

	open      bool
	namespace string
	objects   *stream
	tables    *stream // nil until the namespace has a row
	closed    map[string]bool
	buf       []byte

	count int
	stray int   // objects that came after their namespace's file was closed
	err   error // first refusal of the sink
}

func newFiles(out *collector.Output, res resource, only collector.Only) *files {
	return &files{out: out, res: res, only: only, closed: map[string]bool{}}
}

// add writes one object and its row; only what must end the list is an error.
func (f *files) add(it item) error {
	scope := it.namespace
	if !f.res.namespaced {
		scope = clusterScope
	}
	if !safeName(scope) {
		return fmt.Errorf("object %q has namespace %q", it.name, scope)
	}
	if !f.only.Wants(f.res.path()+"/"+scope+".ndjson") && !f.only.Wants(f.tablePath(scope)) {
		return nil
	}
	if !f.open || scope != f.namespace {
		if f.closed[scope] {
			f.stray++
			return nil
		}
		f.close()
		f.open, f.namespace = true, scope
		f.objects = openStream(f.out, f.res.path()+"/"+scope+".ndjson")
	}
	if err := f.row(it); err != nil {
		return err
	}
	if errors.Is(f.err, collector.ErrOverBudget) {
		return f.err
	}
	if errors.Is(f.objects.err, collector.ErrOverBudget) {
		return f.objects.err
	}
	f.count++
	return nil
}

func (f *files) tablePath(scope string) string {
	return "cluster/tables/" + ResourceDir(f.res.gvr) + "/" + scope + ".ndjson"
}

func (f *files) row(it item) error {
	var err error
	if f.buf, err = it.line(f.buf[:0], f.res.gvk()); err != nil {
		return err
	}
	f.objects.write(f.buf)
	at := f.tablePath(f.namespace)
	if it.cells == nil || !f.only.Wants(at) {
		return nil
	}
	if f.tables == nil {
		f.tables = openStream(f.out, at)
		f.tables.write(tableHeader(f.columns))
	}
	if f.buf, err = it.tableLine(f.buf[:0]); err != nil {
		return err
	}
	f.tables.write(f.buf)
	return nil
}

// close ends the files of the open namespace.
func (f *files) close() {
	for _, s := range []*stream{f.objects, f.tables} {
		if err := s.close(); err != nil && f.err == nil {
			f.err = err
		}
	}
	if f.open {
		f.closed[f.namespace] = true
	}
	f.open, f.objects, f.tables = false, nil, nil
}
