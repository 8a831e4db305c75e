package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/casefile-io/casefile/collector"
)

// hostOnly runs one sample of the host's own sources over a gatherer.
func hostOnly(t *testing.T, o Options) (*memSink, []collector.Result, *gatherer) {
	t.Helper()
	o.Node, o.Host = "n1", true
	if o.ProcRoot == "" {
		o.ProcRoot = "/proc"
	}
	sink := newMemSink()
	var g *gatherer
	results := collector.Run(t.Context(), sink, []collector.Collector{collectFunc(func(out *collector.Output) error {
		g = &gatherer{o: o, out: out}
		g.hostSample(t.Context(), "nodes/n1/0/", false)
		g.hostSample(t.Context(), "nodes/n1/1/", true)
		return nil
	})}, collector.Options{})
	return sink, results, g
}

// As sysctl -a shows them, but for what does something when it is read.
func TestHostSysctlsAreThoseOfSysctl(t *testing.T) {
	needRoot(t, "sysctl", "find")
	sink, results, _ := hostOnly(t, Options{})
	for _, dir := range []string{"kernel", "vm", "fs", "user", "debug"} {
		var want, got []string
		for _, path := range strings.Fields(sh(t, "find /proc/sys/"+dir+" -path /proc/sys/fs/binfmt_misc -prune -o -type f -perm /444 -print")) {
			if !skipSysctl(path) {
				want = append(want, strings.TrimPrefix(path, "/"))
			}
		}
		for path := range sink.files {
			if rel, ok := strings.CutPrefix(path, "nodes/n1/0/"); ok && strings.HasPrefix(rel, "proc/sys/"+dir+"/") {
				got = append(got, rel)
			}
		}
		failed := map[string]bool{} // read errors of the kernel: a result each
		for _, r := range results {
			if r.Status != collector.StatusOK {
				failed[strings.TrimPrefix(r.Path, "nodes/n1/0/")] = true
			}
		}
		var readable []string
		for _, w := range want {
			if !failed[w] {
				readable = append(readable, w)
			}
		}
		compare(t, dir, readable, got)
	}
	values := 0
	for line := range strings.Lines(sh(t, `sysctl -a --pattern '^(kernel\.(pid_max|threads-max|core_pattern|panic|osrelease|msgmax)|vm\.(swappiness|overcommit_.*|max_map_count|dirty_.*)|fs\.(file-max|nr_open|inotify\..*|aio-max-nr))$'`)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
		if !ok {
			continue
		}
		values++
		if got := strings.TrimSuffix(string(sink.files["nodes/n1/0/proc/sys/"+strings.ReplaceAll(key, ".", "/")]), "\n"); got != value {
			t.Errorf("%s is %q, sysctl says %q", key, got, value)
		}
	}
	if values < 15 {
		t.Errorf("only %d values compared", values)
	}
}

func TestHostFiles(t *testing.T) {
	needRoot(t)
	sink, _, _ := hostOnly(t, Options{})
	for _, name := range []string{"version", "cmdline", "cpuinfo", "filesystems", "stat", "zoneinfo", "buddyinfo", "diskstats", "schedstat", "swaps", "vmstat", "pressure/cpu", "softirqs"} {
		if _, err := os.Stat("/proc/" + name); err == nil && len(sink.files["nodes/n1/0/proc/"+name]) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
	if _, twice := sink.files["nodes/n1/1/proc/version"]; twice || len(sink.files["nodes/n1/1/proc/vmstat"]) == 0 {
		t.Error("the second sample should have the counters alone")
	}
	if _, err := os.Stat("/proc/config.gz"); err == nil {
		if want := sh(t, "zcat /proc/config.gz"); string(sink.files["nodes/n1/0/proc/config.txt"]) != want {
			t.Error("config.txt is not what zcat shows")
		}
	}
	for _, pattern := range []string{"devices/system/clocksource/clocksource0/current_clocksource", "devices/system/cpu/online", "devices/system/node/online"} {
		want, err := os.ReadFile(filepath.Join("/sys", pattern))
		if err == nil && string(sink.files["nodes/n1/0/sys/"+pattern]) != string(want) {
			t.Errorf("%s: %q, want %q", pattern, sink.files["nodes/n1/0/sys/"+pattern], want)
		}
	}
}

func TestModulesHideAddresses(t *testing.T) {
	in := "nf_nat 57344 2 xt_nat,nft_chain_nat, Live 0xffffffffc0a3e000\nveth 1 0 - Live 0xffffffffc0800000 (OE)\nodd line"
	want := "nf_nat 57344 2 xt_nat,nft_chain_nat, Live 0x0\nveth 1 0 - Live 0x0 (OE)\nodd line"
	if diff := cmp.Diff(want, string(hideAddresses([]byte(in)))); diff != "" {
		t.Error(diff)
	}
}

// A recorded tree of cgroup version 2, since the kernel at hand gives version 2
// no controllers.
func TestRecordedCgroupV2(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"cpu.stat":              "usage_usec 900\nuser_usec 600\nsystem_usec 300\nnr_periods 10\nnr_throttled 4\nthrottled_usec 5000\nnr_bursts 2\nburst_usec 77\n",
		"cpu.max":               "50000 100000\n",
		"cpu.max.burst":         "1000\n",
		"cpu.weight":            "79\n",
		"memory.current":        "4096\n",
		"memory.peak":           "8192\n",
		"memory.max":            "max\n",
		"memory.high":           "10485760\n",
		"memory.swap.current":   "1\n",
		"memory.swap.max":       "0\n",
		"memory.events":         "low 0\nhigh 3\nmax 5\noom 1\noom_kill 1\noom_group_kill 0\n",
		"memory.events.local":   "max 2\n",
		"memory.stat":           "anon 100\nfile 200\nunheard_of 3\nsock 7\n",
		"pids.current":          "9\n",
		"pids.max":              "100\n",
		"pids.events":           "max 6\n",
		"io.stat":               "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n254:16 \n253:0 rbytes=9\n",
		"cpuset.cpus.effective": "0-3\n",
		"cpuset.mems.effective": "0\n",
		"cgroup.freeze":         "1\n",
		"cpu.pressure":          "some avg10=1.50 avg60=0.10 avg300=0.01 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=45\n",
		"irq.pressure":          "full avg10=0.25 avg60=0.00 avg300=0.00 total=6\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var row cgroupRow
	(&gatherer{}).cgroupV2(&row, dir)
	want := cgroupRow{
		CPU: &cgroupCPU{QuotaUsec: 50000, PeriodUsec: 100000, BurstMaxUsec: 1000, Weight: 79, Periods: 10, Throttled: 4, ThrottledUsec: 5000,
			Bursts: 2, BurstUsec: 77, UsageUsec: 900, UserUsec: 600, SystemUsec: 300},
		Memory: &cgroupMemory{Current: 4096, Peak: 8192, High: 10485760, Swap: 1, OOMKills: 1, Failcnt: 5,
			Events: map[string]int64{"high": 3, "max": 5, "oom": 1, "oom_kill": 1}, EventsLocal: map[string]int64{"max": 2},
			Stat: map[string]int64{"anon": 100, "file": 200, "sock": 7}},
		Pids:   &cgroupPids{Current: 9, Max: 100, Refused: 6},
		IO:     []cgroupIO{{Device: "8:0", ReadBytes: 1, WriteBytes: 2, Reads: 3, Writes: 4}, {Device: "253:0", ReadBytes: 9}},
		Cpuset: &cgroupCpuset{CPUs: "0-3", Mems: "0"}, Frozen: true,
		Pressure: map[string]*pressure{"cpu": {Some: &pressureLine{Avg10: 1.5, Avg60: 0.1, Avg300: 0.01, TotalUsec: 123}, Full: &pressureLine{TotalUsec: 45}},
			"irq": {Full: &pressureLine{Avg10: 0.25, TotalUsec: 6}}},
	}
	if diff := cmp.Diff(want, row); diff != "" {
		t.Error(diff)
	}
}

func FuzzCgroupFiles(f *testing.F) {
	f.Add([]byte("8:0 rbytes=1 wbytes=2\nsome avg10=1.50 avg60=0 avg300=0 total=1\n8:0 Read 4096\nanon 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		row := cgroupRow{IO: append(parseIOStat(text), parseBlkio(text, text)...), Memory: &cgroupMemory{Stat: parseStats(text, nil)},
			Pressure: map[string]*pressure{"cpu": parsePressure(text)}}
		encodable(t, row)
		hideAddresses(text)
	})
}

// collectFunc is a collector of a test.
type collectFunc func(*collector.Output) error

func (collectFunc) Name() string { return "test" }

func (f collectFunc) Collect(_ context.Context, out *collector.Output) error { return f(out) }
