//go:build unix

package bundle

import (
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
// and its peak of memory in MB.
func usage() (cpu, rss float64) {
	var own, sub syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own) // with these arguments it cannot fail
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &sub)
	ns := own.Utime.Nano() + own.Stime.Nano() + sub.Utime.Nano() + sub.Stime.Nano()
	return float64(ns) / 1e9, float64(own.Maxrss) * 1024 / 1e6
}
