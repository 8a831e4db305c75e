package probe

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// dialing says how to connect.
type dialing struct {
	to      netip.AddrPort
	ttl     int // 0: the usual
	mss     int // 0: the usual
	timeout time.Duration
}

// dialed is a try to connect; the socket is open only when it is connected.
type dialed struct {
	*sock
	outcome string
	err     error
	icmp    sockError
	hasICMP bool
	took    time.Duration
	local   netip.AddrPort
	info    *unix.TCPInfo
}

// dial tries once. The error is one that ends the probe.
func (p *prober) dial(ctx context.Context, d dialing) (dialed, error) {
	if err := p.spend(ctx, 60); err != nil {
		return dialed{}, err
	}
	s, err := p.spec.Place.socket(d.to.Addr().Is6(), unix.SOCK_STREAM)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return dialed{outcome: "unreachable", err: err}, nil
	}
	if err != nil {
		return dialed{}, err
	}
	if d.ttl > 0 {
		err = s.setTTL(d.ttl)
	}
	if d.mss > 0 && err == nil {
		err = unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, d.mss)
	}
	if err != nil {
		s.close()
		return dialed{}, err
	}
	r, err := s.connect(ctx, d)
	if err != nil || r.outcome != "connected" {
		s.close()
	}
	return r, err
}

func (s *sock) connect(ctx context.Context, d dialing) (dialed, error) {
	start := time.Now()
	r := dialed{sock: s}
	err := unix.Connect(s.fd, sockaddr(d.to))
	r.local = s.local()
	if errors.Is(err, unix.EINPROGRESS) {
		ready, stop := s.wait(ctx, unix.POLLOUT, start.Add(d.timeout))
		if stop != nil {
			return r, stop
		}
		err = unix.ETIMEDOUT
		if ready {
			n, gone := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
			err = gone
			if gone == nil && n != 0 {
				err = unix.Errno(n)
			}
		}
	}
	r.took = time.Since(start)
	r.outcome, r.err = outcomeOf(err), err
	r.icmp, r.hasICMP = s.failure()
	r.hasICMP = r.hasICMP && r.icmp.isICMP()
	if info, err := unix.GetsockoptTCPInfo(s.fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		r.info = info
	}
	return r, nil
}

// tcp connects to each address of the target, several times.
func (p *prober) tcp(ctx context.Context) error {
	addrs, port, lookup, host, err := p.resolve(ctx, 0)
	if err != nil {
		return err
	}
	if len(addrs) == 0 {
		p.observe(TCPRow{Head: p.now(), Host: host, Port: port, Outcome: "unresolved", Lookup: lookup})
		return nil
	}
	for _, a := range addrs {
		row := TCPRow{Head: p.now(), Host: host, Address: addrText(a), Port: port, Lookup: lookup}
		var took samples
		for range p.spec.Count {
			d, err := p.dial(ctx, dialing{to: netip.AddrPortFrom(a, port), timeout: p.spec.Timeout})
			if err != nil {
				return err
			}
			if d.outcome == "connected" {
				took.add(d.took)
				d.close()
			}
			row.Attempts = append(row.Attempts, d.attempt())
		}
		row.Outcome, row.Latency = agreed(row.Attempts), took.histogram()
		p.observe(row)
	}
	return nil
}

func (d dialed) attempt() Attempt {
	a := Attempt{Outcome: d.outcome, Micros: d.took.Microseconds()}
	if d.local.IsValid() && !d.local.Addr().IsUnspecified() {
		a.Local = d.local.String()
	}
	if d.err != nil {
		a.Errno = errnoName(d.err)
	}
	if d.hasICMP {
		a.ICMP, a.ICMPFrom = d.icmp.text(), d.icmp.by()
	}
	if d.info != nil {
		a.Resent = d.info.Total_retrans
		if d.outcome == "connected" {
			a.RTTMicros, a.MSS = d.info.Rtt, d.info.Snd_mss
		}
	}
	return a
}

// agreed is what all attempts came to, or "mixed".
func agreed(attempts []Attempt) string {
	for _, a := range attempts {
		if a.Outcome != attempts[0].Outcome {
			return "mixed"
		}
	}
	return attempts[0].Outcome
}
