package node

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"net/netip"
	"testing"
)

// bigAttr writes an attribute of the kernel's conntrack messages.
func bigAttr(typ uint16, v ...byte) []byte {
	b := make([]byte, 4, 4+align4(len(v)))
	binary.NativeEndian.PutUint16(b, uint16(4+len(v)))
	binary.NativeEndian.PutUint16(b[2:], typ)
	b = append(b, v...)
	return append(b, make([]byte, align4(len(b))-len(b))...)
}

func nest(typ uint16, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return bigAttr(typ|0x8000, all...)
}

func be(n uint64, size int) []byte {
	return binary.BigEndian.AppendUint64(nil, n)[8-size:]
}

// tupleAttr is CTA_TUPLE_ORIG or CTA_TUPLE_REPLY.
func tupleAttr(typ uint16, proto uint8, src, dst netip.AddrPort) []byte {
	at := uint16(1)
	if src.Addr().Is6() {
		at = 3
	}
	return nest(typ, nest(1, bigAttr(at, src.Addr().AsSlice()...), bigAttr(at+1, dst.Addr().AsSlice()...)),
		nest(2, bigAttr(1, proto), bigAttr(2, be(uint64(src.Port()), 2)...), bigAttr(3, be(uint64(dst.Port()), 2)...)))
}

func ctMessage(attrs ...[]byte) []byte {
	b := []byte{familyINET, 0, 0, 0}
	for _, a := range attrs {
		b = append(b, a...)
	}
	return b
}

func FuzzConntrack(f *testing.F) {
	src, dst := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.96.0.1:443")
	f.Add(ctMessage(tupleAttr(ctTupleOrig, protoTCP, src, dst), tupleAttr(ctTupleReply, protoTCP, netip.MustParseAddrPort("10.0.0.9:6443"), src),
		bigAttr(ctStatus, be(0x1ae, 4)...), nest(ctProtoInfo, nest(1, bigAttr(1, 3), bigAttr(4, 9, 0))), bigAttr(ctTimeout, be(86400, 4)...),
		nest(ctCountersOrig, bigAttr(1, be(9, 8)...), bigAttr(2, be(900, 8)...)), bigAttr(ctZone, 0, 7), bigAttr(ctLabels, make([]byte, 16)...)))
	f.Add(ctMessage(tupleAttr(ctTupleOrig, 58, netip.MustParseAddrPort("[fd00::1]:1"), netip.MustParseAddrPort("[fd00::2]:2"))))
	f.Add([]byte{2, 0, 0, 1, 8, 0, 4, 0, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, c := newCTParser(), newCTCounts()
		if err := p.parse(raw); err == nil {
			if text := p.row.appendJSON(nil); !json.Valid(text) {
				t.Fatalf("%s", text)
			}
			c.add(&p.entry, p.row.Zone)
			var s ctSummary
			c.fill(&s, p)
			if _, err := json.Marshal(s); err != nil {
				t.Fatal(err)
			}
			p.entry.orig.hash(1)
		}
		for _, global := range []bool{false, true} {
			if r, err := parseCTStats(raw, global); err == nil && global == (r.Entries == nil) {
				t.Fatalf("%+v", r)
			}
		}
		if r, err := parseExpect(raw); err == nil {
			if _, err := json.Marshal(r); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzUnixAndPacketDiag(f *testing.F) {
	f.Add(append([]byte{familyUNIX, 1, 10, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, bigAttr(0, []byte("\x00abstract")...)...))
	f.Add(append([]byte{familyPacket, 3, 3, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, bigAttr(2, make([]byte, 28)...)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, err := parseUnixDiag(raw); err == nil && !json.Valid(r.appendJSON(nil)) {
			t.Fatalf("%+v", r)
		}
		if r, err := parsePacketDiag(raw); err == nil && r.Type == "" {
			t.Fatalf("%+v", r)
		}
	})
}

func FuzzProcSocket(f *testing.F) {
	f.Add([]byte("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0"), uint8(6))
	f.Add([]byte("  97: B80D01200000000067452301EFCDAB89:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 22 2 0000000000000000 5"), uint8(17))
	f.Fuzz(func(t *testing.T, line []byte, proto uint8) {
		if r, err := parseProcSocket(line, proto); err == nil && (!r.Src.IsValid() || !json.Valid(r.appendJSON(nil))) {
			t.Fatalf("%+v", r)
		}
	})
}

func TestProcSocketAddresses(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the sample is of a little-endian machine")
	}
	r, err := parseProcSocket([]byte(" 5: B80D01200000000067452301EFCDAB89:0035 0100007F:1F90 01 00000003:00000002 02:000000FF 00000004 101 0 22 2 0 0"), protoTCP)
	if err != nil {
		t.Fatal(err)
	}
	want := socketRow{Family: "inet6", Proto: "tcp", State: "ESTAB", Src: netip.MustParseAddr("2001:db8::123:4567:89ab:cdef"), Sport: 53,
		Dst: netip.MustParseAddr("127.0.0.1"), Dport: 8080, Wqueue: 3, Rqueue: 2, Timer: "keepalive", Retransmits: 4, UID: 101, Inode: 22}
	if *r != want {
		t.Errorf("%+v, want %+v", *r, want)
	}
}

// Each entry has the same chance, whatever order and kind the table has, and
// the same ones are kept every time.
func TestSampleIsFair(t *testing.T) {
	const count, most = 200_000, 20_000
	s := newCTSampler(most, count)
	tuple := func(i int) ctTuple {
		return ctTuple{src: netip.AddrFrom4([4]byte{10, 0, byte(i >> 16), byte(i >> 8)}), dst: netip.AddrFrom4([4]byte{10, 96, 0, byte(i % 7)}),
			sport: uint16(32768 + i%256), dport: uint16(80 + i%3), proto: []uint8{protoTCP, protoUDP}[i%2]}
	}
	kept := 0
	var bySlice [20]float64 // of the order in the table
	var byService [7]float64
	for i := range count {
		if u := tuple(i); s.keeps(&u) {
			kept++
			bySlice[i*20/count]++
			byService[i%7]++
		}
	}
	if deviation := math.Abs(float64(kept) - most); deviation > 5*math.Sqrt(most) {
		t.Errorf("%d of %d kept", kept, most)
	}
	// chi squared, at a chance of one in a million
	for name, v := range map[string]struct {
		got   []float64
		limit float64
	}{"slices of the table": {bySlice[:], 69}, "services": {byService[:], 38}} {
		chi, want := 0.0, float64(kept)/float64(len(v.got))
		for _, n := range v.got {
			chi += (n - want) * (n - want) / want
		}
		if chi > v.limit {
			t.Errorf("%s: chi squared %.1f, kept %v", name, chi, v.got)
		}
	}
	again := newCTSampler(most, count)
	for i := range count {
		if u := tuple(i); s.keeps(&u) != again.keeps(&u) {
			t.Fatal("another sample")
		}
	}
	if all := newCTSampler(most, most); all.fraction() != 1 {
		t.Error("a table that fits is sampled")
	}
}

func TestFrequent(t *testing.T) {
	f := newFrequent()
	key := func(i int) flowKey {
		return flowKey{dst: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
	}
	const heavy, each, once = 5, 2000, 100_000
	for i := range once { // heavy ones come between the many that come once
		f.add(key(1000 + i))
		if i%(once/each) == 0 {
			for h := range heavy {
				f.add(key(h))
			}
		}
	}
	l := f.list()
	if l.Error == 0 || l.Error > (once+heavy*each)/frequentKeys || len(f.n) > frequentKeys || len(l.Top) != topRows {
		t.Fatalf("error %d, %d keys", l.Error, len(f.n))
	}
	for i, r := range l.Top[:heavy] {
		if r.N > each || r.N+l.Error < each || r.Dst != key(i).dst && r.N != l.Top[0].N {
			t.Errorf("%d: %+v, error %d", i, r, l.Error)
		}
	}
	exact := newFrequent()
	for i := range 100 {
		for range i {
			exact.add(key(i))
		}
	}
	if l := exact.list(); l.Error != 0 || l.Top[0].N != 99 || l.Top[0].Dst != key(99).dst {
		t.Errorf("%+v", l)
	}
}
