package flow

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// strict makes what would be skipped a failure.
func strict(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CASEFILE_STRICT") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func needTools(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			strict(t, "needs %s: %v", tool, err)
		}
	}
}

// lab is a set of network namespaces in a row, each with a link to the next:
// the left end of a link is called east, the right end west. Addresses are
// 10.77.LINK.1 and .2, and fd77:LINK::1 and ::2.
type lab struct {
	t      testing.TB
	spaces []string
}

// newLab makes the namespaces; links are veth pairs, or that wire.
func newLab(t testing.TB, spaces int, w *wire) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		strict(t, "needs root for network namespaces")
	}
	needTools(t, "ip", "nft", "tcpdump", "tshark")
	l := &lab{t: t}
	dir := t.TempDir()
	for i := range spaces {
		name := fmt.Sprintf("cff%d-%x-%d", os.Getpid(), crc32.ChecksumIEEE([]byte(dir)), i)
		l.spaces = append(l.spaces, name)
		l.run("ip", "netns", "add", name)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
		l.in(i, "ip", "link", "set", "lo", "up")
		l.in(i, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
	}
	for i := range spaces - 1 {
		if w != nil {
			w.run(l.tap(i, "east"), l.tap(i+1, "west"))
		} else {
			l.run("ip", "link", "add", "east", "netns", l.spaces[i], "type", "veth", "peer", "name", "west", "netns", l.spaces[i+1])
		}
		for _, end := range []struct {
			space int
			dev   string
			host  int
		}{{i, "east", 1}, {i + 1, "west", 2}} {
			l.in(end.space, "ip", "addr", "add", fmt.Sprintf("10.77.%d.%d/24", i, end.host), "dev", end.dev)
			l.in(end.space, "ip", "addr", "add", fmt.Sprintf("fd77:%d::%d/64", i, end.host), "dev", end.dev, "nodad")
			l.in(end.space, "ip", "link", "set", end.dev, "up")
		}
	}
	for i := range spaces { // routes to the ends
		if i+1 < spaces {
			for far := i + 1; far < spaces-1; far++ {
				l.in(i, "ip", "route", "add", fmt.Sprintf("10.77.%d.0/24", far), "via", fmt.Sprintf("10.77.%d.2", i))
				l.in(i, "ip", "route", "add", fmt.Sprintf("fd77:%d::/64", far), "via", fmt.Sprintf("fd77:%d::2", i))
			}
		}
		for far := 0; far < i-1; far++ {
			l.in(i, "ip", "route", "add", fmt.Sprintf("10.77.%d.0/24", far), "via", fmt.Sprintf("10.77.%d.1", i-1))
			l.in(i, "ip", "route", "add", fmt.Sprintf("fd77:%d::/64", far), "via", fmt.Sprintf("fd77:%d::1", i-1))
		}
	}
	return l
}

func (l *lab) run(args ...string) {
	l.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

func (l *lab) in(space int, args ...string) {
	l.t.Helper()
	l.run(append([]string{"ip", "netns", "exec", l.spaces[space]}, args...)...)
}

// enter runs fn on a thread in the namespace: sockets that it makes belong there.
func (l *lab) enter(space int, fn func()) {
	l.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		f, err := os.Open("/var/run/netns/" + l.spaces[space])
		if err == nil {
			defer f.Close()
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			fn()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		l.t.Fatalf("enter %s: %v", l.spaces[space], err)
	}
}

// capture runs tcpdump on a device until stop is called, which gives the file.
func (l *lab) capture(space int, dev string, args ...string) (stop func() string) {
	l.t.Helper()
	name := filepath.Join(l.t.TempDir(), fmt.Sprintf("%d-%s.pcap", space, dev))
	args = append([]string{"netns", "exec", l.spaces[space], "tcpdump", "-i", dev, "-w", name, "-B", "65536", "--immediate-mode", "-Z", "root"}, args...)
	cmd := exec.Command("ip", args...)
	stderr := &lockedBuffer{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(stderr.String(), "listening on"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("tcpdump does not begin: %s", stderr)
		}
	}
	stopped := false
	stop = func() string {
		if stopped {
			return name
		}
		stopped = true
		time.Sleep(300 * time.Millisecond) // tcpdump does not say when it has written what came
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		if !strings.Contains(stderr.String(), "\n0 packets dropped by kernel") {
			l.t.Errorf("tcpdump dropped: %s", stderr)
		}
		return name
	}
	l.t.Cleanup(func() { stop() })
	return stop
}

// lockedBuffer is written by a command while it is read.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (l *lab) listen(space int, network, addr string) net.Listener {
	l.t.Helper()
	var ln net.Listener
	var err error
	l.enter(space, func() { ln, err = net.Listen(network, addr) })
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { ln.Close() })
	return ln
}

func (l *lab) dial(space int, network, addr string, d net.Dialer) (net.Conn, error) {
	l.t.Helper()
	var c net.Conn
	var err error
	if d.Timeout == 0 {
		d.Timeout = 20 * time.Second
	}
	d.FallbackDelay = -1
	l.enter(space, func() { c, err = d.Dial(network, addr) })
	return c, err
}
