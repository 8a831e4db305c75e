package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

const (
	maxItems   = 1 << 10 // DATA objects of an entry
	maxPackeds = 1 << 6  // of them, compressed
	maxMessage = 64 << 10
	maxName    = 32 // longer than any field that is printed
)

// entry is what is printed of an entry.
type entry struct {
	time                   time.Time
	host, name, comm, unit string
	pid, syslogPID         string
	message                []byte
	cut                    bool // the message was longer
	hidden                 bool // there are values that could not be unpacked
	packed                 int  // how many more may be
}

// load reads an entry.
func (s *Set) load(r ref) (*entry, error) {
	o, err := r.f.object(r.at, typeEntry, entryHeader)
	if err != nil {
		return nil, err
	}
	width := int64(16)
	if r.f.compact {
		width = 4
	}
	n := (o.size - entryHeader) / width
	if n > maxItems {
		return nil, fmt.Errorf("%w: an entry of %d fields", ErrDamage, n)
	}
	e := &entry{time: usec(r.realtime), packed: maxPackeds}
	lost := 0
	for i := range n {
		b, err := r.f.read(r.at+entryHeader+i*width, int(min(width, 8)))
		if err != nil {
			return nil, err
		}
		var at int64
		if r.f.compact {
			at = int64(binary.LittleEndian.Uint32(b))
		} else {
			at = offset(b)
		}
		if err := s.field(r.f, at, e); err != nil {
			lost++
		}
	}
	if lost > 0 && e.message == nil {
		return nil, fmt.Errorf("%w: an entry without its message", ErrDamage)
	}
	return e, nil
}

// field takes a DATA object into e.
func (s *Set) field(f *file, at int64, e *entry) error {
	o, err := f.object(at, typeData, f.dataHeader())
	if err != nil {
		return err
	}
	n := o.size - f.dataHeader()
	at += f.dataHeader()
	if o.flags&7 != 0 {
		return s.packedField(f, at, n, o.flags, e)
	}
	b, err := f.read(at, int(min(n, maxName)))
	if err != nil {
		return err
	}
	name, _, ok := bytes.Cut(b, []byte{'='})
	if !ok || !wanted(name) {
		return nil
	}
	whole := min(n, maxMessage)
	if n > int64(len(b)) {
		if b, err = f.read(at, int(whole)); err != nil {
			return err
		}
	}
	name, value, _ := bytes.Cut(b, []byte{'='})
	e.set(string(name), value, whole < n)
	return nil
}

func (s *Set) packedField(f *file, at, n int64, flags byte, e *entry) error {
	if e.packed--; n > maxPacked || e.packed < 0 {
		e.hidden = true
		return nil
	}
	b, err := f.read(at, int(n))
	if err != nil {
		return err
	}
	b, cut, err := s.packed.unpack(b, flags, maxMessage)
	if err != nil {
		e.hidden = true
		return err
	}
	if name, value, ok := bytes.Cut(b, []byte{'='}); ok && wanted(name) {
		e.set(string(name), value, cut)
	}
	return nil
}

// wanted says whether a field is printed.
func wanted(name []byte) bool {
	switch string(name) {
	case "MESSAGE", "_HOSTNAME", "SYSLOG_IDENTIFIER", "_COMM", "_SYSTEMD_UNIT", "_PID", "SYSLOG_PID", "_SOURCE_REALTIME_TIMESTAMP":
		return true
	}
	return false
}

func (e *entry) set(name string, value []byte, cut bool) {
	switch name {
	case "MESSAGE":
		e.message, e.cut = append(make([]byte, 0, len(value)), value...), cut
	case "_HOSTNAME":
		e.host = string(value)
	case "SYSLOG_IDENTIFIER":
		e.name = string(value)
	case "_COMM":
		e.comm = string(value)
	case "_SYSTEMD_UNIT":
		e.unit = string(value)
	case "_PID":
		e.pid = string(value)
	case "SYSLOG_PID":
		e.syslogPID = string(value)
	case "_SOURCE_REALTIME_TIMESTAMP":
		if u, err := strconv.ParseUint(string(value), 10, 64); err == nil && !usec(u).IsZero() {
			e.time = usec(u)
		}
	}
}

// appendLine appends the line of an entry, and the further ones of its message.
func (e *entry) appendLine(b []byte) []byte {
	b = e.time.AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, ' ')
	b = appendWord(b, or(e.host, "-"))
	b = append(b, ' ')
	b = appendWord(b, or(e.name, e.comm, e.unit, "unknown"))
	if pid := or(e.pid, e.syslogPID); pid != "" {
		b = append(b, '[')
		b = appendWord(b, pid)
		b = append(b, ']')
	}
	b = append(b, ": "...)
	b = appendMessage(b, bytes.TrimRight(e.message, "\n\r \t"))
	switch {
	case e.cut:
		b = append(b, " [cut]"...)
	case e.message == nil && e.hidden:
		b = append(b, "[a message that could not be unpacked]"...)
	}
	return append(b, '\n')
}

func or(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// appendWord appends what has to stay one word of a line.
func appendWord(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			b = append(b, '_')
		} else {
			b = append(b, c)
		}
	}
	return b
}

// appendMessage keeps terminals and line readers safe: a control character is
// a question mark, and what follows a new line is indented.
func appendMessage(b, message []byte) []byte {
	for _, c := range message {
		switch {
		case c == '\n':
			b = append(b, "\n    "...)
		case c < ' ' && c != '\t' || c == 0x7f:
			b = append(b, '?')
		default:
			b = append(b, c)
		}
	}
	return b
}
