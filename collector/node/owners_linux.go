package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxOwnedFDs   = 2_000_000
	fdsAtATime    = 1024
	maxCommLength = 64
	direntBuffer  = 32 << 10
)

// socketOwners says which process holds a socket.
type socketOwners struct {
	byInode []ownedInode // sorted
	comm    map[int32]string
	err     error // why it is not complete
}

type ownedInode struct {
	inode uint32
	pid   int32
}

// of gives the process that holds a socket, 0 if none is known.
func (o *socketOwners) of(inode uint32) (pid int, comm string) {
	at, ok := slices.BinarySearchFunc(o.byInode, inode, func(e ownedInode, inode uint32) int { return cmp.Compare(e.inode, inode) })
	if !ok || inode == 0 {
		return 0, ""
	}
	p := o.byInode[at].pid
	return int(p), o.comm[p]
}

// findSocketOwners reads every file descriptor of every process. It may not
// see those of other users; then sockets lack their owner. The room of an
// earlier list is used again.
func findSocketOwners(ctx context.Context, procRoot string, room []ownedInode) socketOwners {
	o := socketOwners{byInode: room[:0], comm: map[int32]string{}}
	pids, err := listPIDs(procRoot)
	if err != nil {
		o.err = err
		return o
	}
	denied := 0
	buf := make([]byte, direntBuffer)
	for _, pid := range pids {
		if ctx.Err() != nil || len(o.byInode) > maxOwnedFDs {
			o.err = fmt.Errorf("%w: not all sockets have their process", errPartial)
			break
		}
		before := len(o.byInode)
		dir := procRoot + "/" + strconv.Itoa(pid)
		if err := o.scan(dir+"/fd", int32(pid), buf); errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			denied++
		}
		if len(o.byInode) > before {
			var buf [maxCommLength]byte
			if text, _, err := readFile(dir+"/comm", buf[:]); err == nil {
				o.comm[int32(pid)] = strings.ToValidUTF8(strings.TrimSuffix(string(text), "\n"), "?")
			}
		}
	}
	// Of several holders the first, the eldest, counts.
	slices.SortFunc(o.byInode, func(a, b ownedInode) int { return cmp.Or(cmp.Compare(a.inode, b.inode), cmp.Compare(a.pid, b.pid)) })
	o.byInode = slices.CompactFunc(o.byInode, func(a, b ownedInode) bool { return a.inode == b.inode })
	if denied > 1 { // process 1 alone may be out of reach
		o.err = fmt.Errorf("the files of %d processes may not be read, so that their sockets name no process", denied)
	}
	return o
}

// scan reads the links in a folder of file descriptors. A node has 100,000 of
// them: their names are taken from the kernel's own records as they are.
func (o *socketOwners) scan(dir string, pid int32, buf []byte) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var link [32]byte
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil || n <= 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > direntName; {
			record := rest[:max(direntName, min(int(binary.NativeEndian.Uint16(rest[16:])), len(rest)))] // struct linux_dirent64
			rest = rest[len(record):]
			name := record[direntName:]
			if bytes.IndexByte(name, 0) < 1 || name[0] == '.' {
				continue
			}
			n, _, errno := syscall.RawSyscall6(unix.SYS_READLINKAT, uintptr(fd), uintptr(unsafe.Pointer(&name[0])),
				uintptr(unsafe.Pointer(&link[0])), uintptr(len(link)), 0, 0)
			if errno != 0 {
				continue // closed meanwhile
			}
			if inode, ok := parseSocketLink(link[:n]); ok {
				o.byInode = append(o.byInode, ownedInode{inode, pid})
			}
		}
	}
}

const direntName = 19 // where the name begins in struct linux_dirent64
