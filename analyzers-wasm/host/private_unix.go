//go:build unix

package host

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// private says whether a file or folder is ours and nobody else may write it.
func private(info fs.FileInfo) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || int(s.Uid) != os.Geteuid():
		return errors.New("it belongs to somebody else")
	case info.Mode().Perm()&0o077 != 0:
		return errors.New("others may use it")
	}
	return nil
}
