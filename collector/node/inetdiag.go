package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// Layouts of include/uapi/linux/{netlink,inet_diag,tcp}.h.
const (
	nlmsgHeader  = 16
	nlmsgError   = 2
	nlmsgDone    = 3
	nlmFDumpIntr = 0x10
	diagLen      = 72 // struct inet_diag_msg
	diagInfo     = 2  // INET_DIAG_INFO
	familyINET   = 2
	familyINET6  = 10
	protoTCP     = 6
	protoUDP     = 17
	tcpListen    = 10
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

// parseInetDiag reads struct inet_diag_msg and the tcp_info behind it.
func parseInetDiag(b []byte, proto uint8) (socketRow, error) {
	if len(b) < diagLen {
		return socketRow{}, fmt.Errorf("%w: inet_diag_msg of %d bytes", errNetlink, len(b))
	}
	state := b[1]
	row := socketRow{
		State: stateName(state), Retransmits: uint32(b[3]),
		Sport: binary.BigEndian.Uint16(b[4:]), Dport: binary.BigEndian.Uint16(b[6:]),
		Rqueue: binary.NativeEndian.Uint32(b[56:]), Wqueue: binary.NativeEndian.Uint32(b[60:]),
		UID: binary.NativeEndian.Uint32(b[64:]), Inode: binary.NativeEndian.Uint32(b[68:]),
	}
	switch b[0] {
	case familyINET:
		row.Family = "inet"
		row.Src, row.Dst = netip.AddrFrom4([4]byte(b[8:12])).String(), netip.AddrFrom4([4]byte(b[24:28])).String()
	case familyINET6:
		row.Family = "inet6"
		row.Src, row.Dst = netip.AddrFrom16([16]byte(b[8:24])).Unmap().String(), netip.AddrFrom16([16]byte(b[24:40])).Unmap().String()
	default:
		return socketRow{}, fmt.Errorf("%w: family %d", errNetlink, b[0])
	}
	row.Proto = "tcp"
	if proto == protoUDP {
		row.Proto = "udp"
		return row, nil
	}
	if state == tcpListen { // its tcp_info repeats the queue
		return row, nil
	}
	return row, eachAttr(b[diagLen:], func(typ uint16, v []byte) {
		if typ == diagInfo {
			row.tcpInfo(v)
		}
	})
}

// tcpInfo reads struct tcp_info, of which old kernels send less.
func (r *socketRow) tcpInfo(v []byte) {
	u32 := func(at int) uint32 {
		if len(v) < at+4 {
			return 0
		}
		return binary.NativeEndian.Uint32(v[at:])
	}
	if len(v) > 2 {
		r.Retransmits = uint32(v[2])
	}
	r.SndMSS, r.Unacked, r.Lost = u32(16), u32(24), u32(32)
	r.LastDataRecv, r.PMTU, r.RTTUsec, r.Cwnd, r.TotalRetrans = u32(52), u32(60), u32(68), u32(80), u32(100)
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

// stateName names a TCP state as ss does; of UDP sockets only ESTAB and
// UNCONN occur.
func stateName(s uint8) string {
	names := [...]string{1: "ESTAB", 2: "SYN-SENT", 3: "SYN-RECV", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT",
		7: "UNCONN", 8: "CLOSE-WAIT", 9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING", 12: "SYN-RECV"}
	if int(s) >= len(names) || names[s] == "" {
		return fmt.Sprintf("STATE-%d", s)
	}
	return names[s]
}

// diagDatagram hands every socket of one datagram to fn. done says that the
// dump is over, interrupted that the kernel calls it inconsistent.
func diagDatagram(b []byte, proto uint8, fn func(*socketRow) error) (done, interrupted bool, err error) {
	for len(b) > 0 {
		var m nlmsg
		if m, b, err = nextMessage(b); err != nil {
			return false, interrupted, err
		}
		interrupted = interrupted || m.flags&nlmFDumpIntr != 0
		switch m.typ {
		case nlmsgDone, nlmsgError:
			if e := nlErrno(m.body); e != 0 {
				return true, interrupted, syscall.Errno(e)
			}
			return true, interrupted, nil
		}
		row, err := parseInetDiag(m.body, proto)
		if err != nil {
			return false, interrupted, err
		}
		if err := fn(&row); err != nil {
			return false, interrupted, err
		}
	}
	return false, interrupted, nil
}
