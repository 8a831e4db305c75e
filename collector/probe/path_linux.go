package probe

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxHops    = 30
	silentHops = 8 // hops in a row that say nothing, after which it is enough
	pathPort   = 33434
)

// path finds the routers on the way: by SYNs when there is a port, else by
// datagrams to ports that should be closed.
func (p *prober) path(ctx context.Context) error {
	addrs, port, lookup, host, err := p.resolve(ctx, 0)
	if err != nil {
		return err
	}
	row := PathRow{Head: p.now(), Host: host, Port: port, Proto: "tcp", Outcome: "unresolved", Lookup: lookup}
	once := p.syn
	if port == 0 {
		row.Proto, once = "udp", p.datagram
	}
	defer func() {
		row.Time = time.Now().UTC()
		p.observe(row)
	}()
	if len(addrs) == 0 {
		return nil
	}
	row.Address, row.Outcome = addrText(addrs[0]), "incomplete"
	silent := 0
	for ttl := 1; ttl <= maxHops && silent < silentHops; ttl++ {
		hop := Hop{TTL: ttl}
		silent++
		for range p.spec.Count {
			a, err := once(ctx, addrs[0], port, ttl)
			if err != nil {
				return err
			}
			hop.Answers = append(hop.Answers, a)
			if a.By != "" || a.End != "" {
				silent = 0
			}
			if a.End != "" {
				row.Outcome = a.End
			}
		}
		row.Hops = append(row.Hops, hop)
		if row.Outcome != "incomplete" {
			return nil
		}
	}
	return nil
}

// syn sends a SYN with a short life.
func (p *prober) syn(ctx context.Context, to netip.Addr, port uint16, ttl int) (Answer, error) {
	d, err := p.dial(ctx, dialing{to: netip.AddrPortFrom(to, port), ttl: ttl, timeout: p.spec.Timeout})
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Micros: d.took.Microseconds()}
	switch {
	case d.hasICMP:
		a.ICMP, a.By = d.icmp.text(), d.icmp.by()
		if !d.icmp.expired() {
			a.End = d.outcome
		}
	case d.outcome == "connected":
		d.close()
		a.End, a.By = d.outcome, addrText(to)
	case d.outcome == "refused", d.outcome == "reset":
		a.End, a.By = d.outcome, addrText(to)
	case d.outcome != "timeout":
		a.End = d.outcome // this machine itself
	}
	return a, nil
}

// datagram sends a datagram with a short life, to another port at each hop as
// traceroutes do.
func (p *prober) datagram(ctx context.Context, to netip.Addr, _ uint16, ttl int) (Answer, error) {
	if err := p.spend(ctx, 60); err != nil {
		return Answer{}, err
	}
	s, err := p.spec.Place.socket(to.Is6(), unix.SOCK_DGRAM)
	if err != nil {
		return Answer{}, err
	}
	defer s.close()
	if err := s.setTTL(ttl); err != nil {
		return Answer{}, err
	}
	start := time.Now()
	err = unix.Connect(s.fd, sockaddr(netip.AddrPortFrom(to, pathPort+uint16(ttl))))
	if err == nil {
		err = s.send(make([]byte, 32))
	}
	if err != nil {
		return Answer{End: "unreachable"}, nil
	}
	ready, err := s.wait(ctx, unix.POLLIN, start.Add(p.spec.Timeout))
	a := Answer{Micros: time.Since(start).Microseconds()}
	if err != nil || !ready {
		return a, err
	}
	e, ok := s.failure()
	if !ok {
		var b [1]byte
		if _, err := unix.Read(s.fd, b[:]); errors.Is(err, unix.EAGAIN) {
			return a, nil
		}
		a.By, a.End = addrText(to), "arrived" // somebody answers there
		return a, nil
	}
	a.By, a.ICMP = e.by(), e.text()
	switch {
	case e.closedPort():
		a.End = "arrived"
	case !e.expired():
		a.End = "unreachable"
	}
	return a, nil
}
