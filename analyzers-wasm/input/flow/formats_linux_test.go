package flow

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/casefile-io/casefile/collector/capture"
)

// size is that of a file that is being written.
func size(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// engine captures all devices of a space with the project's own engine.
func (l *lab) engine(space int) (stop func() string) {
	l.t.Helper()
	name := filepath.Join(l.t.TempDir(), "engine.pcapng")
	f, err := os.Create(name)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := capture.Run(ctx, capture.Spec{NetnsPath: "/var/run/netns/" + l.spaces[space], Snaplen: 256}, f)
		f.Close()
		done <- err
	}()
	for end := time.Now().Add(10 * time.Second); size(name) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatal("the engine does not begin")
		}
	}
	return func() string {
		time.Sleep(300 * time.Millisecond) // the ring hands on what it has after at most 100 ms
		cancel()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
		return name
	}
}

// TestEngine: the file of the capture engine, in which every packet that the
// router passes on stands twice, device by device against tshark; and the hop
// inside the router.
func TestEngine(t *testing.T) {
	t.Parallel()
	total := &totals{n: map[string]int64{}}
	var stop, stopAny func() string
	p := walk(t, nil, func(l *lab) {
		stop, stopAny = l.engine(1), l.capture(1, "any", "-y", "LINUX_SLL2")
		echoes(l, "10.77.0.2:80", 3)
		l.in(1, "nft", "add", "rule", "ip", "t", "forward", "numgen", "inc", "mod", "15", "0", "counter", "drop")
		echoes(l, "10.77.0.2:80", 3)
	})
	file, anyFile := stop(), stopAny()
	rows := scan(t, file).Flows
	lost := int64(0)
	for _, r := range rows {
		for _, v := range r.Vanished {
			if lost += v.Packets; !strings.HasSuffix(v.At, "st") || v.At == v.Before {
				t.Errorf("%+v", v)
			}
		}
	}
	if lost == 0 || lost != p.dropped {
		t.Errorf("%d packets vanished, %d were dropped", lost, p.dropped)
	}
	for i, device := range []string{"west", "east"} {
		for _, part := range []struct{ file, filter, device string }{
			{file, fmt.Sprintf("frame.interface_name == %s", device), device},
			{anyFile, fmt.Sprintf("sll.ifindex == %d", l2index(p.lab, device)), fmt.Sprintf("if%d", l2index(p.lab, device))},
		} {
			split := filepath.Join(t.TempDir(), fmt.Sprint(i)+".pcapng")
			p.run("tshark", "-r", part.file, "-Y", part.filter, "-w", split)
			sameAll(t, split, part.file == anyFile, total)
			var whole []Row
			for _, r := range scan(t, part.file).Flows {
				if r.Device == part.device {
					whole = append(whole, r)
				}
			}
			if a, b := numberless(t, whole), numberless(t, scan(t, split).Flows); a != b {
				t.Errorf("%s of %s alone:\n%s\nas a part:\n%s", part.device, filepath.Base(part.file), b, a)
			}
		}
	}
	if total.n["packets"] < 400 || total.n["retransmission"] == 0 {
		t.Errorf("compared only %v", total.n)
	}
}

func l2index(l *lab, device string) int {
	var index int
	l.enter(1, func() {
		if i, err := net.InterfaceByName(device); err == nil {
			index = i.Index
		}
	})
	return index
}

// numberless is rows without what depends on the file that they stand in.
func numberless(t *testing.T, rows []Row) string {
	t.Helper()
	var b strings.Builder
	for _, r := range rows {
		r.Path, r.Packet, r.Capture, r.Vanished, r.ResetPacket, r.A.Retransmitted, r.B.Retransmitted, r.Device = "", 0, "", nil, 0, nil, nil, ""
		for i := range r.ICMP {
			r.ICMP[i].Packet = 0
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	return b.String()
}

// TestTooBig: a hop with a smaller MTU, which says so, or does not.
func TestTooBig(t *testing.T) {
	t.Parallel()
	total := &totals{n: map[string]int64{}}
	for _, silent := range []bool{false, true} {
		p := walk(t, nil, func(l *lab) {
			l.in(1, "ip", "link", "set", "east", "mtu", "1300")
			l.in(1, "sysctl", "-qw", "net.ipv4.icmp_ratelimit=0")
			if silent {
				l.in(1, "nft", "add", "chain", "ip", "t", "out", "{ type filter hook output priority 0; }")
				l.in(1, "nft", "add", "rule", "ip", "t", "out", "icmp", "type", "destination-unreachable", "drop")
			}
			c, err := l.dial(0, "tcp", "10.77.1.2:8080", net.Dialer{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(1500 * time.Millisecond))
			_, _ = c.Write(bytes.Repeat([]byte("x"), 20000))
			_, _ = io.CopyN(io.Discard, c, 20000)
		})
		errors := 0
		for _, r := range scan(t, p.files[0]).Flows {
			for _, e := range r.ICMP {
				if errors++; e.MTU != 1300 || e.Type != 3 || e.Code != 4 || r.B.Port != 8080 {
					t.Errorf("%+v of %+v", e, r.Flow)
				}
			}
		}
		hops := p.hops(t, nil)
		if (errors == 0) != silent || hops["router west > router east"] == 0 || len(hops) != 1 {
			t.Errorf("silent %v: %d errors, lost %v", silent, errors, hops)
		}
		sameAll(t, p.files[0], false, total)
	}
	if total.n["icmp"] == 0 {
		t.Error("tshark has no error")
	}
}

// TestFragments: a datagram in pieces counts to its flow, and once.
func TestFragments(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2, nil)
	stop := l.capture(0, "east")
	for _, host := range []string{"10.77.0.2", "[fd77:0::2]"} {
		c, err := l.dial(0, "udp", host+":9999", net.Dialer{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(make([]byte, 4000))
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, _ = c.Read(make([]byte, 1)) // until it is refused
		c.Close()
	}
	n := 0
	for _, r := range scan(t, stop()).Flows {
		if r.Proto == "udp" && r.B.Port == 9999 {
			if n++; r.A.Packets != 3 || r.A.Bytes != 4000 {
				t.Errorf("%+v", r.A)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d flows: %+v", n, scan(t, stop()).Flows)
	}
}

// TestFormats: the same packets in files of other tools and machines, and in
// wrappers of every kind, give the same rows.
func TestFormats(t *testing.T) {
	t.Parallel()
	total := &totals{n: map[string]int64{}}
	l := newLab(t, 2, &wire{delay: 2 * time.Millisecond, loss: 0.02, seed: 9})
	stop := l.capture(0, "east")
	tr := traffic{l, 1, "10.77.0.2"}
	tr.chatter()
	tr.closedPort()
	tr.host = "[fd77:0::2]"
	tr.resets()
	file := stop()
	want := numberless(t, scan(t, file).Flows)
	for _, format := range []string{"pcap", "nsecpcap", "pcapng"} {
		out := filepath.Join(t.TempDir(), "x")
		l.run("editcap", "-F", format, file, out)
		if got := numberless(t, scan(t, out).Flows); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", format, got, want)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) string {
		out := filepath.Join(t.TempDir(), "x.pcap")
		if err := os.WriteFile(out, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := numberless(t, scan(t, write(rewrite(data, true, func(p []byte) []byte { return p }))).Flows); got != want {
		t.Errorf("big endian:\n%s\nwant\n%s", got, want)
	}
	for name, wrap := range wrappers() {
		wrapped := write(rewrite(data, false, wrap))
		sameAll(t, wrapped, true, total)
		rows := scan(t, wrapped).Flows
		inner := rows[:0]
		for _, r := range rows {
			if r.A.IP != "192.0.2.1" && r.B.IP != "192.0.2.1" {
				if name != "qinq" && r.Tunnel != name {
					t.Errorf("a flow in %s has tunnel %q", name, r.Tunnel)
				}
				r.Tunnel = ""
				inner = append(inner, r)
			}
		}
		if got := numberless(t, inner); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// rewrite makes another pcap of a little-endian one.
func rewrite(pcap []byte, big bool, wrap func([]byte) []byte) []byte {
	le := binary.LittleEndian
	var order binary.AppendByteOrder = le
	if big {
		order = binary.BigEndian
	}
	out := order.AppendUint32(nil, le.Uint32(pcap))
	out = order.AppendUint16(order.AppendUint16(out, 2), 4)
	out = order.AppendUint32(order.AppendUint32(append(out, make([]byte, 8)...), 262144), linkEthernet)
	for b := pcap[24:]; len(b) >= 16; {
		n := int(le.Uint32(b[8:]))
		p := wrap(b[16 : 16+n])
		out = order.AppendUint32(order.AppendUint32(out, le.Uint32(b)), le.Uint32(b[4:]))
		out = order.AppendUint32(order.AppendUint32(out, uint32(len(p))), uint32(len(p)))
		out = append(out, p...)
		b = b[16+n:]
	}
	return out
}

// wrappers put a frame into VLANs and tunnels.
func wrappers() map[string]func([]byte) []byte {
	outer := func(proto byte, rest ...[]byte) []byte {
		body := bytes.Join(rest, nil)
		b := append(make([]byte, 12), 8, 0, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+len(body)))
		b = append(b, 0, 0, 0x40, 0, 64, proto, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
		return append(b, body...)
	}
	udp := func(port uint16, rest ...[]byte) []byte {
		body := bytes.Join(rest, nil)
		b := binary.BigEndian.AppendUint16([]byte{0x80, 0}, port)
		b = append(binary.BigEndian.AppendUint16(b, uint16(8+len(body))), 0, 0)
		return append(b, body...)
	}
	return map[string]func([]byte) []byte{
		"qinq": func(p []byte) []byte {
			return bytes.Join([][]byte{p[:12], {0x88, 0xa8, 0, 7, 0x81, 0, 0, 8}, p[12:]}, nil)
		},
		"vxlan": func(p []byte) []byte { return outer(17, udp(4789, []byte{8, 0, 0, 0, 0, 0, 5, 0}, p)) },
		"geneve": func(p []byte) []byte {
			return outer(17, udp(6081, []byte{1, 0, 0x65, 0x58, 0, 0, 5, 0, 0, 0, 0, 0}, p))
		},
		"gre": func(p []byte) []byte { return outer(47, []byte{0x20, 0, p[12], p[13], 0, 0, 0, 9}, p[14:]) },
		"ipip": func(p []byte) []byte {
			if p[12] == 0x86 {
				return outer(41, p[14:])
			}
			return outer(4, p[14:])
		},
	}
}
