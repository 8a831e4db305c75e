package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// Timing of a conversation.
const (
	keepaliveEvery = 5 * time.Second
	silenceLimit   = 3 * time.Minute  // without a record the peer is taken for dead
	cancelGrace    = 2 * time.Second  // from the cancel record to the closing of the connection
	timeoutSlack   = 30 * time.Second // beyond the plan's own timeout, for the agent to end by itself
)

// Dialer opens the connection to the agent of a node.
type Dialer interface {
	Dial(ctx context.Context, node string) (io.ReadWriteCloser, error)
}

// Converse is the command line's side of the conversation with one agent: it
// sends the plan, keeps the agent alive, and routes what comes back to out. It
// closes conn in the end.
//
// The agent is not trusted. Its results are filed under its own node or the
// captures of its plan, its paths must lie below plan.Prefixes, and floods are
// capped. Its results are recorded when the conversation is over, since what
// it says it sent is only true once its frames were accepted: results that
// claim success become partial when the stream broke and failed when the
// frames were refused.
//
// The error is not recorded, that is the caller's part: [ErrIncomplete] when
// the end record is missing, [ErrAgent] when the agent says that it failed,
// [ErrProtocol] when it breaks the protocol, the error of out.Frames when its
// frames are refused, and the context's error after a cancel.
func Converse(ctx context.Context, conn io.ReadWriteCloser, plan Plan, out *collector.Output) (End, error) {
	plan.Version = Version
	payload, err := json.Marshal(plan)
	if err != nil {
		conn.Close()
		return End{}, err
	}
	if plan.TimeoutMS > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(plan.TimeoutMS)*time.Millisecond+timeoutSlack)
		defer stop()
	}
	c := &caller{conn: conn, plan: plan, router: newRouter(plan, out), clock: clockOf(plan), cancel: make(chan struct{}), done: make(chan struct{})}
	var writer sync.WaitGroup
	writer.Go(func() { c.talk(ctx, payload) })
	end, err := c.listen()
	close(c.done)
	conn.Close()
	writer.Wait()
	c.clock.report(out)
	frames := c.router.finish(err)
	switch {
	case ctx.Err() != nil && err != nil:
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	case frames != nil: // the reason why the rest may have gone wrong
		err = frames
	case err == nil && end.Error != "":
		err = fmt.Errorf("%w: %s", ErrAgent, end.Error)
	}
	return end, err
}

// caller is one running conversation.
type caller struct {
	conn   io.ReadWriteCloser
	plan   Plan
	router *router
	clock  *clock        // nil unless the plan asks for it
	cancel chan struct{} // closed when the frames were refused: nothing more is wanted
	done   chan struct{} // closed when the reader has ended
}

// talk is the only writer: the plan, keepalives, and a cancel when ctx ends.
// A write may hang on a stuck connection, so that a timer closes it.
func (c *caller) talk(ctx context.Context, plan []byte) {
	release := context.AfterFunc(ctx, func() { c.closeSoon() })
	defer release()
	if WriteRecord(c.conn, KindPlan, plan) != nil {
		return // the reader will see why
	}
	tick := time.NewTicker(keepaliveEvery)
	defer tick.Stop()
	refused, trigger := c.router.refused, c.plan.Trigger.Fired()
	ask, stop := c.clock.ticker()
	defer stop()
	for {
		kind, payload := KindKeepalive, []byte(nil)
		select {
		case <-c.done:
			return
		case <-ctx.Done():
			_ = WriteRecord(c.conn, KindCancel, nil)
			<-c.done
			return
		case <-refused:
			kind, refused = KindCancel, nil
		case <-trigger:
			kind, payload, trigger = KindTrigger, fired(c.plan.Trigger), nil
		case <-ask:
			if kind, payload = KindTime, c.clock.ask(); payload == nil {
				ask = nil
				continue
			}
		case <-tick.C:
		}
		if WriteRecord(c.conn, kind, payload) != nil {
			return
		}
	}
}

func (c *caller) closeSoon() {
	select {
	case <-c.done:
	case <-time.After(cancelGrace):
		c.conn.Close()
	}
}

// listen reads records until the end record or an error.
func (c *caller) listen() (End, error) {
	silence := time.AfterFunc(silenceLimit, func() { c.conn.Close() })
	defer silence.Stop()
	greeted := false
	for {
		silence.Reset(silenceLimit)
		kind, payload, err := ReadRecord(c.conn)
		expired := !silence.Stop()
		if err != nil {
			return End{}, streamError(err, greeted, expired)
		}
		if !greeted {
			if err := checkHello(kind, payload); err != nil {
				return End{}, err
			}
			greeted = true
			continue
		}
		if kind == KindEnd {
			return c.router.end(payload)
		}
		if kind == KindTime && c.clock != nil {
			c.clock.heard(payload)
			continue
		}
		if kind == KindTrigger {
			if err := c.fire(payload); err != nil {
				return End{}, err
			}
			continue
		}
		if err := c.router.route(kind, payload); err != nil {
			return End{}, err
		}
	}
}

func streamError(err error, greeted, silent bool) error {
	switch {
	case silent:
		return fmt.Errorf("%w: no record for %s", ErrIncomplete, silenceLimit)
	case !greeted:
		return fmt.Errorf("%w: it never said hello (%w)", ErrIncomplete, err)
	case errors.Is(err, io.EOF):
		return ErrIncomplete
	default:
		return fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
}

func checkHello(kind Kind, payload []byte) error {
	if kind != KindHello {
		return fmt.Errorf("%w: the first record is %q, not a hello; is the image that runs the casefile agent?", ErrProtocol, byte(kind))
	}
	var h Hello
	if err := json.Unmarshal(payload, &h); err != nil {
		return fmt.Errorf("%w: hello: %w", ErrProtocol, err)
	}
	if h.Version != Version {
		return fmt.Errorf("%w: agent %s speaks version %d, this casefile version %d; use the agent image of this casefile", ErrProtocol, clean(h.Agent, 64), h.Version, Version)
	}
	return nil
}
