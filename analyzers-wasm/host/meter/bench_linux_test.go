package meter_test

import (
	"bytes"
	"math"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/casefile-io/casefile/analyzers-wasm/host/meter"
)

// cost gives the processor time of a piece of work on this thread, which other
// programs disturb less than the time on the wall.
func cost(work func()) time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var before, after syscall.Rusage
	_ = syscall.Getrusage(thread, &before)
	work()
	_ = syscall.Getrusage(thread, &after)
	return time.Duration(after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano())
}

// pair measures two pieces of work in turns, and reports the least time of each
// and their ratio.
func pair(b *testing.B, off, metered func()) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	x, y := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for b.Loop() {
		x, y = min(x, cost(off)), min(y, cost(metered))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(x.Microseconds())/1000, "ms-off")
	b.ReportMetric(float64(y.Microseconds())/1000, "ms-metered")
	b.ReportMetric(float64(y)/float64(x), "ratio")
}

// BenchmarkMetered runs the work of analyzers with and without metering.
func BenchmarkMetered(b *testing.B) {
	inputs := map[string][]byte{"pods": podLines(20_000), "tcp": tcpText(100_000), "pcap": pcapFile(300_000)}
	for language, f := range workloads() {
		b.Run(language, func(b *testing.B) {
			wasm := built(b, f)
			e := compiler(b)
			plain, metered := e.compile(b, wasm), e.compile(b, rewrite(b, wasm))
			for arg, input := range inputs {
				b.Run(arg, func(b *testing.B) {
					var fuel int64
					run := func(m wazero.CompiledModule) func() {
						return func() {
							o := e.start(b, m, math.MaxInt64, arg, bytes.NewReader(input))
							if o.err != nil {
								b.Fatal(o.err)
							}
							fuel = o.used
						}
					}
					pair(b, run(plain), run(metered))
					b.ReportMetric(float64(fuel)/float64(len(input)), "fuel/byte")
				})
			}
		})
	}
}

// BenchmarkRewrite rewrites the built-in module.
func BenchmarkRewrite(b *testing.B) {
	wasm := builtin(b)
	b.SetBytes(int64(len(wasm)))
	var metered []byte
	for b.Loop() {
		var err error
		if metered, err = meter.Rewrite(wasm); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(metered))/float64(len(wasm)), "size")
}

// BenchmarkCompile compiles the built-in module with and without metering.
func BenchmarkCompile(b *testing.B) {
	wasm := builtin(b)
	metered := rewrite(b, wasm)
	compile := func(wasm []byte) func() {
		return func() { // an engine of its own, since one keeps what it has compiled
			e := compiler(b)
			e.compile(b, wasm)
		}
	}
	pair(b, compile(wasm), compile(metered))
}
