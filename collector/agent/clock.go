package agent

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// Of the exchange of times.
const (
	clockAsks  = 16
	clockEvery = 150 * time.Millisecond
)

// times is the payload of a T record: nanoseconds since 1970 by the CLI's
// clock (Sent) and by the agent's.
type times struct {
	N        int   `json:"n"`
	Sent     int64 `json:"sent"`
	Received int64 `json:"received,omitempty"`
	Replied  int64 `json:"replied,omitempty"`
}

// ClockRow is a row of probes/clock.ndjson: how far the clock of a node is
// ahead of the command line's. The truth lies within OffsetNanos ± BoundNanos.
type ClockRow struct {
	Time        time.Time `json:"time"`
	Node        string    `json:"node,omitempty"`
	Peer        string    `json:"peer"`   // "node" or "api-server"
	Method      string    `json:"method"` // "stream": four times over the agent's stream; "http-date": whole seconds
	OffsetNanos int64     `json:"offsetNanos"`
	BoundNanos  int64     `json:"boundNanos"`
	RTTNanos    int64     `json:"rttNanos"`
	Exchanges   int       `json:"exchanges"` // answered
	Asked       int       `json:"asked"`
}

// clock is the command line's side of the exchange of times.
type clock struct {
	node string

	mu      sync.Mutex
	sent    []int64
	best    ClockRow
	answers int
}

// clockOf returns nil unless the plan asks for the clock.
func clockOf(p Plan) *clock {
	for _, probe := range p.Probes {
		if probe.Kind == "clock" {
			return &clock{node: p.Node}
		}
	}
	return nil
}

func (c *clock) ticker() (<-chan time.Time, func()) {
	if c == nil {
		return nil, func() {}
	}
	t := time.NewTicker(clockEvery)
	return t.C, t.Stop
}

// ask is the next question; nil when there were enough.
func (c *clock) ask() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sent) == clockAsks {
		return nil
	}
	now := time.Now().UnixNano()
	c.sent = append(c.sent, now)
	b, err := json.Marshal(times{N: len(c.sent) - 1, Sent: now})
	if err != nil {
		return nil
	}
	return b
}

// heard takes an answer; those that make no sense are of no use.
func (c *clock) heard(payload []byte) {
	now := time.Now()
	var t times
	if len(payload) > maxJSON || json.Unmarshal(payload, &t) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.N < 0 || t.N >= len(c.sent) || c.sent[t.N] == 0 {
		return
	}
	sent := c.sent[t.N]
	c.sent[t.N] = 0
	there, back := t.Received-sent, now.UnixNano()-t.Replied
	rtt := there + back
	if t.Replied < t.Received || rtt < 0 {
		return
	}
	c.answers++
	if c.answers == 1 || rtt < c.best.RTTNanos {
		c.best = ClockRow{Time: now.UTC(), Node: c.node, Peer: "node", Method: "stream", OffsetNanos: (there - back) / 2, BoundNanos: (rtt + 1) / 2, RTTNanos: rtt}
	}
}

// report hands on what came of it.
func (c *clock) report(out *collector.Output) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	source := Probe{Kind: "clock", From: "node/" + c.node}.Source()
	if c.answers == 0 {
		out.Record(collector.Result{Source: source, Status: collector.StatusFailed, Reason: "the agent told no time"})
		return
	}
	c.best.Exchanges, c.best.Asked = c.answers, len(c.sent)
	out.Observe("clock", c.best)
	out.Record(collector.Result{Source: source, Path: "probes/clock.ndjson", Status: collector.StatusOK})
}

// time answers a T record.
func (s *session) time(payload []byte) {
	received := time.Now().UnixNano()
	var t times
	if json.Unmarshal(payload, &t) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Received, t.Replied = received, time.Now().UnixNano()
	if b, err := json.Marshal(t); err == nil && !s.ended {
		_ = s.locked(KindTime, b)
	}
}
