package flow

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSortHigh(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	keys := make([]uint64, 5000)
	for i := range keys {
		keys[i] = chance.Uint64()>>(i%40)&^(1<<indexBits-1) | uint64(i)
	}
	want := slices.Clone(keys)
	slices.Sort(want)
	if sortHigh(keys); !slices.Equal(keys, want) {
		t.Error("not in order")
	}
}

// TestCovered: a segment is there when its bytes are, one by one, however they
// were cut; also across the end of the sequence numbers.
func TestCovered(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	hits := 0
	for range 2000 {
		base := ^uint32(0) - uint32(chance.IntN(100))
		seen := map[[2]uint32]bool{}
		var segments []*footprint
		for range 1 + chance.IntN(12) {
			p := &footprint{seq: base + uint32(chance.IntN(100)), length: uint32(1 + chance.IntN(20)), tsval: uint32(chance.IntN(2))}
			segments = append(segments, p)
			for i := range p.length {
				seen[[2]uint32{p.tsval, p.seq + i}] = true
			}
		}
		p := &footprint{seq: base + uint32(chance.IntN(100)), length: uint32(1 + chance.IntN(30)), tsval: uint32(chance.IntN(2))}
		want := true
		for i := range p.length {
			want = want && seen[[2]uint32{p.tsval, p.seq + i}]
		}
		if got := covered(spansOf(segments, segments[0].seq), p, segments[0].seq); got != want {
			t.Fatalf("%+v: %v", p, got)
		}
		if want {
			hits++
		}
	}
	if hits < 50 {
		t.Errorf("only %d segments were there", hits)
	}
}
