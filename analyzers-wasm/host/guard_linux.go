package host

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNotOffered marks a bound that this kernel does not have.
var errNotOffered = errors.New("not offered by this kernel")

// guardSelf is called by the child before it reads anything of a module. It
// returns the bounds that this kernel does not offer.
func guardSelf(s setup) (lacks []string, err error) {
	data := uint64(s.MemoryMiB+childMiB+dataSlackMiB) << 20
	for _, l := range []struct {
		name  string
		which int
		value uint64
	}{
		{"RLIMIT_DATA", unix.RLIMIT_DATA, data},
		{"RLIMIT_CPU", unix.RLIMIT_CPU, s.CPUSeconds},
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0},
		{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE, maxCompiled},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE, 32},
	} {
		if err := lower(l.which, l.value); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errors.Is(errno, syscall.ENOTSUP) {
		// A binary with C in it: the filter below takes this to all threads.
		err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	} else if errno != 0 {
		err = errno
	}
	if err != nil {
		return nil, fmt.Errorf("no new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("not dumpable: %w", err)
	}
	for _, g := range []struct {
		name string
		set  func() error
	}{
		{"no Landlock: files and TCP are closed to a module by system call only", func() error { return landlock(s.Scratch) }},
		{"no seccomp: a module's process may make any system call", firstSeccomp},
	} {
		switch err := g.set(); {
		case errors.Is(err, errNotOffered):
			lacks = append(lacks, g.name)
		case err != nil:
			return nil, err
		}
	}
	return lacks, nil
}

func lower(which int, value uint64) error {
	var old unix.Rlimit
	if err := unix.Prlimit(0, which, nil, &old); err != nil {
		return err
	}
	value = min(value, old.Max)
	return unix.Prlimit(0, which, &unix.Rlimit{Cur: value, Max: value}, nil)
}

// closeFiles ends the child's way to files, once the module is compiled and
// before any of it runs.
func closeFiles() error {
	if err := lower(unix.RLIMIT_FSIZE, 0); err != nil {
		return fmt.Errorf("RLIMIT_FSIZE: %w", err)
	}
	for _, set := range []func() error{func() error { return landlock("") }, lastSeccomp} {
		if err := set(); err != nil && !errors.Is(err, errNotOffered) {
			return err
		}
	}
	return nil
}
