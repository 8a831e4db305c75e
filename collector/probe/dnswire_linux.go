package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const maxStrays = 64 // datagrams that are no answer, per exchange

// overUDP asks from one port, not connected, so that an answer of another
// address is seen for what it is.
func (r *resolver) overUDP(ctx context.Context, server netip.AddrPort, qs []question, attempt int) ([]DNSTry, error) {
	tries := make([]DNSTry, len(qs))
	for i, q := range qs {
		tries[i] = r.newTry(server, q, attempt, "udp", "")
	}
	s, err := r.spec.Place.socket(server.Addr().Is6(), unix.SOCK_DGRAM)
	if err != nil {
		return nil, err
	}
	defer s.close()
	start := time.Now()
	waiting := 0
	for i, q := range qs {
		b, err := q.query(r.edns)
		if err == nil {
			if err = r.spend(ctx, len(b)+28); err != nil {
				return nil, err
			}
			if i == 0 {
				start = time.Now()
			}
			err = unix.Sendto(s.fd, b, 0, sockaddr(server))
		}
		if err != nil {
			tries[i].failed(err, 0)
		} else {
			waiting++
		}
	}
	for i := range tries {
		tries[i].SourcePort = s.local().Port()
	}
	deadline := start.Add(r.conf.Timeout)
	for strays := 0; waiting > 0 && strays < maxStrays; {
		ready, err := s.wait(ctx, unix.POLLIN, deadline)
		if err != nil {
			return nil, err
		}
		if !ready {
			break
		}
		n := s.hear(server, qs, tries, time.Since(start))
		waiting -= n
		if n == 0 {
			strays++
		}
	}
	for i := range tries {
		if tries[i].Outcome == "timeout" {
			tries[i].Micros = time.Since(start).Microseconds()
		}
	}
	r.told(tries)
	return tries, nil
}

// hear takes one datagram or ICMP error and returns how many questions it
// settles.
func (s *sock) hear(server netip.AddrPort, qs []question, tries []DNSTry, took time.Duration) int {
	if e, ok := s.failure(); ok {
		n := 0
		for i := range tries {
			if tries[i].Outcome == "timeout" {
				tries[i].failed(unix.Errno(e.errno), took)
				n++
			}
		}
		return n
	}
	buf := make([]byte, 4096)
	n, from, err := unix.Recvfrom(s.fd, buf, unix.MSG_DONTWAIT)
	if err != nil {
		return 0
	}
	return settle(buf[:n], addrPortOf(from), server, qs, tries, took)
}

// settle finds the question that a datagram answers.
func settle(b []byte, from, server netip.AddrPort, qs []question, tries []DNSTry, took time.Duration) int {
	if from != server {
		tries[0].WrongSource++
		return 0
	}
	garbage := false
	for i, q := range qs {
		a, err := parseReply(b, q)
		if err == nil && tries[i].Outcome == "timeout" {
			tries[i].answered(a, len(b), took)
			return 1
		}
		garbage = garbage || err != nil && !errors.Is(err, errNotOurs)
	}
	if garbage {
		tries[0].Garbage++
	} else {
		tries[0].WrongID++
	}
	return 0
}

// overTCP asks one question after the other over a connection.
func (r *resolver) overTCP(ctx context.Context, server netip.AddrPort, qs []question, attempt int, why string) ([]DNSTry, error) {
	tries := make([]DNSTry, len(qs))
	for i, q := range qs {
		tries[i] = r.newTry(server, q, attempt, "tcp", why)
	}
	defer func() { r.told(tries) }()
	start := time.Now()
	d, err := r.dial(ctx, dialing{to: server, timeout: r.conf.Timeout})
	if err != nil {
		return nil, err
	}
	if d.outcome != "connected" {
		for i := range tries {
			tries[i].failed(d.err, d.took)
		}
		return tries, nil
	}
	defer d.close()
	for i, q := range qs {
		tries[i].SourcePort = d.local.Port()
		b, err := q.query(r.edns)
		if err != nil {
			tries[i].failed(err, 0)
			continue
		}
		if err := r.spend(ctx, len(b)+54); err != nil {
			return nil, err
		}
		answer, err := d.roundTrip(ctx, b, start.Add(r.conf.Timeout))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		took := time.Since(start)
		if err != nil {
			tries[i].failed(err, took)
			continue
		}
		if a, err := parseReply(answer, q); err == nil {
			tries[i].answered(a, len(answer), took)
		} else {
			tries[i].Outcome, tries[i].Error, tries[i].Micros = "failed", "the answer is no DNS, or to another question", took.Microseconds()
		}
	}
	return tries, nil
}

// roundTrip sends a message and reads one, each with its length before it.
func (s *sock) roundTrip(ctx context.Context, msg []byte, deadline time.Time) ([]byte, error) {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(msg)))
	if err := s.send(append(b, msg...)); err != nil {
		return nil, err
	}
	head, err := s.readFull(ctx, 2, deadline)
	if err != nil {
		return nil, err
	}
	return s.readFull(ctx, int(binary.BigEndian.Uint16(head)), deadline)
}

func (s *sock) readFull(ctx context.Context, n int, deadline time.Time) ([]byte, error) {
	b := make([]byte, n)
	for at := 0; at < n; {
		ready, err := s.wait(ctx, unix.POLLIN, deadline)
		if err != nil {
			return nil, err
		}
		if !ready {
			return nil, unix.ETIMEDOUT
		}
		m, err := unix.Read(s.fd, b[at:])
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m == 0 {
			return nil, unix.ECONNRESET
		}
		at += m
	}
	return b, nil
}
