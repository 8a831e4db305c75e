package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// ringBlock lays frames out as the kernel does.
func ringBlock(frames ...frame) []byte {
	native := binary.NativeEndian
	b := make([]byte, blockHeader)
	native.PutUint32(b[blockPackets:], uint32(len(frames)))
	native.PutUint32(b[blockFirst:], blockHeader)
	for _, f := range frames {
		const data = 80 // header and address, aligned
		h := make([]byte, data)
		native.PutUint32(h, uint32(data+(len(f.data)+7)/8*8))
		native.PutUint32(h[4:], uint32(f.nanos/1e9))
		native.PutUint32(h[8:], uint32(f.nanos%1e9))
		native.PutUint32(h[12:], uint32(len(f.data)))
		native.PutUint32(h[16:], f.orig)
		native.PutUint32(h[20:], f.status)
		native.PutUint16(h[24:], data)
		native.PutUint32(h[32:], f.tci)
		native.PutUint16(h[36:], f.tpid)
		native.PutUint32(h[frameHeader+4:], uint32(f.ifindex))
		native.PutUint16(h[frameHeader+8:], f.hatype)
		h[frameHeader+10] = f.pkttype
		b = append(b, h...)
		b = append(b, f.data...)
		b = append(b, make([]byte, (8-len(f.data)%8)%8)...)
	}
	return b
}

func ether(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func noName(int) string { return "late0" }

func TestFile(t *testing.T) {
	var w bytes.Buffer
	s := Spec{Filter: "ip", Snaplen: 96, names: map[string]string{"10.0.0.2": "shop/web-0", "fd00::1": "shop/db", "nonsense": "x"}}
	f := newFile(s, &w, []Interface{{Name: "lo", Index: 1, HardwareType: 772}, {Name: "ib0", Index: 2, HardwareType: 32}, {Name: "eth0", Index: 3, HardwareType: 1}}, noName)
	err := eachFrame(ringBlock(
		frame{nanos: 2e9 + 7, data: ether(60), orig: 1500, ifindex: 3, hatype: 1, pkttype: packetHost},
		frame{nanos: 2e9 + 8, data: ether(60), orig: 60, ifindex: 3, hatype: 1, pkttype: packetOutgoing, status: statusVLAN | statusVLANTPID, tci: 0x2064, tpid: 0x88a8},
		frame{nanos: 2e9 + 9, data: ether(96), orig: 96, ifindex: 3, hatype: 1, pkttype: packetBroadcast, status: statusVLAN, tci: 5},
		frame{nanos: 2e9 + 1, data: ether(40), orig: 40, ifindex: 9, hatype: 65534, pkttype: packetMulticast},
		frame{nanos: 2e9 + 2, data: ether(40), orig: 40, ifindex: 2, hatype: 32, pkttype: packetHost},
		frame{nanos: 2e9 + 3, data: ether(20), orig: 20, ifindex: 1, hatype: 772, pkttype: packetOtherHost},
	), f.write)
	if err != nil {
		t.Fatal(err)
	}
	f.stats.Dropped = 4
	st, err := f.close(time.Unix(3, 0))
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePcapng(w.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	type iface struct {
		link uint16
		name string
	}
	var ifaces []iface
	for _, i := range p.ifaces {
		ifaces = append(ifaces, iface{i.link, string(i.opts[optIfName])})
		if i.snaplen != 96 || string(i.opts[optIfFilter]) != "\x00ip" || i.opts[optIfTsresol][0] != 9 {
			t.Errorf("interface %+v", i)
		}
	}
	if want := []iface{{1, "lo"}, {1, "eth0"}, {101, "late0"}}; fmt.Sprint(ifaces) != fmt.Sprint(want) {
		t.Errorf("interfaces %v, want %v", ifaces, want)
	}
	tagged := append(append(ether(12), 0x88, 0xa8, 0x20, 0x64), ether(60)[12:]...)
	cut := append(append(ether(12), 0x81, 0, 0, 5), ether(96)[12:]...)[:96]
	want := []parsedPacket{
		{1, 1500, 1 | 1<<2, 2e9 + 7, ether(60)}, {1, 64, 2, 2e9 + 8, tagged}, {1, 100, 1 | 3<<2, 2e9 + 9, cut},
		{2, 40, 1 | 2<<2, 2e9 + 1, ether(40)}, {0, 20, 1 | 4<<2, 2e9 + 3, ether(20)},
	}
	if fmt.Sprint(p.packets) != fmt.Sprint(want) {
		t.Errorf("packets\n%v\nwant\n%v", p.packets, want)
	}
	if fmt.Sprint(p.names) != "map[10.0.0.2:shop/web-0 fd00::1:shop/db]" {
		t.Errorf("names %v", p.names)
	}
	if s := p.stats[0]; s.received != 5 || s.dropped != 4 || s.comment == "" {
		t.Errorf("statistics of the first interface %+v", s)
	}
	if s := p.stats[1]; s.received != 3 || s.dropped != 0 || s.comment != "" {
		t.Errorf("statistics of the second interface %+v", s)
	}
	if st.Packets != 5 || st.FirstPacket.UnixNano() != 2e9+1 || st.LastPacket.UnixNano() != 2e9+9 || st.Bytes != int64(w.Len()) {
		t.Errorf("stats %+v", st)
	}
	if i := st.Interfaces; len(i) != 4 || i[1].LinkType != "unsupported" || i[1].Packets != 0 || i[2].Packets != 3 || i[3].LinkType != "raw" {
		t.Errorf("interfaces %+v", i)
	}
}

func TestFileSize(t *testing.T) {
	var w bytes.Buffer
	f := newFile(Spec{MaxBytes: 2000}, &w, []Interface{{Name: "eth0", Index: 3, HardwareType: 1}}, noName)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = f.write(&frame{data: ether(60), orig: 60, ifindex: 3, hatype: 1})
	}
	if !errors.Is(err, errFull) {
		t.Fatalf("%d packets went in: %v", n, err)
	}
	if _, err := f.close(time.Now()); err != nil {
		t.Fatal(err)
	}
	p, err := parsePcapng(w.Bytes())
	if err != nil || len(p.packets) != n-1 || w.Len() > 2000 || w.Len() < 1700 {
		t.Errorf("%d bytes with %d packets: %v", w.Len(), len(p.packets), err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write(p []byte) (int, error) { return len(p) / 2, errors.New("disk full") }

func TestFileWriteError(t *testing.T) {
	f := newFile(Spec{}, brokenWriter{}, nil, noName)
	if _, err := f.close(time.Now()); err == nil {
		t.Error("a failed write is no error")
	}
}

func FuzzRingBlock(f *testing.F) {
	f.Add(ringBlock())
	f.Add(ringBlock(frame{data: ether(60), orig: 60, ifindex: 3, hatype: 1, status: statusVLAN}, frame{data: ether(9), ifindex: 4, hatype: 65534}))
	f.Fuzz(func(t *testing.T, block []byte) {
		var w bytes.Buffer
		out := newFile(Spec{Snaplen: 64, MaxBytes: 1 << 20}, &w, nil, noName)
		if err := eachFrame(block, out.write); err != nil && !errors.Is(err, errRing) && !errors.Is(err, errFull) {
			t.Fatal(err)
		}
		if _, err := out.close(time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := parsePcapng(w.Bytes()); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkFile is the cost of a packet between ring and writer.
func BenchmarkFile(b *testing.B) {
	var frames []frame
	for range 4000 {
		frames = append(frames, frame{nanos: 1, data: ether(100), orig: 100, ifindex: 3, hatype: 1})
	}
	block := ringBlock(frames...)
	f := newFile(Spec{Snaplen: 128}, io.Discard, []Interface{{Name: "eth0", Index: 3, HardwareType: 1}}, noName)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		if err := eachFrame(block, f.write); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(frames)), "ns/pkt")
}
