package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"
)

// recorded runs n numbered packets through a ring and gives the file.
func recorded(t *testing.T, s Spec, n, size int) (*parsed, Stats) {
	t.Helper()
	var w bytes.Buffer
	f := newFile(s, &w, []Interface{{Name: "eth0", Index: 3, HardwareType: 1}}, noName)
	ring := f.record()
	defer ring.close()
	for i := range n {
		data := ether(size)
		binary.BigEndian.PutUint32(data[14:], uint32(i))
		index := 3
		if i == n-1 {
			index = 9 // a late interface: its block must still come first
		}
		if err := f.write(&frame{nanos: int64(i), data: data, orig: uint32(size), ifindex: index, hatype: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.replay(&w); err != nil {
		t.Fatal(err)
	}
	st, err := f.close(time.Unix(9, 0))
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePcapng(w.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if st.Bytes != int64(w.Len()) || st.Packets != int64(len(p.packets)) || st.Packets+st.Evicted != int64(n) {
		t.Errorf("%d packets in %d bytes, %+v", len(p.packets), w.Len(), st)
	}
	for i, k := range p.packets {
		if want := n - len(p.packets) + i; int(binary.BigEndian.Uint32(k.data[14:])) != want || k.nanos != int64(want) {
			t.Fatalf("packet %d is %x, want number %d", i, k.data[14:18], want)
		}
	}
	if name := string(p.ifaces[p.packets[len(p.packets)-1].iface].opts[optIfName]); name != "late0" {
		t.Errorf("the last packet is on %s", name)
	}
	if len(p.ifaces) != 2 || p.stats[0].received != uint64(n-1) {
		t.Errorf("%d interfaces, statistics %+v; want all that came", len(p.ifaces), p.stats)
	}
	return p, st
}

func TestRecorderKeepsTheLast(t *testing.T) {
	const size = 1000
	for _, ring := range []int64{2 << 20, 3 << 20, 8 << 20} { // in memory and in a file
		s := Spec{Ring: ring, SpoolDir: t.TempDir()}
		for _, n := range []int{5, int(ring) / size / 2, int(ring) / size * 5 / 2} {
			_, st := recorded(t, s, n, size)
			if full := n > int(ring)/size; full != (st.Evicted > 0) || full && (st.Bytes < ring-chunkSize-8192 || st.Bytes > ring+8192) {
				t.Errorf("ring of %d, %d packets: %d bytes, %d evicted", ring, n, st.Bytes, st.Evicted)
			}
		}
	}
}

// noSpace is a store on a disk that is full after some chunks.
type noSpace struct {
	inRAM
	room int64
}

func (s noSpace) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s.room {
		return 0, errors.New("no space left on device")
	}
	return s.inRAM.WriteAt(p, off)
}

func TestRecorderOnAFullDisk(t *testing.T) {
	r := newRecorder(16<<20, "")
	r.store = noSpace{make(inRAM, 3*chunkSize), 3 * chunkSize}
	var b blocks
	for i := range 9000 {
		b.buf = b.buf[:0]
		b.packet(0, int64(i), 1000, 0, ether(1000))
		if _, err := r.Write(b.buf); err != nil {
			t.Fatal(err)
		}
	}
	var n, last int64
	if err := r.copyTo(io.Discard, func(block []byte) {
		at := int64(le.Uint32(block[16:]))
		if n > 0 && at != last+1 {
			t.Fatalf("packet %d after %d", at, last)
		}
		n, last = n+1, at
	}); err != nil {
		t.Fatal(err)
	}
	if r.note == "" || last != 8999 || n < 3000 || n > 4100 {
		t.Errorf("%d packets, the last is %d; note %q", n, last, r.note)
	}
	r = newRecorder(16<<20, "")
	r.store = noSpace{make(inRAM, chunkSize), 0}
	r.cur = r.cur[:cap(r.cur)]
	if err := r.seal(); err == nil {
		t.Error("a disk without any room is no error")
	}
}

func FuzzRecorder(f *testing.F) {
	f.Add(uint16(100), uint16(900), uint8(3))
	f.Fuzz(func(t *testing.T, n, size uint16, chunks uint8) {
		recorded(t, Spec{Ring: int64(chunks%8) * chunkSize, SpoolDir: t.TempDir()}, int(n)+1, int(size)+18)
	})
}

func TestParseUntil(t *testing.T) {
	for _, text := range []string{"counter TcpExt.ListenDrops +1", "counter Tcp.CurrEstab > 100", "counter nf_conntrack.drop +5", "counter softnet.dropped +1",
		"counter Udp6.InErrors +3", "log oom-kill|Out of memory", "signal", "time 2026-01-31T23:59:00Z", "packet tcp[tcpflags] & tcp-rst != 0"} {
		if u, err := ParseUntil(text); err != nil || u.String() != text {
			t.Errorf("%s: %v, %s", text, err, u)
		}
	}
	for _, text := range []string{"", "never", "counter", "counter TcpExt.X", "counter X.Y +1", "counter TcpExt.X +0", "counter TcpExt.X +a", "counter TcpExt.X < 1",
		"counter TcpExt +1", "log", "log (", "signal 9", "time noon", "packet", "packet port"} {
		if _, err := ParseUntil(text); err == nil {
			t.Errorf("%q is a trigger", text)
		}
	}
}

func TestCounterIn(t *testing.T) {
	const netstat = "TcpExt: SyncookiesSent ListenDrops\nTcpExt: 1 24\nIpExt: InNoRoutes\nIpExt: 3\n"
	const snmp = "Ip: Forwarding\nIp: 1\nTcp: MaxConn CurrEstab\nTcp: -1 7\n"
	const softnet = "0000000a 00000002 0 0 0 0 0 0 0 00000001 0 0 0\n0000000b 00000003 0 0 0 0 0 0 0 0 0 0 1\n"
	const conntrack = "entries  searched drop\n00000011 0 1\n00000011 0 f\n"
	for _, c := range []struct {
		name, text string
		want       uint64
		ok         bool
	}{
		{"TcpExt.ListenDrops", netstat, 24, true}, {"IpExt.InNoRoutes", netstat, 3, true}, {"TcpExt.InNoRoutes", netstat, 0, false}, {"TcpExt.Listen", netstat, 0, false},
		{"Tcp.CurrEstab", snmp, 7, true}, {"Tcp.MaxConn", snmp, 0, true}, {"Ip.Forwarding", snmp, 1, true},
		{"Udp6.InErrors", "Udp6NoPorts  \t 1\nUdp6InErrors 9\n", 9, true}, {"Udp6.OutErrors", "Udp6InErrors 9\n", 0, false},
		{"softnet.dropped", softnet, 5, true}, {"softnet.received_rps", softnet, 1, true}, {"softnet.-", softnet, 0, false},
		{"nf_conntrack.drop", conntrack, 16, true}, {"nf_conntrack.entries", conntrack, 17, true}, {"nf_conntrack.gone", conntrack, 0, false},
	} {
		got, err := counterIn(c.name, []byte(c.text))
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %d, %v", c.name, got, err)
		}
	}
}

func FuzzCounterIn(f *testing.F) {
	f.Add("TcpExt.ListenDrops", []byte("TcpExt: ListenDrops\nTcpExt: 1\n"))
	f.Add("nf_conntrack.drop", []byte("entries drop\n1 2\n"))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		if counterFile((Until{counter: name}).table()) != "" {
			_, _ = counterIn(name, text)
		}
	})
}

func FuzzParseUntil(f *testing.F) {
	f.Add("counter TcpExt.ListenDrops +1")
	f.Add("packet udp port 53")
	f.Fuzz(func(_ *testing.T, s string) { _, _ = ParseUntil(s) })
}
