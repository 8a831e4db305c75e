package host

import (
	"errors"
	"fmt"
	"os"
)

// files are the two files that a child inherits, both without a name where
// the system allows it.
type files struct {
	module *os.File // read-only
	spool  *os.File // the parent's end, for writing and reading back
	view   *os.File // the child's end of the spool, read-only
	names  []string // still to be removed
}

func newFiles(dir string, wasm []byte) (*files, error) {
	f := &files{}
	m, view, err := f.pair(dir)
	if err == nil {
		_, err = m.Write(wasm)
		if cerr := m.Close(); err == nil {
			err = cerr
		}
		f.module = view
	}
	if err == nil {
		f.spool, f.view, err = f.pair(dir)
	}
	if err != nil {
		f.close()
		return nil, fmt.Errorf("make the sandbox's files: %w", err)
	}
	return f, nil
}

// pair makes a private file and opens it twice: for writing and read-only.
func (f *files) pair(dir string) (rw, ro *os.File, err error) {
	if rw, err = os.CreateTemp(dir, "casefile-sandbox-*"); err != nil {
		return nil, nil, err
	}
	if ro, err = os.Open(rw.Name()); err != nil {
		rw.Close()
		return nil, nil, errors.Join(err, os.Remove(rw.Name()))
	}
	if os.Remove(rw.Name()) != nil {
		f.names = append(f.names, rw.Name()) // an open file has to stay on some systems
	}
	return rw, ro, nil
}

func (f *files) close() {
	for _, file := range []*os.File{f.module, f.spool, f.view} {
		if file != nil {
			file.Close()
		}
	}
	for _, name := range f.names {
		_ = os.Remove(name) // closed by now; what is left is the system's to clean
	}
}
