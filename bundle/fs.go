package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// maxReadFile bounds what ReadFile returns; larger entries are for Open.
const maxReadFile = MaxFile

// Open opens an entry or a folder. An entry is read lazily, each frame verified
// before its bytes are returned; it also is an [io.ReaderAt].
func (r *Reader) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if i, ok := r.find(name); ok {
		return &openFile{r: r, node: r.nodes[i], hash: sha256.New()}, nil
	}
	if !r.isDir(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &openDir{r: r, name: name}, nil
}

// Stat describes an entry or a folder.
func (r *Reader) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrInvalid}
	}
	if i, ok := r.find(name); ok {
		return r.info(name, r.nodes[i].size, false), nil
	}
	if !r.isDir(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return r.info(name, 0, true), nil
}

// ReadFile reads a whole entry of at most 1 GiB and compares its hash.
func (r *Reader) ReadFile(name string) ([]byte, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	o, ok := f.(*openFile)
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a folder")}
	}
	if o.node.size > maxReadFile {
		return nil, &fs.PathError{Op: "read", Path: name, Err: ErrTooLarge}
	}
	b := make([]byte, 0, min(o.node.size+1, MaxFrame))
	for {
		if len(b) == cap(b) {
			b = slices.Grow(b, min(len(b)+1, int(o.node.size)+1-len(b)))
		}
		n, err := o.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// ReadDir lists a folder, sorted by name.
func (r *Reader) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	if !r.isDir(name) {
		_, isFile := r.find(name)
		err := fs.ErrNotExist
		if isFile {
			err = errors.New("is not a folder")
		}
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	prefix := ""
	if name != "." {
		prefix = name + "/"
	}
	var list []fs.DirEntry
	for i := r.search(prefix); i < len(r.nodes); {
		rest, ok := strings.CutPrefix(r.nodes[i].path, prefix)
		if !ok {
			break
		}
		child, _, dir := strings.Cut(rest, "/")
		if !dir {
			list = append(list, fs.FileInfoToDirEntry(r.info(child, r.nodes[i].size, false)))
			i++
			continue
		}
		list = append(list, fs.FileInfoToDirEntry(r.info(child, 0, true)))
		i = r.search(prefix + child + string(rune('/'+1))) // the first name behind the folder
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// isDir says whether any entry lies below name.
func (r *Reader) isDir(name string) bool {
	if name == "." {
		return true
	}
	i := r.search(name + "/")
	return i < len(r.nodes) && strings.HasPrefix(r.nodes[i].path, name+"/")
}

func (r *Reader) info(name string, size int64, dir bool) fileInfo {
	return fileInfo{name: path.Base(name), size: size, dir: dir, time: r.manifest.Created}
}

type fileInfo struct {
	name string
	size int64
	dir  bool
	time time.Time
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) ModTime() time.Time { return i.time }
func (i fileInfo) IsDir() bool        { return i.dir }
func (i fileInfo) Sys() any           { return nil }
func (i fileInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// openDir is a folder that is being listed.
type openDir struct {
	r    *Reader
	name string
	list []fs.DirEntry
	read bool
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.r.Stat(d.name) }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a folder")}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		list, err := d.r.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.list, d.read = list, true
	}
	if n > 0 && len(d.list) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.list) {
		n = len(d.list)
	}
	list := d.list[:n]
	d.list = d.list[n:]
	return list, nil
}

// openFile is an entry that is being read.
type openFile struct {
	r    *Reader
	node node
	part int       // the part that Read is in
	off  int64     // in that part
	hash hash.Hash // of that part so far
	err  error
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.r.Stat(f.node.path) }

func (f *openFile) Close() error {
	f.err = fs.ErrClosed
	return nil
}

// Read reads on; at the end of each part its hash must be that of the index.
func (f *openFile) Read(p []byte) (int, error) {
	for f.err == nil {
		e := f.node.parts[f.part]
		if f.off < e.size {
			n, err := f.r.readEntry(e, p, f.off)
			f.hash.Write(p[:n])
			f.off += int64(n)
			f.err = err
			if n > 0 || len(p) == 0 {
				return n, nil
			}
			break
		}
		sum, err := e.sum()
		if err == nil && [32]byte(f.hash.Sum(nil)) != sum {
			err = damaged("file", "its hash is not the one in the index")
		}
		f.part, f.off = f.part+1, 0
		f.hash.Reset()
		if f.err = err; err == nil && f.part == len(f.node.parts) {
			f.err = io.EOF
		}
	}
	return 0, f.wrap(f.err)
}

// ReadAt reads anywhere; the frames are verified, the hash of the entry is not
// computed.
func (f *openFile) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, f.wrap(fs.ErrInvalid)
	}
	for _, e := range f.node.parts {
		for n < len(p) && off < e.size {
			m, err := f.r.readEntry(e, p[n:], off)
			if err != nil {
				return n, f.wrap(err)
			}
			n, off = n+m, off+int64(m)
		}
		off -= e.size
		if n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}

func (f *openFile) wrap(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return &fs.PathError{Op: "read", Path: f.node.path, Err: err}
}

// readEntry copies content of e from off on, at most to the end of one frame.
func (r *Reader) readEntry(e entry, p []byte, off int64) (int, error) {
	at := e.off + off
	i := r.chunkAt(at)
	if i == len(r.chunks) {
		return 0, fmt.Errorf("%w: beyond the tar stream", ErrDamaged)
	}
	data, err := r.load(i)
	if err != nil {
		return 0, err
	}
	n := min(int64(len(p)), e.size-off)
	return copy(p[:n], data[at-r.starts[i]:]), nil
}
