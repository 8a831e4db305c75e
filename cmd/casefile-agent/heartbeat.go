package main

import (
	"context"
	"os"
	"sync"
	"time"
)

const (
	lookEvery = 2 * time.Second
	patience  = 60 * time.Second // without a heartbeat
	beatEvery = 5 * time.Second
)

type waitTiming struct{ look, patience time.Duration }

// wait returns when the file was not touched for t.patience, counted by this
// process's own clock: the machine's may jump.
func wait(ctx context.Context, file string, t waitTiming) {
	tick := time.NewTicker(t.look)
	defer tick.Stop()
	var seen time.Time
	last := time.Now()
	for time.Since(last) < t.patience {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if info, err := os.Stat(file); err == nil && !info.ModTime().Equal(seen) {
			seen, last = info.ModTime(), time.Now()
		}
	}
}

// pulse touches the heartbeat file, at most every five seconds.
type pulse struct {
	file string

	mu   sync.Mutex
	last time.Time
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() && time.Since(p.last) < beatEvery-time.Second { // a keepalive may come a little early
		return
	}
	p.last = time.Now()
	f, err := os.OpenFile(p.file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // by hand there is none, and nobody waits for it
	}
	f.Close()
	_ = os.Chtimes(p.file, p.last, p.last)
}
