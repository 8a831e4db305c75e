package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
)

// spoolFS is the read-only file system of a guest: the virtual files of a
// spool and the folders above them, sorted. There are no links in it.
type spoolFS struct {
	spool io.ReaderAt
	nodes map[string]*spoolNode
	when  time.Time
	paid  func(bytes int) // called for each read of a file
}

type spoolNode struct {
	name     string
	file     *input.File // nil for a folder
	children []fs.DirEntry
	when     time.Time
}

func newSpoolFS(spool io.ReaderAt, files []input.File, when time.Time, paid func(bytes int)) (*spoolFS, error) {
	s := &spoolFS{spool: spool, nodes: map[string]*spoolNode{}, when: when, paid: paid}
	for _, dir := range []string{".", "in", "bundle"} {
		s.folder(dir)
	}
	for i := range files {
		f := &files[i]
		if !fs.ValidPath(f.Path) || s.nodes[f.Path] != nil {
			return nil, fmt.Errorf("virtual file %q", f.Path)
		}
		if parent := s.folder(path.Dir(f.Path)); parent == nil {
			return nil, fmt.Errorf("virtual file %q lies below a file", f.Path)
		}
		s.add(f.Path, &spoolNode{name: path.Base(f.Path), file: f, when: when})
	}
	for _, n := range s.nodes {
		sort.Slice(n.children, func(i, j int) bool { return n.children[i].Name() < n.children[j].Name() })
	}
	return s, nil
}

// folder makes a folder and those above it; nil if a file is in the way.
func (s *spoolFS) folder(name string) *spoolNode {
	if n := s.nodes[name]; n != nil {
		if n.file != nil {
			return nil
		}
		return n
	}
	n := &spoolNode{name: path.Base(name), when: s.when}
	if name == "." {
		s.nodes[name] = n
		return n
	}
	if s.folder(path.Dir(name)) == nil {
		return nil
	}
	s.add(name, n)
	return n
}

func (s *spoolFS) add(name string, n *spoolNode) {
	s.nodes[name] = n
	parent := s.nodes[path.Dir(name)]
	parent.children = append(parent.children, fs.FileInfoToDirEntry(n))
}

// Open implements fs.FS.
func (s *spoolFS) Open(name string) (fs.File, error) {
	n := s.nodes[name]
	switch {
	case !fs.ValidPath(name):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	case n == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case n.file == nil:
		return &openFolder{node: n}, nil
	}
	return &openFile{io.NewSectionReader(n.file.ReaderAt(s.spool), 0, n.file.Size), n, s.paid}, nil
}

// openFile reads, seeks and reads at, for a guest that does.
type openFile struct {
	*io.SectionReader
	node *spoolNode
	paid func(bytes int)
}

func (f *openFile) Read(p []byte) (int, error) {
	n, err := f.SectionReader.Read(p)
	f.paid(n)
	return n, err
}

func (f *openFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.SectionReader.ReadAt(p, off)
	f.paid(n)
	return n, err
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openFile) Close() error               { return nil }

type openFolder struct {
	node *spoolNode
	at   int
}

func (f *openFolder) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openFolder) Close() error               { return nil }
func (f *openFolder) Read([]byte) (int, error)   { return 0, errors.New("is a folder") }

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := f.node.children[f.at:]
	if n <= 0 {
		f.at = len(f.node.children)
		return append([]fs.DirEntry(nil), rest...), nil
	}
	if len(rest) == 0 {
		return nil, io.EOF
	}
	rest = rest[:min(n, len(rest))]
	f.at += len(rest)
	return append([]fs.DirEntry(nil), rest...), nil
}

// spoolNode is its own fs.FileInfo.
func (n *spoolNode) Name() string       { return n.name }
func (n *spoolNode) ModTime() time.Time { return n.when }
func (n *spoolNode) IsDir() bool        { return n.file == nil }
func (n *spoolNode) Sys() any           { return nil }

func (n *spoolNode) Size() int64 {
	if n.file == nil {
		return 0
	}
	return n.file.Size
}

func (n *spoolNode) Mode() fs.FileMode {
	if n.file == nil {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
