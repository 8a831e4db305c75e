package flow

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// read scans bytes with limits.
func read(t *testing.T, lim Limits, files ...[]byte) result {
	t.Helper()
	s := New(lim)
	for i, b := range files {
		if err := s.Read(t.Context(), Capture{Path: string(rune('a' + i)), Name: "n"}, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	return finish(s)
}

func (r result) lacks(t *testing.T, text string) {
	t.Helper()
	for _, m := range slices.Concat(r.Missing.Flows, r.Missing.DNS) {
		if strings.Contains(m.Reason, text) {
			return
		}
	}
	t.Errorf("nothing missing says %q: %v", text, r.Missing)
}

// TestBounds: what is over a bound is told, and what came before is there.
func TestBounds(t *testing.T) {
	data := synth(60_000, 100)
	whole := read(t, Limits{}, data)
	if len(whole.Missing.DNS) != 0 || len(whole.Flows) < 150 {
		t.Fatalf("%d flows, %v", len(whole.Flows), whole.Missing)
	}
	r := read(t, Limits{Rows: 50}, data)
	if r.lacks(t, "more than 50 flows"); len(r.Flows) != 50 {
		t.Errorf("%d flows", len(r.Flows))
	}
	var packets int64
	for _, f := range whole.Flows {
		packets += f.A.Packets + f.B.Packets
	}
	if packets != 60_000 {
		t.Errorf("%d packets in rows", packets)
	}
	cut := read(t, Limits{}, data[:len(data)/2+5])
	if cut.lacks(t, "cut off after packet"); len(cut.Flows) < 50 {
		t.Errorf("%d flows", len(cut.Flows))
	}
	damaged := bytes.Clone(data)
	binary.LittleEndian.PutUint32(damaged[60+144*1000+4:], 7)
	if r := read(t, Limits{}, damaged); len(r.Flows) < 50 {
		t.Errorf("%d flows", len(r.Flows))
	} else {
		r.lacks(t, "a block of 7 bytes after packet 1000")
	}
	read(t, Limits{}, []byte("PK\x03\x04 no capture")).lacks(t, "not a capture")
	read(t, Limits{}, nil).lacks(t, "not a capture")
}

// TestOneLeg: a device that carries every packet in and out again has two
// flows of each connection, and no retransmission; the packets are found on
// both ways, and one that does not go out again has vanished in between.
func TestOneLeg(t *testing.T) {
	data := synth(400, 1)
	const head, block = 60, 144
	out := segmentOf{id: 77, flags: flagACK, sport: 7}.block(bytes.Clone(data[:head]), 1.7e18-2e9)
	var dropped int
	for i := 0; i < 400; i++ {
		in := bytes.Clone(data[head+i*block : head+(i+1)*block])
		in[block-12] = 1 // flags: inbound
		again := bytes.Clone(in)
		again[block-12] = 2
		again[28+22]-- // TTL
		if out = append(out, in...); i == 200 || i == 300 {
			dropped++
			continue
		}
		out = append(out, again...)
	}
	r := read(t, Limits{}, segmentOf{id: 77, flags: flagACK, sport: 7}.block(out, 1.7e18+2e9))
	var again, lost int64
	for _, f := range r.Flows {
		again += f.A.Retransmissions + f.B.Retransmissions + f.A.OutOfOrder + f.B.OutOfOrder
		for _, v := range f.Vanished {
			if lost += v.Packets; v.At != "n n in" || v.Before != "n n out" {
				t.Errorf("%+v", v)
			}
		}
	}
	if again != 0 || lost != int64(dropped) {
		t.Errorf("%d sent again, %d vanished: %+v", again, lost, r.Flows)
	}
}

// TestQueryBounds: what is left out of the queries is not missing of the flows.
func TestQueryBounds(t *testing.T) {
	data := synthDNS(2000, 5)
	r := read(t, Limits{Queries: 10}, data)
	if r.lacks(t, "more than 10 DNS queries"); len(r.DNS) != 10 || len(r.Missing.Flows) != 0 {
		t.Errorf("%d queries, %v", len(r.DNS), r.Missing)
	}
	s := New(Limits{})
	s.texts = 26*30 + 7*28 // 26 names, and some answers
	if err := s.Read(t.Context(), Capture{}, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	r = finish(s)
	answers := 0
	for _, q := range r.DNS {
		if answers += len(q.Answers); q.Answer == 0 && q.Packet < 1900 {
			t.Errorf("no answer: %+v", q)
		}
	}
	if r.lacks(t, "the names and answers in DNS messages take more"); answers < 5 || answers > 20 || len(r.DNS) < 900 {
		t.Errorf("%d answers, %d queries", answers, len(r.DNS))
	}
}

// TestBlind: packets that are too many to be compared have not vanished.
func TestBlind(t *testing.T) {
	const head, block = 60, 144
	data := synth(400, 1)
	around := segmentOf{id: 77, flags: flagACK, sport: 7}
	var files [2][]byte
	for i := range files {
		b := around.block(bytes.Clone(data[:head]), 1.7e18-2e9)
		for at := head; at < len(data); at += block {
			packet := bytes.Clone(data[at : at+block])
			packet[28+22] -= byte(i) // TTL
			b = append(b, packet...)
		}
		files[i] = around.block(b, 1.7e18+2e9)
	}
	for _, lim := range []int{0, 450} {
		for _, f := range read(t, Limits{Prints: lim}, files[0], files[1]).Flows {
			if len(f.Vanished) > 0 {
				t.Errorf("of at most %d packets: %+v", lim, f.Vanished)
			}
		}
	}
}
