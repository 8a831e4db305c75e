package ebpf

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

type memory struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (m *memory) Put(path string, _ collector.Class, r io.Reader) (int64, error) {
	b, err := io.ReadAll(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = b
	return int64(len(b)), err
}

func (m *memory) Frames([]string, io.Reader) error { panic("no frames here") }

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
}

func sh(t testing.TB, script string) string {
	t.Helper()
	out, err := exec.Command("bash", "-euc", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// pair makes two namespaces with a link, 10.77.0.1 and 10.77.0.2, and returns
// their names and inodes.
func pair(t testing.TB) (a, b string, inodeA, inodeB uint32) {
	t.Helper()
	a, b = fmt.Sprintf("cfe%da", os.Getpid()), fmt.Sprintf("cfe%db", os.Getpid())
	t.Cleanup(func() {
		_ = exec.Command("ip", "netns", "del", a).Run()
		_ = exec.Command("ip", "netns", "del", b).Run()
	})
	sh(t, strings.NewReplacer("$A", a, "$B", b).Replace(`ip netns add $A; ip netns add $B
ip -n $A link add v0 type veth peer name v1 netns $B
ip -n $A addr add 10.77.0.1/24 dev v0; ip -n $B addr add 10.77.0.2/24 dev v1
ip -n $A addr add fd77::1/64 dev v0 nodad; ip -n $B addr add fd77::2/64 dev v1 nodad
for n in $A $B; do ip -n $n link set lo up; done; ip -n $A link set v0 up; ip -n $B link set v1 up`))
	inode := func(name string) uint32 {
		var st syscall.Stat_t
		if err := syscall.Stat("/run/netns/"+name, &st); err != nil {
			t.Fatal(err)
		}
		return uint32(st.Ino)
	}
	return a, b, inode(a), inode(b)
}

// inside runs fn on a thread in the namespace.
func inside(t testing.TB, name string, fn func()) {
	t.Helper()
	collector.OnOwnThread(func() {
		fd, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		fn()
	})
}

// watch runs a window around provoke and returns the files.
func watch(t testing.TB, provoke func()) (map[string][]byte, []collector.Result) {
	t.Helper()
	m := &memory{files: map[string][]byte{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := make(chan struct{})
	out := collector.NewOutput(m, collector.Options{})
	failed := make(chan error, 1)
	go func() {
		failed <- New(Options{Node: "n1", Window: time.Minute, Started: func() { close(started) }}).Collect(ctx, out)
	}()
	<-started
	provoke()
	cancel()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return m.files, out.Results()
}

func rows[T any](t testing.TB, b []byte) []T {
	t.Helper()
	var out []T
	for line := range bytes.Lines(b) {
		var r T
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, r)
	}
	return out
}

func sum[T any](list []T, count func(T) uint64) (n uint64) {
	for _, r := range list {
		n += count(r)
	}
	return n
}

func dial(t testing.TB, network, addr string) error {
	d := net.Dialer{Timeout: 2500 * time.Millisecond}
	c, err := d.Dial(network, addr)
	if err == nil {
		c.Close()
	}
	return err
}

// send sends datagrams; the socket is not connected, so that answers of ICMP do
// not make a write fail.
func send(t testing.TB, to string, n int) {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	for range n {
		if _, err := c.WriteTo([]byte("x"), addr); err != nil {
			t.Error(err)
		}
	}
}

// nobody waits until the namespace has counted so many datagrams to nobody:
// what was sent may still be on its way.
func nobody(t testing.TB, ns string, n uint64) {
	t.Helper()
	var got uint64
	for range 500 {
		inside(t, ns, func() {
			text, err := os.ReadFile("/proc/thread-self/net/snmp")
			if _, after, ok := strings.Cut(string(text), "\nUdp: "); ok { // names, then numbers
				_, after, _ = strings.Cut(after, "\nUdp: ")
				var in uint64
				_, _ = fmt.Sscan(after, &in, &got)
			} else {
				t.Error(err)
			}
		})
		if got >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%d datagrams came, of %d", got, n)
}

func TestWindow(t *testing.T) {
	needRoot(t)
	a, b, inodeA, inodeB := pair(t)
	sh(t, fmt.Sprintf("ip netns exec %s nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in udp dport 5001 counter drop; add rule inet t in tcp dport 5002 drop'", b))
	var ln net.Listener
	inside(t, b, func() {
		var err error
		if ln, err = net.Listen("tcp", "10.77.0.2:8080"); err != nil {
			t.Error(err)
		}
	})
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	files, results := watch(t, func() {
		inside(t, a, func() {
			for _, to := range []string{"10.77.0.2:5001", "10.77.0.2:5003", "[fd77::2]:5003"} { // dropped by a rule; nobody there
				send(t, to, 50)
			}
			for range 5 {
				if dial(t, "tcp", "10.77.0.2:81") == nil || dial(t, "tcp", "[fd77::2]:81") == nil {
					t.Error("somebody listens on port 81")
				}
				if err := dial(t, "tcp", "10.77.0.2:8080"); err != nil {
					t.Error(err)
				}
			}
			if dial(t, "tcp", "10.77.0.2:5002") == nil {
				t.Error("the rule does not drop")
			}
		})
		nobody(t, b, 50)
	})
	for _, r := range results {
		if r.Status != collector.StatusPartial || !strings.Contains(r.Reason, "cut short") { // the test ends each window early
			t.Errorf("%+v", r)
		}
	}
	checkDrops(t, rows[dropRow](t, files["nodes/n1/drops.ndjson"]), inodeB, nftPackets(t, b))
	checkFlows(t, files, inodeA, inodeB)
	checkStates(t, rows[stateRow](t, files["nodes/n1/tcpstates.ndjson"]), inodeA, inodeB)
}

func nftPackets(t *testing.T, ns string) uint64 {
	out := sh(t, "ip netns exec "+ns+" nft list ruleset")
	var packets uint64
	if _, after, ok := strings.Cut(out, "counter packets "); !ok {
		t.Fatalf("no counter in %s", out)
	} else if _, err := fmt.Sscan(after, &packets); err != nil {
		t.Fatal(err)
	}
	return packets
}

func checkDrops(t *testing.T, drops []dropRow, inode uint32, byRule uint64) {
	t.Helper()
	count := func(reason, protocol string) uint64 {
		return sum(drops, func(d dropRow) uint64 {
			if d.Reason == reason && d.Netns == inode && d.Protocol == protocol {
				return d.Count
			}
			return 0
		})
	}
	if got := count("NETFILTER_DROP", "ipv4"); byRule != 50 || got < byRule+2 { // and the SYNs to 5002
		t.Errorf("%d drops by netfilter, the rule alone counted %d", got, byRule)
	}
	if got := count("NO_SOCKET", "ipv4"); got != 50+5 {
		t.Errorf("%d IPv4 packets to nobody, want 50 UDP and 5 SYN", got)
	}
	if got := count("NO_SOCKET", "ipv6"); got != 50+5 {
		t.Errorf("%d IPv6 packets to nobody, want 50 UDP and 5 SYN", got)
	}
	for _, d := range drops {
		if d.Netns == inode && d.Reason == "NO_SOCKET" && (d.Location == "" || d.Dev != "v1" || d.Last.Before(d.First) || time.Since(d.Last).Abs() > time.Minute) {
			t.Errorf("%+v", d)
		}
	}
}

func checkFlows(t *testing.T, files map[string][]byte, inodeA, inodeB uint32) {
	t.Helper()
	again := rows[flowRow](t, files["nodes/n1/retransmits.ndjson"])
	if n := sum(again, func(f flowRow) uint64 {
		if f.Netns == inodeA && f.Dport == 5002 && f.Dst == "10.77.0.2" && f.Src == "10.77.0.1" && f.State == "SYN-SENT" && f.Sport != 0 {
			return f.Count
		}
		return 0
	}); n < 1 {
		t.Errorf("no SYN sent again: %+v", again)
	}
	resets := rows[flowRow](t, files["nodes/n1/resets.ndjson"])
	for _, dst := range []struct{ here, there string }{{"10.77.0.2", "10.77.0.1"}, {"fd77::2", "fd77::1"}} {
		sent := sum(resets, func(f flowRow) uint64 {
			if f.Direction == "sent" && f.Netns == inodeB && f.Sport == 81 && f.Src == dst.here && f.Dst == dst.there && f.Dport != 0 {
				return f.Count
			}
			return 0
		})
		received := sum(resets, func(f flowRow) uint64 {
			if f.Direction == "received" && f.Netns == inodeA && f.Dport == 81 && f.Dst == dst.here && f.State == "SYN-SENT" {
				return f.Count
			}
			return 0
		})
		if sent != 5 || received != 5 {
			t.Errorf("%s: %d resets sent and %d received, want 5: %+v", dst.here, sent, received, resets)
		}
	}
}

func checkStates(t *testing.T, states []stateRow, inodeA, inodeB uint32) {
	t.Helper()
	count := func(netns uint32, old, next, side string, port uint16) uint64 {
		return sum(states, func(s stateRow) uint64 {
			if s.Netns == netns && s.Old == old && s.New == next && s.Side == side && s.Port == port {
				return s.Count
			}
			return 0
		})
	}
	if n := count(inodeA, "SYN-SENT", "ESTAB", "remote", 8080); n != 5 {
		t.Errorf("%d connections made to 8080, want 5: %+v", n, states)
	}
	if n := count(inodeB, "SYN-RECV", "ESTAB", "local", 8080); n != 5 {
		t.Errorf("%d connections taken at 8080, want 5: %+v", n, states)
	}
	if n := count(inodeA, "SYN-SENT", "CLOSE", "remote", 81); n != 10 {
		t.Errorf("%d connections refused at 81, want 10: %+v", n, states)
	}
}

// The test binary is also a process that may nothing.
func TestMain(m *testing.M) {
	if os.Getenv("CASEFILE_UNPRIVILEGED") == "1" {
		m := &memory{files: map[string][]byte{}}
		err := New(Options{Node: "n1", Window: time.Second}).Collect(context.Background(), collector.NewOutput(m, collector.Options{}))
		fmt.Println(collector.StatusOf(err), len(m.files), err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestDenied(t *testing.T) {
	needRoot(t)
	bin, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	copied := fmt.Sprintf("/tmp/casefile-ebpf-test-%d", os.Getpid()) // where anybody may run it
	t.Cleanup(func() { os.Remove(copied) })
	if err := os.WriteFile(copied, bin, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(copied)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "CASEFILE_UNPRIVILEGED=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "denied 0 ") || !strings.Contains(string(out), "CAP_BPF") {
		t.Errorf("%v: %s", err, out)
	}
}

// A whole window of a quiet second ends by itself and says so of each program.
func TestWholeWindow(t *testing.T) {
	needRoot(t)
	m := &memory{files: map[string][]byte{}}
	out := collector.NewOutput(m, collector.Options{})
	if err := New(Options{Node: "n1", Window: 300 * time.Millisecond}).Collect(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.Results() {
		if r.Status != collector.StatusOK {
			t.Errorf("%+v", r)
		}
	}
	var w windowRow
	if err := json.Unmarshal(m.files["nodes/n1/ebpf.json"], &w); err != nil || len(w.Programs) != 5 || w.Millis < 300 {
		t.Errorf("%s %v", m.files["nodes/n1/ebpf.json"], err)
	}
	for _, p := range w.Programs {
		if !p.Counting || p.Lost != 0 || (p.Rows == 0) != (p.Events == 0) {
			t.Errorf("%+v", p)
		}
	}
}

// TestLikeBpftrace counts the same drops as bpftrace at the same time.
func TestLikeBpftrace(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("bpftrace"); err != nil {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("bpftrace is not installed")
		}
		t.Skip("bpftrace is not installed")
	}
	a, b, _, inodeB := pair(t)
	var peer, complaint bytes.Buffer
	files, _ := watch(t, func() {
		cmd := exec.Command("unshare", "-m", "bash", "-c", `mount -t tracefs none /sys/kernel/tracing && mount -t debugfs none /sys/kernel/debug 2>/dev/null
exec bpftrace -e 'interval:ms:20 { printf("first\n"); } tracepoint:skb:kfree_skb /args->reason == `+noSocket(t)+`/ { @drops = count(); } interval:ms:20 { printf("last\n"); }'`)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = &complaint
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for first, last := false, false; !first || !last; { // in whatever order it attaches them, the one between is there
			if !lines.Scan() {
				t.Fatalf("bpftrace does not start: %s", complaint.String())
			}
			first, last = first || lines.Text() == "first", last || lines.Text() == "last"
		}
		inside(t, a, func() {
			send(t, "10.77.0.2:5003", 300)
		})
		nobody(t, b, 300)
		_ = cmd.Process.Signal(os.Interrupt)
		for lines.Scan() {
			fmt.Fprintln(&peer, lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("bpftrace: %v", err)
		}
	})
	_, after, ok := strings.Cut(peer.String(), "@drops: ")
	var theirs uint64
	if _, err := fmt.Sscan(after, &theirs); !ok || err != nil {
		t.Fatalf("bpftrace said %q and %q", peer.String(), complaint.String())
	}
	var ours, here uint64
	for _, d := range rows[dropRow](t, files["nodes/n1/drops.ndjson"]) {
		if d.Reason == "NO_SOCKET" {
			ours += d.Count
			if d.Netns == inodeB {
				here += d.Count
			}
		}
	}
	// Others on this machine drop packets too, and the windows do not begin at the same instant.
	if here != 300 || theirs < 300 || ours < theirs {
		t.Errorf("we count %d, %d of them in the namespace, bpftrace %d; 300 were sent", ours, here, theirs)
	}
}

// noSocket is the number of the reason in this kernel.
func noSocket(t *testing.T) string {
	k, err := findKernel()
	if err != nil {
		t.Fatal(err)
	}
	for n, name := range k.drops {
		if name == "NO_SOCKET" {
			return fmt.Sprint(n)
		}
	}
	t.Fatal("this kernel has no reason NO_SOCKET")
	return ""
}
