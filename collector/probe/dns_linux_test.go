package probe

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer answers by the name that it is asked for. Its zone:
//
//	web.shop.svc.test   A and AAAA        big.test      truncated over UDP
//	alias.test          CNAME to web…     fail.test     SERVFAIL
//	only4.test          A, no AAAA        refuse.test   REFUSED
//	id.test             a wrong id before the right one
//	source.test         an answer of another port before the right one
//	garbage.test        no DNS before the right one
//	silent.test         nothing           …             NXDOMAIN
type dnsServer struct{ stray *net.UDPConn }

func (l lab) serveDNS(t testing.TB, ns, host string) {
	t.Helper()
	var udp, stray *net.UDPConn
	l.in(t, ns, func() (err error) {
		if udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host), Port: 53}); err == nil {
			stray, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host), Port: 5353})
		}
		return err
	})
	t.Cleanup(func() { udp.Close(); stray.Close() })
	s := dnsServer{stray}
	go s.overUDP(udp)
	l.listen(t, ns, net.JoinHostPort(host, "53"), s.overTCP)
}

func (s dnsServer) overUDP(c *net.UDPConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := c.ReadFromUDP(b)
		if err != nil {
			return
		}
		name, answer := s.answer(b[:n], true)
		if answer == nil {
			continue
		}
		switch strings.SplitN(name, ".", 2)[0] {
		case "id":
			wrong := slices.Clone(answer)
			wrong[0] ^= 0xff
			_, _ = c.WriteToUDP(wrong, from)
		case "source":
			_, _ = s.stray.WriteToUDP(answer, from)
			time.Sleep(20 * time.Millisecond)
		case "garbage":
			_, _ = c.WriteToUDP([]byte("no dns"), from)
		}
		_, _ = c.WriteToUDP(answer, from)
	}
}

func (s dnsServer) overTCP(c net.Conn) {
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		_, answer := s.answer(b, false)
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}
}

func (s dnsServer) answer(b []byte, udp bool) (string, []byte) {
	var m dnsmessage.Message
	if m.Unpack(b) != nil || len(m.Questions) != 1 {
		return "", nil
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	r := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	a := func(n dnsmessage.Name) {
		h := dnsmessage.ResourceHeader{Name: n, Class: dnsmessage.ClassINET, TTL: 30}
		if q.Type == dnsmessage.TypeA {
			r.Answers = append(r.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: [4]byte{10, 96, 0, 10}}})
		} else if name != "only4.test" {
			r.Answers = append(r.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("fd96::10").As16()}})
		}
	}
	switch name {
	case "silent.test":
		return name, nil
	case "fail.test":
		r.RCode = dnsmessage.RCodeServerFailure
	case "refuse.test":
		r.RCode = dnsmessage.RCodeRefused
	case "alias.test":
		web := dnsmessage.MustNewName("web.shop.svc.test.")
		r.Answers = append(r.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 5}, Body: &dnsmessage.CNAMEResource{CNAME: web}})
		a(web)
	case "big.test":
		if r.Truncated = udp; !udp {
			a(q.Name)
		}
	case "web.shop.svc.test", "only4.test", "id.test", "source.test", "garbage.test":
		a(q.Name)
	default:
		r.RCode = dnsmessage.RCodeNameError
	}
	out, _ := r.Pack()
	return name, out
}

// resolve runs a dns probe in near and takes its rows apart.
func (l lab) resolve(t *testing.T, s Spec) (tries []DNSTry, summaries []DNSSummary) {
	t.Helper()
	s.Kind = "dns"
	for _, raw := range l.rows(t, s)["dns"] {
		var kind struct{ Row string }
		if err := json.Unmarshal(raw, &kind); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		if kind.Row == "try" {
			tries = append(tries, decoded[DNSTry](t, raw))
		} else {
			summaries = append(summaries, decoded[DNSSummary](t, raw))
		}
	}
	return tries, summaries
}

func TestDNSSearchList(t *testing.T) {
	l := newLab(t)
	l.serveDNS(t, l.far, far4)
	l.serveDNS(t, l.far, far6)
	conf := "nameserver " + far4 + "\nnameserver " + far6 + "\nsearch shop.svc.test svc.test test\noptions ndots:5\n"
	// As measured with glibc: an external name with three search domains is eight questions.
	tries, sums := l.resolve(t, Spec{To: "api.example.com", Root: root(t, conf), Count: 3})
	if len(sums) != 2 || len(tries) != 2*(8+1) {
		t.Fatalf("%d summaries, %d tries", len(sums), len(tries))
	}
	for i, server := range []string{far4, far6} {
		s := sums[i]
		if s.Server != server || s.Queries != 24 || s.Answered != 24 || s.RCodes["NXDOMAIN"] != 24 || s.Outcome != "nxdomain" || s.Resolved != 0 || s.Latency.Count != 24 || s.Lookup.Count != 3 {
			t.Errorf("%+v", s)
		}
	}
	_, sums = l.resolve(t, Spec{To: "web", Root: root(t, conf), Count: 3})
	if s := sums[0]; s.Queries != 6 || s.Resolved != 3 || s.Outcome != "ok" || s.RCodes["NOERROR"] != 6 {
		t.Errorf("%+v", s)
	}
	// dig follows the same list, and comes to the same.
	needTool(t, "dig")
	out, _ := toolAnswer(l, "dig", "+noall", "+answer", "@"+far4, "web.shop.svc.test", "AAAA")
	tries, _ = l.resolve(t, Spec{To: "web.shop.svc.test.", Root: root(t, conf), Count: 1})
	if !strings.Contains(out, "fd96::10") || tries[1].QType != "AAAA" || !slices.Equal(tries[1].Answers, []string{"fd96::10"}) || tries[1].MinTTL != 30 {
		t.Errorf("dig says %s, we %+v", out, tries[1])
	}
}

func TestDNSTroubles(t *testing.T) {
	l := newLab(t)
	l.serveDNS(t, l.far, far4)
	conf := root(t, "nameserver "+far4+"\noptions timeout:1 attempts:2\n")
	for name, want := range map[string]func(DNSTry, DNSSummary) bool{
		"alias.test": func(a DNSTry, s DNSSummary) bool {
			return a.Answers[0] == "web.shop.svc.test." && a.Answers[1] == "10.96.0.10" && a.MinTTL == 5
		},
		"only4.test": func(_ DNSTry, s DNSSummary) bool { return s.Outcome == "ok" && s.RCodes["NOERROR"] == 2 },
		"big.test": func(a DNSTry, s DNSSummary) bool {
			return a.Truncated && s.Truncated == 4 && s.Outcome == "ok" && s.Queries == 4
		},
		"fail.test": func(a DNSTry, s DNSSummary) bool {
			return a.RCode == "SERVFAIL" && s.Outcome == "servfail" && s.Queries == 4
		},
		"refuse.test":  func(a DNSTry, s DNSSummary) bool { return a.RCode == "REFUSED" && s.Outcome == "failed" },
		"id.test":      func(a DNSTry, s DNSSummary) bool { return a.WrongID == 2 && s.Outcome == "ok" },
		"source.test":  func(a DNSTry, s DNSSummary) bool { return a.WrongSource == 2 && s.Outcome == "ok" },
		"garbage.test": func(a DNSTry, s DNSSummary) bool { return a.Garbage == 2 && s.Outcome == "ok" },
		"silent.test": func(a DNSTry, s DNSSummary) bool {
			return a.Outcome == "timeout" && s.Timeouts == 4 && s.Outcome == "timeout"
		},
		"nowhere.test": func(a DNSTry, s DNSSummary) bool { return a.RCode == "NXDOMAIN" && s.Queries == 2 },
	} {
		tries, sums := l.resolve(t, Spec{To: name + ".", Root: conf, Count: 1, Timeout: 300 * time.Millisecond})
		if len(sums) != 1 || len(tries) < 2 || !want(tries[0], sums[0]) {
			t.Errorf("%s: %+v\n%+v", name, tries, sums)
			continue
		}
		last := tries[len(tries)-1]
		if last.Proto != "tcp" || last.Why != "check" || name != "silent.test" && last.Outcome != "answered" {
			t.Errorf("%s: over TCP: %+v", name, last)
		}
		if tries[0].SourcePort == 0 || tries[0].ID == 0 && tries[1].ID == 0 || tries[0].Proto == "udp" && tries[0].SourcePort != tries[1].SourcePort {
			t.Errorf("%s: glibc asks both from one port: %+v", name, tries[:2])
		}
	}
	tries, _ := l.resolve(t, Spec{To: "web.shop.svc.test.", Root: root(t, "nameserver "+router4+"\noptions timeout:1 attempts:1"), Count: 1})
	if tries[0].Outcome != "port-unreachable" || tries[len(tries)-1].Outcome != "refused" {
		t.Errorf("nobody listens: %+v", tries)
	}
	tries, sums := l.resolve(t, Spec{To: "web.shop.svc.test.", Root: conf, Count: 1, TCP: true})
	if tries[0].Proto != "tcp" || tries[0].Why != "asked" || sums[0].Outcome != "ok" {
		t.Errorf("over TCP: %+v", tries)
	}
	edns, _ := l.resolve(t, Spec{To: "web.shop.svc.test.", Root: conf, Count: 1, EDNS: 1232})
	if edns[0].Outcome != "answered" {
		t.Errorf("with EDNS: %+v", edns)
	}
}

// TestDNSLoss loses every third question on the way.
func TestDNSLoss(t *testing.T) {
	l := newLab(t)
	l.serveDNS(t, l.far, far4)
	l.nft(t, l.router, "forward", "udp dport 53 numgen inc mod 3 0 drop")
	_, sums := l.resolve(t, Spec{To: "web.shop.svc.test.", Root: root(t, "nameserver "+far4), Count: 6, Timeout: 100 * time.Millisecond})
	if s := sums[0]; s.Timeouts == 0 || s.Queries != s.Answered+s.Timeouts || s.Timeouts != (s.Queries+2)/3 {
		t.Errorf("%+v", s)
	}
}

// TestNameOfAnotherProbe resolves by the pod's resolv.conf what tcp goes to.
func TestNameOfAnotherProbe(t *testing.T) {
	l := newLab(t)
	l.serveDNS(t, l.far, far4)
	conf := root(t, "nameserver "+far4+"\nsearch shop.svc.test\noptions timeout:1 attempts:1 no-aaaa")
	r := row[TCPRow](t, l, Spec{Kind: "tcp", To: "web:80", Root: conf, Count: 1, Timeout: 200 * time.Millisecond})
	if r.Lookup == nil || r.Lookup.Outcome != "ok" || r.Lookup.Host != "web.shop.svc.test" || r.Address != "10.96.0.10" || r.Lookup.Tries != 1 {
		t.Errorf("%+v", r)
	}
	r = row[TCPRow](t, l, Spec{Kind: "tcp", To: "nowhere:80", Root: conf, Count: 1})
	if r.Outcome != "unresolved" || r.Lookup.Outcome != "nxdomain" || r.Lookup.Tries != 2 {
		t.Errorf("%+v", r)
	}
}
