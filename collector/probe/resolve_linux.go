package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// readResolv reads the resolv.conf below a root folder; without one a resolver
// asks its own machine.
func readResolv(root string) (Resolv, error) {
	text, err := readBelow(root, "etc/resolv.conf", maxResolv)
	return ParseResolv(text), err
}

// readBelow reads a file below a folder that may be another container's root:
// links in it lead nowhere else, and only a plain file is read. One that is not
// there is empty.
func readBelow(root, name string, limit int64) (string, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", denied(&os.PathError{Op: "open", Path: root, Err: err})
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if errors.Is(err, unix.ENOENT) {
		return "", nil
	} else if err != nil {
		return "", denied(&os.PathError{Op: "open", Path: root + "/" + name, Err: err})
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s/%s is no plain file", root, name)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit)) //nolint:forbidigo // bounded by the LimitReader
	return string(b), err
}

// resolve finds the addresses of the probe's target. Without any, and without
// an error, lookup says why.
func (p *prober) resolve(ctx context.Context, port uint16) (addrs []netip.Addr, at uint16, lookup *Lookup, host string, err error) {
	host = p.spec.To
	if h, number, err := net.SplitHostPort(host); err == nil {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return nil, 0, nil, "", fmt.Errorf("%q is no port", number)
		}
		host, port = h, uint16(n)
	}
	host = strings.Trim(host, "[]")
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, port, nil, "", nil
	}
	l, err := p.lookup(ctx, host)
	if err != nil {
		return nil, 0, nil, "", err
	}
	for _, text := range l.Answers {
		if a, err := netip.ParseAddr(text); err == nil && len(addrs) < maxAddresses {
			addrs = append(addrs, a)
		}
	}
	return addrs, port, &l, host, nil
}

// lookup resolves a name as most images do: the hosts file, then DNS.
func (p *prober) lookup(ctx context.Context, host string) (Lookup, error) {
	text, err := readBelow(p.spec.Root, "etc/hosts", maxHosts)
	if err != nil {
		return Lookup{}, err
	}
	if found := hostsFile(text, host); len(found) > 0 {
		return Lookup{Outcome: "ok", Host: host, Server: "etc/hosts", Answers: found}, nil
	}
	r, err := p.newResolver()
	if err != nil {
		return Lookup{}, err
	}
	return r.lookup(ctx, host)
}

// dns resolves a name several times against each nameserver.
func (p *prober) dns(ctx context.Context) error {
	r, err := p.newResolver()
	if err != nil {
		return err
	}
	for _, server := range r.conf.Servers {
		if err := p.dnsServer(ctx, r, server); err != nil {
			return err
		}
	}
	return nil
}

func (p *prober) dnsServer(ctx context.Context, r *resolver, server netip.AddrPort) error {
	r.servers = []netip.AddrPort{server}
	s := p.summary(r, server)
	var queries, lookups samples
	repetition, rows := 0, 0
	r.heard = func(t DNSTry) {
		t.Repetition = repetition
		s.count(t)
		if t.Outcome == "answered" {
			queries.add(time.Duration(t.Micros) * time.Microsecond)
		}
		if rows < maxTryRows && (repetition == 0 || t.odd()) {
			rows++
			p.observe(t)
		}
	}
	finish := func() {
		s.Latency, s.Lookup, s.Time = queries.histogram(), lookups.histogram(), time.Now().UTC()
		p.observe(s)
	}
	defer finish() // what there is, also when the time is over
	for ; repetition < p.spec.Count; repetition++ {
		start := time.Now()
		l, err := r.lookup(ctx, p.spec.To)
		if err != nil {
			return err
		}
		lookups.add(time.Since(start))
		s.Repetitions++
		s.Outcome = l.Outcome
		if l.Outcome == "ok" {
			s.Resolved++
		}
	}
	if r.tcp {
		return nil
	}
	// Does the server answer over TCP at all? A truncated answer would need it.
	r.heard = func(t DNSTry) {
		t.Repetition = repetition
		p.observe(t)
	}
	names := r.conf.Names(p.spec.To)
	_, err := r.overTCP(ctx, server, checkQuestion(names[len(names)-1]), 0, "check")
	return err
}

func (p *prober) summary(r *resolver, server netip.AddrPort) *DNSSummary {
	s := &DNSSummary{Head: p.now(), Row: "summary", Host: p.spec.To, Server: addrText(server.Addr()), Searches: r.conf.Search,
		NDots: r.conf.NDots, Options: r.conf.Options, Names: r.conf.Names(p.spec.To), RCodes: map[string]int{}}
	for _, n := range r.conf.Servers {
		s.Nameservers = append(s.Nameservers, addrText(n.Addr()))
	}
	if musl := r.conf.MuslNames(p.spec.To); strings.Join(musl, " ") != strings.Join(s.Names, " ") {
		s.MuslNames = musl
	}
	return s
}

func (s *DNSSummary) count(t DNSTry) {
	s.Queries++
	switch t.Outcome {
	case "answered":
		s.Answered++
		s.RCodes[t.RCode]++
	case "timeout":
		s.Timeouts++
	}
	if t.Truncated || t.Why == "truncated" {
		s.Truncated++
	}
}

// odd says that a try of a later repetition is worth a row of its own.
func (t DNSTry) odd() bool {
	return t.Outcome != "answered" || t.Truncated || t.Why == "truncated" || t.WrongID+t.WrongSource+t.Garbage > 0 || t.Micros > 1_000_000 ||
		t.RCode != "NOERROR" && t.RCode != "NXDOMAIN"
}
