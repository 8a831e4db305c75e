package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

const supported = true

// do runs fn on a thread in the place's namespace, which ends with it: what
// sockets fn makes belong there for ever.
func (pl Place) do(fn func() error) (err error) {
	if pl.NetnsPath == "" {
		return fn()
	}
	return collector.InNetns(pl.NetnsPath, pl.Netns, fn)
}

func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: probes from a pod need root, or CAP_SYS_ADMIN: %w", collector.ErrDenied, err)
	}
	return err
}

// sock is a socket that never blocks and tells who sent ICMP errors.
type sock struct {
	fd int
	v6 bool
}

// socket makes one in the place. typ is unix.SOCK_STREAM or SOCK_DGRAM.
func (pl Place) socket(v6 bool, typ int) (s *sock, err error) {
	domain, level, name := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	if v6 {
		domain, level, name = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	err = pl.do(func() error {
		fd, err := unix.Socket(domain, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		s = &sock{fd, v6}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(s.fd, level, name, 1); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *sock) close() { unix.Close(s.fd) }

// send sends over a connection; a peer that has closed it is no signal.
func (s *sock) send(b []byte) error {
	_, err := unix.SendmsgN(s.fd, b, nil, nil, unix.MSG_NOSIGNAL)
	return err
}

func (s *sock) setTTL(ttl int) error {
	if s.v6 {
		return unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl)
	}
	return unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_TTL, ttl)
}

// probeMTU sends with DF whatever the kernel believes of the path.
func (s *sock) probeMTU() error {
	if !s.v6 {
		return unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	}
	if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1); err != nil {
		return err
	}
	return unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
}

// wait polls for events until there are some (true), the deadline, or the end
// of ctx.
func (s *sock) wait(ctx context.Context, events int16, deadline time.Time) (bool, error) {
	for {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		left = min(left, 50*time.Millisecond)
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: events}}
		n, err := unix.Poll(fds, int((left+time.Millisecond-1)/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false, err
		}
		if n > 0 {
			return true, nil
		}
	}
}

// failure takes the next entry of the error queue, and clears SO_ERROR.
func (s *sock) failure() (sockError, bool) {
	var buf [2048]byte
	oob := make([]byte, 512)
	_, oobn, _, _, err := unix.Recvmsg(s.fd, buf[:], oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return sockError{}, false
	}
	_, _ = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return sockError{}, false
	}
	for _, m := range msgs {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		if v4 || m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR {
			return parseSockError(m.Data)
		}
	}
	return sockError{}, false
}

func (s *sock) local() netip.AddrPort {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPortOf(sa)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPortOf(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// outcomeOf names an error of a connection.
func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "connected"
	case errors.Is(err, unix.ECONNREFUSED):
		return "refused"
	case errors.Is(err, unix.ETIMEDOUT):
		return "timeout"
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return "reset"
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM),
		errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.EHOSTDOWN), errors.Is(err, unix.EPROTO), errors.Is(err, unix.ENOPROTOOPT):
		return "unreachable"
	}
	return "failed"
}

func errnoName(err error) string {
	var e unix.Errno
	if errors.As(err, &e) {
		if n := unix.ErrnoName(e); n != "" {
			return n
		}
	}
	if err == nil {
		return ""
	}
	return err.Error()
}
