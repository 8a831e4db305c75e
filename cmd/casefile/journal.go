package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/collector"
)

const journalInterval = 5 * time.Second

// journal writes down at intervals what a collection has recorded so far, and
// sends everything on its way to the file: a run that is killed leaves all but
// the last seconds, with word of what was there; under encryption all but the
// last 64 KiB of the file as well. A short run needs none.
type journal struct {
	w    *bundle.Writer
	sink bundleSink
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	results []collector.Result // since the last entry
	entries int
}

func startJournal(w *bundle.Writer, sink bundleSink, every time.Duration) *journal {
	g := &journal{w: w, sink: sink, stop: make(chan struct{})}
	g.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-g.stop:
				return
			case <-tick.C:
				g.write()
			}
		}
	})
	return g
}

// record takes a result as it comes. Safe for concurrent use.
func (g *journal) record(r collector.Result) {
	g.mu.Lock()
	g.results = append(g.results, r)
	g.mu.Unlock()
}

// write makes one entry. An output that fails says so to everybody else too,
// so its error is left to them; results that found no place are kept.
func (g *journal) write() {
	g.mu.Lock()
	results := g.results
	g.results = nil
	g.mu.Unlock()
	if len(results) > 0 {
		g.entries++
		if err := putLines(g.sink, fmt.Sprintf("collection/journal/%04d.ndjson", g.entries), results); err != nil {
			g.mu.Lock()
			g.results = append(results, g.results...)
			g.mu.Unlock()
		}
	}
	_ = g.w.Flush() // as above
}

// end stops the journal; what it holds then is in the results.
func (g *journal) end() {
	close(g.stop)
	g.done.Wait()
}
