package flow

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/casefile-io/casefile/sdk/abi"
)

// cpuTime is what this process has used, garbage collection included: beside
// other work on the machine only that can be compared.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScan reads captures of several shapes and compares their places,
// beside tshark which is asked for the same fields of a part of each.
func BenchmarkScan(b *testing.B) {
	const packets, peerPackets = 2_000_000, 50_000
	for _, shape := range []struct {
		name   string
		places int
		make   func(packets int) []byte
	}{
		{"2000 flows", 1, func(n int) []byte { return synth(n, 2000) }},
		{"few big flows", 1, func(n int) []byte { return synthOf(n, 8, 1_000_000) }},
		{"many small flows", 1, func(n int) []byte { return synthOf(n, 2000, 20) }},
		{"DNS", 1, func(n int) []byte { return synthDNS(n/10, 200) }},
		{"two places", 2, func(n int) []byte { return synth(n/2, 2000) }},
	} {
		ours := 0.0
		b.Run(shape.name+"/casefile", func(b *testing.B) {
			data := shape.make(packets)
			count, _ := Count(bytes.NewReader(data))
			b.ReportAllocs()
			from := cpuTime()
			for b.Loop() {
				s := New(Limits{})
				for i := range shape.places {
					if err := s.Read(context.Background(), Capture{Path: string(rune('a' + i))}, bytes.NewReader(data)); err != nil {
						b.Fatal(err)
					}
				}
				flows, queries := 0, 0
				missing := s.Finish(func(*Row) { flows++ }, func(*abi.DNS) { queries++ })
				if len(missing.DNS) != 0 || flows < 8 || queries == 0 && shape.name == "DNS" {
					b.Fatal(flows, queries, missing)
				}
			}
			ours = float64(count*shape.places) * float64(b.N) / (cpuTime() - from).Seconds()
			b.ReportMetric(ours/1e6, "Mpackets/CPU-s")
		})
		b.Run(shape.name+"/tshark", func(b *testing.B) { benchTshark(b, shape.make(peerPackets), ours) })
	}
}

// benchTshark says how much slower tshark is than ours, in packets a second.
func benchTshark(b *testing.B, data []byte, ours float64) {
	if _, err := exec.LookPath("tshark"); err != nil {
		b.Skip(err)
	}
	packets, err := Count(bytes.NewReader(data))
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "x.pcapng")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		b.Fatal(err)
	}
	args := []string{"-n", "-r", file, "-T", "fields"}
	for _, f := range []string{"frame.number", "frame.time_epoch", "tcp.stream", "ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "tcp.len", "tcp.flags",
		"tcp.analysis.initial_rtt", "tcp.analysis.retransmission", "tcp.analysis.fast_retransmission", "tcp.analysis.spurious_retransmission",
		"tcp.analysis.duplicate_ack", "tcp.analysis.out_of_order", "tcp.analysis.lost_segment", "tcp.analysis.zero_window", "tcp.analysis.window_full",
		"tcp.analysis.keep_alive", "tls.handshake.extensions_server_name", "tls.alert_message.desc", "dns.qry.name", "dns.time", "dns.flags.rcode"} {
		args = append(args, "-e", f)
	}
	var cpu time.Duration
	for b.Loop() {
		cmd := exec.Command("tshark", args...)
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	rate := float64(packets) * float64(b.N) / cpu.Seconds()
	b.ReportMetric(rate/1e6, "Mpackets/CPU-s")
	b.ReportMetric(ours/rate, "times-slower")
}
