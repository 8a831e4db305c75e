package host

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// landlock takes all files and TCP away from the process, but for what lies
// below scratch when that is not empty. The newest rules that the kernel knows
// are used.
func landlock(scratch string) error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		if errno == unix.ENOSYS || errno == unix.EOPNOTSUPP {
			return errNotOffered
		}
		return fmt.Errorf("landlock: %w", errno)
	}
	attr, size := landlockRules(int(version))
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0) //nolint:gosec // the kernel's interface
	if errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	defer unix.Close(int(fd))
	if scratch != "" {
		if err := landlockAllow(int(fd), scratch, attr.fs); err != nil {
			return err
		}
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		if errors.Is(errno, syscall.ENOTSUP) {
			return errNotOffered // a binary with C in it has threads that Go does not reach
		}
		return fmt.Errorf("landlock: %w", errno)
	}
	return nil
}

// landlockAttr is struct landlock_ruleset_attr.
type landlockAttr struct{ fs, net, scoped uint64 }

// landlockRules takes in everything that a version can forbid.
func landlockRules(version int) (attr landlockAttr, size uintptr) {
	attr.fs, size = unix.LANDLOCK_ACCESS_FS_REFER-1, 8
	if version >= 2 {
		attr.fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		attr.fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		attr.net, size = unix.LANDLOCK_ACCESS_NET_BIND_TCP|unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, 16
	}
	if version >= 5 {
		attr.fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		attr.scoped, size = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET|unix.LANDLOCK_SCOPE_SIGNAL, 24
	}
	return attr, size
}

// landlockAllow lets plain files and folders be read and made below a folder.
func landlockAllow(ruleset int, folder string, handled uint64) error {
	dir, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("landlock: %s: %w", folder, err)
	}
	defer unix.Close(dir)
	rule := struct { // struct landlock_path_beneath_attr is packed
		access [8]byte
		parent int32
	}{parent: int32(dir)}
	const files = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	*(*uint64)(unsafe.Pointer(&rule.access)) = files & handled //nolint:gosec // native byte order
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	return nil
}
