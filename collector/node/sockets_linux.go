package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	diagBuffer    = 256 << 10
	diagByFamily  = 20 // SOCK_DIAG_BY_FAMILY
	allStates     = 0xfff
	netlinkWait   = 5 // seconds without an answer
	maxSockets    = 2_000_000
	maxOwnedFDs   = 2_000_000
	fdsAtATime    = 1024
	maxCommLength = 64
)

// sockets dumps the TCP and UDP sockets of the calling thread's namespace.
func (g *gatherer) sockets(enc *json.Encoder) error {
	var unsupported, partial []string
	done, total := 0, 0
	for _, d := range []struct {
		name          string
		family, proto uint8
	}{{"tcp4", familyINET, protoTCP}, {"tcp6", familyINET6, protoTCP}, {"udp4", familyINET, protoUDP}, {"udp6", familyINET6, protoUDP}} {
		err := dumpSockets(d.family, d.proto, func(row *socketRow) error {
			if total++; total > maxSockets {
				return fmt.Errorf("%w: more than %d sockets", errPartial, maxSockets)
			}
			if o, ok := g.owners.byInode[row.Inode]; ok && row.Inode != 0 {
				row.PID, row.Comm = int(o), g.owners.comm[o]
			}
			return enc.Encode(row)
		})
		switch {
		case err == nil:
			done++
		case errors.Is(err, errPartial):
			done++
			partial = append(partial, d.name+": "+err.Error())
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT): // no such protocol or module
			unsupported = append(unsupported, d.name)
		case total == 0:
			return fmt.Errorf("%s: %w", d.name, err)
		default: // keep what came
			done++
			partial = append(partial, d.name+": "+err.Error())
		}
	}
	if done == 0 {
		return fmt.Errorf("sock_diag: %w", unix.EOPNOTSUPP)
	}
	if g.owners.err != nil {
		partial = append(partial, g.owners.err.Error())
	}
	if len(partial) > 0 {
		return fmt.Errorf("%w: %s", errPartial, strings.Join(append(partial, unsupported...), "; "))
	}
	return nil
}

// dumpSockets streams one family and protocol. A dump that the kernel could
// not make consistent ends with errPartial.
func dumpSockets(family, proto uint8, fn func(*socketRow) error) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20) // best effort
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: netlinkWait}); err != nil {
		return err
	}
	if err := unix.Sendto(fd, diagRequest(family, proto), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, diagBuffer)
	interrupted := false
	for {
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_TRUNC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n > len(buf) {
			return fmt.Errorf("%w: datagram of %d bytes", errNetlink, n)
		}
		done, intr, err := diagDatagram(buf[:n], proto, fn)
		interrupted = interrupted || intr
		if err != nil {
			return err
		}
		if done && interrupted {
			return fmt.Errorf("%w: the table changed during the dump", errPartial)
		}
		if done {
			return nil
		}
	}
}

// diagRequest is an nlmsghdr and an inet_diag_req_v2 that asks for all.
func diagRequest(family, proto uint8) []byte {
	req := make([]byte, nlmsgHeader+56)
	binary.NativeEndian.PutUint32(req, uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], diagByFamily)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := req[nlmsgHeader:]
	body[0], body[1] = family, proto
	if proto == protoTCP {
		body[2] = 1 << (diagInfo - 1)
	}
	binary.NativeEndian.PutUint32(body[4:], allStates)
	return req
}

// socketOwners says which process holds a socket.
type socketOwners struct {
	byInode map[uint32]int32
	comm    map[int32]string
	err     error // why it is not complete
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
