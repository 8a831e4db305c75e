package flow

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/casefile-io/casefile/sdk/abi"
)

// small are limits that a fuzzer reaches.
func small() Limits { return Limits{Rows: 40, Queries: 20, Prints: 200} }

// result is all that a scanner gives.
type result struct {
	Flows   []Row
	DNS     []abi.DNS
	Missing Lacks
}

func finish(s *Scanner) (r result) {
	r.Missing = s.Finish(func(row *Row) { r.Flows = append(r.Flows, *row) }, func(q *abi.DNS) { r.DNS = append(r.DNS, *q) })
	return r
}

// scanBytes reads files twice and holds what any input must keep to.
func scanBytes(t *testing.T, files ...[]byte) {
	t.Helper()
	var texts [2]string
	for i := range texts {
		s := New(small())
		for _, b := range files {
			if err := s.Read(context.Background(), Capture{Path: "x", Name: "n"}, bytes.NewReader(b)); err != nil {
				t.Fatal(err)
			}
		}
		r := finish(s)
		if len(r.Flows) > 40 || len(r.DNS) > 20 {
			t.Fatalf("%d flows, %d queries", len(r.Flows), len(r.DNS))
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	if texts[0] != texts[1] {
		t.Fatalf("two runs differ:\n%s\n%s", texts[0], texts[1])
	}
}

// pcapOf wraps packets, which stand one after the other with their lengths.
func pcapOf(link uint32, packets []byte) []byte {
	le := binary.LittleEndian
	b := append(le.AppendUint32(nil, pcapNanos), 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0)
	b = le.AppendUint32(b, link)
	for n := uint32(0); len(packets) >= 2; n++ {
		size := min(int(le.Uint16(packets)), len(packets)-2)
		b = le.AppendUint32(le.AppendUint32(b, n), n*1000)
		b = le.AppendUint32(le.AppendUint32(b, uint32(size)), uint32(size)+n%3)
		b = append(b, packets[2:2+size]...)
		packets = packets[2+size:]
	}
	return b
}

func FuzzReader(f *testing.F) {
	f.Add(synth(5, 1))
	f.Add(pcapOf(linkEthernet, append([]byte{60, 0}, make([]byte, 60)...)))
	big := pcapOf(linkRaw, append([]byte{3, 0}, 1, 2, 3))
	for i := 0; i+4 <= 24; i += 4 {
		big[i], big[i+1], big[i+2], big[i+3] = big[i+3], big[i+2], big[i+1], big[i]
	}
	f.Add(big)
	f.Fuzz(func(t *testing.T, b []byte) { scanBytes(t, b) })
}

// FuzzPackets reads packets of any kind at two places.
func FuzzPackets(f *testing.F) {
	whole := synth(40, 2)
	var packets []byte
	for b := whole[60:]; len(b) > 0; b = b[144:] {
		packets = append(append(packets, 100, 0), b[28:128]...)
	}
	f.Add(uint16(linkEthernet), packets, uint8(0))
	f.Add(uint16(linkSLL2), packets, uint8(3))
	f.Add(uint16(linkRaw), append([]byte{40, 0, 0x60, 0, 0, 0, 0, 0, 44, 64}, make([]byte, 32)...), uint8(1))
	f.Fuzz(func(t *testing.T, link uint16, b []byte, skip uint8) {
		scanBytes(t, pcapOf(uint32(link), b), pcapOf(uint32(link), b[min(int(skip)*102, len(b)):]))
	})
}

// FuzzTLS cuts records into segments at any place.
func FuzzTLS(f *testing.F) {
	hello := helloOf("shop.example")
	f.Add(hello, uint8(200))
	f.Add(append(hello, 21, 3, 3, 0, 2, 2, 40), uint8(20))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		name, _ := serverName(b)
		if len(name) > maxName {
			t.Fatalf("a name of %d bytes", len(name))
		}
		s := New(small())
		tr := newTracker(s, nil, nil)
		x := &flow{}
		seq := uint32(1<<32 - 5)
		for i := 0; i < len(b); {
			n := min(1+int(cut), len(b)-i)
			tr.tls(x, 0, &headers{seq: seq, payload: b[i : i+n], length: n})
			seq, i = seq+uint32(n), i+n
		}
		if x.extra != nil {
			tr.closeTLS(x.extra)
		}
		if tr.buffers != bufferRoom {
			t.Fatalf("room for %d bytes is left of %d", tr.buffers, bufferRoom)
		}
	})
}

func FuzzDNS(f *testing.F) {
	f.Add([]byte("\x00\x07\x81\x03\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01"))
	f.Add([]byte("\x00\x07\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x04\x01y\xc0\x0c\xc0\x1f\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		if m.parse(b) == nil {
			answers := m.answers()
			if len(answers) > maxAnswers || len(m.name) > 4*maxEscaped {
				t.Fatalf("%d answers, a name of %d bytes", len(answers), len(m.name))
			}
			for _, a := range answers {
				if len(a) > 5*maxEscaped {
					t.Fatalf("an answer of %d bytes", len(a))
				}
			}
		}
		stream := append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
		tr := newTracker(New(small()), nil, nil)
		x := &flow{}
		for i := 0; i < len(stream); i += 7 {
			n := min(7, len(stream)-i)
			tr.dnsSegment(x, 0, &headers{seq: uint32(i), payload: stream[i : i+n], length: n}, &packet{number: i + 1})
		}
		if tr.end(x); tr.buffers != bufferRoom {
			t.Fatalf("room for %d bytes is left of %d", tr.buffers, bufferRoom)
		}
	})
}
