package journal

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"time"
)

// Query says which entries are wanted.
type Query struct {
	Match    Match
	Since    time.Time // zero: from the first one
	Until    time.Time // zero: to the last one
	MaxBytes int64     // of text; the newest entries are kept. 0 is no limit
}

// Match chooses entries by a field; the zero Match takes all.
type Match struct {
	value  string
	kernel bool
}

// Unit chooses what a unit printed and what systemd says of it, as journalctl -u
// does.
func Unit(name string) Match { return Match{value: name} }

// Kernel chooses the kernel's own messages, of all boots.
func Kernel() Match { return Match{kernel: true} }

// Summary says what a query found.
type Summary struct {
	Entries int
	Cut     bool  // there are older ones in the span, beyond MaxBytes
	Damaged int   // entries that could not be read
	Bytes   int64 // of text
}

// maxOlder is how many entries that are older than the span, or damaged, may
// stand between others of it: the clock of a machine may have been wrong for a
// while after a boot.
const maxOlder = 4096

// cursor walks one list from its end.
type cursor struct {
	list
	left  int64
	last  int64 // offset of the entry before, which is a later one
	pid1  bool  // only what process 1 says counts
	older int   // or unreadable, one after the other
	head  ref
	ready bool
}

// Write writes the lines of the newest entries that match, oldest first.
func (s *Set) Write(ctx context.Context, w io.Writer, q Query) (Summary, error) {
	var sum Summary
	refs, err := s.find(ctx, q, &sum)
	if err != nil {
		return sum, err
	}
	bw := bufio.NewWriterSize(w, 32<<10)
	var line []byte
	for _, r := range slices.Backward(refs) {
		if ctx.Err() != nil {
			return sum, context.Cause(ctx)
		}
		e, err := s.load(r)
		if err != nil { // it could be read a moment ago
			sum.Damaged++
			continue
		}
		line = e.appendLine(line[:0])
		sum.Bytes += int64(len(line))
		sum.Entries++
		if _, err := bw.Write(line); err != nil {
			return sum, err
		}
	}
	return sum, bw.Flush()
}

// find gives the entries to print, the newest first.
func (s *Set) find(ctx context.Context, q Query, sum *Summary) ([]ref, error) {
	cursors := s.cursors(q.Match)
	for _, c := range cursors {
		sum.Damaged += int(c.lost)
	}
	var refs []ref
	var line []byte
	var size int64
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c := newest(cursors, q, sum)
		if c == nil {
			return refs, nil
		}
		c.ready = false
		if len(refs) > 0 && slices.ContainsFunc(refs[max(0, len(refs)-len(cursors)):], c.head.same) {
			continue
		}
		e, err := s.load(c.head)
		if err != nil {
			sum.Damaged++
			continue
		}
		if c.pid1 && e.pid != "1" {
			continue
		}
		line = e.appendLine(line[:0])
		if size += int64(len(line)); q.MaxBytes > 0 && size > q.MaxBytes {
			sum.Cut = true
			return refs, nil
		}
		refs = append(refs, c.head)
	}
}

// cursors gives a cursor for each value in each file.
func (s *Set) cursors(m Match) []*cursor {
	var list []*cursor
	for _, f := range s.files {
		add := func(field, want string, pid1 bool) {
			f.values(field, func(value string, o object) bool {
				if value != want {
					return true
				}
				l := f.listOf(o)
				list = append(list, &cursor{list: l, left: l.n, last: f.Size, pid1: pid1})
				return false
			})
		}
		switch {
		case m.kernel:
			add("_TRANSPORT", "kernel", false)
		case m.value != "":
			add("_SYSTEMD_UNIT", m.value, false)
			add("UNIT", m.value, true)
		default:
			l := f.all()
			list = append(list, &cursor{list: l, left: l.n, last: f.Size})
		}
	}
	return list
}

// newest gives the cursor that stands at the newest entry; nil when all are at
// their end.
func newest(cursors []*cursor, q Query, sum *Summary) *cursor {
	var best *cursor
	for _, c := range cursors {
		for !c.ready && c.left > 0 && c.older < maxOlder {
			c.left--
			r, err := c.entry(c.left)
			switch at := usec(r.realtime); {
			case errors.Is(err, errNewer):
			case err != nil, r.at >= c.last:
				sum.Damaged++
				c.older++
			case at.Before(q.Since):
				c.older, c.last = c.older+1, r.at
			case !q.Until.IsZero() && at.After(q.Until):
				c.last = r.at
			default:
				c.head, c.ready, c.older, c.last = r, true, 0, r.at
			}
		}
		if c.ready && (best == nil || best.head.before(c.head)) {
			best = c
		}
	}
	return best
}
