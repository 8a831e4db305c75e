//go:build unix

package bundle

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// reportCPU adds the processor time of the whole process, which a busy machine
// does not falsify.
func reportCPU(b *testing.B) func() {
	var from, to syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &from); err != nil {
		b.Fatal(err)
	}
	return func() {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &to); err != nil {
			b.Fatal(err)
		}
		ns := to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano()
		b.ReportMetric(float64(ns)/1e6/float64(b.N), "cpu-ms/op")
	}
}

// usage gives the seconds of processor time of this process and its children,
// and its peak of memory in MB: not ru_maxrss on Linux, which a started process
// has from the one that started it.
func usage() (cpu, rss float64) {
	var own, sub syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own) // with these arguments it cannot fail
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &sub)
	ns := own.Utime.Nano() + own.Stime.Nano() + sub.Utime.Nano() + sub.Stime.Nano()
	rss = float64(own.Maxrss) * 1024 / 1e6
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		var kib float64
		if n, _ := fmt.Sscan(peak, &kib); n == 1 {
			rss = kib * 1024 / 1e6
		}
	}
	return float64(ns) / 1e9, rss
}
