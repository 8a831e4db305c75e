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

// frameRecord is the payload of one F record, in bytes.
const frameRecord = 256 << 10

// workGrace is how long the work may go on when nobody listens any more.
const workGrace = 5 * time.Second

var (
	errStdinEnded = errors.New("stdin ended: the command line is gone")
	errCancelled  = errors.New("cancelled by the command line")
)

// Serve is the agent's side: hello goes out, the plan comes in from r, run
// does the work and writes through its [Session], and the end record is
// written. run's context ends on a cancel record, when the plan's timeout is
// over, when r ends, or when nothing came from r for a minute; after the
// latter two no end record is written and Serve returns an error even when
// run goes on, so that the process can exit.
func Serve(ctx context.Context, r io.Reader, w io.Writer, hello Hello, run func(context.Context, Plan, Session) (End, error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &session{w: w, fail: cancel, trigger: collector.NewTrigger()}
	hello.Version = Version
	if err := s.write(KindHello, hello); err != nil {
		return err
	}
	plan, err := readPlan(r)
	if err != nil {
		_ = s.write(KindEnd, End{Error: err.Error()})
		return err
	}
	if plan.TimeoutMS > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(plan.TimeoutMS)*time.Millisecond)
		defer stop()
	}
	gone := make(chan error, 1)
	go listenToCaller(r, cancel, gone, s)
	go s.keepalive(ctx)
	if len(plan.Until) > 0 {
		go s.tell(ctx.Done())
	}
	done := make(chan struct{})
	var end End
	go func() {
		defer close(done)
		end, err = work(ctx, plan, s, run)
	}()
	select {
	case <-done:
	case lost := <-gone:
		cancel(lost)
		select {
		case <-done:
		case <-time.After(workGrace):
		}
		return lost
	}
	if err != nil {
		end.Error = err.Error()
	}
	s.tellLast(plan)
	return s.finish(end)
}

func readPlan(r io.Reader) (Plan, error) {
	kind, payload, err := ReadRecord(r)
	if err != nil {
		return Plan{}, fmt.Errorf("%w: no plan: %w", ErrProtocol, err)
	}
	if kind != KindPlan {
		return Plan{}, fmt.Errorf("%w: the first record is %q, not a plan", ErrProtocol, byte(kind))
	}
	var p Plan
	if err := json.Unmarshal(payload, &p); err != nil {
		return Plan{}, fmt.Errorf("%w: plan: %w", ErrProtocol, err)
	}
	if p.Version != Version {
		return Plan{}, fmt.Errorf("%w: the plan speaks version %d, this agent version %d", ErrProtocol, p.Version, Version)
	}
	return p, nil
}

// listenToCaller reads keepalives until the caller is gone, tells the time and
// hears of the trigger.
func listenToCaller(r io.Reader, cancel context.CancelCauseFunc, gone chan<- error, s *session) {
	silence := time.AfterFunc(silenceLimit, func() {
		select {
		case gone <- fmt.Errorf("%w: no keepalive for %s", errStdinEnded, silenceLimit):
		default:
		}
	})
	defer silence.Stop()
	for {
		kind, payload, err := ReadRecord(r)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: %w", errStdinEnded, err)
			} else {
				err = errStdinEnded
			}
			select {
			case gone <- err:
			default:
			}
			return
		}
		silence.Reset(silenceLimit)
		switch kind {
		case KindCancel:
			cancel(errCancelled)
		case KindTime:
			s.time(payload)
		case KindTrigger:
			s.trip(payload)
		}
	}
}

func work(ctx context.Context, plan Plan, s *session, run func(context.Context, Plan, Session) (End, error)) (end End, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return run(ctx, plan, s)
}

// session writes the agent's records.
type session struct {
	fail    context.CancelCauseFunc
	trigger *collector.Trigger
	told    sync.Once // the command line, of the trigger

	mu      sync.Mutex
	w       io.Writer
	err     error // the first failed write; nothing is written after it
	ended   bool
	results int
}

func (s *session) write(kind Kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.writeRaw(kind, b)
}

func (s *session) writeRaw(kind Kind, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locked(kind, payload)
}

func (s *session) locked(kind Kind, payload []byte) error {
	if s.err == nil && s.ended {
		return fmt.Errorf("%w: record %q after the end", ErrProtocol, byte(kind))
	}
	if s.err == nil {
		if s.err = WriteRecord(s.w, kind, payload); s.err != nil {
			s.fail(s.err)
		}
	}
	return s.err
}

// Record implements [Session].
func (s *session) Record(r collector.Result) {
	b, err := json.Marshal(r)
	if err != nil {
		return // strings and numbers only: cannot happen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked(KindResult, b) == nil {
		s.results++
	}
}

// Progress implements [Session].
func (s *session) Progress(p collector.Progress) { _ = s.write(KindProgress, p) }

// Observe implements [Session].
func (s *session) Observe(o collector.Observation) { _ = s.write(KindObserved, o) }

// Frames implements [Session].
func (s *session) Frames() io.Writer { return frameWriter{s} }

func (s *session) keepalive(ctx context.Context) {
	tick := time.NewTicker(keepaliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.writeRaw(KindKeepalive, nil) != nil {
				return
			}
		}
	}
}

func (s *session) finish(end End) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	end.Results = s.results
	b, err := json.Marshal(end)
	if err != nil {
		return err
	}
	err = s.locked(KindEnd, b)
	s.ended = true
	return err
}

type frameWriter struct{ s *session }

func (f frameWriter) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		chunk := p[n:min(n+frameRecord, len(p))]
		if err := f.s.writeRaw(KindFrames, chunk); err != nil {
			return n, err
		}
		n += len(chunk)
	}
	return n, nil
}
