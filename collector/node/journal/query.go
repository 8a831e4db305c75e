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
	Bytes   int64 // of the lines
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

// Found is what a query found.
type Found struct {
	Summary
	set  *Set
	refs []ref // the newest first
}

// Find looks for the newest entries that match.
func (s *Set) Find(ctx context.Context, q Query) (*Found, error) {
	found := &Found{set: s}
	cursors := s.cursors(q.Match)
	for _, c := range cursors {
		found.Damaged += int(c.lost)
	}
	var line []byte
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c := newest(cursors, q, &found.Summary)
		if c == nil {
			return found, nil
		}
		c.ready = false
		if refs := found.refs; len(refs) > 0 && slices.ContainsFunc(refs[max(0, len(refs)-len(cursors)):], c.head.same) {
			continue
		}
		e, err := s.load(c.head)
		if err != nil {
			found.Damaged++
			continue
		}
		if c.pid1 && e.pid != "1" {
			continue
		}
		line = e.appendLine(line[:0])
		if q.MaxBytes > 0 && found.Bytes+int64(len(line)) > q.MaxBytes {
			found.Cut = true
			return found, nil
		}
		found.refs = append(found.refs, c.head)
		found.Entries++
		found.Bytes += int64(len(line))
	}
}

// Write writes the lines of what was found, the oldest first.
func (f *Found) Write(ctx context.Context, w io.Writer) error {
	bw := bufio.NewWriterSize(w, 32<<10)
	var line []byte
	for _, r := range slices.Backward(f.refs) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e, err := f.set.load(r)
		if err != nil { // it could be read a moment ago
			f.Damaged++
			f.Entries--
			continue
		}
		line = e.appendLine(line[:0])
		if _, err := bw.Write(line); err != nil {
			return err
		}
	}
	return bw.Flush()
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
