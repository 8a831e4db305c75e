package node

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

func mountsOf(t *testing.T, o Options) (map[string]mountRow, []collector.Result) {
	t.Helper()
	sink, results := runSource(t, o, func(g *gatherer) {
		g.stream(t.Context(), "nodes/n1/mounts.ndjson", func(enc *json.Encoder) error { return g.mounts(t.Context(), enc) })
	})
	byPoint := map[string]mountRow{}
	for _, m := range rows[mountRow](t, sink, "nodes/n1/mounts.ndjson") {
		byPoint[m.Point] = m
	}
	return byPoint, results
}

// As findmnt and df show them.
func TestMountsAreThoseOfFindmnt(t *testing.T) {
	needRoot(t, "findmnt", "df")
	got, _ := mountsOf(t, Options{})
	var list struct {
		Filesystems []struct{ Target, Source, Fstype string }
	}
	if err := json.Unmarshal([]byte(sh(t, "findmnt -N 1 --list -J -o TARGET,SOURCE,FSTYPE")), &list); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, want := range list.Filesystems {
		if want.Fstype == "nsfs" || want.Fstype == "overlay" || want.Fstype == "fuse" || strings.HasPrefix(want.Target, os.TempDir()) {
			continue // other tests come and go with theirs
		}
		compared++
		if m, ok := got[want.Target]; !ok || m.Type != want.Fstype || !strings.HasPrefix(want.Source, m.Source) {
			t.Errorf("%s: %+v, findmnt says %+v", want.Target, m, want)
		}
	}
	if compared < 5 {
		t.Errorf("only %d compared", compared)
	}
	f := strings.Fields(sh(t, "df -B1 --output=size,itotal / | tail -1"))
	m := got["/"]
	if m.Bytes == nil || m.Inodes == nil || fmt.Sprint(m.Bytes.Total) != f[0] || fmt.Sprint(m.Inodes.Total) != f[1] || m.Bytes.Available == 0 {
		t.Errorf("/ is %+v %+v, df says %v", m.Bytes, m.Inodes, f)
	}
}

// fakeMounts makes a proc that shows only these mounts.
func fakeMounts(t *testing.T, lines ...string) string {
	t.Helper()
	return tree(t, map[string]string{"1/mountinfo": strings.Join(lines, "\n") + "\n"})
}

func TestMountsThatNeverAnswer(t *testing.T) {
	dir := t.TempDir()
	hungFUSE(t, dir)
	// As ext4 it is asked, and given up on; as what it is, it is not asked.
	proc := fakeMounts(t, "1 0 8:1 / "+dir+" rw - ext4 /dev/sda rw", "2 0 8:2 / /mnt/nfs rw - nfs4 server:/x rw", "3 0 8:3 / "+dir+" rw - fuse.sshfs x rw", "4 0 8:4 / / rw - ext4 /dev/sdb rw")
	sink, _ := runSource(t, Options{ProcRoot: proc}, func(g *gatherer) {
		g.stream(t.Context(), "m", func(enc *json.Encoder) error { return g.mounts(t.Context(), enc) })
	})
	list := rows[mountRow](t, sink, "m")
	for i, want := range []string{"does not answer", "type nfs4", "type fuse.sshfs", ""} {
		if m := list[i]; !strings.Contains(m.Unasked, want) || (want == "") != (m.Bytes != nil) {
			t.Errorf("%+v", m)
		}
	}
}

func TestMountsThatAreAlikeAreCounted(t *testing.T) {
	var lines []string
	for i := range 50 {
		lines = append(lines, fmt.Sprintf("%d 1 0:%d / /run/containerd/io.containerd.runtime.v2.task/k8s.io/%d/rootfs rw - overlay overlay rw,lowerdir=%s", i, i, i, strings.Repeat("/l", 1000)),
			fmt.Sprintf("%d 1 0:%d / /var/lib/kubelet/pods/%s/volumes/kubernetes.io~projected/kube-api-access-%d rw - tmpfs tmpfs rw", i, i+100, uid, i))
	}
	kept := collapse(parseMounts([]byte(strings.Join(lines, "\n"))))
	if len(kept) != 6 || kept[0].Alike != 50 || kept[1].Alike != 50 || kept[1].PodUID != uid || len(kept[0].Super) > maxMountOptions+3 {
		t.Errorf("%d rows, %+v %+v", len(kept), kept[0], kept[1])
	}
}

// The reference is a second call of adjtimex(2).
func TestClock(t *testing.T) {
	sink, _ := runSource(t, Options{}, func(g *gatherer) { g.clock("clock.json") })
	var c clockRow
	if err := json.Unmarshal(sink.files["clock.json"], &c); err != nil {
		t.Fatal(err)
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		t.Fatal(err)
	}
	if c.Boottime > ts.Nano() || ts.Nano()-c.Boottime > int64(time.Hour) || c.Monotonic == 0 || c.MonotonicRaw == 0 || c.TAI == 0 || len(c.Errors) > 0 {
		t.Errorf("%+v", c)
	}
	if d := time.Since(time.Unix(0, c.Realtime)); d < 0 || d > time.Hour {
		t.Errorf("the clock is %v off", d)
	}
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	if err != nil || c.Kernel == nil {
		t.Fatal(err, c.Kernel)
	}
	if c.Kernel.TickUsec != tx.Tick || c.Kernel.Synchronized != (state != unix.TIME_ERROR) || c.Kernel.MaxErrorUsec == 0 {
		t.Errorf("%+v", c.Kernel)
	}
	if want, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource"); err == nil && c.Source != strings.TrimSpace(string(want)) {
		t.Errorf("clocksource %q", c.Source)
	}
}

func TestTimex(t *testing.T) {
	row := describeTimex(unix.TIME_ERROR, &unix.Timex{Offset: 5000, Freq: 3 << 15, Status: unix.STA_UNSYNC | unix.STA_NANO, Maxerror: 16000000, Tai: 37})
	if row.State != "unsynchronized" || row.Synchronized || row.OffsetUsec != 5 || row.FrequencyPPM != 1.5 || row.TAIOffset != 37 || strings.Join(row.Status, " ") != "unsync nano" {
		t.Errorf("%+v", row)
	}
	if row := describeTimex(unix.TIME_OK, &unix.Timex{Offset: 5, Status: unix.STA_PLL}); !row.Synchronized || row.OffsetUsec != 5 || row.State != "ok" {
		t.Errorf("%+v", row)
	}
}

// As ps and prlimit show it.
func TestProcessesAreThoseOfPs(t *testing.T) {
	needRoot(t, "ps", "prlimit")
	pid := sitIn(t, "", "listen:127.0.0.1:0")
	sh(t, fmt.Sprintf("prlimit --pid %d --nofile=77:88 && echo 300 > /proc/%d/oom_score_adj", pid, pid))
	procs, err := scanProcesses("/proc")
	if err != nil {
		t.Fatal(err)
	}
	sink, _ := runSource(t, Options{}, func(g *gatherer) {
		g.stream(t.Context(), "p0", func(enc *json.Encoder) error { return writeProcesses(t.Context(), enc, "/proc", procs) })
		g.stream(t.Context(), "p1", func(enc *json.Encoder) error { return writeProcessCounters(t.Context(), enc, "/proc") })
	})
	first, second := processOf(t, sink, "p0", pid), processOf(t, sink, "p1", pid)
	if l := first.Limits["nofile"]; l == nil || l.Soft != 77 || l.Hard != 88 {
		t.Errorf("limits %+v", l)
	}
	f := strings.Fields(sh(t, fmt.Sprintf("ps -o ppid=,nlwp=,euid=,lstart= -p %d", pid)))
	if fmt.Sprint(first.PPID) != f[0] || fmt.Sprint(first.Threads) != f[1] || fmt.Sprint(first.UID) != f[2] {
		t.Errorf("%+v, ps says %v", first, f)
	}
	started, err := time.ParseInLocation("Mon Jan 2 15:04:05 2006", strings.Join(f[3:], " "), time.Local)
	boot, _ := os.ReadFile("/proc/stat")
	got := time.Unix(statValue(boot, "btime"), 0).Add(time.Duration(first.Started * float64(time.Second)))
	if d := got.Sub(started).Abs(); err != nil || d > 2*time.Second { // ps rounds, as does btime
		t.Errorf("started %s, ps says %s (%v)", got, started, err)
	}
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	last, _ := strconv.Atoi(fds[len(fds)-1].Name())
	for _, e := range fds {
		n, _ := strconv.Atoi(e.Name())
		last = max(last, n)
	}
	if first.FDs != len(fds) || first.HighestFD != last || first.OOMScoreAdj != 300 || first.OOMScore == 0 || first.CapEff == "" || first.Voluntary == 0 {
		t.Errorf("%+v, %d files, the highest %d", first, len(fds), last)
	}
	if second.Started != first.Started || second.Cmdline != "" || second.Limits != nil || second.RSSKB == 0 {
		t.Errorf("second sample: %+v", second)
	}
	if self := processOf(t, sink, "p0", os.Getpid()); self.UserUsec == 0 || processOf(t, sink, "p1", os.Getpid()).Voluntary < self.Voluntary {
		t.Errorf("%+v", self)
	}
}

func processOf(t *testing.T, sink *memSink, path string, pid int) processRow {
	t.Helper()
	for _, p := range rows[processRow](t, sink, path) {
		if p.PID == pid {
			return p
		}
	}
	t.Fatalf("%s: process %d is missing", path, pid)
	return processRow{}
}

func FuzzProcess(f *testing.F) {
	f.Add([]byte("42 (a) (b c) S 7 42 42 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 9 0 100 1000000 250 18446744073709551615"))
	f.Add([]byte("Uid:\t0\t0\nVmSwap:\t 1 kB\nCapEff:\t00ff\nSeccomp:\t2\nMax open files            1024                 unlimited            files\n1:cpu:/a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		row, err := parseStat(text, 4)
		if err != nil {
			row = processRow{}
		}
		row.parseStatus(text)
		row.Limits, row.Cgroup = parseLimits(text), cgroupOf(text)
		encodable(t, row)
	})
}

func FuzzMounts(f *testing.F) {
	f.Add([]byte(`36 35 98:0 /root /a\040b rw,noatime master:1 - ext4 /dev/sda rw` + "\n36 35 0:1 net:[4026532177] /run/netns/x rw - nsfs nsfs rw\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, m := range collapse(parseMounts(text)) {
			encodable(t, m)
		}
	})
}

// A namespace that only a mount keeps is found, entered, and given to the pod
// for which the runtime made it.
func TestNamespaceWithoutProcesses(t *testing.T) {
	needRoot(t, "ip", "sysctl")
	name := fmt.Sprintf("cni-%x", os.Getpid())
	sh(t, "ip netns add "+name)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	sh(t, "ip netns exec "+name+" sysctl -q -w net.core.somaxconn=123")
	var st unix.Stat_t
	if err := unix.Stat("/run/netns/"+name, &st); err != nil {
		t.Fatal(err)
	}
	// The runtime's state lies in a root of the test's, to which the node's
	// namespaces are bound.
	root := tree(t, map[string]string{"var/lib/cni/results/x": strings.ReplaceAll(cniCached, "cni-1234", name), "run/netns/" + name: ""})
	if err := unix.Mount("/run/netns/"+name, root+"/run/netns/"+name, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(root+"/run/netns/"+name, unix.MNT_DETACH) })
	pods := []Pod{{UID: uid, Namespace: "shop", Name: "web-0"}}
	var ours Netns
	sink, _ := runSource(t, Options{Root: root, Pods: pods}, func(g *gatherer) {
		for _, ns := range g.addMounted(t.Context(), []Netns{{Inode: 1, Host: true}}) {
			if ns.Inode == st.Ino {
				ours = ns
				g.sample(t.Context(), ns, 0)
			}
		}
	})
	if ours.PodUID != uid || ours.PodName != "web-0" || ours.PodNamespace != "shop" || ours.PID != 0 || filepath.Base(ours.Path) != name {
		t.Errorf("%+v", ours)
	}
	if got := string(sink.files[fmt.Sprintf("nodes/n1/netns/%d/0/proc/sys/net/core/somaxconn", st.Ino)]); got != "123\n" {
		t.Errorf("somaxconn is %q", got)
	}
}

func TestKernelIsIdentified(t *testing.T) {
	needRoot(t, "sha256sum")
	var row nodeRow
	runSource(t, Options{}, func(g *gatherer) { row = g.machine(nil) })
	if want := strings.TrimSpace(sh(t, "cat /proc/sys/kernel/random/boot_id")); row.BootID != want {
		t.Errorf("boot %q, want %q", row.BootID, want)
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err == nil {
		if want := strings.Fields(sh(t, "sha256sum /sys/kernel/btf/vmlinux"))[0]; row.BTF == nil || row.BTF.SHA256 != want || row.BTF.Bytes == 0 {
			t.Errorf("%+v, want %s", row.BTF, want)
		}
	}
}
