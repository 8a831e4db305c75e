package capture

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// lab is two network namespaces joined by a veth pair: near (10.77.0.1) and
// far (10.77.0.2), each with a process in it as a pod has one.
type lab struct {
	near, far string // names of the namespaces
	pid       int    // of a process in far
}

func newLab(t testing.TB) lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	tag := fmt.Sprintf("cfcap-%d-", os.Getpid())
	l := lab{near: tag + "a", far: tag + "b"}
	for _, ns := range []string{l.near, l.far} {
		ip(t, "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		ip(t, "-n", ns, "link", "set", "lo", "up")
		// Neighbour discovery would add packets that no test has sent.
		inside(t, ns, func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0) })
	}
	ip(t, "-n", l.near, "link", "add", "cfv0", "type", "veth", "peer", "name", "eth0", "netns", l.far)
	for i, end := range [][2]string{{l.near, "cfv0"}, {l.far, "eth0"}} {
		ip(t, "-n", end[0], "addr", "add", fmt.Sprintf("10.77.0.%d/24", i+1), "dev", end[1])
		ip(t, "-n", end[0], "link", "set", end[1], "up")
	}
	sleeper := exec.Command("ip", "netns", "exec", l.far, "sleep", "300")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
	l.pid = sleeper.Process.Pid
	for range 100 { // ip enters the namespace before it becomes sleep
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", l.pid)); strings.TrimSpace(string(b)) == "sleep" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return l
}

// spec is that of a pod's namespace: by the path and inode of its process.
func (l lab) spec(t testing.TB) Spec {
	path := fmt.Sprintf("/proc/%d/ns/net", l.pid)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return Spec{Name: "pod_shop_web-0", Target: "pod/shop/web-0", NetnsPath: path, Netns: st.Ino, Snaplen: 256, Duration: time.Hour}
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// inside runs f on a thread in a namespace; the thread ends with it.
func inside(t testing.TB, ns string, f func() error) {
	t.Helper()
	if err := collector.InNetns("/run/netns/"+ns, 0, f); err != nil {
		t.Fatal(err)
	}
}

// sendUDP sends numbered datagrams of 200 bytes from one port.
func sendUDP(t testing.TB, ns, to string, n int) {
	t.Helper()
	inside(t, ns, func() error {
		c, err := net.Dial("udp", to)
		if err != nil {
			return err
		}
		defer c.Close()
		b := make([]byte, 200)
		for i := range n {
			b[0], b[1] = byte(i>>8), byte(i)
			_, err := c.Write(b)
			for errors.Is(err, unix.ECONNREFUSED) { // tells of an earlier datagram; this one did not go out
				_, err = c.Write(b)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// sendFrames sends whole frames out of a device.
func sendFrames(t testing.TB, ns, dev string, frames ...[]byte) {
	t.Helper()
	inside(t, ns, func() error {
		fd, to, err := rawSocket(dev)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, to); err != nil {
				return err
			}
		}
		return nil
	})
}

func rawSocket(dev string) (int, unix.Sockaddr, error) {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return -1, nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	return fd, &unix.SockaddrLinklayer{Ifindex: i.Index}, err
}

// needTool skips without a tool, but fails where the tools are promised.
func needTool(t testing.TB, names ...string) {
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			if os.Getenv("CASEFILE_STRICT") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}
