//go:build linux

package node

import (
	"bufio"
	"bytes"
	"context"
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

	"github.com/casefile-io/casefile/collector"
)

// The test binary is also the process that sits in the test's namespaces: it
// opens sockets, says so, and stays until its stdin ends.
const helperEnv = "CFNODE_HELPER"

func TestMain(m *testing.M) {
	if words := os.Getenv(helperEnv); words != "" {
		if err := sit(strings.Fields(words)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// sit does what the words say: listen:ADDR, udp:ADDR, dial:ADDR, burn.
func sit(words []string) error {
	var held []io.Closer
	for _, w := range words {
		verb, addr, _ := strings.Cut(w, ":")
		var c io.Closer
		var err error
		switch verb {
		case "listen":
			c, err = net.Listen("tcp", addr)
		case "udp":
			c, err = net.ListenPacket("udp", addr)
		case "dial":
			c, err = net.Dial("tcp", addr)
		case "burn":
			go func() {
				for {
					_ = bytes.Repeat([]byte{1}, 1000)
				}
			}()
			continue
		}
		if err != nil {
			return err
		}
		held = append(held, c)
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	for _, c := range held {
		c.Close()
	}
	return err
}

// sitIn starts the helper in a namespace ("" is this one) and returns its pid.
func sitIn(t *testing.T, netns, words string) int {
	t.Helper()
	args := []string{os.Args[0]}
	if netns != "" {
		args = []string{"ip", "netns", "exec", netns, os.Args[0]} // which execs: the pid stays
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), helperEnv+"="+words)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		t.Fatalf("helper %q: %s", words, line)
	}
	return cmd.Process.Pid
}

func needRoot(t *testing.T, tools ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CASEFILE_STRICT") == "1" {
			t.Fatal("makes network namespaces: needs root")
		}
		t.Skip("makes network namespaces: needs root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CASEFILE_STRICT") == "1" {
				t.Fatalf("%s is missing", tool)
			}
			t.Skipf("%s is missing", tool)
		}
	}
}

func sh(t *testing.T, line string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// twoNamespaces are joined by a veth pair; each has a process and sockets.
func twoNamespaces(t *testing.T) (a, b string, pidA int) {
	t.Helper()
	needRoot(t, "ip", "ss", "sysctl")
	a, b = fmt.Sprintf("cfnode-a%d", os.Getpid()), fmt.Sprintf("cfnode-b%d", os.Getpid())
	for _, ns := range []string{a, b} {
		sh(t, "ip netns add "+ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
		sh(t, "ip netns exec "+ns+" sysctl -qw net.ipv6.conf.default.accept_dad=0 && ip -n "+ns+" link set lo up") // no routes that come later
	}
	sh(t, fmt.Sprintf(`ip -n %[1]s link add eth0 mtu 1400 type veth peer name eth0 netns %[2]s
ip -n %[1]s addr add 10.9.9.1/24 dev eth0
ip -n %[1]s addr add fd09::1/64 dev eth0 nodad
ip -n %[2]s addr add 10.9.9.2/24 dev eth0
ip -n %[2]s addr add fd09::2/64 dev eth0 nodad
ip -n %[1]s link set eth0 up
ip -n %[2]s link set eth0 up
ip -n %[1]s link add br0 type bridge
ip -n %[1]s link add vx0 type vxlan id 42 dstport 8472 local 10.9.9.1 dev eth0
ip -n %[1]s link set vx0 master br0
ip -n %[1]s route add default via 10.9.9.2
ip -n %[1]s route add 10.20.0.0/16 via 10.9.9.2 table 100 metric 7 mtu 1300
ip -n %[1]s route add blackhole 10.30.0.0/16
ip -n %[1]s route add 10.40.0.0/16 nexthop via 10.9.9.2 weight 1 nexthop via 10.9.9.3 weight 3
ip -n %[1]s -6 route add fd20::/64 via fd09::2
ip -n %[1]s rule add from 10.9.9.0/24 fwmark 0x10/0xff table 100 priority 1000
ip -n %[1]s neigh add 10.9.9.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent
bridge -n %[1]s fdb append 02:00:00:00:00:99 dev vx0 dst 10.9.9.2
sysctl -q -w net.ipv4.ip_forward=0
ip netns exec %[1]s sysctl -q -w net.ipv4.tcp_retries2=11 net.core.somaxconn=77`, a, b))
	pidA = sitIn(t, a, "listen:0.0.0.0:7000 listen:127.0.0.1:7001 listen:[fd09::1]:7003 udp:10.9.9.1:7002 dial:127.0.0.1:7001")
	sitIn(t, b, "dial:10.9.9.1:7000 dial:10.9.9.1:7000 dial:[fd09::1]:7003")
	return a, b, pidA
}

// memSink keeps what is put.
type memSink struct {
	mu    sync.Mutex
	files map[string][]byte
}

func newMemSink() *memSink { return &memSink{files: map[string][]byte{}} }

func (m *memSink) Put(path string, _ collector.Class, r io.Reader) (int64, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, twice := m.files[path]; twice {
		return 0, errors.New("put twice: " + path)
	}
	m.files[path] = bytes.Clone(b)
	return int64(len(b)), nil
}

func (m *memSink) Frames([]string, io.Reader) error { return errors.New("no frames here") }

// rows decodes an .ndjson file of the sink.
func rows[T any](t *testing.T, sink *memSink, path string) []T {
	t.Helper()
	text, ok := sink.files[path]
	if !ok {
		t.Fatalf("%s was not collected", path)
	}
	var list []T
	for dec := json.NewDecoder(bytes.NewReader(text)); dec.More(); {
		var v T
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, v)
	}
	return list
}

func inodeOf(t *testing.T, pid int) uint64 {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		t.Fatal(err)
	}
	return parseNsLink(link)
}

func collect(t *testing.T, o Options) (*memSink, []collector.Result) {
	t.Helper()
	o.Node, o.Host = "n1", true
	sink := newMemSink()
	return sink, collector.Run(t.Context(), sink, []collector.Collector{New(o)}, collector.Options{})
}

// fakePod makes cgroups as the kubelet does, with a cpu quota, and moves the
// process into them. It works on cgroup v1 and v2.
func fakePod(t *testing.T, pid int) (podUID, container string) {
	t.Helper()
	roots, err := findCgroups("/proc")
	if err != nil && len(roots.v1) == 0 && roots.v2 == "" {
		t.Skipf("no cgroups: %v", err)
	}
	podUID, container = fmt.Sprintf("cf0de000-0000-4000-8000-%012x", os.Getpid()), fmt.Sprintf("%064x", os.Getpid())
	dirs := []string{roots.v2}
	if len(roots.v1) > 0 {
		dirs = []string{roots.v1["cpu"], roots.v1["cpuacct"], roots.v1["memory"], roots.v1["pids"]}
	}
	for _, root := range dirs {
		pod := root + fmt.Sprintf("/cfnode-%d/pod%s", os.Getpid(), podUID)
		if err := os.MkdirAll(pod+"/"+container, 0o755); err != nil {
			t.Skipf("cannot make cgroups: %v", err)
		}
		t.Cleanup(func() {
			home, _ := os.ReadFile(filepath.Join(pod, container, "cgroup.procs"))
			for p := range strings.FieldsSeq(string(home)) {
				_ = os.WriteFile(root+"/cgroup.procs", []byte(p), 0)
			}
			_ = os.Remove(pod + "/" + container)
			_ = os.Remove(pod)
			_ = os.Remove(filepath.Dir(pod))
		})
		_ = os.WriteFile(pod+"/"+container+"/cpu.cfs_quota_us", []byte("5000"), 0)
		_ = os.WriteFile(pod+"/"+container+"/cpu.max", []byte("5000 100000"), 0)
		_ = os.WriteFile(pod+"/"+container+"/memory.limit_in_bytes", []byte("268435456"), 0)
		if err := os.WriteFile(pod+"/"+container+"/cgroup.procs", fmt.Append(nil, pid), 0); err != nil {
			t.Fatal(err)
		}
	}
	return podUID, container
}

func TestPods(t *testing.T) {
	_, _, pidA := twoNamespaces(t)
	pidBusy := sitIn(t, "", "burn")
	podUID, container := fakePod(t, pidBusy)
	sh(t, fmt.Sprintf("for f in $(ls -d /sys/fs/cgroup/*/cfnode-%[1]d/pod* /sys/fs/cgroup/cfnode-%[1]d/pod* 2>/dev/null); do echo %[2]d > $f/%[3]s/cgroup.procs; done", os.Getpid(), pidA, container))
	time.Sleep(400 * time.Millisecond)
	pods := []Pod{{UID: "api-uid", Namespace: "shop", Name: "web-0", Containers: map[string]string{container: "app"}}, {UID: "gone", Namespace: "shop", Name: "gone-0"}}
	sink, results := collect(t, Options{Pods: pods, Samples: 2, Interval: 1200 * time.Millisecond})

	var n nodeRow
	if err := json.Unmarshal(sink.files["nodes/n1/node.json"], &n); err != nil {
		t.Fatal(err)
	}
	if len(n.Samples) != 2 || n.Samples[1].Monotonic-n.Samples[0].Monotonic < 1.19 || n.Kernel == "" || n.BootTime.IsZero() {
		t.Errorf("%+v", n)
	}
	inode := inodeOf(t, pidA)
	var ours Netns
	for _, ns := range n.Netns {
		if ns.Inode == inode {
			ours = ns
		}
	}
	if ours.PodUID != "api-uid" || ours.PodName != "web-0" || ours.PodNamespace != "shop" || ours.PID != pidA || len(ours.Containers) != 1 || ours.Containers[0] != container {
		t.Errorf("namespace %+v", ours)
	}
	found, seen := map[string]cgroupRow{}, false
	for _, c := range rows[cgroupRow](t, sink, "nodes/n1/1/cgroups.ndjson") {
		if c.PodUID == podUID {
			found[c.ContainerID] = c
		}
	}
	c := found[container]
	if c.CPU == nil || c.CPU.QuotaUsec != 5000 || c.CPU.PeriodUsec != 100000 || c.CPU.Throttled == 0 || c.CPU.ThrottledUsec == 0 || c.CPU.UsageUsec == 0 {
		t.Errorf("cpu %+v of %+v", c.CPU, c)
	}
	if c.Memory == nil || c.Memory.Current == 0 || c.Memory.Max != 268435456 && c.Version == 1 {
		t.Errorf("memory %+v", c.Memory)
	}
	if c.Pids == nil || c.Pids.Current == 0 || len(found) != 2 {
		t.Errorf("pids %+v, %d cgroups", c.Pids, len(found))
	}
	for _, p := range rows[processRow](t, sink, "nodes/n1/processes.ndjson") {
		if p.PID == pidA {
			seen = true
			if p.PodUID != podUID || p.ContainerID != container || p.Netns != inode || p.FDs < 7 || p.Threads == 0 || p.RSSKB == 0 || !strings.Contains(p.Cmdline, "node.test") {
				t.Errorf("process %+v", p)
			}
		}
	}
	if !seen {
		t.Error("the process is missing")
	}
	missing := false
	for _, r := range results {
		missing = missing || r.Status == collector.StatusSkipped && strings.Contains(r.Reason, "shop/gone-0")
	}
	if !missing {
		t.Error("no result says that shop/gone-0 is not here")
	}
}

func TestEnterFindsThePidReused(t *testing.T) {
	if err := enter("/proc", Netns{Inode: 1, pids: []int{os.Getpid(), 1 << 30}}); !errors.Is(err, errGone) {
		t.Errorf("got %v", err)
	}
}

func TestCancelKeepsWhatThereIs(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithCancel(t.Context())
	sink := newMemSink()
	results := collector.Run(ctx, sink, []collector.Collector{New(Options{Node: "n1", Samples: 2, Interval: time.Hour})},
		collector.Options{Recorded: func(r collector.Result) {
			if strings.HasSuffix(r.Path, "processes.ndjson") { // the end of the first sample
				cancel()
			}
		}})
	var n nodeRow
	if err := json.Unmarshal(sink.files["nodes/n1/node.json"], &n); err != nil || len(n.Samples) != 1 {
		t.Errorf("node.json: %+v, %v", n, err)
	}
	if len(sink.files["nodes/n1/0/proc/net/netstat"]) == 0 {
		t.Error("the first sample is lost")
	}
	incomplete := false
	for _, r := range results {
		incomplete = incomplete || r.Path == "" && r.Status == collector.StatusOverBudget && strings.Contains(r.Reason, "1 of 2 samples")
	}
	if !incomplete {
		t.Errorf("no result says that it was cut short: %+v", results)
	}
}

// A namespace entered must not stick to the process: the first thread of a
// process never ends.
func TestLeavesItsOwnNamespaceAlone(t *testing.T) {
	_, _, pidA := twoNamespaces(t)
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	space := Netns{Inode: inodeOf(t, pidA), pids: []int{pidA}}
	for range 200 { // whichever thread the goroutine comes to run on
		collector.OnOwnThread(func() {
			if err := enter("/proc", space); err != nil {
				t.Error(err)
			}
			if link, _ := os.Readlink("/proc/thread-self/ns/net"); link == own {
				t.Error("not entered")
			}
		})
	}
	if link, err := os.Readlink("/proc/self/ns/net"); err != nil || link != own {
		t.Errorf("the process is in %s: %v", link, err)
	}
	left := 1
	for deadline := time.Now().Add(5 * time.Second); left > 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		left = 0 // threads end a little later than their goroutines
		tasks, _ := filepath.Glob("/proc/self/task/*/ns/net")
		for _, task := range tasks {
			if link, err := os.Readlink(task); err == nil && link != own {
				left++
			}
		}
	}
	if left > 0 {
		t.Errorf("%d threads are still in another namespace", left)
	}
}

// A sysctl refuses to be read into four megabytes at once.
func TestReadFileIntoMuchRoom(t *testing.T) {
	text, cut, err := readFile("/proc/sys/fs/file-nr", make([]byte, 16<<20))
	if err != nil || cut || len(text) == 0 {
		t.Errorf("%q %v %v", text, cut, err)
	}
}
