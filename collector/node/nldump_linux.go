package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// dump asks the kernel of the calling thread's namespace for a table and hands
// each message of the answer to fn, as it comes. An error of fn ends it.
type dump struct {
	ctx   context.Context
	proto int // of the netlink family
	buf   []byte
}

func newDump(ctx context.Context, proto int) *dump {
	return &dump{ctx: ctx, proto: proto, buf: make([]byte, dumpBuffer)}
}

const dumpBuffer = 64 << 10 // the kernel fills at most 32 KiB at a time

// errEnough ends a dump that has what it was for.
var errEnough = errors.New("enough")

// run sends one request; body is what follows the header.
func (d *dump) run(typ uint16, body []byte, fn func(nlmsg) error) error {
	return d.request(typ, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, body, fn)
}

// one asks for a single object.
func (d *dump) one(typ uint16, body []byte, fn func(nlmsg) error) error {
	return d.request(typ, unix.NLM_F_REQUEST|unix.NLM_F_ACK, body, fn)
}

func (d *dump) request(typ, flags uint16, body []byte, fn func(nlmsg) error) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, d.proto)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: netlinkWait}); err != nil {
		return err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1) // since 4.20; without, filters are not heeded
	req := make([]byte, nlmsgHeader, nlmsgHeader+len(body))
	binary.NativeEndian.PutUint32(req, uint32(nlmsgHeader+len(body)))
	binary.NativeEndian.PutUint16(req[4:], typ)
	binary.NativeEndian.PutUint16(req[6:], flags)
	if err := unix.Sendto(fd, append(req, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	return d.receive(fd, fn)
}

func (d *dump) receive(fd int, fn func(nlmsg) error) error {
	interrupted := false
	for {
		if d.ctx.Err() != nil {
			return fmt.Errorf("%w: %w", errPartial, context.Cause(d.ctx))
		}
		n, _, err := unix.Recvfrom(fd, d.buf, unix.MSG_TRUNC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n > len(d.buf) {
			return fmt.Errorf("%w: datagram of %d bytes", errNetlink, n)
		}
		done, intr, err := eachMessage(d.buf[:n], fn)
		interrupted = interrupted || intr
		switch {
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return err
		case done && interrupted:
			return fmt.Errorf("%w: the table changed during the dump", errPartial)
		case done:
			return nil
		}
	}
}

func attrText(typ uint16, s string) []byte { return attr(typ, append([]byte(s), 0)) }
