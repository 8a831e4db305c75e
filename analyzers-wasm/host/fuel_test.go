package host

import (
	"context"
	"slices"
	"testing"

	"github.com/casefile-io/casefile/sdk/abi"
)

// TestFuelSame: a module that counts, calls, fills memory, traps in the end or
// not, prints and reads random numbers uses the same fuel 100 times.
func TestFuelSame(t *testing.T) {
	const first = ownFunctions + 2
	s := spec{wasi: []string{"random_get"}, declare: declares("m"), print: `{"rule":"m/rule","outcome":"clear"}` + "\n", pages: 40, more: chain(first, 12)}
	work := cat(repeat(fill(100_000), 20), call(first+11), s.invoke("random_get", 0, 5000), repeat(cat(i32(1), opIf, i32(2), opDrop, opEnd), 300))
	s.analyze = work
	trap := s
	trap.declare, trap.analyze = declares("t"), cat(work, opUnreachable)
	out := s
	out.declare, out.analyze = declares("o", func(d *abi.Declaration) { d.Limits.Fuel = 5000 }), work
	o := cacheOptions(t)
	set := Load(context.Background(), []Module{{Name: "m", Wasm: s.bytes()}, {Name: "t", Wasm: trap.bytes()}, {Name: "o", Wasm: out.bytes()}}, o)
	defer set.Close()
	var want []int64
	for i := range 100 {
		var fuel []int64
		for _, r := range set.Run(context.Background(), o) {
			fuel = append(fuel, r.Result.Fuel)
		}
		if i == 0 {
			want = fuel
		}
		if !slices.Equal(fuel, want) {
			t.Fatalf("run %d: %d, was %d", i, fuel, want)
		}
	}
	if want[0] < 50_000 || want[1] < want[0] || want[2] != 5000 {
		t.Errorf("fuel %d", want)
	}
}
