package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// statusLine tells how a run is going: one line for each phase. On a terminal
// the line is drawn anew in place; elsewhere a phase is printed when it has
// moved on for a while and when it ends.
type statusLine struct {
	w        io.Writer
	terminal bool
	start    time.Time

	mu     sync.Mutex
	phases map[string]collector.Progress
	last   map[string]time.Time
	drawn  string
}

func newStatusLine(w io.Writer, terminal bool) *statusLine {
	return &statusLine{w: w, terminal: terminal, start: time.Now(),
		phases: map[string]collector.Progress{}, last: map[string]time.Time{}}
}

// quietFor is how long a phase stays silent where there is no terminal.
const quietFor = 5 * time.Second

func (s *statusLine) progress(p collector.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.phases[p.Phase]
	if p.Done < old.Done {
		p.Done = old.Done // reports cross each other on their way here
	}
	if p.Total == 0 {
		p.Total = old.Total
	}
	if p.Bytes < old.Bytes {
		p.Bytes = old.Bytes
	}
	s.phases[p.Phase] = p
	finished := p.Total > 0 && p.Done >= p.Total && old.Done < p.Total
	if finished {
		s.clear()
		fmt.Fprintln(s.w, s.line(p))
		s.last[p.Phase] = time.Now()
		return
	}
	if p.Total > 0 && p.Done >= p.Total {
		return
	}
	switch since, seen := s.last[p.Phase]; {
	case s.terminal:
		s.draw(s.line(p))
	case !seen:
		s.last[p.Phase] = time.Now()
	case time.Since(since) > quietFor:
		s.last[p.Phase] = time.Now()
		fmt.Fprintln(s.w, s.line(p))
	}
}

// say prints a line of talk above the status line.
func (s *statusLine) say(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	fmt.Fprintf(s.w, format+"\n", a...)
}

// done takes the status line away.
func (s *statusLine) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *statusLine) line(p collector.Progress) string {
	line := fmt.Sprintf("%6.1fs  %-9s", time.Since(s.start).Seconds(), p.Phase)
	if p.Total > 0 {
		line += fmt.Sprintf(" %d/%d", p.Done, p.Total)
	} else if p.Done > 0 {
		line += fmt.Sprintf(" %d", p.Done)
	}
	if p.Bytes > 0 {
		line += "  " + byteSize(p.Bytes)
	}
	if p.Note != "" {
		line += "  " + oneLine(p.Note)
	}
	return line
}

func (s *statusLine) draw(line string) {
	if len(line) > 100 {
		line = line[:100]
	}
	fmt.Fprintf(s.w, "\r\x1b[K%s", line)
	s.drawn = line
}

func (s *statusLine) clear() {
	if s.drawn != "" {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.drawn = ""
	}
}

// byteSize prints bytes for a person: 12.3 MB.
func byteSize(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}
