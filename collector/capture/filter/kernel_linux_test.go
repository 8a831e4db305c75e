package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func attach(fd int, raw []bpf.RawInstruction) error {
	prog := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		prog[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
}

// TestKernelTakes has the kernel's own verifier look at every program.
func TestKernelTakes(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := attach(fd, []bpf.RawInstruction{{Op: 0x60}, {Op: 6}}); err == nil {
		t.Fatal("the kernel takes a read of scratch memory that was not stored")
	}
	tries := func(what, expr string, raw []bpf.RawInstruction, err error) {
		if err != nil {
			if !strings.Contains(err.Error(), "Ethernet header") && !strings.Contains(err.Error(), "only a live capture") {
				t.Errorf("%s %.60q: %v", what, expr, err)
			}
			return
		}
		if err := verify(raw); err != nil {
			t.Errorf("%s %.60q: %v", what, expr, err)
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) // or the kernel counts the memory of both
		if err := attach(fd, raw); err != nil {
			t.Errorf("%s %.60q: the kernel says %v to %d instructions", what, expr, err, len(raw))
		}
	}
	exprs := append(expressions(t), "", manyPorts(400), "not geneve and (ip6 or vlan)")
	g := newExprGenerator(3)
	for range 500 {
		exprs = append(exprs, g.expr(3))
	}
	for i, e := range exprs {
		raw, err := CompileAny(e, 96)
		if i >= len(exprs)-500 && err != nil {
			continue // the generator's
		}
		tries("any", e, raw, err)
		for _, f := range []form{{Ethernet, false}, {Ethernet, true}, {RawIP, false}, {RawIP, true}} {
			raw, err := f.compile(e)
			tries(f.String(), e, raw, err)
		}
	}
}

func manyPorts(n int) string {
	var ports []string
	for i := range n {
		ports = append(ports, fmt.Sprint(1000+i))
	}
	return "tcp dst port " + strings.Join(ports, " or ")
}

// wire is a veth pair in a network namespace of the calling thread's own.
type wire struct{ send, receive int } // interface indexes

func newWire(t *testing.T) wire {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{
		"link add cfa type veth peer name cfb", "link set cfa up", "link set cfb up", "link set lo up",
	} {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v %s", c, err, out)
		}
	}
	return wire{index(t, "cfa"), index(t, "cfb")}
}

func index(t *testing.T, name string) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
		t.Fatal(err)
	}
	return int(r.Uint32())
}

func packetSocket(t *testing.T, ifindex int, program []bpf.RawInstruction) int {
	t.Helper()
	all := binary.BigEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if program != nil {
		if err := attach(fd, program); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, all)), Ifindex: ifindex}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// arrived reads the marks (the last byte) of the frames that a socket let in.
func arrived(t *testing.T, fd int) (marks []byte) {
	t.Helper()
	b := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return marks
		} else if err != nil {
			t.Fatal(err)
		}
		if n > 62 && b[n-2] == 0xca {
			marks = append(marks, b[n-1])
		}
	}
}

// TestTagsOnAWire sends tagged frames over a real link, where the kernel takes
// the outer tag out, and has our programs and tcpdump's choose side by side.
func TestTagsOnAWire(t *testing.T) {
	needTcpdump(t)
	w := newWire(t)
	frames := wireFrames()
	for _, c := range []struct {
		expr string
		want []byte // marks
	}{
		{"vlan", []byte{1, 2, 3, 4, 6}}, {"vlan 5", []byte{1, 3, 6}}, {"vlan 100", []byte{2, 4}}, {"not vlan", []byte{0, 5}},
		{"vlan and ip", []byte{1, 2, 6}}, {"vlan 5 and udp port 53", []byte{1, 6}}, {"vlan 5 and vlan 100", []byte{3}},
		{"vlan and vlan and udp port 53", []byte{3}}, {"vlan and arp", []byte{4}}, {"udp port 53", []byte{0, 1, 2, 6}}, {"arp", []byte{4, 5}},
		{"ip or vlan 100", []byte{0, 1, 2, 4, 6}}, {"inbound and vlan 5", []byte{1, 3, 6}}, {"outbound", nil},
		{fmt.Sprintf("ifindex %d and arp", w.receive), []byte{4, 5}}, {"ether[12:2] = 0x0800", []byte{0, 1, 2, 6}},
	} {
		ours, err := CompileLive(c.expr, Ethernet, 0)
		if err != nil {
			t.Fatal(err)
		}
		joined, err := CompileAny(c.expr, 0)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("tcpdump", "-i", "cfb", "-ddd", "--", c.expr).Output()
		if err != nil {
			t.Fatalf("tcpdump %q: %v", c.expr, err)
		}
		sockets := []int{packetSocket(t, w.receive, ours), packetSocket(t, w.receive, joined), packetSocket(t, w.receive, parseDDD(t, string(out)))}
		control := packetSocket(t, w.receive, nil)
		sender := packetSocket(t, w.send, nil)
		for mark, f := range frames {
			f = append(slices.Clone(f), make([]byte, 64)...)
			f = append(f, 0xca, byte(mark))
			if err := unix.Sendto(sender, f, 0, &unix.SockaddrLinklayer{Ifindex: w.send}); err != nil {
				t.Fatal(err)
			}
		}
		var seen []byte
		for until := time.Now().Add(5 * time.Second); len(seen) < len(frames) && time.Now().Before(until); time.Sleep(time.Millisecond) {
			seen = append(seen, arrived(t, control)...)
		}
		if len(seen) != len(frames) {
			t.Fatalf("%q: only frames %d arrived", c.expr, seen)
		}
		for i, who := range []string{"ours", "ours for any", "tcpdump's"} {
			if got := arrived(t, sockets[i]); !slices.Equal(got, c.want) {
				t.Errorf("%q: %s let in %d, want %d", c.expr, who, got, c.want)
			}
		}
	}
}

func wireFrames() [][]byte {
	mac := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1}
	frame := func(after ...[]byte) []byte { return slices.Concat(append([][]byte{mac}, after...)...) }
	dns := []byte{8, 0, 0x45, 0, 0, 60, 0, 0, 0, 0, 64, protoUDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, 53, 0, 40, 0, 0}
	arp := []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1}
	tag5, tag100 := []byte{0x81, 0, 0, 5}, []byte{0x81, 0, 0x20, 100}
	return [][]byte{
		frame(dns), frame(tag5, dns), frame(tag100, dns), frame(tag5, tag100, dns), frame(tag100, arp), frame(arp), frame([]byte{0x88, 0xa8, 0xe0, 5}, dns),
	}
}
