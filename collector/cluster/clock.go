package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

// Of the API server's clock, which its Date header tells in whole seconds: asked
// at several points of a second, they leave a fraction of one.
const (
	clockAsks  = 8
	clockEvery = 130 * time.Millisecond
)

// Clock returns the collector that compares this machine's clock with the API
// server's.
func (c *Cluster) Clock() collector.Collector { return apiClock{c} }

type apiClock struct{ c *Cluster }

func (apiClock) Name() string { return "probe/clock/api-server" }

func (a apiClock) Collect(ctx context.Context, out *collector.Output) error {
	var w window
	for range clockAsks {
		sent := time.Now()
		resp, err := a.c.client.get(ctx, "/version", nil, acceptJSON, maxOneBytes)
		if err != nil {
			return fmt.Errorf("ask the API server for the time: %w", err)
		}
		w.add(sent, time.Now(), resp.date)
		select {
		case <-time.After(clockEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	row, err := w.row()
	if err != nil {
		return err
	}
	out.Observe("clock", row)
	out.Record(collector.Result{Source: a.Name(), Path: "probes/clock.ndjson", Status: collector.StatusOK})
	return nil
}

// window is what the answers so far leave of the offset.
type window struct {
	low, high time.Duration
	rtt       time.Duration
	answers   int
}

// add takes an answer: when it was made, the server's clock was in the second
// that begins at date.
func (w *window) add(sent, received, date time.Time) {
	if date.IsZero() {
		return
	}
	sent, received = sent.Round(0), received.Round(0) // by the clock on the wall
	low, high := date.Sub(received), date.Add(time.Second).Sub(sent)
	if w.answers == 0 {
		w.low, w.high, w.rtt = low, high, received.Sub(sent)
	}
	w.low, w.high, w.rtt = max(w.low, low), min(w.high, high), min(w.rtt, received.Sub(sent))
	w.answers++
}

func (w *window) row() (agent.ClockRow, error) {
	switch {
	case w.answers == 0:
		return agent.ClockRow{}, errors.New("the API server tells no time")
	case w.low > w.high:
		return agent.ClockRow{}, errors.New("the API server's answers do not fit one clock; several servers behind one address?")
	}
	return agent.ClockRow{Time: time.Now().UTC(), Peer: "api-server", Method: "http-date", OffsetNanos: int64((w.low + w.high) / 2),
		BoundNanos: int64((w.high - w.low + 1) / 2), RTTNanos: int64(w.rtt), Exchanges: w.answers, Asked: clockAsks}, nil
}
