package capture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the benchmark run a capture as a process of its own, so that
// its CPU time can be compared with tcpdump's.
func TestMain(m *testing.M) {
	if path := os.Getenv("CFCAP_BENCH_NETNS"); path != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		ring, _ := strconv.ParseInt(os.Getenv("CFCAP_BENCH_RING"), 10, 64)
		s, err := open(Spec{NetnsPath: path, Interface: "eth0", Snaplen: 128, Ring: ring, SpoolDir: os.Getenv("CFCAP_BENCH_DIR")})
		if err == nil {
			fmt.Fprintln(os.Stderr, "listening on")
			var st Stats
			if st, err = s.run(ctx, io.Discard); err == nil {
				err = json.NewEncoder(os.Stdout).Encode(st)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// BenchmarkAgainstTcpdump sends the same flood to this engine and to tcpdump
// in turn, and reports what each lost and what CPU time each took a packet:
//
//	go test -run - -bench AgainstTcpdump -benchtime 200000x ./collector/capture
func BenchmarkAgainstTcpdump(b *testing.B) {
	if _, err := exec.LookPath("tcpdump"); err != nil {
		b.Skip(err)
	}
	l := newLab(b)
	ns := "/run/netns/" + l.far
	for _, c := range []struct {
		name string
		size int
		ring int // MiB; tcpdump's is one of files
	}{{"100B", 100, 0}, {"1400B", 1400, 0}, {"100B-ring", 100, 16}, {"1400B-ring", 1400, 16}} {
		b.Run(c.name, func(b *testing.B) {
			size, dir := c.size, b.TempDir()
			ours := exec.Command(os.Args[0])
			ours.Env = append(os.Environ(), "CFCAP_BENCH_NETNS="+ns, "CFCAP_BENCH_DIR="+dir, fmt.Sprintf("CFCAP_BENCH_RING=%d", c.ring<<20))
			a := flood(b, l, size, ours, func(stdout, _ string) (int64, error) {
				var st Stats
				err := json.Unmarshal([]byte(stdout), &st)
				return st.Packets + st.Evicted, err
			})
			// -Z root: tcpdump otherwise loses the right to the namespace's files.
			args := []string{"netns", "exec", l.far, "tcpdump", "-Z", "root", "-i", "eth0", "-s", "128", "-B", "8192", "-w", "/dev/null"}
			if c.ring > 0 {
				args[len(args)-1] = dir + "/x"
				args = append(args, "-C", "4", "-W", "4")
			}
			theirs := exec.Command("ip", args...)
			c := flood(b, l, size, theirs, func(_, stderr string) (int64, error) {
				m := regexp.MustCompile(`(\d+) packets? captured`).FindStringSubmatch(stderr)
				if m == nil {
					return 0, fmt.Errorf("tcpdump: %s", stderr)
				}
				return strconv.ParseInt(m[1], 10, 64)
			})
			b.ReportMetric(a.cpu, "us/pkt")
			b.ReportMetric(100*a.loss, "%lost")
			b.ReportMetric(c.cpu, "tcpdump-us/pkt")
			b.ReportMetric(100*c.loss, "tcpdump-%lost")
			b.ReportMetric(a.cpu/c.cpu, "cpu-ratio")
		})
	}
}

type cost struct{ cpu, loss float64 }

// flood sends b.N frames while cmd captures.
func flood(b *testing.B, l lab, size int, cmd *exec.Cmd, packets func(stdout, stderr string) (int64, error)) cost {
	b.Helper()
	var stdout, all bytes.Buffer
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewReader(io.TeeReader(io.LimitReader(stderr, 1<<20), &all))
	for {
		line, err := lines.ReadString('\n')
		if strings.Contains(line, "listening on") {
			break
		}
		if err != nil {
			b.Fatalf("it did not start: %v: %s", err, &all)
		}
	}
	time.Sleep(50 * time.Millisecond)
	inside(b, l.near, func() error { return sendMany(size, b.N) })
	time.Sleep(1200 * time.Millisecond) // tcpdump waits a second for a block to fill
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, lines); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatalf("%v: %s", err, &all)
	}
	n, err := packets(stdout.String(), all.String())
	if err != nil {
		b.Fatal(err)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return cost{cpu: float64(used.Microseconds()) / float64(b.N), loss: 1 - float64(n)/float64(b.N)}
}

func sendMany(size, n int) error {
	fd, to, err := rawSocket("cfv0")
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	frame := append(append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 1), 0x88, 0xb5)
	frame = append(frame, make([]byte, size-len(frame))...)
	for range n {
		if err := unix.Sendto(fd, frame, 0, to); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
	return nil
}
