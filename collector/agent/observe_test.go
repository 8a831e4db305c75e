package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// observing is an Output that keeps what it is shown.
func observing() (*collector.Output, func() []collector.Observation) {
	var mu sync.Mutex
	var seen []collector.Observation
	out := collector.NewOutput(&memSink{}, collector.Options{Observed: func(o collector.Observation) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, o)
	}})
	return out, func() []collector.Observation {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

func probing(kinds ...string) Plan {
	p := testPlan()
	for _, k := range kinds {
		p.Probes = append(p.Probes, Probe{Kind: k, From: "node/n1"})
	}
	return p
}

// TestClock holds the exchange of times over a stream to what one clock says
// of itself: no offset beyond the bound.
func TestClock(t *testing.T) {
	cli, srv := net.Pipe()
	go func() {
		_ = Serve(t.Context(), srv, srv, Hello{}, func(context.Context, Plan, Session) (End, error) {
			time.Sleep(4 * clockEvery)
			return End{}, nil
		})
	}()
	out, seen := observing()
	if _, err := Converse(t.Context(), cli, probing("clock"), out); err != nil {
		t.Fatal(err)
	}
	if len(seen()) != 1 || seen()[0].Kind != "clock" {
		t.Fatalf("observed %+v", seen())
	}
	var row ClockRow
	if err := json.Unmarshal(seen()[0].Row, &row); err != nil {
		t.Fatal(err)
	}
	if row.Node != "n1" || row.Exchanges < 1 || row.RTTNanos <= 0 || max(row.OffsetNanos, -row.OffsetNanos) > row.BoundNanos {
		t.Errorf("%+v", row)
	}
	if r := out.Results(); len(r) != 1 || r[0].Source != "probe/clock/node/n1" || r[0].Status != collector.StatusOK {
		t.Errorf("results %+v", r)
	}
}

// TestClockArithmetic tells an agent's clock that is ahead, with a way there
// that is as long as the way back.
func TestClockArithmetic(t *testing.T) {
	c := clockOf(probing("clock"))
	for _, way := range []time.Duration{40 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		var q times
		if err := json.Unmarshal(c.ask(), &q); err != nil {
			t.Fatal(err)
		}
		q.Sent = time.Now().Add(-2 * way).UnixNano()
		c.sent[q.N] = q.Sent
		q.Received = q.Sent + int64(way+time.Hour)
		q.Replied = q.Received
		b, _ := json.Marshal(q)
		c.heard(b)
		c.heard(b) // once more: counts once
		c.heard([]byte(`{"n":99}`))
		c.heard([]byte(`{"n":-1}`))
	}
	out, seen := observing()
	c.report(out)
	var row ClockRow
	if err := json.Unmarshal(seen()[0].Row, &row); err != nil {
		t.Fatal(err)
	}
	if row.Exchanges != 3 || row.OffsetNanos < int64(time.Hour)-row.BoundNanos || row.OffsetNanos > int64(time.Hour)+row.BoundNanos {
		t.Errorf("%+v", row)
	}
	mute, _ := observing()
	clockOf(probing("clock")).report(mute)
	if r := mute.Results(); len(r) != 1 || r[0].Status != collector.StatusFailed {
		t.Errorf("an agent that tells no time: %+v", r)
	}
}

func TestHostileObservations(t *testing.T) {
	row := func(kind, node string) rec {
		return rec{KindObserved, collector.Observation{Kind: kind, Row: json.RawMessage(fmt.Sprintf(`{"node":%q}`, node))}}
	}
	recs := []rec{hello, row("tcp", "n1"), row("tcp", "n2"), row("../x", "n1"), row("clock", "n1"), row("action", "n1"),
		{KindObserved, []byte("{")}, {KindObserved, collector.Observation{Kind: "dns", Row: json.RawMessage(`["n1"]`)}},
		{KindObserved, []byte(`{"kind":"dns","row":{"node":"n1","x":"` + strings.Repeat("x", maxJSON) + `"}}`)},
		{KindTime, []byte(`{"n":0}`)}, {KindEnd, End{}}}
	for _, c := range []struct {
		plan Plan
		want string
	}{{probing("tcp"), "tcp action"}, {testPlan(), ""}} {
		cli, srv := net.Pipe()
		go func() {
			for {
				if _, _, err := ReadRecord(srv); err != nil {
					return
				}
			}
		}()
		go func() { _, _ = srv.Write(stream(recs...)) }()
		out, seen := observing()
		if _, err := Converse(t.Context(), cli, c.plan, out); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range seen() {
			got = append(got, o.Kind)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("observed %q, want %q", got, c.want)
		}
	}
}
