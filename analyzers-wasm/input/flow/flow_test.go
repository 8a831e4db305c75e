package flow

import (
	"bytes"
	"encoding/binary"
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
	for _, m := range r.Missing {
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
	if len(whole.Missing) != 0 || len(whole.Flows) < 150 {
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
	read(t, Limits{Prints: 100}, data, data).lacks(t, "only 100 packets were compared")
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
