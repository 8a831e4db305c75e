package probe

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestTCP(t *testing.T) {
	l := newLab(t)
	for _, host := range []string{far4, "[" + far6 + "]"} {
		l.listen(t, l.far, host+":8080", drain)
	}
	l.nft(t, l.far, "input", `tcp dport 8081 drop`, `tcp dport 8082 reject with tcp reset`, `tcp dport 8083 reject with icmpx type admin-prohibited`)
	for _, host := range []string{far4, far6} {
		for port, want := range map[string]string{"8080": "connected", "8084": "refused", "8081": "timeout", "8082": "refused", "8083": "unreachable"} {
			r := row[TCPRow](t, l, Spec{Kind: "tcp", To: net.JoinHostPort(host, port), Count: 2, Timeout: 300 * time.Millisecond, Target: "pod/shop/db-0"})
			if r.Outcome != want || len(r.Attempts) != 2 || r.Address != host || r.Node != "n1" || r.From != "pod/shop/web-0" {
				t.Errorf("%s port %s: want %s, got %+v", host, port, want, r)
				continue
			}
			a := r.Attempts[0]
			switch want {
			case "connected":
				if r.Latency.Count != 2 || a.RTTMicros == 0 || a.MSS == 0 || !strings.Contains(a.Local, ":") {
					t.Errorf("%+v", r)
				}
			case "timeout":
				if a.Errno != "ETIMEDOUT" {
					t.Errorf("%+v", a)
				}
			case "unreachable":
				if a.ICMP == "" || a.ICMPFrom != host {
					t.Errorf("who rejects: %+v", a)
				}
			}
		}
	}
	none := row[TCPRow](t, l, Spec{Kind: "tcp", To: "10.91.3.9:80", Count: 1})
	if none.Outcome != "unreachable" || none.Attempts[0].ICMPFrom != router4 {
		t.Errorf("without a route at the router: %+v", none)
	}
}

func TestMTU(t *testing.T) {
	l := newLab(t)
	l.listen(t, l.far, far4+":8080", drain)
	l.listen(t, l.far, "["+far6+"]:8080", drain)
	near := row[MTURow](t, l, Spec{Kind: "mtu", To: router4})
	if near.Outcome != "ok" || near.MTU != 1500 || len(near.Said) != 0 {
		t.Errorf("to the router: %+v", near)
	}
	for host, by := range map[string]string{far4: router4, far6: router6} {
		r := row[MTURow](t, l, Spec{Kind: "mtu", To: host})
		if r.Outcome != "reduced" || r.MTU != 1400 || r.LinkMTU != 1500 || len(r.Said) != 1 || r.Said[0] != (Said{by, 1400}) {
			t.Errorf("%s behind a narrow link: %+v", host, r)
		}
	}
	if _, ok := toolAnswer(l, "ping", "-c1", "-W1", "-Mdo", "-s1373", far4); ok {
		t.Error("ping gets more than 1400 bytes through")
	}
	if out, ok := toolAnswer(l, "ping", "-c1", "-W1", "-Mdo", "-s1372", far4); !ok {
		t.Errorf("ping gets no 1400 bytes through: %s", out)
	}
	// The router forgets to say that it drops: a black hole.
	l.nft(t, l.router, "output", `icmp type destination-unreachable drop`, `icmpv6 type packet-too-big drop`)
	for _, host := range []string{far4, far6} {
		r := row[MTURow](t, l, Spec{Kind: "mtu", To: host, Timeout: 100 * time.Millisecond})
		if r.Outcome != "blackhole" || r.MTU != 1400 || r.LostFrom != 1401 || r.Method != "udp" {
			t.Errorf("%s behind a black hole: %+v", host, r)
		}
	}
	// And the far end says nothing to datagrams: only connections are left.
	l.nft(t, l.far, "input", `meta l4proto udp drop`)
	run(t, "ip", "-n", l.near, "route", "flush", "cache")
	r := row[MTURow](t, l, Spec{Kind: "mtu", To: far4 + ":8080", Timeout: 100 * time.Millisecond})
	if r.Method != "tcp" {
		t.Errorf("datagrams get no answer: %+v", r)
	}
}

// TestMTUBehindTCP has a far end that announces full segments over a path that
// does not carry them, as behind a tunnel.
func TestMTUBehindTCP(t *testing.T) {
	l := newLab(t)
	l.nft(t, l.router, "forward", `meta l4proto udp drop`, `iifname "eth0" meta length > 1300 drop`)
	l.listen(t, l.far, far4+":8080", drain)
	r := row[MTURow](t, l, Spec{Kind: "mtu", To: far4 + ":8080", Timeout: 100 * time.Millisecond})
	if r.Method != "tcp" || r.Outcome != "blackhole" || r.MTU > 1300 || r.MTU < 1280 {
		t.Errorf("%+v", r)
	}
}

func TestPath(t *testing.T) {
	l := newLab(t)
	l.listen(t, l.far, far4+":8080", drain)
	l.listen(t, l.far, "["+far6+"]:8080", drain)
	for _, c := range []struct{ to, router, far, outcome string }{
		{far4 + ":8080", router4, far4, "connected"}, {far4 + ":8084", router4, far4, "refused"}, {far4, router4, far4, "arrived"},
		{"[" + far6 + "]:8080", router6, far6, "connected"}, {far6, router6, far6, "arrived"},
	} {
		r := row[PathRow](t, l, Spec{Kind: "path", To: c.to})
		if r.Outcome != c.outcome || len(r.Hops) != 2 {
			t.Errorf("%s: %+v", c.to, r)
			continue
		}
		for _, a := range r.Hops[0].Answers {
			if a.By != c.router || a.ICMP != "time-exceeded" || a.End != "" {
				t.Errorf("%s: first hop %+v", c.to, a)
			}
		}
		for _, a := range r.Hops[1].Answers {
			if a.By != c.far || a.End != c.outcome {
				t.Errorf("%s: second hop %+v", c.to, a)
			}
		}
	}
	// A router that says nothing is a gap, not the end.
	l.nft(t, l.router, "output", `icmp type time-exceeded drop`)
	r := row[PathRow](t, l, Spec{Kind: "path", To: far4 + ":8080", Count: 1, Timeout: 200 * time.Millisecond})
	if r.Outcome != "connected" || len(r.Hops) != 2 || r.Hops[0].Answers[0].By != "" || r.Hops[1].Answers[0].By != far4 {
		t.Errorf("a silent router: %+v", r)
	}
	l.nft(t, l.router, "forward", `drop`)
	r = row[PathRow](t, l, Spec{Kind: "path", To: far4 + ":8080", Count: 1, Timeout: 20 * time.Millisecond})
	if r.Outcome != "incomplete" || r.Hops[0].Answers[0].By != router4 {
		t.Errorf("a router that drops: %+v", r)
	}
}

// toolAnswer runs a reference tool in near.
func toolAnswer(l lab, args ...string) (string, bool) {
	out, err := commandIn(l.near, args...).CombinedOutput()
	return string(out), err == nil
}

func TestActionsComeFirst(t *testing.T) {
	l := newLab(t)
	rows := l.rows(t, Spec{Kind: "tcp", To: far4 + ":1", Count: 3}, Spec{Kind: "http", To: "http://u:p@" + far4 + ":1/x?token=s3cret"})
	all := fmt.Sprintf("%s", rows)
	for _, secret := range []string{"u:p", "s3cret", "token"} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is in the rows: %s", secret, all)
		}
	}
	if !strings.Contains(all, `"packets":3`) || !strings.Contains(all, `"ended":true`) {
		t.Errorf("actions: %s", rows["action"])
	}
}
