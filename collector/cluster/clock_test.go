package cluster

import (
	"testing"
	"time"
)

// TestWindow narrows whole seconds down: a server that is 3.25 s ahead, asked
// at several points of a second.
func TestWindow(t *testing.T) {
	var w window
	base := time.Unix(1_800_000_000, 0)
	const ahead = 3250 * time.Millisecond
	for i := range clockAsks {
		sent := base.Add(time.Duration(i) * 137 * time.Millisecond)
		w.add(sent, sent.Add(4*time.Millisecond), sent.Add(2*time.Millisecond+ahead).Truncate(time.Second))
	}
	w.add(base, base, time.Time{}) // no Date
	r, err := w.row()
	off := time.Duration(r.OffsetNanos) - ahead
	if err != nil || max(off, -off) > time.Duration(r.BoundNanos) || r.BoundNanos > int64(100*time.Millisecond) || r.Exchanges != clockAsks {
		t.Errorf("%+v %v", r, err)
	}
	w.add(base, base, base.Add(time.Hour))
	if _, err := w.row(); err == nil {
		t.Error("two clocks are taken for one")
	}
	if _, err := new(window).row(); err == nil {
		t.Error("no answer is taken for one")
	}
}
