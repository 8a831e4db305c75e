package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// MachineRoot is the folder that shows the machine's own files: to a pod, the
// root of process 1.
func MachineRoot(procRoot string, host bool) string {
	if procRoot == "" {
		procRoot = "/proc"
	}
	if host {
		return "/"
	}
	return procRoot + "/1/root"
}

const maxLinks = 8

// openFolder opens a folder of the machine whose root is at top. Links on the
// way are followed within that root, as the machine itself would follow them.
func openFolder(top, name string) (*os.Root, error) {
	root, err := os.OpenRoot(top)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name = strings.Trim(name, "/")
	for range maxLinks {
		dir, err := root.OpenRoot(name)
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return dir, err
		}
		to, ok := absoluteLink(root, name)
		if !ok {
			return nil, err
		}
		name = to
	}
	return nil, fmt.Errorf("open %s: too many links", name)
}

// absoluteLink finds the first link with an absolute target on the way to
// name, and gives the way that it stands for.
func absoluteLink(root *os.Root, name string) (string, bool) {
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		target, err := root.Readlink(name[:i])
		if err != nil || !path.IsAbs(target) {
			continue
		}
		return strings.TrimPrefix(path.Join(target, name[i:]), "/"), true
	}
	return "", false
}

// openFile opens a file in a folder that strangers may write to. Links are not
// followed, wherever they point: a pod that mounts /var/log could have the
// machine's secrets read for it. Only regular files are opened, since others
// may block.
func openFile(dir *os.Root, name string) (*os.File, fs.FileInfo, error) {
	for i := range name {
		if name[i] != '/' {
			continue
		}
		if info, err := dir.Lstat(name[:i]); err != nil || !info.IsDir() {
			return nil, nil, errors.Join(err, notRegular(name[:i], info))
		}
	}
	info, err := dir.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, notRegular(name, info)
	}
	f, err := dir.Open(name)
	if err != nil {
		return nil, nil, err
	}
	now, err := f.Stat()
	if err != nil || !os.SameFile(info, now) {
		f.Close()
		return nil, nil, errors.Join(err, fmt.Errorf("%s was replaced while it was opened", name))
	}
	return f, now, nil
}

func notRegular(name string, info fs.FileInfo) error {
	if info == nil {
		return nil
	}
	return fmt.Errorf("%s is %s, and is not followed", name, info.Mode().Type())
}

// list gives the names in a folder, sorted, at most limit of them.
func list(dir *os.Root, name string, limit int) (entries []fs.DirEntry, cut bool, err error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	entries, err = f.ReadDir(limit + 1)
	if err != nil && len(entries) == 0 {
		if errors.Is(err, os.ErrClosed) {
			return nil, false, err
		}
		return nil, false, nil // io.EOF: it is empty
	}
	if cut = len(entries) > limit; cut {
		entries = entries[:limit]
	}
	sortEntries(entries)
	return entries, cut, nil
}

func sortEntries(entries []fs.DirEntry) {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
}
