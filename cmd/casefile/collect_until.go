package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
	"github.com/casefile-io/casefile/collector/capture"
)

// ringPlan is how captures end, and how much of them is kept.
type ringPlan struct {
	Until     []string `json:"until,omitempty"`
	After     string   `json:"after,omitempty"`
	RingBytes int64    `json:"ringBytes,omitempty"`

	until   []capture.Until
	after   time.Duration
	trigger *collector.Trigger // nil without Until
}

// maxRing bounds the rings of one run on one machine: an agent's volume holds
// 1 GiB.
const maxRing = 512 << 20

func recordingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "ring", Usage: "keep only the last `SIZE` of each capture: a flight recorder"},
		&cli.StringSliceFlag{Name: "until", Usage: "end the captures, all of them, when `TRIGGER` happens anywhere; may be repeated:\n   " + capture.UntilHelp},
		&cli.DurationFlag{Name: "after", Value: 5 * time.Second, Usage: "go on for `DURATION` after the trigger"},
	}
}

func recordingFrom(c *cli.Context) (r ringPlan, err error) {
	if s := c.String("ring"); s != "" {
		if r.RingBytes, err = parseSize(s); err != nil {
			return r, usagef("--ring: %v", err)
		}
		if r.RingBytes < 2<<20 || r.RingBytes > maxRing {
			return r, usagef("--ring is 2MiB to 512MiB, not %s", s)
		}
	}
	for _, s := range c.StringSlice("until") {
		u, err := capture.ParseUntil(s)
		if err != nil {
			return r, usagef("--until: %v", err)
		}
		r.Until, r.until = append(r.Until, s), append(r.until, u)
	}
	if len(r.Until) == 0 {
		if c.IsSet("after") {
			return r, usagef("--after counts from a trigger: say which with --until")
		}
		return r, nil
	}
	if r.after = c.Duration("after"); r.after < 0 || r.after > time.Hour {
		return r, usagef("--after is at most 1h, not %s", r.after)
	}
	r.After, r.trigger = r.after.String(), collector.NewTrigger()
	return r, nil
}

// check holds the rings of so many captures against what a machine has for
// them, and the time after the trigger against that after the longest wait.
func (r *ringPlan) check(captures int, left time.Duration) error {
	switch {
	case captures == 0 && (r.RingBytes > 0 || len(r.Until) > 0):
		return usagef("--ring and --until are about captures: say where with --capture")
	case r.RingBytes*int64(captures) > maxRing:
		return usagef("%d captures with a --ring of %s each are more than the 512MiB of all rings", captures, byteSize(r.RingBytes))
	case len(r.Until) > 0 && left <= r.after:
		return usagef("--after %s does not fit into the %s between --capture-duration and --timeout", r.after, left)
	}
	return nil
}

// spec gives a capture of this machine its end.
func (r *ringPlan) spec(s *capture.Spec) {
	s.Ring, s.Until, s.After, s.Trigger = r.RingBytes, r.until, r.after, r.trigger
}

// plan gives those of a node theirs.
func (r *ringPlan) plan(p *agent.Plan) {
	p.Until, p.AfterMS, p.Trigger = r.Until, r.after.Milliseconds(), r.trigger
	for i := range p.Captures {
		p.Captures[i].RingBytes = r.RingBytes
	}
}

// listen fires the trigger on a signal, if that is one, and says that and
// when one has fired.
func (r *ringPlan) listen(ctx context.Context, say func(string, ...any)) {
	if r.trigger == nil {
		return
	}
	for _, u := range r.until {
		if u.Signal() {
			onSignal(ctx, func() {
				r.trigger.Fire(collector.TriggerEvent{Trigger: u.String(), Detail: "SIGUSR1", Where: "casefile", Time: time.Now().UTC()})
			})
		}
	}
	go func() {
		select {
		case <-r.trigger.Fired():
			e, _ := r.trigger.Event()
			say("triggered by %q on %s at %s %s; captures end in %s", e.Trigger, e.Where, e.Time.Format(time.RFC3339Nano), e.Detail, r.after)
		case <-ctx.Done():
		}
	}()
}
