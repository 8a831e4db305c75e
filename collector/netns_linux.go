package collector

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// InNetns runs fn inside the network namespace at path, such as
// /proc/PID/ns/net, on a thread that is used for nothing else: a socket that
// fn makes stays there. inode is the one that the namespace must have, since
// the number of a process may have gone to another; 0 is not checked.
func InNetns(path string, inode uint64, fn func() error) (err error) {
	OnOwnThread(func() {
		if err = enterNetns(path, inode); err == nil {
			err = fn()
		}
	})
	return err
}

// enterNetns moves the calling thread.
func enterNetns(path string, inode uint64) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the network namespace is gone, has the pod ended? %w", &os.PathError{Op: "open", Path: path, Err: err})
	case err != nil:
		return shutOut(&os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if inode != 0 && st.Ino != inode {
		return fmt.Errorf("%s is network namespace %d and no longer %d, has the pod ended?", path, st.Ino, inode)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return shutOut(fmt.Errorf("enter %s: %w", path, err))
	}
	return nil
}

func shutOut(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: another network namespace needs root, or CAP_SYS_ADMIN: %w", ErrDenied, err)
	}
	return err
}
