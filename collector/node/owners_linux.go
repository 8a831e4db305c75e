package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxOwnedFDs   = 2_000_000
	fdsAtATime    = 1024
	maxCommLength = 64
)

// socketOwners says which process holds a socket.
type socketOwners struct {
	byInode map[uint32]int32
	comm    map[int32]string
	err     error // why it is not complete
}

// of gives the process that holds a socket, 0 if none is known.
func (o *socketOwners) of(inode uint32) (pid int, comm string) {
	p, ok := o.byInode[inode]
	if !ok || inode == 0 {
		return 0, ""
	}
	return int(p), o.comm[p]
}

// findSocketOwners reads every file descriptor of every process. It may not
// see those of other users; then sockets lack their owner.
func findSocketOwners(ctx context.Context, procRoot string) socketOwners {
	o := socketOwners{byInode: map[uint32]int32{}, comm: map[int32]string{}}
	pids, err := listPIDs(procRoot)
	if err != nil {
		o.err = err
		return o
	}
	denied := 0
	for _, pid := range pids {
		if ctx.Err() != nil || len(o.byInode) > maxOwnedFDs {
			o.err = fmt.Errorf("%w: not all sockets have their process", errPartial)
			return o
		}
		before := len(o.byInode)
		dir := procRoot + "/" + strconv.Itoa(pid)
		if err := o.scan(dir+"/fd", int32(pid)); errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			denied++
		}
		if len(o.byInode) > before {
			var buf [maxCommLength]byte
			if text, _, err := readFile(dir+"/comm", buf[:]); err == nil {
				o.comm[int32(pid)] = strings.ToValidUTF8(strings.TrimSuffix(string(text), "\n"), "?")
			}
		}
	}
	if denied > 1 { // process 1 alone may be out of reach
		o.err = fmt.Errorf("the files of %d processes may not be read, so that their sockets name no process", denied)
	}
	return o
}

func (o *socketOwners) scan(dir string, pid int32) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	var link [32]byte
	for {
		names, err := d.Readdirnames(fdsAtATime)
		for _, name := range names {
			n, err := unix.Readlinkat(int(d.Fd()), name, link[:])
			if err != nil {
				continue // closed meanwhile
			}
			if inode, ok := parseSocketLink(link[:n]); ok {
				if _, known := o.byInode[inode]; !known { // the first, eldest, holder
					o.byInode[inode] = pid
				}
			}
		}
		if err != nil || len(names) == 0 {
			return nil
		}
	}
}
