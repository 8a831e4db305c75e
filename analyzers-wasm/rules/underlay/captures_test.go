package underlay

import (
	"testing"

	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
)

// TestTake: a connection that several devices saw counts once, as the one that
// saw most did, and connections that use the same ports one after the other
// count together.
func TestTake(t *testing.T) {
	r := &reading{capture{source: source{path: "x"}}, map[direction]*sent{}}
	for _, row := range []struct {
		first, last     float64
		segments, again int64
	}{
		{1, 9, 48, 1}, {1.1, 9.5, 50, 2}, {1.2, 9.4, 49, 9}, // at three devices
		{9.6, 20, 10, 1}, {9.7, 20.1, 7, 7},
		{30, 31, 5, 0},
	} {
		e := abi.End{Segments: row.segments, Retransmissions: row.again, Retransmitted: []int{int(row.first * 10)}}
		r.take(&sdk.Flow{Proto: "tcp", First: row.first, Last: row.last}, direction{"a", "b"}, "a", &e)
	}
	var c captures
	c.end(r)
	if got := c.files[0]; got.segments != 65 || got.again != 3 || len(got.worst) != 2 || got.worst[0].packets[0] != 11 {
		t.Errorf("%+v", got)
	}
}
