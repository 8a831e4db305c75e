package flow

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// path is a client, a router that sends port 80 of its own address on to
// port 8080 of the server, and a server; captured at all four devices.
type path struct {
	*lab
	files   []string
	started int64
	ended   int64
	dropped int64 // by the rules, as they counted
}

var pathDevices = []struct {
	space int
	dev   string
	node  string
}{{0, "east", "client"}, {1, "west", "router"}, {1, "east", "router"}, {2, "west", "server"}}

// walk makes traffic over the path, and captures it; extra are rules of the
// router's chain "forward".
func walk(t *testing.T, w *wire, during func(*lab), extra ...string) *path {
	t.Helper()
	l := newLab(t, 3, w)
	l.in(1, "nft", "add", "table", "ip", "t")
	l.in(1, "nft", "add", "chain", "ip", "t", "pre", "{ type nat hook prerouting priority -100; }")
	l.in(1, "nft", "add", "chain", "ip", "t", "post", "{ type nat hook postrouting priority 100; }")
	l.in(1, "nft", "add", "chain", "ip", "t", "forward", "{ type filter hook forward priority 0; }")
	l.in(1, "nft", "add", "rule", "ip", "t", "pre", "tcp", "dport", "80", "dnat", "to", "10.77.1.2:8080")
	l.in(1, "nft", "add", "rule", "ip", "t", "post", "tcp", "dport", "8080", "masquerade")
	for _, rule := range extra {
		l.in(1, append([]string{"nft", "add", "rule", "ip", "t", "forward"}, strings.Fields(rule)...)...)
	}
	p := &path{lab: l}
	var stops []func() string
	for _, d := range pathDevices {
		stops = append(stops, l.capture(d.space, d.dev, "-s", "128", "--nano"))
	}
	if during == nil {
		during = func(l *lab) { echoes(l, "10.77.0.2:80", 4) }
	}
	ln := l.listen(2, "tcp", "10.77.1.2:8080")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	p.started = time.Now().UnixNano()
	time.Sleep(50 * time.Millisecond) // nor what comes at its very beginning
	during(l)
	time.Sleep(200 * time.Millisecond) // what comes at the very end of a capture does not count
	p.ended = time.Now().UnixNano()
	for _, stop := range stops {
		p.files = append(p.files, stop())
	}
	out, err := exec.Command("ip", "netns", "exec", l.spaces[1], "nft", "list", "chain", "ip", "t", "forward").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`counter packets (\d+)`).FindAllSubmatch(out, -1) {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		p.dropped += n
	}
	return p
}

// echoes sends data there and back over some connections.
func echoes(l *lab, addr string, n int) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			c, err := l.dial(0, "tcp", addr, net.Dialer{Timeout: 5 * time.Second})
			if err != nil {
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(8 * time.Second))
			for range 5 {
				data := bytes.Repeat([]byte("echo"), 5000)
				if _, err := c.Write(data); err != nil {
					return
				}
				if _, err := io.ReadFull(c, data); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// hops scans the files and says which hops lose packets: "At > Before" to how
// many, and of how many flows.
func (p *path) hops(t *testing.T, change func(i int, c *Capture)) map[string]int64 {
	t.Helper()
	s := New(Limits{})
	for i, d := range pathDevices {
		c := Capture{Path: p.files[i], Name: fmt.Sprint(i), Node: d.node, Device: d.dev, Started: p.started, Ended: p.ended}
		if change != nil {
			change(i, &c)
		}
		f, err := os.Open(c.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := s.Read(t.Context(), c, f); err != nil {
			t.Fatal(err)
		}
	}
	hops := map[string]int64{}
	for _, r := range finish(s).Flows {
		for _, v := range r.Vanished {
			hops[fmt.Sprintf("%s > %s", v.At, v.Before)] += v.Packets
			if v.Packets > v.Of || v.First == 0 {
				t.Errorf("%+v", v)
			}
		}
	}
	return hops
}

func (p *path) edit(t *testing.T, file string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "edited.pcapng")
	var ranges []string
	if len(args) > 0 && strings.HasPrefix(args[len(args)-1], "#") {
		ranges, args = strings.Fields(args[len(args)-1][1:]), args[:len(args)-1]
	}
	args = append(append(args, file, out), ranges...)
	if text, err := exec.Command("editcap", args...).CombinedOutput(); err != nil {
		t.Fatalf("editcap %v: %v %s", args, err, text)
	}
	return out
}

func TestNothingVanishes(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*wire{"whole": nil, "slow": {delay: 5 * time.Millisecond, jitter: 3 * time.Millisecond, double: 0.02, seed: 7}} {
		t.Run(name, func(t *testing.T) {
			p := walk(t, w, nil)
			if h := p.hops(t, nil); len(h) != 0 {
				t.Errorf("lost: %v", h)
			}
			n := len(tshark(t, p.files[3]))
			part := p.edit(t, p.files[3], "-r", fmt.Sprintf("#%d-%d", n/3, n*2/3))
			if h := p.hops(t, func(i int, c *Capture) {
				if i == 3 {
					c.Path, c.Started, c.Ended = part, 0, 0
				}
			}); len(h) != 0 {
				t.Errorf("a capture that began late and ended early lost: %v", h)
			}
			holes := p.edit(t, p.files[3], fmt.Sprintf("#%d-%d %d %d", n/2, n/2+5, n/2+8, n/2+10))
			if h := p.hops(t, func(i int, c *Capture) {
				if i == 3 {
					c.Path, c.Dropped, c.Started, c.Ended = holes, 8, 0, 0
				}
			}); len(h) != 0 {
				t.Errorf("what the capture dropped was lost: %v", h)
			}
			if h := p.hops(t, func(i int, c *Capture) {
				if i == 3 {
					c.Path, c.Started, c.Ended = holes, 0, 0
				}
			}); h["router east > server west"]+h["server west > router east"] == 0 {
				t.Errorf("packets were taken out, and nothing is missing: %v", h)
			}
		})
	}
}

func TestVanished(t *testing.T) {
	t.Parallel()
	lossy := &wire{delay: time.Millisecond, loss: 0.04, seed: 5}
	for name, c := range map[string]struct {
		wire  *wire
		rules []string
		want  string
	}{
		"dropped by the router": {nil, []string{"numgen random mod 100 < 6 counter drop"}, "router west > router east"},
		"answers only":          {nil, []string{"tcp sport 8080 numgen inc mod 9 0 counter drop"}, "router east > router west"},
		"lost on both wires":    {lossy, nil, "client east > router west"},
	} {
		t.Run(name, func(t *testing.T) {
			p := walk(t, c.wire, nil, c.rules...)
			for _, shift := range []string{"", "0.037", "-2.5"} {
				files := append([]string(nil), p.files...)
				if shift != "" {
					files[3] = p.edit(t, files[3], "-t", shift)
					files[0] = p.edit(t, files[0], "-t", "0.011")
				}
				h := p.hops(t, func(i int, c *Capture) {
					if c.Path = files[i]; c.Path != p.files[i] {
						c.Started, c.Ended = 0, 0 // by the other clock
					}
				})
				sum := int64(0)
				for hop, n := range h {
					if sum += n; strings.HasPrefix(hop, "router") && strings.Contains(hop, "> router") != (c.wire == nil) {
						t.Errorf("clocks off by %q: lost at %s: %v", shift, hop, h)
					}
				}
				t.Log(shift, h)
				if c.wire == nil && sum != p.dropped {
					t.Errorf("%d packets were dropped, %d vanished", p.dropped, sum)
				}
				if h[c.want] == 0 {
					t.Errorf("clocks off by %q: nothing lost at %s: %v", shift, c.want, h)
				}
			}
		})
	}
}

// TestVanishedWhole: connections of which the next place sees nothing.
func TestVanishedWhole(t *testing.T) {
	t.Parallel()
	p := walk(t, nil, func(l *lab) {
		echoes(l, "10.77.1.2:8080", 2)
		c, err := l.dial(0, "tcp", "10.77.1.2:8080", net.Dialer{Timeout: 1500 * time.Millisecond, LocalAddr: &net.TCPAddr{Port: 12345}})
		if err == nil {
			c.Close()
			l.t.Error("the rule does not hold")
		}
		echoes(l, "10.77.1.2:8080", 1)
	}, "tcp sport 12345 counter drop")
	if h := p.hops(t, nil); len(h) != 1 || h["router west > router east"] != p.dropped || p.dropped < 2 {
		t.Errorf("lost: %v", h)
	}
}
