package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"time"
)

// Options of [Run].
type Options struct {
	MaxBytes int64             // uncompressed bytes in all; 0 is without bound
	Progress func(Progress)    // may be nil; called from several goroutines
	Recorded func(Result)      // may be nil; called once for each result, as it comes
	Observed func(Observation) // may be nil; called once for each row of a probe, from several goroutines
}

// Run runs the collectors side by side and returns one result for everything
// that was asked for, sorted by source and path. A collector that fails, or
// panics, costs only itself.
func Run(ctx context.Context, sink Sink, collectors []Collector, opts Options) []Result {
	out := &Output{sink: sink, opts: opts}
	var wg sync.WaitGroup
	for _, c := range collectors {
		wg.Go(func() {
			start := time.Now()
			if err := collect(ctx, c, out); err != nil {
				out.Record(Result{Source: c.Name(), Status: StatusOf(err), Reason: err.Error(), Millis: time.Since(start).Milliseconds()})
			}
		})
	}
	wg.Wait()
	return out.Results()
}

func collect(ctx context.Context, c Collector, out *Output) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: panic: %v", c.Name(), p)
		}
	}()
	return c.Collect(ctx, out)
}

// StatusOf gives the status that an error stands for; nil is ok.
func StatusOf(err error) Status {
	switch {
	case err == nil:
		return StatusOK
	case errors.Is(err, ErrDenied):
		return StatusDenied
	case errors.Is(err, ErrUnsupported):
		return StatusSkipped
	case errors.Is(err, ErrOverBudget):
		return StatusOverBudget
	default:
		return StatusFailed
	}
}

// Output is a collector's way out: bytes through the sink, results and
// progress to the caller. Safe for concurrent use.
type Output struct {
	sink Sink
	opts Options

	mu      sync.Mutex
	used    int64
	results []Result
}

// NewOutput makes an Output outside of [Run], for a collector that runs alone.
func NewOutput(sink Sink, opts Options) *Output { return &Output{sink: sink, opts: opts} }

// Put stores r at path and records the result under source. The error is the
// recorded one, for a caller that wants to stop.
func (o *Output) Put(source, path string, class Class, r io.Reader) error {
	start := time.Now()
	n, err := o.sink.Put(path, class, &budgetReader{r: r, out: o})
	o.Record(Result{Source: source, Path: path, Status: StatusOf(err), Reason: reason(err), Bytes: n, Millis: time.Since(start).Milliseconds()})
	return err
}

// Store is [Output.Put] without a result, for a collector that stores many
// small files and records one result for a group of them.
func (o *Output) Store(path string, class Class, r io.Reader) (int64, error) {
	return o.sink.Put(path, class, &budgetReader{r: r, out: o})
}

// Frames hands an agent's finished frames to the sink; recording is the
// caller's business, who knows what was in them.
func (o *Output) Frames(prefixes []string, r io.Reader) error {
	return o.sink.Frames(prefixes, &budgetReader{r: r, out: o})
}

// Record writes down a result.
func (o *Output) Record(r Result) {
	o.mu.Lock()
	o.results = append(o.results, r)
	o.mu.Unlock()
	if o.opts.Recorded != nil {
		o.opts.Recorded(r)
	}
}

// Observe hands a row of a probe to the caller.
func (o *Output) Observe(kind string, row any) {
	b, err := json.Marshal(row)
	if err == nil && o.opts.Observed != nil {
		o.opts.Observed(Observation{Kind: kind, Row: b})
	}
}

// Progress reports how far a phase is.
func (o *Output) Progress(p Progress) {
	if o.opts.Progress != nil {
		o.opts.Progress(p)
	}
}

// Results returns what was recorded so far, sorted by source and path.
func (o *Output) Results() []Result {
	o.mu.Lock()
	defer o.mu.Unlock()
	rs := append([]Result(nil), o.results...)
	sort.SliceStable(rs, func(i, j int) bool {
		if rs[i].Source != rs[j].Source {
			return rs[i].Source < rs[j].Source
		}
		return rs[i].Path < rs[j].Path
	})
	return rs
}

func (o *Output) spend(n int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.used += int64(n)
	if o.opts.MaxBytes > 0 && o.used > o.opts.MaxBytes {
		return fmt.Errorf("%w: more than %d bytes in all; raise --max-size or narrow what is collected", ErrOverBudget, o.opts.MaxBytes)
	}
	return nil
}

// budgetReader charges what is read to the run's byte budget.
type budgetReader struct {
	r   io.Reader
	out *Output
}

func (b *budgetReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if n > 0 {
		if over := b.out.spend(n); over != nil {
			return n, over
		}
	}
	return n, err
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
