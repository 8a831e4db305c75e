package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

// during runs a capture while f runs, however long that takes.
func during(t testing.TB, s Spec, w io.Writer, f func()) Stats {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	session, err := open(s)
	if err != nil {
		t.Fatal(err)
	}
	var st Stats
	var wg sync.WaitGroup
	wg.Go(func() { st, err = session.run(ctx, w) })
	f()
	cancel()
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func mustParse(t testing.TB, b []byte) *parsed {
	t.Helper()
	p, err := parsePcapng(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPodNamespace(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.Filter, s.Snaplen = "udp dst port 5300", 64
	var w bytes.Buffer
	from := time.Now()
	st := during(t, s, &w, func() {
		sendUDP(t, l.near, "10.77.0.2:5300", 500)
		sendUDP(t, l.near, "10.77.0.2:5301", 100)
	})
	p := mustParse(t, w.Bytes())
	if st.Packets != 500 || st.Received != 500 || st.Dropped != 0 || st.Stopped != stoppedCanceled || st.Bytes != int64(w.Len()) {
		t.Errorf("stats %+v", st)
	}
	if len(p.packets) != 500 {
		t.Fatalf("%d packets, want the 500 that were sent to the port", len(p.packets))
	}
	for i, k := range p.packets {
		if len(k.data) != 64 || k.orig != 14+20+8+200 || int(binary.BigEndian.Uint16(k.data[42:])) != i {
			t.Fatalf("packet %d: %d of %d bytes: %x", i, len(k.data), k.orig, k.data)
		}
		if string(p.ifaces[k.iface].opts[optIfName]) != "eth0" || p.ifaces[k.iface].link != linkEthernet || k.flags != 1|1<<2 {
			t.Fatalf("packet %d: interface %d flags %d", i, k.iface, k.flags)
		}
		if at := time.Unix(0, k.nanos); at.Before(from.Add(-time.Millisecond)) || at.After(time.Now()) {
			t.Fatalf("packet %d is of %v", i, at)
		}
	}
	if len(p.ifaces) < 2 || len(p.stats) != len(p.ifaces) {
		t.Errorf("%d interfaces, %d with statistics; want lo and eth0", len(p.ifaces), len(p.stats))
	}
}

func TestDirectionsAndOneInterface(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.Interface, s.Filter = "eth0", "icmp"
	var w bytes.Buffer
	during(t, s, &w, func() {
		sendUDP(t, l.near, "10.77.0.2:9", 1) // nobody listens: answered by ICMP
		sendUDP(t, l.far, "127.0.0.1:9", 3)  // so are these, but not here
	})
	p := mustParse(t, w.Bytes())
	if len(p.ifaces) != 1 || len(p.packets) != 1 || p.packets[0].flags != 2 {
		t.Errorf("%d interfaces, packets %+v; want one going out", len(p.ifaces), p.packets)
	}
	s.Interface = "eth7"
	if _, err := Run(context.Background(), s, io.Discard); err == nil || !strings.Contains(err.Error(), `"lo" "eth0"`) {
		t.Errorf("an unknown interface: %v", err)
	}
}

func TestLoopbackOnce(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.Filter = "udp port 5300"
	var w bytes.Buffer
	during(t, s, &w, func() {
		inside(t, l.far, func() error {
			c, err := net.ListenPacket("udp", "127.0.0.1:5300")
			if err == nil {
				t.Cleanup(func() { _ = c.Close() })
			}
			return err
		})
		sendUDP(t, l.far, "127.0.0.1:5300", 50)
	})
	p := mustParse(t, w.Bytes())
	if len(p.packets) != 50 {
		t.Errorf("%d packets on loopback, want 50", len(p.packets))
	}
}

func TestVLANTag(t *testing.T) {
	l := newLab(t)
	frame := append(append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 1), 0x81, 0, 0x20, 0x64, 0x88, 0xb5)
	frame = append(frame, bytes.Repeat([]byte{7}, 60)...)
	var w bytes.Buffer
	during(t, l.spec(t), &w, func() { sendFrames(t, l.near, "cfv0", frame) })
	for _, k := range mustParse(t, w.Bytes()).packets {
		if bytes.Equal(k.data, frame) && k.orig == uint32(len(frame)) && k.flags == 1|3<<2 {
			return
		}
	}
	t.Errorf("the tagged frame did not come back whole: %x", mustParse(t, w.Bytes()).packets)
}

func TestRawInterface(t *testing.T) {
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip(err)
	}
	l := newLab(t)
	ip(t, "-n", l.far, "tuntap", "add", "dev", "cftun", "mode", "tun")
	ip(t, "-n", l.far, "addr", "add", "10.78.0.1/24", "dev", "cftun")
	ip(t, "-n", l.far, "link", "set", "cftun", "up")
	s := l.spec(t)
	s.Filter = "udp dst port 5300 and dst net 10.78.0.0/24"
	var w bytes.Buffer
	tun := openTun(t, l.far, "cftun") // without a reader the device has no carrier
	defer tun.Close()
	st := during(t, s, &w, func() {
		sendUDP(t, l.far, "10.78.0.2:5300", 20)
		sendUDP(t, l.far, "10.78.0.2:5301", 20)
	})
	p := mustParse(t, w.Bytes())
	if len(p.packets) != 20 {
		t.Fatalf("%d packets on tun, want 20; %+v", len(p.packets), st)
	}
	if k := p.packets[0]; p.ifaces[k.iface].link != linkRaw || k.data[0] != 0x45 || k.flags != 2 {
		t.Errorf("link %d, packet %x", p.ifaces[k.iface].link, k.data)
	}
}

func openTun(t *testing.T, ns, name string) io.Closer {
	var fd int
	inside(t, ns, func() (err error) {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		req, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	})
	return os.NewFile(uintptr(fd), "tun")
}

func TestLateInterface(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.Filter = "proto 253"
	var w bytes.Buffer
	st := during(t, s, &w, func() {
		ip(t, "-n", l.near, "link", "add", "cfv1", "type", "veth", "peer", "name", "late0", "netns", l.far)
		ip(t, "-n", l.near, "link", "set", "cfv1", "up")
		ip(t, "-n", l.far, "link", "set", "late0", "up")
		frame := append(append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 1), 8, 0, 0x45)
		frame = append(frame, make([]byte, 60)...)
		frame[14+9] = 253
		sendFrames(t, l.near, "cfv1", frame)
	})
	p := mustParse(t, w.Bytes())
	if len(p.packets) != 1 || string(p.ifaces[p.packets[0].iface].opts[optIfName]) != "late0" {
		t.Errorf("packets %+v on %+v", p.packets, st.Interfaces)
	}
}

// slowWriter stands still until it is let go.
type slowWriter struct {
	bytes.Buffer
	wait chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.wait
	return w.Buffer.Write(p)
}

func TestDropsAreCounted(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.ring, s.Filter = 64<<10, "udp port 5300"
	w := &slowWriter{wait: make(chan struct{})}
	st := during(t, s, w, func() {
		sendUDP(t, l.near, "10.77.0.2:5300", 3000) // more than 64 KiB
		close(w.wait)
	})
	p := mustParse(t, w.Bytes())
	if st.Dropped == 0 || st.Freezes == 0 || st.Received != 3000 || st.Packets+st.Dropped != 3000 || len(p.packets) != int(st.Packets) {
		t.Errorf("%d packets in the file, stats %+v", len(p.packets), st)
	}
	if got := p.stats[0]; got.dropped != uint64(st.Dropped) {
		t.Errorf("the file says %d were dropped, not %d", got.dropped, st.Dropped)
	}
}

func TestCanceledAndFull(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	var w bytes.Buffer
	start := time.Now()
	st := during(t, s, &w, func() { sendUDP(t, l.near, "10.77.0.2:5300", 10) })
	if p := mustParse(t, w.Bytes()); st.Stopped != stoppedCanceled || len(p.packets) < 10 || time.Since(start) > time.Minute {
		t.Errorf("canceled: %d packets after %v, %+v", len(p.packets), time.Since(start), st)
	}
	w.Reset()
	s.MaxBytes = 4000
	st = during(t, s, &w, func() { sendUDP(t, l.near, "10.77.0.2:5300", 100) })
	if mustParse(t, w.Bytes()); st.Stopped != stoppedSize || w.Len() > 4000 || w.Len() < 3000 {
		t.Errorf("full: %d bytes, %+v", w.Len(), st)
	}
}

func TestNamespaceGone(t *testing.T) {
	l := newLab(t)
	s := l.spec(t)
	s.Netns++
	if _, err := Run(context.Background(), s, io.Discard); err == nil || !strings.Contains(err.Error(), "has the pod ended") {
		t.Errorf("another namespace than expected: %v", err)
	}
	s.NetnsPath = "/proc/999999999/ns/net"
	if _, err := Run(context.Background(), s, io.Discard); err == nil || !strings.Contains(err.Error(), "has the pod ended") {
		t.Errorf("no namespace: %v", err)
	}
	for err, want := range map[error]collector.Status{
		os.NewSyscallError("setns", unix.EPERM): collector.StatusDenied, unix.EAFNOSUPPORT: collector.StatusSkipped, unix.ENOMEM: collector.StatusFailed,
	} {
		if got := collector.StatusOf(refused(err)); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
}

// memory is a sink; it refuses paths of its choice.
type memory struct {
	mu     sync.Mutex
	files  map[string][]byte
	refuse string
}

func (m *memory) Put(path string, class collector.Class, r io.Reader) (int64, error) {
	if path == m.refuse {
		return 0, errors.New("no room")
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = b
	if class != collector.ClassCaptures {
		return 0, fmt.Errorf("class %s", class)
	}
	return int64(len(b)), nil
}

func (m *memory) Frames([]string, io.Reader) error { return errors.New("no frames") }

func TestCollect(t *testing.T) {
	l := newLab(t)
	good := l.spec(t)
	good.Filter, good.Duration = "udp port 5300", 2*time.Second
	host := Spec{Name: "host", Target: "host", Filter: "udp port 1", Duration: 100 * time.Millisecond}
	bad := Spec{Name: "node_n1", Target: "node/n1", Filter: "port httpp"}
	path := Spec{Name: "../x", Target: "evil"}
	refused := good
	refused.Name, refused.Target = "full", "full"
	m := &memory{files: map[string][]byte{}, refuse: fmt.Sprintf("captures/full/n1__%d.pcapng", good.Netns)}
	started := 0
	c := New(Options{Node: "n1", Specs: []Spec{good, host, bad, path, refused}, Names: map[string]string{"10.77.0.1": "shop/client"}, Started: func() {
		started++
		sendUDP(t, l.near, "10.77.0.2:5300", 30)
	}})
	got := collector.Run(context.Background(), m, []collector.Collector{c}, collector.Options{})
	if started != 1 {
		t.Errorf("started %d times", started)
	}
	file := fmt.Sprintf("captures/pod_shop_web-0/n1__%d", good.Netns)
	want := map[string]string{
		"capture/pod/shop/web-0": file + ".pcapng ok 30 packets, 0 dropped by the kernel",
		"capture/host":           "captures/host/n1__host.pcapng ok 0 packets, 0 dropped by the kernel",
		"capture/node/n1":        "captures/node_n1/n1__host.pcapng failed filter at column 6 (\"httpp\"): expected a port number or name here; this is not one",
		"capture/evil":           " failed \"../x\" cannot be part of a capture's path",
		"capture/full":           m.refuse + " failed no room",
	}
	for _, r := range got {
		if s := fmt.Sprintf("%s %s %s", r.Path, r.Status, r.Reason); s != want[r.Source] {
			t.Errorf("%s: got  %s\nwant %s", r.Source, s, want[r.Source])
		}
		delete(want, r.Source)
	}
	if len(want) > 0 {
		t.Errorf("no results for %v", want)
	}
	var sum struct {
		Packets, Bytes, DurationMillis int64
		FirstPacket                    time.Time
		Interfaces                     []Interface
		Path, Node, Filter             string
	}
	if err := json.Unmarshal(m.files[file+".json"], &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Packets != 30 || sum.Bytes != int64(len(m.files[file+".pcapng"])) || sum.Node != "n1" || sum.Path != file+".pcapng" || sum.FirstPacket.IsZero() ||
		sum.Filter != good.Filter || sum.DurationMillis != 2000 || len(sum.Interfaces) != 2 {
		t.Errorf("summary %+v", sum)
	}
	if p := mustParse(t, m.files[file+".pcapng"]); p.names["10.77.0.1"] != "shop/client" || len(p.packets) != 30 {
		t.Errorf("%d packets, names %v", len(p.packets), p.names)
	}
}

func TestToolsReadIt(t *testing.T) {
	needTool(t, "tshark", "capinfos", "tcpdump")
	l := newLab(t)
	s := l.spec(t)
	s.names = map[string]string{"10.77.0.1": "client.shop"}
	s.Filter = "udp port 5300 or arp"
	var w bytes.Buffer
	st := during(t, s, &w, func() {
		sendUDP(t, l.near, "10.77.0.2:5300", 25)
		sendUDP(t, l.far, "10.77.0.1:5300", 5)
		sendUDP(t, l.far, "127.0.0.1:5300", 5)
	})
	name := filepath.Join(t.TempDir(), "x.pcapng")
	if err := os.WriteFile(name, w.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out := tool(t, "tshark", "-r", name, "-Y", "udp", "-N", "n", "-T", "fields", "-e", "frame.interface_name", "-e", "frame.packet_flags_direction", "-e", "ip.src_host", "-e", "frame.time_epoch")
	if n := strings.Count(out, "eth0\t0x00000001\tclient.shop\t"); n != 25 {
		t.Errorf("tshark sees %d of 25 inbound packets:\n%s", n, out)
	}
	if n := strings.Count(out, "eth0\t0x00000002\t10.77.0.2\t"); n != 5 {
		t.Errorf("tshark sees %d of 5 outbound packets:\n%s", n, out)
	}
	if n := strings.Count(out, "lo\t"); n != 5 {
		t.Errorf("tshark sees %d of 5 packets on lo:\n%s", n, out)
	}
	out = tool(t, "capinfos", "-M", name)
	for _, want := range []string{fmt.Sprintf("Number of packets:   %d", st.Packets), "Number of interfaces in file: 2", "nanoseconds", "Filter string = udp port 5300 or arp", "Name = eth0"} {
		if !strings.Contains(out, want) {
			t.Errorf("capinfos does not say %q:\n%s", want, out)
		}
	}
	if out = tool(t, "tcpdump", "-nr", name, "udp"); strings.Count(out, "UDP, length 200") != 35 {
		t.Errorf("tcpdump sees other than 35 packets:\n%s", out)
	}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, &stderr)
	}
	return string(out)
}
