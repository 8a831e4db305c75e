package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/capture"
)

// captureOutput is the sink of the capture verb: packets, cut by the payload
// policy, go to a file each, or to stdout. Those of an agent were cut before;
// they are read as pcapng again, since whoever opens the file should not have
// to trust a node.
type captureOutput struct {
	w        string
	redactor *redact.Redactor
	broken   func() // called when stdout is not read any more

	mu      sync.Mutex
	names   []string
	failure error
	pipe    bool // stdout was closed
}

// Put implements [collector.Sink].
func (o *captureOutput) Put(path string, _ collector.Class, r io.Reader) (int64, error) {
	if !strings.HasSuffix(path, ".pcapng") {
		return io.Copy(io.Discard, r)
	}
	w, closeFile, err := o.create(path)
	if err != nil {
		return 0, o.fail(err)
	}
	live := capture.NewLive(w)
	n, err := io.Copy(live, o.redactor.Reader(path, r))
	return n, o.fail(errors.Join(err, live.Close(), closeFile()))
}

// fail keeps the first error that is not only that nobody reads any more.
func (o *captureOutput) fail(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil:
	case isBrokenPipe(err):
		o.pipe = true
		o.broken()
	case o.failure == nil:
		o.failure = err
	}
	return err
}

func (o *captureOutput) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failure
}

func (o *captureOutput) gone() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pipe
}

func (o *captureOutput) files() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.names)
}

// create opens the file for a capture.
func (o *captureOutput) create(path string) (io.Writer, func() error, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := o.w
	if dir, ok := strings.CutSuffix(o.w, "/"); ok {
		name = filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(path, "captures/"), "/", "__"))
		if err := os.MkdirAll(dir+"/", 0o700); err != nil {
			return nil, nil, err
		}
	} else if len(o.names) > 0 {
		return nil, nil, usagef("these targets make several files: say -w DIR/")
	}
	o.names = append(o.names, name)
	if name == "-" {
		return os.Stdout, func() error { return nil }, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, nil, usagef("%s is there already: choose another name with -w, or move it away", name)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot write the capture: %w; choose a place with -w FILE", err)
	}
	return f, f.Close, nil
}

// Frames implements [collector.Sink]: pieces of the captures of an agent.
func (o *captureOutput) Frames(prefixes []string, r io.Reader) error {
	pipes := map[string]*io.PipeWriter{}
	var running sync.WaitGroup
	err := agent.ReadPieces(r, prefixes, func(path string, data []byte) error {
		w := pipes[path]
		if w == nil {
			if len(pipes) == capture.MaxSpecs {
				return fmt.Errorf("%w: more captures than were asked for", agent.ErrProtocol)
			}
			pr, pw := io.Pipe()
			w, pipes[path] = pw, pw
			running.Go(func() {
				_, err := o.Put(path, collector.ClassCaptures, pr)
				pr.CloseWithError(errors.Join(err, io.ErrClosedPipe))
			})
		}
		_, err := w.Write(data)
		return err
	})
	for _, w := range pipes {
		w.CloseWithError(err)
	}
	running.Wait()
	return err
}
