//go:build linux

package node

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// ssSockets runs ss in a namespace and returns its fields, a socket a line.
func ssSockets(t *testing.T, netns, flags string) [][]string {
	t.Helper()
	var list [][]string
	for line := range strings.Lines(sh(t, "ip netns exec "+netns+" ss -H "+flags)) {
		list = append(list, strings.Fields(line))
	}
	return list
}

// What ss -i says of idle connections, our rows say too.
func TestTCPInfoAgainstSS(t *testing.T) {
	a, _, pid := twoNamespaces(t)
	sink, _ := collect(t, Options{})
	want := map[string]string{}
	for _, f := range ssSockets(t, a, "-tnmieO state established") {
		want[plain(f[2])+" "+plain(f[3])] = strings.Join(f[4:], " ")
	}
	number := func(text, name string) uint64 {
		m := regexp.MustCompile(`(?:^|[ (,])` + regexp.QuoteMeta(name) + `:?([0-9.]+)`).FindStringSubmatch(text)
		if m == nil {
			return 0
		}
		v, _ := strconv.ParseFloat(m[1], 64)
		return uint64(v*1000 + 0.5)
	}
	seen := 0
	for _, s := range rows[socketRow](t, sink, fmt.Sprintf("nodes/n1/netns/%d/0/net/sockets.ndjson", inodeOf(t, pid))) {
		text, ok := want[endpoint(s, s.Src, s.Sport)+" "+endpoint(s, s.Dst, s.Dport)]
		if s.Proto != "tcp" || s.State != "ESTAB" || !ok {
			continue
		}
		seen++
		for name, got := range map[string]uint64{
			"cwnd": uint64(s.Cwnd), "mss": uint64(s.SndMSS), "pmtu": uint64(s.PMTU), "rcvmss": uint64(s.RcvMSS), "advmss": uint64(s.AdvMSS),
			"segs_out": uint64(s.SegsOut), "segs_in": uint64(s.SegsIn), "rcv_space": uint64(s.RcvSpace), "rcv_ssthresh": uint64(s.RcvSsthresh),
			"snd_wnd": uint64(s.SndWnd), "uid": uint64(s.UID), "ino": uint64(s.Inode), "bytes_acked": s.BytesAcked,
			"rb": uint64(s.Rcvbuf), "tb": uint64(s.Sndbuf), "f": uint64(s.FwdAlloc), "w": uint64(s.WmemQueued), "d": uint64(s.Drops),
		} {
			if w := number(text, name); w != got*1000 && !(name == "mss" && w == 0) {
				t.Errorf("%s is %d, ss says %g: %s", name, got, float64(w)/1000, text)
			}
		}
		for name, usec := range map[string]uint32{"rtt": s.RTTUsec, "minrtt": s.MinRTTUsec, "rto": s.RTOUsec} {
			if w := number(text, name); w != uint64(usec) {
				t.Errorf("%s is %d us, ss says %d: %s", name, usec, w, text)
			}
		}
		for _, word := range []string{s.Cong, fmt.Sprintf("wscale:%d,%d", s.SndWScale, s.RcvWScale)} {
			if word == "" || !strings.Contains(text, word) {
				t.Errorf("%q is not in %s", word, text)
			}
		}
		if s.Options != "ts sack" || !strings.Contains(text, "ts sack") {
			t.Errorf("options %q: %s", s.Options, text)
		}
	}
	if seen < 4 {
		t.Errorf("%d connections compared of %d", seen, len(want))
	}
}

// holdSockets opens sockets of other kinds in the namespace of a thread of its
// own; they live until the test ends.
func holdSockets(t *testing.T, pid int, dir string) {
	t.Helper()
	collector.OnOwnThread(func() {
		if err := enter("/proc", Netns{Inode: inodeOf(t, pid), pids: []int{pid}}); err != nil {
			t.Error(err)
			return
		}
		l, err := net.Listen("unix", dir+"/cf.sock")
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { l.Close() })
		for _, addr := range []string{dir + "/cf.sock", dir + "/cf.sock"} {
			c, err := net.Dial("unix", addr) // stays in the queue
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { c.Close() })
		}
		d, err := net.ListenPacket("unixgram", fmt.Sprintf("@cf-%d", os.Getpid()))
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { d.Close() })
		for _, s := range []struct{ family, typ, proto int }{{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, {unix.AF_INET6, unix.SOCK_RAW, 89},
			{unix.AF_PACKET, unix.SOCK_RAW, 0x0300}, {unix.AF_PACKET, unix.SOCK_DGRAM, 0x0608}} {
			fd, err := unix.Socket(s.family, s.typ|unix.SOCK_CLOEXEC, s.proto)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { unix.Close(fd) })
			if s.proto == 0x0300 {
				packetRingOf(t, fd)
			}
		}
	})
}

// packetRingOf gives a packet socket a ring, a fanout group and a filter.
func packetRingOf(t *testing.T, fd int) {
	t.Helper()
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3)
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq3{Block_size: 1 << 16, Block_nr: 2, Frame_size: 2048, Frame_nr: 64, Retire_blk_tov: 60}); err != nil {
		t.Error(err)
		return
	}
	accept := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff}}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &accept[0]}); err != nil {
		t.Error(err)
		return
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: 1}); err != nil {
		t.Error(err)
		return
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, 7|unix.PACKET_FANOUT_CPU<<16); err != nil {
		t.Error(err)
		return
	}
}

func TestOtherSocketsAgainstSS(t *testing.T) {
	a, _, pid := twoNamespaces(t)
	dir := t.TempDir()
	holdSockets(t, pid, dir)
	sink, _ := collect(t, Options{})
	pfx := fmt.Sprintf("nodes/n1/netns/%d/0/net/", inodeOf(t, pid))

	var want, got []string
	for _, f := range ssSockets(t, a, "-xan") {
		want = append(want, strings.Join(slices.Concat(f[1:4], f[4:6], f[7:8]), " "))
	}
	for _, s := range rows[unixRow](t, sink, pfx+"unix.ndjson") {
		name := s.SocketPath
		if name == "" {
			name = "*"
		}
		got = append(got, fmt.Sprint(s.State, " ", s.Rqueue, " ", s.Wqueue, " ", name, " ", s.Inode, " ", s.PeerInode))
		if s.SocketPath == dir+"/cf.sock" && s.State == "LISTEN" && (s.Rqueue != 2 || s.Pending != 2 || s.PID != os.Getpid() || s.FileInode == 0) {
			t.Errorf("the listener: %+v", s)
		}
	}
	compare(t, "UNIX sockets", want, got)

	want, got = nil, nil
	for _, f := range ssSockets(t, a, "-wan") {
		want = append(want, f[0]+" "+f[1]+" "+f[2])
	}
	raw := map[uint8]string{}
	for _, s := range rows[socketRow](t, sink, pfx+"sockets.ndjson") {
		if s.Proto == "raw" {
			got = append(got, fmt.Sprint(s.State, " ", s.Rqueue, " ", s.Wqueue))
			raw[s.RawProtocol] = s.Family
		}
	}
	compare(t, "raw sockets", want, got)
	if raw[unix.IPPROTO_ICMP] != "inet" || raw[89] != "inet6" {
		t.Errorf("protocols of the raw sockets: %v", raw)
	}

	inodes := map[string]bool{}
	for _, f := range ssSockets(t, a, "-0ane") {
		for _, w := range f {
			if n, ok := strings.CutPrefix(w, "ino:"); ok {
				inodes[n] = true
			}
		}
	}
	packets := rows[packetRow](t, sink, pfx+"packet.ndjson")
	for _, s := range packets {
		if !inodes[strconv.Itoa(int(s.Inode))] {
			t.Errorf("ss does not have %+v", s)
		}
		if s.Type == "raw" && (s.Protocol != "0x0003" || s.RxRing == nil || s.RxRing.Blocks != 2 || s.RxRing.TimeoutMs != 60 || s.Fanout == nil || s.Fanout.ID != 7 ||
			s.Fanout.Type != unix.PACKET_FANOUT_CPU || s.Filter != 1 || s.Ifindex != 1 || s.Version == nil || *s.Version != 2 || s.PID != os.Getpid()) {
			t.Errorf("the capture: %+v", s)
		}
	}
	if len(packets) != len(inodes) || len(packets) < 2 {
		t.Errorf("%d packet sockets, ss has %d", len(packets), len(inodes))
	}
}

// Where sock_diag is missing, /proc/net says the same, as far as it goes.
func TestProcNetIsTheSame(t *testing.T) {
	_, _, pid := twoNamespaces(t)
	sink, _ := collect(t, Options{})
	var want, got []string
	text := func(s *socketRow) string {
		if s.State == "LISTEN" {
			s.Wqueue = 0 // the backlog is not in there
		}
		return fmt.Sprint(s.Family, s.Proto, s.State, s.Src, s.Sport, s.Dst, s.Dport, s.Rqueue, s.Wqueue, s.Inode, s.UID)
	}
	for _, s := range rows[socketRow](t, sink, fmt.Sprintf("nodes/n1/netns/%d/0/net/sockets.ndjson", inodeOf(t, pid))) {
		want = append(want, text(&s))
	}
	for _, table := range inetTables() {
		if err := readProcSockets(fmt.Sprintf("/proc/%d/net/%s", pid, table.name), table.proto, func(s *socketRow) error { got = append(got, text(s)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, "/proc/net", want, got)
	if err := readProcSockets("/proc/net/none", protoTCP, nil); err == nil {
		t.Error("a table that is not there")
	}
}
