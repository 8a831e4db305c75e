package redact

import (
	"bytes"
	"path"
	"strings"
	"time"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// hostedLines says whether the lines of an entry are those of a machine's own
// log, which begin with a time and the name of the host.
func hostedLines(name string) bool {
	ok, _ := path.Match("nodes/*/logs/*.log", name)
	return ok
}

// mapLineHosts maps the host of each line that has one: the clock of the
// journal's form or of the old one of syslog, a blank, the host, a blank. A host
// without a dot that only its own log knows would stay otherwise.
func mapLineHosts(m *pseudonym.Mapper, b []byte, c counts) []byte {
	var out []byte
	done := 0
	for at := 0; at < len(b); {
		line := b[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i+1]
		}
		if n := clockLength(line); n > 0 {
			host, _, ok := bytes.Cut(line[n:], []byte{' '})
			if mapped := m.Host(nil, host); ok && plainHost(host) && !bytes.Equal(mapped, host) {
				out = append(append(out, b[done:at+n]...), mapped...)
				done = at + n + len(host)
				c["host-name"]++
			}
		}
		at += len(line)
	}
	if done == 0 {
		return b
	}
	return append(out, b[done:]...)
}

func plainHost(host []byte) bool {
	s := string(host)
	return s != "" && s != "localhost" && len(s) <= 253 && !strings.ContainsAny(s, "[]():/=\"")
}

// clockLength is how long the time at the start of a line is, with the blank
// behind it: 2026-11-28T16:00:00.123456Z, 2026-11-28T16:00:00.123456+01:00 or
// Nov 28 16:00:00; 0 if there is none.
func clockLength(line []byte) int {
	const old = len(time.Stamp)
	if len(line) > old && line[old] == ' ' {
		if _, err := time.Parse(time.Stamp, string(line[:old])); err == nil {
			return old + 1
		}
	}
	word := line[:min(len(line), 40)]
	i := bytes.IndexByte(word, ' ')
	if i < 0 {
		return 0
	}
	if _, err := time.Parse(time.RFC3339Nano, string(word[:i])); err != nil {
		return 0
	}
	return i + 1
}
