package host

import (
	"errors"
	"fmt"
	"os"
)

// spool holds the inputs of one run. It has no name where the system allows
// it, and the child inherits a view that cannot be written.
type spool struct {
	*os.File          // the parent's end, for writing and reading back
	view     *os.File // the child's, read-only
	name     string   // still to be removed
}

func newSpool(dir string) (*spool, error) {
	rw, err := os.CreateTemp(dir, "casefile-spool-*")
	if err != nil {
		return nil, fmt.Errorf("make the sandbox's files: %w", err)
	}
	ro, err := os.Open(rw.Name())
	if err != nil {
		rw.Close()
		return nil, fmt.Errorf("make the sandbox's files: %w", errors.Join(err, os.Remove(rw.Name())))
	}
	s := &spool{File: rw, view: ro}
	if os.Remove(rw.Name()) != nil {
		s.name = rw.Name() // an open file has to stay on some systems
	}
	return s, nil
}

func (s *spool) close() {
	s.File.Close()
	s.view.Close()
	if s.name != "" {
		_ = os.Remove(s.name) // closed by now; what is left is the system's to clean
	}
}
