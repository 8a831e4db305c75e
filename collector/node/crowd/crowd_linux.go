package crowd

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Connect opens n TCP connections over loopback, both ends in this process,
// which keeps them until it ends.
func Connect(n int) error {
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(l, to); err != nil {
		return err
	}
	if err := unix.Listen(l, 4096); err != nil {
		return err
	}
	name, err := unix.Getsockname(l)
	if err != nil {
		return err
	}
	for i := range n {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if err := unix.Connect(c, name); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if _, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return nil
}

const atATime = 200 // messages in one write

// Track makes n entries in the table of tracked connections: clients of 500
// services, a third of them translated, a quarter UDP.
func Track(n int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var batch []byte
	for i := range n {
		batch = append(batch, entry(i)...)
		if (i+1)%atATime == 0 || i == n-1 {
			if err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
				return err
			}
			batch = batch[:0]
			if err := refused(fd); err != nil {
				return err
			}
		}
	}
	return nil
}

// refused reads what the kernel has to say, which is only errors.
func refused(fd int) error {
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
	if err != nil || n < 20 {
		return nil //nolint:nilerr // nothing to read
	}
	return fmt.Errorf("an entry: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(buf[16:]))))
}

// entry is a message IPCTNL_MSG_CT_NEW.
func entry(i int) []byte {
	h := uint32(i) * 2654435761
	src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(1024+h%60000))
	dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, byte(h >> 8 % 2), byte(h >> 16)}), []uint16{80, 443, 53, 8080}[h>>4%4])
	proto, back := byte(unix.IPPROTO_TCP), dst
	if h>>20%3 == 0 {
		back = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, byte(h >> 12), byte(h >> 5)}), 8443)
	}
	if h>>10%4 == 0 {
		proto = unix.IPPROTO_UDP
	}
	b := make([]byte, 20, 256)
	b[16] = unix.AF_INET
	b = append(b, tuple(1, proto, src, dst)...)
	b = append(b, tuple(2, proto, back, src)...)
	b = append(b, attr(3, []byte{0, 0, 0, 0x0e})...) // seen reply, assured, confirmed
	b = append(b, attr(7, []byte{0, 1, 0, byte(h)})...)
	if proto == unix.IPPROTO_TCP {
		b = append(b, nest(4, nest(1, attr(1, []byte{3})))...) // established
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], 1<<8)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_CREATE)
	return b
}

func tuple(typ uint16, proto byte, src, dst netip.AddrPort) []byte {
	return nest(typ, nest(1, attr(1, src.Addr().AsSlice()), attr(2, dst.Addr().AsSlice())),
		nest(2, attr(1, []byte{proto}), attr(2, binary.BigEndian.AppendUint16(nil, src.Port())), attr(3, binary.BigEndian.AppendUint16(nil, dst.Port()))))
}

func attr(typ uint16, v []byte) []byte {
	b := make([]byte, 4, 8+len(v))
	binary.NativeEndian.PutUint16(b, uint16(4+len(v)))
	binary.NativeEndian.PutUint16(b[2:], typ)
	b = append(b, v...)
	return append(b, make([]byte, -len(b)&3)...)
}

func nest(typ uint16, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return attr(typ|unix.NLA_F_NESTED, all)
}
