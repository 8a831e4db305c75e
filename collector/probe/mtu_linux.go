package probe

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mtuPort   = 33437 // one that should be closed: its "port unreachable" is the receipt
	minMTU4   = 576
	minMTU6   = 1280
	maxTooBig = 16 // narrow links on one way
)

// mtu finds the path MTU to the first address of the target.
func (p *prober) mtu(ctx context.Context) error {
	addrs, port, lookup, host, err := p.resolve(ctx, 0)
	if err != nil {
		return err
	}
	row := MTURow{Head: p.now(), Host: host, Port: port, Lookup: lookup, Outcome: "unresolved"}
	defer func() {
		row.Time = time.Now().UTC()
		p.observe(row)
	}()
	if len(addrs) == 0 {
		return nil
	}
	row.Address = addrText(addrs[0])
	if err := p.mtuUDP(ctx, addrs[0], &row); err != nil {
		row.Outcome, row.Error = "failed", err.Error()
		return err
	}
	if row.Outcome == "silent" && port != 0 {
		return p.mtuTCP(ctx, netip.AddrPortFrom(addrs[0], port), &row)
	}
	return nil
}

// sizer sends datagrams of a given size and sees what becomes of them.
type sizer struct {
	p    *prober
	to   netip.AddrPort
	head int // bytes of the IP and UDP headers
	row  *MTURow
}

// mtuUDP goes down by what routers say, until a packet arrives; when large ones
// vanish and small ones do not, it searches for the border.
func (p *prober) mtuUDP(ctx context.Context, a netip.Addr, row *MTURow) error {
	z := sizer{p: p, to: netip.AddrPortFrom(a, mtuPort), head: 28, row: row}
	low := minMTU4
	if a.Is6() {
		z.head, low = 48, minMTU6
	}
	row.Method = "udp"
	size, err := z.link(ctx)
	if err != nil || size == 0 {
		row.Outcome = "unreachable"
		return err
	}
	row.LinkMTU = size
	for range maxTooBig {
		t, err := z.try(ctx, size)
		if err != nil {
			return err
		}
		switch {
		case t.Outcome == "arrived":
			row.MTU, row.Outcome = size, "ok"
			if size < row.LinkMTU {
				row.Outcome = "reduced"
			}
			return nil
		case t.Outcome == "too-big" && t.MTU < size && t.MTU >= 68:
			row.Said = append(row.Said, Said{t.By, t.MTU})
			size = t.MTU
		case t.Outcome == "too-big": // a router that does not say how big it may be
			row.Said = append(row.Said, Said{t.By, t.MTU})
			return z.hole(ctx, min(low, size), size)
		case t.Outcome == "lost":
			return z.hole(ctx, min(low, size), size)
		default:
			row.Outcome = "unreachable"
			return nil
		}
	}
	row.Outcome = "failed"
	return nil
}

// hole searches between a size that should pass and one that did not.
func (z sizer) hole(ctx context.Context, low, high int) error {
	t, err := z.try(ctx, low)
	if err != nil {
		return err
	}
	if t.Outcome != "arrived" {
		z.row.Outcome = "silent" // or nothing answers to what arrives
		if t.Outcome == "unreachable" {
			z.row.Outcome = t.Outcome
		}
		return nil
	}
	said := false // somebody said it, if not how big
	for high-low > 1 {
		mid := (low + high) / 2
		if t, err = z.try(ctx, mid); err != nil {
			return err
		}
		if t.Outcome == "arrived" {
			low = mid
		} else {
			high, said = mid, t.Outcome == "too-big"
		}
	}
	z.row.Outcome, z.row.MTU, z.row.LostFrom = "blackhole", low, high
	if said {
		z.row.Outcome, z.row.LostFrom = "reduced", 0
	}
	return nil
}

// link asks the kernel how large a packet the first link takes: one that is
// too large for any never leaves the machine.
func (z sizer) link(ctx context.Context) (int, error) {
	t, err := z.send(ctx, 65535)
	if err != nil || t.Outcome == "arrived" {
		return 65535, err
	}
	if t.Outcome == "too-big" {
		return min(t.MTU, 65535), nil
	}
	z.row.Tries = append(z.row.Tries, t)
	return 0, nil
}

// try sends a size until there is an answer, at most Count times.
func (z sizer) try(ctx context.Context, size int) (SizeTry, error) {
	for n := 1; ; n++ {
		t, err := z.send(ctx, size)
		if err != nil {
			return t, err
		}
		z.row.Tries = append(z.row.Tries, t)
		if t.Outcome != "lost" || n >= z.p.spec.Count {
			return t, nil
		}
	}
}

func (z sizer) send(ctx context.Context, size int) (SizeTry, error) {
	t := SizeTry{Bytes: size, Outcome: "failed"}
	if err := z.p.spend(ctx, size); err != nil {
		return t, err
	}
	s, err := z.p.spec.Place.socket(z.to.Addr().Is6(), unix.SOCK_DGRAM)
	if err != nil {
		return t, err
	}
	defer s.close()
	if err := s.probeMTU(); err != nil {
		return t, err
	}
	if err := unix.Connect(s.fd, sockaddr(z.to)); err != nil {
		t.Outcome, t.By = "unreachable", errnoName(err)
		return t, nil
	}
	start := time.Now()
	if err := s.send(make([]byte, size-z.head)); err != nil {
		t.Outcome = "unreachable"
		if e, ok := s.failure(); ok && errors.Is(err, unix.EMSGSIZE) {
			t.Outcome, t.MTU, t.By = "too-big", int(e.info), "this machine"
		}
		return t, nil
	}
	ready, err := s.wait(ctx, unix.POLLIN, start.Add(z.p.spec.Timeout))
	t.Micros = time.Since(start).Microseconds()
	if err != nil {
		return t, err
	}
	if !ready {
		t.Outcome = "lost"
		return t, nil
	}
	e, queued := s.failure()
	t.By = e.by()
	switch {
	case !queued: // somebody answers on that port
		t.Outcome = "arrived"
	case e.tooBig():
		t.Outcome, t.MTU = "too-big", int(e.info)
	case e.closedPort() && e.offender == z.to.Addr():
		t.Outcome = "arrived"
	default:
		t.Outcome = "unreachable"
	}
	return t, nil
}
