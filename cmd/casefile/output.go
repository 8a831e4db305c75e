package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// output is the bundle's file while it is written: NAME.partial until it is
// whole, so that nobody takes half a bundle for one. "-" is stdout.
type output struct {
	name string
	f    *os.File
	n    int64
	done bool
}

// create opens the output of j.
func (j *job) create() (*output, error) {
	name := j.output
	if name == "-" {
		if isTerminal(os.Stdout) {
			return nil, usagef("-o - would print a compressed file on the terminal: send it to a file or a pipe")
		}
		return &output{name: name, f: os.Stdout}, nil
	}
	if name == "" {
		name = j.top + ".tar.zst"
		if j.readers != nil {
			name += ".age"
		}
	}
	if info, err := os.Stat(name); err == nil {
		if info.IsDir() {
			return nil, usagef("-o %s is a folder: name a file in it", name)
		}
		return nil, usagef("%s is there already: choose another name with -o, or move it away", name)
	}
	f, err := os.OpenFile(name+".partial", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, usagef("%s.partial is there already, from a run that is going on or was killed: remove it, or choose another -o", name)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write the bundle: %w; choose a place with -o FILE", err)
	}
	return &output{name: name, f: f}, nil
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.f.Write(b)
	o.n += int64(n)
	return n, err
}

// keep gives the finished file its name. A name that was taken meanwhile is
// not overwritten.
func (o *output) keep() error {
	o.done = true
	if o.name == "-" {
		return nil
	}
	if err := errors.Join(o.f.Sync(), o.f.Close()); err != nil {
		return fmt.Errorf("%w; what was written is in %s.partial", err, o.name)
	}
	if _, err := os.Lstat(o.name); err == nil {
		return fmt.Errorf("%s came up meanwhile; the bundle is in %s.partial", o.name, o.name)
	}
	return os.Rename(o.name+".partial", o.name)
}

// abandon leaves no half file behind, unless keep was reached.
func (o *output) abandon() {
	if o.done || o.name == "-" {
		return
	}
	o.f.Close()
	_ = os.Remove(o.name + ".partial") // best effort: the error that led here is the one to report
}
