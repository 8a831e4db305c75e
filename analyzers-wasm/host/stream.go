package host

import (
	"bytes"
	"fmt"

	"github.com/casefile-io/casefile/sdk/abi"
)

// stream takes what a child prints, as it comes.
type stream interface {
	add(p []byte) bool // false ends the module
	most() int         // bytes that it may print
}

// capture keeps the first bytes of a stream and counts them all.
type capture struct {
	kept  []byte
	keep  int
	limit int
	total int
}

func (c *capture) most() int { return c.limit }

func (c *capture) add(p []byte) bool {
	c.total += len(p)
	if room := c.keep - len(c.kept); room > 0 {
		c.kept = append(c.kept, p[:min(room, len(p))]...)
	}
	return c.total <= c.limit
}

// lines reads what analyze prints line by line, up to the first bad one, and
// keeps nothing but what it says.
type lines struct {
	parser *outputParser
	rest   []byte // of a line that has not ended
	nr     int
	err    *lineError
	limit  int
	total  int
}

// lineError is what is wrong with a line of a module's output; lines count from 1.
type lineError struct {
	line int
	why  error
}

func newLines(d abi.Declaration, limit int) *lines {
	return &lines{parser: newOutputParser(d), limit: limit}
}

func (l *lines) most() int { return l.limit }

func (l *lines) add(p []byte) bool {
	l.total += len(p)
	for l.err == nil {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		if len(l.rest)+len(line) > maxOutputLine {
			l.fail(fmt.Errorf("more than %d bytes", maxOutputLine))
			break
		}
		l.rest = append(l.rest, line...)
		if !whole {
			break
		}
		l.end()
		p = rest
	}
	return l.total <= l.limit
}

// end reads the line that has come to its end, with a newline or without.
func (l *lines) end() {
	if l.err != nil {
		return
	}
	if len(bytes.TrimSpace(l.rest)) > 0 {
		if err := l.parser.line(l.rest, l.nr+1); err != nil {
			l.fail(err)
			return
		}
	}
	l.nr++
	l.rest = l.rest[:0]
}

func (l *lines) fail(why error) {
	l.err = &lineError{l.nr + 1, why}
	l.rest = nil
}

// parseOutput reads the whole of what analyze printed.
func parseOutput(d abi.Declaration, text []byte) (printed, *lineError) {
	l := newLines(d, maxStdout)
	l.add(text)
	l.end()
	return l.parser.out, l.err
}
