package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/node"
	"github.com/casefile-io/casefile/collector/node/crowd"
)

// The load of the benchmark: sockets are spread over processes, which may have
// 20,000 files each.
const (
	crowdSockets   = 100_000
	crowdProcesses = 8
	crowdTracked   = 200_000

	snapshotRole = "CASEFILE_SNAPSHOT" // what this test binary is, when run again
)

// BenchmarkSnapshot takes a whole snapshot, redacted and packed as the agent
// does, of a machine with 100,000 sockets and 200,000 tracked connections, and
// has ss and conntrack list the same beside it. The machine is this test binary
// in namespaces of its own. Run it with -benchtime 1x.
func BenchmarkSnapshot(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("makes namespaces: needs root")
	}
	for _, policy := range []redact.Policy{redact.PolicyStandard, redact.PolicyStrict} {
		b.Run(string(policy), func(b *testing.B) {
			for b.Loop() {
				for unit, v := range snapshotBox(b, policy) {
					b.ReportMetric(v, unit)
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// snapshotBox runs the machine and returns what it measured.
func snapshotBox(b *testing.B, policy redact.Policy) map[string]float64 {
	cmd := exec.Command("unshare", "--net", "--pid", "--mount", "--fork", "--mount-proc", os.Args[0])
	cmd.Env = append(os.Environ(), snapshotRole+"=box "+string(policy))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var m map[string]float64
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return m
}

// playSnapshot does what a process of the benchmark is for.
func playSnapshot(role string) error {
	verb, arg, _ := strings.Cut(role, " ")
	switch verb {
	case "hold":
		n, err := strconv.Atoi(arg)
		if err == nil {
			err = crowd.Connect(n)
		}
		if err != nil {
			return err
		}
		fmt.Println("ready")
		_, err = io.Copy(io.Discard, os.Stdin)
		return err
	case "spin":
		for { //nolint:staticcheck // that is what it is for
		}
	case "collect":
		return snapshotCollect(redact.Policy(arg))
	}
	return snapshotMachine(arg)
}

// snapshotMachine fills the namespace and measures.
func snapshotMachine(policy string) error {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var held []io.Closer // closing one ends its process
	for range crowdProcesses {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=hold %d", snapshotRole, crowdSockets/2/crowdProcesses))
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		held = append(held, in)
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			return fmt.Errorf("sockets: %s", line)
		}
	}
	if err := crowd.Track(crowdTracked); err != nil {
		return err
	}
	if err := unix.Mount("none", "/run/netns", "tmpfs", 0, ""); err != nil && !errors.Is(err, unix.ENOENT) { // namespaces of others
		return fmt.Errorf("/run/netns: %w", err)
	}
	m := map[string]float64{}
	for name, args := range map[string][]string{"ss-tan-s": {"ss", "-tanH"}, "ss-tanp-s": {"ss", "-tanpH"}, "ss-tanie-s": {"ss", "-tanieH"}, "conntrack-L-s": {"conntrack", "-L", "-o", "extended"}} {
		start := time.Now()
		if err := exec.Command(args[0], args[1:]...).Run(); err != nil {
			return fmt.Errorf("%v: %w", args, err)
		}
		m[name] = time.Since(start).Seconds()
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), snapshotRole+"=collect "+policy)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	if err != nil {
		return fmt.Errorf("collect: %w: %s", err, out)
	}
	if m["busy-share-%"], err = busyShare(policy); err != nil {
		return err
	}
	for _, in := range held {
		in.Close()
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

const busyFor = 15 * time.Second // at most

// busyShare is how many percent of a machine that is busy on all processors
// the agent takes: of its time, since what others on the machine do changes
// the work done by far more.
func busyShare(policy string) (float64, error) {
	ctx, stop := context.WithTimeout(context.Background(), busyFor)
	defer stop()
	for range runtime.NumCPU() {
		spin := exec.CommandContext(ctx, "/proc/self/exe")
		spin.Env = append(os.Environ(), snapshotRole+"=spin", "GOMAXPROCS=1")
		if err := spin.Start(); err != nil {
			return 0, err
		}
		defer func() { _ = spin.Wait() }()
	}
	collect := exec.CommandContext(ctx, "/proc/self/exe")
	collect.Env = append(os.Environ(), snapshotRole+"=collect "+policy)
	start := time.Now()
	if err := collect.Start(); err != nil {
		return 0, err
	}
	_ = collect.Wait() // may be cut short
	used := collect.ProcessState.UserTime() + collect.ProcessState.SystemTime()
	stop()
	return 100 * used.Seconds() / time.Since(start).Seconds() / float64(runtime.NumCPU()), nil
}

type countWriter struct{ n float64 }

func (c *countWriter) Write(p []byte) (int, error) { c.n += float64(len(p)); return len(p), nil }

// snapshotCollect is the agent, without the stream to the command line.
func snapshotCollect(policy redact.Policy) error {
	beNice(niceToRead)
	runtime.GOMAXPROCS(1)
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(gcPercent)
	if path := os.Getenv("CASEFILE_SNAPSHOT_PROFILE"); path != "" {
		w, err := os.Create(path)
		if err != nil {
			return err
		}
		defer w.Close()
		if err := pprof.StartCPUProfile(w); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	start := time.Now()
	redactor, err := redact.New(policy, redact.Options{Key: pseudonym.Key{1}})
	if err != nil {
		return err
	}
	packed := &countWriter{}
	f, err := bundle.NewFragment(packed, bundle.Options{Top: "casefile-bench", Time: start, Redactor: redactor, SpoolDir: os.TempDir()})
	if err != nil {
		return err
	}
	m, failed := map[string]float64{}, ""
	collector.Run(context.Background(), fragmentSink{f}, []collector.Collector{node.New(node.Options{Node: "n1", Host: true, Samples: 1})}, collector.Options{
		Recorded: func(r collector.Result) {
			m["raw-MB"] += float64(r.Bytes) / 1e6
			switch base := r.Path[strings.LastIndex(r.Path, "/")+1:]; base {
			case "sockets.ndjson", "conntrack.ndjson":
				m[strings.TrimSuffix(base, ".ndjson")+"-s"] += float64(r.Millis) / 1e3
				if r.Status != collector.StatusOK {
					failed += r.Path + ": " + r.Reason + "\n"
				}
			}
		}})
	if err := f.Close(); err != nil {
		return err
	}
	if failed != "" {
		return errors.New(failed)
	}
	m["wall-s"] = time.Since(start).Seconds()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return err
	}
	m["cpu-s"] = float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	m["sys-s"] = float64(u.Stime.Nano()) / 1e9
	m["rss-MiB"] = float64(u.Maxrss) / 1024
	m["packed-MB"] = packed.n / 1e6
	return json.NewEncoder(os.Stdout).Encode(m)
}
