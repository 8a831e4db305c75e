package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// Layouts of include/uapi/linux/netlink.h.
const (
	nlmsgHeader  = 16
	nlmsgError   = 2
	nlmsgDone    = 3
	nlmFDumpIntr = 0x10
)

var errNetlink = errors.New("netlink message malformed")

// nlmsg is one message of a netlink datagram.
type nlmsg struct {
	typ, flags uint16
	body       []byte
}

// nextMessage cuts one message off a datagram.
func nextMessage(b []byte) (m nlmsg, rest []byte, err error) {
	if len(b) < nlmsgHeader {
		return nlmsg{}, nil, fmt.Errorf("%w: %d bytes left", errNetlink, len(b))
	}
	n := binary.NativeEndian.Uint32(b)
	if n < nlmsgHeader || uint64(n) > uint64(len(b)) {
		return nlmsg{}, nil, fmt.Errorf("%w: length %d of %d", errNetlink, n, len(b))
	}
	m = nlmsg{typ: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]), body: b[nlmsgHeader:n]}
	return m, b[min(align4(int(n)), len(b)):], nil
}

func align4(n int) int { return (n + 3) &^ 3 }

// nlErrno reads the errno of an NLMSG_ERROR or NLMSG_DONE body; 0 is none.
func nlErrno(body []byte) int {
	if len(body) < 4 {
		return 0
	}
	return -int(int32(binary.NativeEndian.Uint32(body)))
}

// eachAttr walks netlink attributes.
func eachAttr(b []byte, fn func(typ uint16, v []byte)) error {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return fmt.Errorf("%w: attribute of %d bytes in %d", errNetlink, n, len(b))
		}
		fn(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:n])
		b = b[min(align4(n), len(b)):]
	}
	return nil
}

// eachMessage hands the messages of one datagram to fn. done says that the
// answer is over, interrupted that the kernel calls it inconsistent.
func eachMessage(b []byte, fn func(nlmsg) error) (done, interrupted bool, err error) {
	for len(b) > 0 {
		var m nlmsg
		if m, b, err = nextMessage(b); err != nil {
			return false, interrupted, err
		}
		interrupted = interrupted || m.flags&nlmFDumpIntr != 0
		if m.typ == nlmsgDone || m.typ == nlmsgError {
			if e := nlErrno(m.body); e != 0 {
				return true, interrupted, syscall.Errno(e)
			}
			return true, interrupted, nil
		}
		if err := fn(m); err != nil {
			return false, interrupted, err
		}
	}
	return false, interrupted, nil
}
