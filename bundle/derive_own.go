package bundle

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/bundle/redact"
)

const capturesDir = "captures/"

// speaksOfOthers says whether an entry may name other entries.
func speaksOfOthers(path string) bool {
	return strings.HasPrefix(path, "collection/") || strings.HasPrefix(path, "findings/") ||
		strings.HasPrefix(path, capturesDir) && strings.HasSuffix(path, ".json")
}

// copyOwn takes over what the collection says about itself, without what it
// says about entries that are gone; its results last, when all is known.
func (d *deriver) copyOwn() error {
	var results, summary []node
	for _, n := range d.own {
		switch {
		case n.path == resultsPath:
			results = append(results, n)
			continue
		case n.path == redact.SummaryPath && d.o.Redactor != nil:
			summary = append(summary, n)
			continue
		}
		if err := d.copyCut(n); err != nil {
			return err
		}
	}
	if err := d.copyResults(results); err != nil || len(summary) == 0 {
		return err
	}
	return d.copySummary(summary[0])
}

// copyCut takes over one entry, without what it says about entries that are gone.
func (d *deriver) copyCut(n node) error {
	if len(d.gone) == 0 {
		return d.copy(n)
	}
	b, err := d.cut(n)
	switch {
	case err != nil:
		return err
	case b == nil:
		d.result.Dropped = append(d.result.Dropped, n.path)
		return nil
	}
	return d.replace(n, b)
}

// replace stores b in place of an entry.
func (d *deriver) replace(n node, b []byte) error {
	var src io.Reader = bytes.NewReader(b)
	if d.o.Redactor != nil {
		src = d.o.Redactor.Reader(n.path, src)
	}
	return d.putRedacted(n, src)
}

// cut gives the content of an entry without what names something that is
// gone, or nil when it must go too.
func (d *deriver) cut(n node) ([]byte, error) {
	if n.size > maxResults {
		return nil, nil // more than can be looked through
	}
	b, err := d.r.ReadFile(n.path)
	if err != nil {
		return nil, err
	}
	switch {
	case len(d.gone) == 0:
		return b, nil
	case n.path == redact.SummaryPath:
		return d.cutSummary(b), nil
	case strings.HasPrefix(n.path, capturesDir) && strings.HasSuffix(n.path, "/capture.json"):
		return d.cutCapture(n.path, b), nil
	case strings.HasSuffix(n.path, ".json"):
		if d.hidden.inJSON(b, true) {
			return nil, nil
		}
		return b, nil
	}
	return d.cutLines(b), nil
}

// cutLines takes out the lines that name something that is gone.
func (d *deriver) cutLines(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for line := range bytes.Lines(b) {
		if !d.namesGone(line) {
			out = append(out, line...)
		}
	}
	return out
}

func (d *deriver) namesGone(line []byte) bool {
	var l result
	words := true
	if json.Unmarshal(line, &l) == nil && l.Path != "" {
		path, err := escapePath(l.Path)
		if err == nil && d.o.Keep != nil && !d.o.Keep(path) {
			return true
		}
		_, there := d.r.find(path)
		words = err != nil || !there || d.gone[path]
	}
	return d.hidden.inJSON(line, words)
}

// cutSummary takes paths that are gone out of collection/redaction.json, and
// their redactions out of its sums.
func (d *deriver) cutSummary(b []byte) []byte {
	var all map[string]json.RawMessage
	var s redact.Summary
	if json.Unmarshal(b, &all) != nil || json.Unmarshal(b, &s) != nil {
		return nil
	}
	before := len(s.Paths)
	for path, rules := range s.Paths {
		if !d.hidden.in(path, true) {
			continue
		}
		for rule, n := range rules {
			if s.Rules[rule] -= n; s.Rules[rule] <= 0 {
				delete(s.Rules, rule)
			}
		}
		delete(s.Paths, path)
	}
	if len(s.Paths) != before {
		for key, v := range map[string]any{"paths": s.Paths, "rules": s.Rules} {
			text, err := json.Marshal(v)
			if err != nil {
				return nil
			}
			all[key] = text
		}
		text, err := canonical(all)
		if err != nil {
			return nil
		}
		b = append(text, '\n')
	}
	if d.hidden.inJSON(b, true) {
		return nil
	}
	return b
}

// copySummary adds what was redacted now to collection/redaction.json, and
// calls the entries in it by their new names.
func (d *deriver) copySummary(n node) error {
	b, err := d.cut(n)
	if err != nil {
		return err
	}
	var s redact.Summary
	if json.Unmarshal(b, &s) != nil {
		d.result.Dropped = append(d.result.Dropped, n.path)
		return nil
	}
	now := d.o.Redactor.Summary()
	all := redact.Summary{Policy: now.Policy, Payload: lessPayload(s.Payload, now.Payload), Key: now.Key, Pack: now.Pack,
		Rules: map[string]int{}, Paths: map[string]map[string]int{}, PathsOmitted: s.PathsOmitted + now.PathsOmitted}
	if all.Key == "" {
		all.Key = s.Key
	}
	if all.Pack == "" {
		all.Pack = s.Pack
	}
	for i, part := range []redact.Summary{s, now} {
		for rule, n := range part.Rules {
			all.Rules[rule] += n
		}
		for path, rules := range part.Paths {
			if i == 0 {
				path = d.o.Redactor.Path(path)
			}
			if all.Paths[path] == nil {
				all.Paths[path] = map[string]int{}
			}
			for rule, n := range rules {
				all.Paths[path][rule] += n
			}
		}
	}
	was, err := canonical(s)
	if err != nil {
		return err
	}
	text, err := canonical(all)
	if err != nil {
		return err
	}
	if bytes.Equal(was, text) {
		return d.copyCut(n)
	}
	return d.replace(n, append(text, '\n'))
}

// cutCapture takes the points out of a capture.json of which no packets are
// left; without any it goes too.
func (d *deriver) cutCapture(path string, b []byte) []byte {
	folder := strings.TrimSuffix(path, "capture.json")
	packets := func(p string) bool { return strings.HasPrefix(p, folder) && strings.HasSuffix(p, ".pcapng") }
	lost := false
	for path := range d.gone {
		lost = lost || packets(path)
	}
	if !lost {
		return b
	}
	var left []string
	for _, n := range d.kept {
		if packets(n.path) && !d.gone[n.path] {
			left = append(left, n.path)
		}
	}
	var all map[string]json.RawMessage
	var points []string
	if len(left) == 0 || json.Unmarshal(b, &all) != nil || json.Unmarshal(all["points"], &points) != nil {
		return nil
	}
	points = slices.DeleteFunc(points, func(point string) bool {
		node, _, _ := strings.Cut(point, " ")
		return !slices.ContainsFunc(left, func(p string) bool { return strings.HasPrefix(p, folder+EscapePath(node)+"__") })
	})
	text, err := json.Marshal(points)
	if err != nil {
		return nil
	}
	all["points"] = text
	if text, err = canonical(all); err != nil {
		return nil
	}
	return append(text, '\n')
}

// copyResults writes collection/results.ndjson, with a line about what is
// gone, and counts it.
func (d *deriver) copyResults(have []node) error {
	m := d.r.manifest
	left := d.leftOut()
	if m.Completeness != nil {
		d.results = &Completeness{Complete: m.Completeness.Complete, Results: m.Completeness.Results}
	}
	switch {
	case d.gone[resultsPath]: // left out as asked for: nothing is known any more
		d.results = &Completeness{}
		return nil
	case len(left) == 0 && len(have) == 0:
		return nil
	case len(left) == 0:
		return d.copy(have[0])
	}
	var b []byte
	unknown := false
	if len(have) > 0 {
		var err error
		if b, err = d.cut(have[0]); err != nil {
			return err
		}
		unknown = b == nil
		if n := len(b); n > 0 && b[n-1] != '\n' {
			b = append(b, '\n')
		}
	}
	for _, l := range left {
		line, err := canonical(l)
		if err != nil {
			return err
		}
		b = append(append(b, line...), '\n')
	}
	d.count(b, unknown)
	if len(have) > 0 {
		return d.replace(have[0], b)
	}
	d.result.Added = append(d.result.Added, resultsPath)
	return d.store(resultsPath, resultsPath, ClassMeta, bytes.NewReader(b))
}

// count counts results by status, as a collection does.
func (d *deriver) count(b []byte, unknown bool) {
	c := &Completeness{Complete: !unknown && !d.r.manifest.Recovered, Results: map[string]int{}}
	for line := range bytes.Lines(b) {
		var l result
		if json.Unmarshal(line, &l) != nil || l.Status == "" {
			continue
		}
		c.Results[l.Status]++
		c.Complete = c.Complete && (l.Status == "ok" || l.Status == "skipped")
	}
	d.results = c
}
