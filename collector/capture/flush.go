package capture

import (
	"bufio"
	"io"
	"sync"
	"time"
)

// flushEvery is how long a packet may wait in a live stream.
const flushEvery = 100 * time.Millisecond

// Live gathers what is written and passes it on in large pieces, but not later
// than a tenth of a second after it came: for a stream that somebody watches.
type Live struct {
	mu   sync.Mutex
	w    *bufio.Writer
	stop chan struct{}
	done sync.WaitGroup
}

// NewLive makes a Live that writes to w; it must be closed.
func NewLive(w io.Writer) *Live {
	l := &Live{w: bufio.NewWriterSize(w, 64<<10), stop: make(chan struct{})}
	l.done.Go(func() {
		tick := time.NewTicker(flushEvery)
		defer tick.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-tick.C:
				l.mu.Lock()
				_ = l.w.Flush() // the next Write says what went wrong
				l.mu.Unlock()
			}
		}
	})
	return l
}

func (l *Live) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Close passes on the rest; it does not close the writer below.
func (l *Live) Close() error {
	close(l.stop)
	l.done.Wait()
	return l.w.Flush()
}
