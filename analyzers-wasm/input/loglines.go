package input

import (
	"bytes"
	"sync"
	"unicode/utf8"
)

// maxLogLine is what is kept of a line of a log, in bytes.
const maxLogLine = 16 << 10

// stepsOfMatch turns the bytes that an expression looks at into steps: a
// thousand instructions over a line of a hundred bytes are some 1500.
const stepsOfMatch = 64

// logSource reads a log.
func (r *run) logSource(p *pipeline, path string, g *group) *source {
	s := newSource(path, g)
	file, _ := logOf(path)
	l := &logScanner{file: file, group: g}
	s.scan = l.scan
	s.read = func(s *source) error { return r.readLines(p, s, maxLogLine) }
	return s
}

// logScanner makes rows of the lines of one log.
type logScanner struct {
	file  logFile
	group *group
	rows  sync.Pool // of the text of a row
}

func (l *logScanner) scan(b *block) {
	row, _ := l.rows.Get().(*[]byte)
	if row == nil {
		row = new([]byte)
	}
	for b.next < len(b.lines) && !b.full() {
		line := b.lines[b.next:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i]
		}
		b.next += len(line) + 1
		nr := b.nr
		b.nr++
		if len(line) > maxLogLine {
			line = line[:lastRune(line, maxLogLine)]
			if b.flaws.cut++; b.flaws.cut == 1 {
				b.flaws.cutLine = nr
			}
		}
		if line = bytes.TrimRight(line, "\r"); !isBlank(line) {
			l.line(b, row, line, spot{line: nr})
		}
	}
	l.rows.Put(row)
	b.sift()
}

// line makes the rows of a line: one for all inputs that take it, and one for
// each that wants groups of its own.
func (l *logScanner) line(b *block, row *[]byte, line []byte, at spot) {
	shared := -1
	for i, o := range l.group.outs {
		var groups []int
		if o.match != nil {
			b.takes[i].cost += o.match.cost(len(line))
			if groups = o.match.find(line); groups == nil {
				continue
			}
		}
		own := o.match != nil && o.match.named
		if own || shared < 0 {
			*row = l.row((*row)[:0], line, o.match, groups)
			if !b.add(*row, at) {
				continue // cannot be: we made it
			}
			if !own {
				shared = len(b.rows) - 1
			}
		}
		to := shared
		if own {
			to = len(b.rows) - 1
		}
		t := &b.takes[i]
		for len(t.skip) < to {
			t.skip = append(t.skip, true)
		}
		t.skip = append(t.skip, false)
	}
	for i := range l.group.outs {
		for t := &b.takes[i]; len(t.skip) < len(b.rows); {
			t.skip = append(t.skip, true)
		}
	}
}

// row writes a line as an abi.Log, less the keys that are the host's own.
func (l *logScanner) row(dst, line []byte, m *matcher, groups []int) []byte {
	text := func(key, value string) {
		if value != "" {
			dst = appendQuoted(append(append(append(dst, '"'), key...), `":`...), []byte(value))
			dst = append(dst, ',')
		}
	}
	dst = append(dst, '{')
	text("unit", l.file.unit)
	text("namespace", l.file.namespace)
	text("pod", l.file.pod)
	text("container", l.file.container)
	if l.file.previous {
		dst = append(dst, `"previous":true,`...)
	}
	stamp, rest := splitTime(line)
	text("time", string(stamp))
	dst = appendQuoted(append(dst, `"line":`...), rest)
	if m != nil && m.named {
		dst = m.groups(append(dst, `,"groups":{`...), line, groups)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// splitTime takes a time of RFC 3339 off the start of a line.
func splitTime(line []byte) (stamp, rest []byte) {
	const layout = "0000-00-00T00:00:00"
	if len(line) < len(layout)+1 {
		return nil, line
	}
	for i, c := range []byte(layout) {
		if d := line[i]; c == '0' && (d < '0' || d > '9') || c != '0' && c != d {
			return nil, line
		}
	}
	i := len(layout)
	if line[i] == '.' {
		for i++; i < len(line) && line[i] >= '0' && line[i] <= '9'; i++ {
		}
	}
	switch {
	case i < len(line) && line[i] == 'Z':
		i++
	case i+6 <= len(line) && (line[i] == '+' || line[i] == '-') && line[i+3] == ':':
		i += 6
	default:
		return nil, line
	}
	if i == len(line) {
		return line, nil
	}
	if line[i] != ' ' {
		return nil, line
	}
	return line[:i], line[i+1:]
}

// lastRune is where a text is cut so that it has at most n bytes.
func lastRune(text []byte, n int) int {
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(text[i]) {
			return i
		}
	}
	return n
}

// appendQuoted writes bytes as a JSON text; what is no UTF-8 becomes U+FFFD.
func appendQuoted(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRune(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, "\ufffd"...)
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
