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
		return nil, usagef("%s.partial is there already, from a run that is going on or was killed: casefile bundle recover %[1]s.partial makes a bundle of what is in it; then remove it, or choose another -o", name)
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
		return fmt.Errorf("%w%s", err, o.salvage())
	}
	if _, err := os.Lstat(o.name); err == nil {
		return fmt.Errorf("%s came up meanwhile; the bundle is in %s.partial", o.name, o.name)
	}
	return os.Rename(o.name+".partial", o.name)
}

// salvage says how to go on with a half file that stays.
func (o *output) salvage() string {
	return fmt.Sprintf("; what was written until then is in %s.partial, and casefile bundle recover %[1]s.partial makes a bundle of it", o.name)
}

// fail closes the output after an error. A collection cannot be repeated, so
// what was written stays, and the error says how to go on with it.
func (o *output) fail(err error) error {
	if err == nil || o.done || o.n == 0 || o.name == "-" {
		return err
	}
	o.done = true
	o.f.Close()
	return fmt.Errorf("%w%s", err, o.salvage())
}

// abandon leaves no half file behind, unless keep or fail was reached.
func (o *output) abandon() {
	if o.done || o.name == "-" {
		return
	}
	o.f.Close()
	_ = os.Remove(o.name + ".partial") // best effort: the error that led here is the one to report
}
