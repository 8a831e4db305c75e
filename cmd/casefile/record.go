package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/casefile-io/casefile/collector/cluster/launch"
)

// recorder keeps a copy of every node's stream: how the demo's sample is made.
type recorder struct {
	*launch.Launcher
	dir string
}

func (r recorder) Dial(ctx context.Context, node string) (io.ReadWriteCloser, error) {
	conn, err := r.Launcher.Dial(ctx, node)
	if err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(r.dir, node+".stream"))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &recording{ReadWriteCloser: conn, copy: f}, nil
}

type recording struct {
	io.ReadWriteCloser
	copy *os.File
}

func (r *recording) Read(b []byte) (int, error) {
	n, err := r.ReadWriteCloser.Read(b)
	if _, werr := r.copy.Write(b[:n]); werr != nil {
		return n, werr
	}
	return n, err
}

func (r *recording) Close() error { return errors.Join(r.ReadWriteCloser.Close(), r.copy.Close()) }
