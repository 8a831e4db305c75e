package probe

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	maxTryRows   = 2_000 // per probe and server
	maxAddresses = 4     // of a name that another probe goes to
)

// resolver asks as glibc does.
type resolver struct {
	*prober
	conf    Resolv
	servers []netip.AddrPort
	edns    int
	tcp     bool
	heard   func(DNSTry) // of every try
	tries   int
}

func (p *prober) newResolver() (*resolver, error) {
	conf, err := readResolv(p.spec.Root)
	if err != nil {
		return nil, err
	}
	r := &resolver{prober: p, conf: conf, servers: conf.Servers, edns: p.spec.EDNS, tcp: p.spec.TCP || conf.TCP, heard: func(DNSTry) {}}
	if conf.EDNS && r.edns == 0 {
		r.edns = 1232
	}
	if p.spec.Kind == "dns" && p.spec.Timeout > 0 {
		r.conf.Timeout = p.spec.Timeout
	}
	return r, nil
}

// lookup resolves a name: each of its names until one has an address.
func (r *resolver) lookup(ctx context.Context, name string) (Lookup, error) {
	start, before := time.Now(), r.tries
	names := r.conf.Names(name)
	l := Lookup{Outcome: "failed", Host: name}
	for i, n := range names {
		one, err := r.ask(ctx, n)
		if err != nil {
			return l, err
		}
		if i == 0 || rank(one.Outcome) > rank(l.Outcome) {
			l = one
		}
		if one.Outcome == "ok" || one.Outcome == "timeout" || one.Outcome == "unreachable" || one.Outcome == "refused" {
			break // glibc goes on after NXDOMAIN, an empty answer and SERVFAIL
		}
	}
	l.Tries, l.Micros = r.tries-before, time.Since(start).Microseconds()
	return l, nil
}

// rank orders what several names came to, as glibc reports it.
func rank(outcome string) int {
	return slices.Index([]string{"nxdomain", "nodata", "servfail", "failed", "refused", "unreachable", "timeout", "ok"}, outcome)
}

// ask asks all servers for one name, attempt by attempt, until one has said
// something. When one of the two questions got no answer glibc waits, and asks
// both again; what the other said is kept.
func (r *resolver) ask(ctx context.Context, name string) (Lookup, error) {
	best := Lookup{Outcome: "failed", Host: name}
	for attempt := range r.conf.Attempts {
		for _, server := range r.servers {
			tries, err := r.both(ctx, server, name, attempt)
			if err != nil {
				return best, err
			}
			outcome, answers := judge(tries)
			if best.Outcome != "ok" {
				best = Lookup{Outcome: outcome, Host: name, Server: addrText(server.Addr()), Answers: answers}
			}
			lost := slices.ContainsFunc(tries, func(t DNSTry) bool { return t.Outcome == "timeout" })
			if !lost && (outcome == "ok" || outcome == "nxdomain" || outcome == "nodata") {
				return best, nil
			}
		}
	}
	return best, nil
}

// judge says what the A and AAAA tries came to together.
func judge(tries []DNSTry) (outcome string, addresses []string) {
	outcome = ""
	for _, t := range tries {
		var o string
		switch {
		case t.Outcome == "timeout", t.Outcome == "unreachable", t.Outcome == "failed", t.Outcome == "reset":
			o = t.Outcome
		case t.Outcome != "answered":
			o = "refused"
		case t.RCode == "NXDOMAIN":
			o = "nxdomain"
		case t.RCode == "SERVFAIL":
			o = "servfail"
		case t.RCode != "NOERROR":
			o = "failed"
		default:
			o = "nodata"
			for _, a := range t.Answers {
				if _, err := netip.ParseAddr(a); err == nil {
					o = "ok"
					addresses = append(addresses, a)
				}
			}
		}
		if rank(o) > rank(outcome) {
			outcome = o
		}
	}
	return outcome, addresses
}

// both asks for A and AAAA: at once from one port as glibc does, or one after
// the other.
func (r *resolver) both(ctx context.Context, server netip.AddrPort, name string, attempt int) ([]DNSTry, error) {
	types := []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}
	if r.conf.NoAAAA {
		types = types[:1]
	}
	groups := [][]dnsmessage.Type{types}
	if r.conf.Single {
		groups = nil
		for _, t := range types {
			groups = append(groups, []dnsmessage.Type{t})
		}
	}
	var all []DNSTry
	for _, g := range groups {
		var qs []question
		for _, t := range g {
			qs = append(qs, question{strings.TrimSuffix(name, "."), t, uint16(rand.Uint32())})
		}
		if len(qs) == 2 && qs[0].id == qs[1].id {
			qs[1].id++
		}
		tries, err := r.exchange(ctx, server, qs, attempt)
		if err != nil {
			return nil, err
		}
		all = append(all, tries...)
	}
	return all, nil
}

// exchange asks questions over UDP, those with a truncated answer again over
// TCP; or all over TCP.
func (r *resolver) exchange(ctx context.Context, server netip.AddrPort, qs []question, attempt int) ([]DNSTry, error) {
	if r.tcp {
		return r.overTCP(ctx, server, qs, attempt, "asked")
	}
	tries, err := r.overUDP(ctx, server, qs, attempt)
	if err != nil {
		return nil, err
	}
	for i, t := range tries {
		if t.Truncated {
			again, err := r.overTCP(ctx, server, qs[i:i+1], attempt, "truncated")
			if err != nil {
				return nil, err
			}
			tries[i] = again[0]
		}
	}
	return tries, nil
}

func (r *resolver) newTry(server netip.AddrPort, q question, attempt int, proto, why string) DNSTry {
	return DNSTry{Head: r.now(), Row: "try", QName: q.name, QType: typeName(q.typ), Server: addrText(server.Addr()),
		Proto: proto, Why: why, ID: q.id, Attempt: attempt, Outcome: "timeout"}
}

// told counts a try and shows it.
func (r *resolver) told(tries []DNSTry) {
	r.tries += len(tries)
	for _, t := range tries {
		r.heard(t)
	}
}

func (t *DNSTry) answered(a reply, size int, took time.Duration) {
	t.Outcome, t.RCode, t.Truncated, t.Bytes, t.Micros = "answered", a.rcode, a.truncated, size, took.Microseconds()
	t.Answers, t.AnswersCut, t.MinTTL = a.answers, a.cut, a.minTTL
}

func (t *DNSTry) failed(err error, took time.Duration) {
	t.Outcome, t.Error, t.Micros = outcomeOf(err), errnoName(err), took.Microseconds()
	if errors.Is(err, syscall.ECONNREFUSED) && t.Proto == "udp" {
		t.Outcome = "port-unreachable"
	}
}
