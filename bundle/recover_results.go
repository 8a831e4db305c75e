package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// What a collection writes down about itself.
const (
	planPath    = "collection/plan.json"
	resultsPath = "collection/results.ndjson"
	journalDir  = "collection/journal/"
	maxResults  = 64 << 20 // bytes of them that are taken into account
	maxLost     = 100_000  // lines about what is missing
)

// result is one line of collection/results.ndjson.
type result struct {
	Source string `json:"source"`
	Path   string `json:"path,omitempty"`
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
	Bytes  int64  `json:"bytes"`
	Millis int64  `json:"millis"`
}

// results gathers what the lost run had recorded.
type results struct {
	final   []byte // collection/results.ndjson
	journal []byte // joined
	size    int64
}

// capture keeps a copy of a small entry.
type capture struct{ b []byte }

func (c *capture) Write(p []byte) (int, error) {
	c.b = append(c.b, p...)
	return len(p), nil
}

// want gives a buffer for an entry that holds results.
func (r *results) want(path string, size int64) *capture {
	if path != resultsPath && !strings.HasPrefix(path, journalDir) || size > maxResults-r.size {
		return nil
	}
	r.size += size
	return new(capture)
}

func (r *results) add(path string, b []byte) {
	if path == resultsPath {
		r.final = b
	} else {
		r.journal = append(r.journal, b...)
	}
}

// lines gives each line that is a result, once.
func (r *results) lines() (raw [][]byte, parsed []result) {
	seen := map[string]bool{}
	for line := range bytes.Lines(slices.Concat(r.final, r.journal)) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		var l result
		if seen[string(line)] || json.Unmarshal(line, &l) != nil || l.Status == "" {
			continue
		}
		seen[string(line)] = true
		raw, parsed = append(raw, line), append(parsed, l)
	}
	return raw, parsed
}

// absent adds the files that were recorded as stored and are not there.
func (r *results) absent(rec *Recovery, there names) {
	told := map[string]bool{resultsPath: true, "": true}
	for _, m := range rec.Missing {
		told[m.Path] = true
	}
	_, parsed := r.lines()
	for _, l := range parsed {
		if told[l.Path] || l.Status != "ok" && l.Status != "partial" {
			continue
		}
		told[l.Path] = true
		path, err := escapePath(l.Path)
		if _, ok := there[foldKey(path)]; ok || err != nil {
			continue
		}
		rec.miss(Missing{Path: l.Path, Size: -1, Reason: fmt.Sprintf("recorded as %s with %d bytes, but not in the file", l.Status, l.Bytes)})
	}
}

// merged gives the new collection/results.ndjson and its counts by status.
func (r *results) merged(rec *Recovery) (io.Reader, map[string]int) {
	lost := map[string]Missing{} // the last about each path
	for _, m := range rec.Missing {
		lost[m.Path] = m
	}
	out, counts := new(bytes.Buffer), map[string]int{}
	write := func(raw []byte, l result) {
		if raw == nil {
			raw, _ = canonical(l) // strings and numbers: no error
		}
		counts[l.Status]++
		out.Write(append(raw, '\n'))
	}
	raw, parsed := r.lines()
	for i, l := range parsed {
		m, ok := lost[l.Path]
		if !ok || l.Path == "" {
			write(raw[i], l)
			continue
		}
		delete(lost, l.Path)
		write(nil, m.result(l.Source))
	}
	for n, path := range slices.Sorted(maps.Keys(lost)) {
		if n == maxLost {
			write(nil, result{Source: "recover", Status: "failed", Reason: fmt.Sprintf("and %d more files that are missing", len(lost)-n)})
			break
		}
		write(nil, lost[path].result("recover"))
	}
	for _, why := range rec.gaps() {
		write(nil, result{Source: "recover", Status: "partial", Reason: why})
	}
	return out, counts
}

// result is the line for a file that is missing.
func (m Missing) result(source string) result {
	status, reason := "failed", m.Reason
	if m.Have > 0 || strings.HasPrefix(m.Reason, "parts ") {
		status = "partial"
	}
	if m.Size >= 0 {
		reason = fmt.Sprintf("%s: %d of %d bytes were there", m.Reason, m.Have, m.Size)
	}
	return result{Source: source, Path: m.Path, Status: status, Reason: "recovered bundle: " + reason}
}

// gaps says what is missing beside the entries that can be named.
func (r *Recovery) gaps() []string {
	var list []string
	if !r.Ended {
		list = append(list, "the collection did not come to its end")
	}
	for i, d := range r.Damaged {
		if i == maxLost {
			list = append(list, fmt.Sprintf("and %d more damaged ranges", len(r.Damaged)-i))
			break
		}
		list = append(list, d.String())
	}
	if len(r.Tail) > 0 {
		list = append(list, "sealed anew; lost: "+strings.Join(r.Tail, ", "))
	}
	return list
}

// String gives frame, bytes and reason.
func (d DamagedRange) String() string {
	return fmt.Sprintf("frame %d, bytes %d to %d of the file: %v", d.Frame, d.From, d.To, d.Err)
}

func sortedParts(chains map[string]part) []string { return slices.Sorted(maps.Keys(chains)) }
