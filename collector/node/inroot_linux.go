package node

import (
	"errors"
	"fmt"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	patience    = 2 * time.Second // with a file system that does not answer
	maxStuck    = 4               // reads given up on, then no more are begun
	openRetries = 8
)

var (
	errNotRegular = errors.New("not a regular file, and is left alone")
	errSlow       = errors.New("the file system does not answer")
)

// inRoot reads files below a folder as if it were the root of all: links,
// absolute ones too, do not lead out of it, whoever made them.
type inRoot struct{ fd int }

// openRoot opens a folder, such as /proc/PID/root.
func openRoot(dir string) (*inRoot, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &inRoot{fd}, nil
}

func (r *inRoot) close() { unix.Close(r.fd) }

// open resolves name. It opens nothing yet when flags has O_PATH: the open of
// a device or FIFO may do something.
func (r *inRoot) open(name string, flags int) (int, error) {
	name = strings.TrimPrefix(name, "/")
	how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for range openRetries {
		fd, err := unix.Openat2(r.fd, name, how)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR): // something was renamed on the way
			continue
		case errors.Is(err, unix.ENOSYS):
			fd, err = r.openPlain(name, flags)
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: "/" + name, Err: err}
		}
		return fd, nil
	}
	return -1, &os.PathError{Op: "open", Path: "/" + name, Err: unix.EAGAIN}
}

// openPlain is for kernels before 5.6: it follows no links.
func (r *inRoot) openPlain(name string, flags int) (int, error) {
	at := r.fd
	names := strings.Split(path.Clean("/" + name)[1:], "/")
	for i, part := range names {
		how := unix.O_PATH
		if i == len(names)-1 {
			how = flags
		}
		fd, err := unix.Openat(at, part, how|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if at != r.fd {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = fd
	}
	return at, nil
}

// regular opens a regular file for reading, and nothing else.
func (r *inRoot) regular(name string) (int, *unix.Stat_t, error) {
	at, err := r.open(name, unix.O_PATH)
	if err != nil {
		return -1, nil, err
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return -1, nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, nil, fmt.Errorf("/%s: %w", strings.TrimPrefix(name, "/"), errNotRegular)
	}
	again := "/proc/self/fd/" + strconv.Itoa(at)
	fd, err := unix.Open(again, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) { // another's file
		fd, err = unix.Open(again, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return -1, nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, &st, nil
}

// file opens a regular file as an [os.File].
func (r *inRoot) file(name string) (*os.File, *unix.Stat_t, error) {
	fd, st, err := r.regular(name)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), name), st, nil
}

// read reads at most limit bytes of a regular file.
func (r *inRoot) read(name string, limit int) (text []byte, cut bool, err error) {
	fd, st, err := r.regular(name)
	if err != nil {
		return nil, false, err
	}
	defer unix.Close(fd)
	// Files of the kernel say that they are empty.
	size := limit
	if st.Size > 0 {
		size = int(min(int64(limit), st.Size+1))
	}
	text, cut, err = readAll(fd, make([]byte, size))
	if err != nil {
		return nil, false, &os.PathError{Op: "read", Path: name, Err: err}
	}
	return text, cut, nil
}

// list names what is in a folder, sorted, at most limit.
func (r *inRoot) list(dir string, limit int) (names []string, cut bool, err error) {
	fd, err := r.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, false, err
	}
	d := os.NewFile(uintptr(fd), dir)
	defer d.Close()
	names, err = d.Readdirnames(limit + 1)
	if err != nil && len(names) == 0 {
		return nil, false, nil // empty
	}
	sort.Strings(names)
	if len(names) > limit {
		return names[:limit], true, nil
	}
	return names, false, nil
}

// match lists the files of a folder that have one of these extensions.
func (r *inRoot) match(dir string, exts ...string) []string {
	names, _, err := r.list(dir, maxListedFiles)
	if err != nil {
		return nil
	}
	var found []string
	for _, name := range names {
		for _, ext := range exts {
			if path.Ext(name) == ext {
				found = append(found, path.Join(dir, name))
			}
		}
	}
	return found
}

const maxListedFiles = 1000

// patiently runs fn, but does not wait for it for ever: a file system whose
// server is dead never answers. fn must not touch what others use.
func patiently[T any](g *gatherer, fn func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if g.stuck >= maxStuck {
		return none, fmt.Errorf("not read: %w, %d times before", errSlow, g.stuck)
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := fn()
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-time.After(patience):
		g.stuck++
		return none, fmt.Errorf("%w within %s", errSlow, patience)
	}
}
