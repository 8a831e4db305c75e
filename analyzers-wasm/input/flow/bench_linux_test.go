package flow

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// synth makes a capture in pcapng as the capture engine writes it: packets of
// 100 bytes each of so many, of connections that are open side by side, send
// data both ways, and now and then lose a segment.
func synth(packets, open int) []byte {
	le, chance := binary.LittleEndian, rand.New(rand.NewPCG(1, 2))
	b := le.AppendUint32(make([]byte, 0, 100+packets*144), blockSection)
	b = le.AppendUint32(le.AppendUint32(b, 28), byteOrderMagic)
	b = append(b, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 28, 0, 0, 0)
	b = le.AppendUint32(le.AppendUint32(b, blockInterface), 32)
	b = append(b, 1, 0, 0, 0, 100, 0, 0, 0, optIfTsresol, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0)
	type conn struct {
		id       int
		step     int
		seq, ack uint32
	}
	conns := make([]conn, open)
	for i := range conns {
		conns[i] = conn{id: i, step: -3, seq: chance.Uint32(), ack: chance.Uint32()}
	}
	nanos, id := uint64(1.7e18), open
	for range packets {
		c := &conns[chance.IntN(open)]
		nanos += 1000
		p := segmentOf{sport: uint16(10000 + c.id%50000), id: c.id, flags: flagACK, seq: c.seq, ack: c.ack, now: uint32(nanos / 1e6)}
		switch c.step {
		case -3:
			p.flags, p.ack = flagSYN, 0
			c.seq++
		case -2:
			p.back, p.flags, p.seq, p.ack = true, flagSYN|flagACK, c.ack, c.seq
			c.ack++
		case -1:
		default:
			if c.step%3 == 2 {
				p.back, p.seq, p.ack = true, c.ack, c.seq
				break
			}
			p.length = 1448
			if c.seq += 1448; chance.IntN(500) == 0 {
				c.seq += 1448
			}
		}
		if c.step++; c.step > 300 {
			id++
			*c = conn{id: id, step: -3, seq: chance.Uint32(), ack: chance.Uint32()}
		}
		b = p.block(b, nanos)
	}
	return b
}

type segmentOf struct {
	id            int
	back          bool
	sport         uint16
	flags         byte
	seq, ack, now uint32
	length        int
}

// block appends the packet block.
func (p segmentOf) block(b []byte, nanos uint64) []byte {
	le, be := binary.LittleEndian, binary.BigEndian
	b = le.AppendUint32(le.AppendUint32(b, blockPacket), 28+100+12+4)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(le.AppendUint32(b, uint32(nanos>>32)), uint32(nanos))
	b = le.AppendUint32(le.AppendUint32(b, 100), uint32(max(14+52+p.length, 100)))
	start := len(b)
	b = append(b, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0)
	b = be.AppendUint16(b, uint16(52+p.length))
	b = append(b, byte(nanos>>10), byte(nanos>>18), 0x40, 0, 64, 6, 0, 0)
	a, z := []byte{10, byte(p.id >> 16), byte(p.id >> 8), byte(p.id)}, []byte{10, 96, 0, 10}
	if p.back {
		b = append(append(b, z...), a...)
		b = be.AppendUint16(be.AppendUint16(b, 443), p.sport)
	} else {
		b = append(append(b, a...), z...)
		b = be.AppendUint16(be.AppendUint16(b, p.sport), 443)
	}
	b = be.AppendUint32(be.AppendUint32(b, p.seq), p.ack)
	b = append(b, 0x80, p.flags, 1, 0xf6, 0, 0, 0, 0, 1, 1, 8, 10)
	b = be.AppendUint32(be.AppendUint32(b, p.now), p.now)
	b = append(b, make([]byte, start+100-len(b))...)
	b = append(b, optPacketFlags, 0, 4, 0, 1, 0, 0, 0, 0, 0, 0, 0)
	if p.back {
		b[len(b)-8] = 2
	}
	return le.AppendUint32(b, 28+100+12+4)
}

// cpuTime is what this process has used, garbage collection included: beside
// other work on the machine only that can be compared.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkScan reads packets of 100 bytes and compares the places, beside
// tshark which is asked for the same fields of a part of the same packets.
func BenchmarkScan(b *testing.B) {
	const packets, peerPackets = 2_000_000, 100_000
	data := synth(packets, 2000)
	ours := 0.0
	b.Run("casefile", func(b *testing.B) {
		b.ReportAllocs()
		from := cpuTime()
		for b.Loop() {
			s := New(Limits{})
			if err := s.Read(context.Background(), Capture{Path: "x"}, bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
			if r := finish(s); len(r.Missing) != 0 || len(r.Flows) < 2000 {
				b.Fatal(len(r.Flows), r.Missing)
			}
		}
		ours = float64(packets) * float64(b.N) / (cpuTime() - from).Seconds()
		b.ReportMetric(ours/1e6, "Mpackets/CPU-s")
	})
	b.Run("tshark", func(b *testing.B) {
		if _, err := exec.LookPath("tshark"); err != nil {
			b.Skip(err)
		}
		file := filepath.Join(b.TempDir(), "x.pcapng")
		if err := os.WriteFile(file, synth(peerPackets, 2000), 0o600); err != nil {
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
		rate := float64(peerPackets) * float64(b.N) / cpu.Seconds()
		b.ReportMetric(rate/1e6, "Mpackets/CPU-s")
		b.ReportMetric(ours/rate, "times-slower")
	})
}
