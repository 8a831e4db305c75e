package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"errors"

	"github.com/casefile-io/casefile/bundle/redact"
)

const mergeSource = "bundle merge"

// mergedList is collection/merged/sources.json.
type mergedList struct {
	Schema  string         `json:"schema"`
	Bundles []mergedBundle `json:"bundles"`
}

const mergedSchema = "casefile.dev/merged/v1"

type mergedBundle struct {
	ID        string     `json:"id"`
	Top       string     `json:"top"`
	Created   time.Time  `json:"created"`
	Producer  string     `json:"producer,omitempty"`
	Cluster   *Cluster   `json:"cluster,omitempty"`
	Incident  *Window    `json:"incident,omitempty"`
	Redaction *Redaction `json:"redaction,omitempty"`
	Recovered bool       `json:"recovered,omitempty"`
	Units     []string   `json:"units"` // folders, and files at the top, that are its own and are called as they were
	Moved     []move     `json:"moved"` // prefixes of the paths of the others
}

// storeOwn stores what the merged bundle says of itself.
func (m *merger) storeOwn() (*Completeness, error) {
	lines, complete, err := m.results()
	if err != nil {
		return nil, err
	}
	c := &Completeness{Complete: complete, Results: map[string]int{}}
	var text bytes.Buffer
	for _, l := range lines {
		b, err := canonical(l)
		if err != nil {
			return nil, err
		}
		text.Write(append(b, '\n'))
		c.Results[l.Status]++
		c.Complete = c.Complete && (l.Status == "ok" || l.Status == "skipped")
	}
	list := mergedList{Schema: mergedSchema}
	for _, p := range m.parts {
		was := p.Reader.manifest
		list.Bundles = append(list.Bundles, mergedBundle{was.ID, was.Top, was.Created, was.Producer, was.Cluster, was.Incident, was.Redaction, was.Recovered,
			slices.Sorted(maps.Keys(p.units)), p.moves})
	}
	sources, err := canonical(list)
	if err != nil {
		return nil, err
	}
	files := []struct {
		path string
		b    []byte
	}{{planPath, m.o.Plan}, {mergedSources, append(sources, '\n')}, {resultsPath, text.Bytes()}}
	if s := m.summary(); s != nil {
		b, err := canonical(s)
		if err != nil {
			return nil, err
		}
		files = append(files, struct {
			path string
			b    []byte
		}{redact.SummaryPath, append(b, '\n')})
	}
	for _, f := range files {
		if _, err := m.w.store(f.path, ClassMeta, bytes.NewReader(f.b)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// mergedResult is a line of collection/results.ndjson and the bundle that it
// was said in.
type mergedResult struct {
	result
	Bundle string `json:"bundle"` // its id
}

// results gives what all sources say that was asked for, by the paths that
// there are now. complete is false when one of them does not say it all.
func (m *merger) results() (lines []mergedResult, complete bool, err error) {
	complete = true
	for _, p := range m.parts {
		was := p.Reader.manifest
		complete = complete && !was.Recovered
		b, err := readSome(p.Reader, resultsPath)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", p.Name, err)
		}
		complete = complete && b != nil
		for line := range bytes.Lines(b) {
			var l mergedResult
			if json.Unmarshal(line, &l.result) != nil || l.Status == "" {
				complete = complete && len(bytes.TrimSpace(line)) == 0
				continue
			}
			l.Bundle = was.ID
			p.relate(&l.result)
			lines = append(lines, l)
		}
	}
	for _, node := range m.result.Filled {
		for _, p := range m.parts {
			if p.units[nodesDir+node+"/"] || slices.ContainsFunc(p.moves, func(mv move) bool { return mv.To == nodesDir+node+"/" }) {
				lines = append(lines, mergedResult{result{Source: mergeSource, Path: nodesDir + node, Status: "ok",
					Reason: "what another bundle could not get of this node is taken from this one"}, p.Reader.manifest.ID})
			}
		}
	}
	return lines, complete, nil
}

// relate makes a line of a source one of the merged bundle: what it lacks of a
// node that another source fills is not lacking any more.
func (p *mergePart) relate(l *result) {
	path := strings.Trim(l.Path, "/")
	node, isNode := strings.CutPrefix(l.Source, "node/")
	if path == "" && isNode {
		path = nodesDir + node
	}
	rest, below := strings.CutPrefix(path, nodesDir)
	name, _, _ := strings.Cut(rest, "/")
	if below && p.filled[name] && l.Status != "ok" && l.Status != "skipped" {
		l.Reason = strings.TrimSuffix("in another bundle: "+l.Status+": "+l.Reason, ": ")
		l.Status = "skipped"
	}
	if l.Path != "" {
		l.Path = strings.TrimSuffix(p.to(path+"/"), "/")
	} else if to := strings.TrimSuffix(p.to(path+"/"), "/"); isNode && strings.HasPrefix(to, nodesDir) {
		l.Source = "node/" + strings.TrimPrefix(to, nodesDir)
	}
}

// readSome reads an entry of at most maxResults bytes; nil when it is not there.
func readSome(r *Reader, path string) ([]byte, error) {
	info, err := r.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxResults {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrTooLarge, path, info.Size())
	}
	b, err := r.ReadFile(path)
	if b == nil {
		b = []byte{}
	}
	return b, err
}

// summary adds up what was redacted; nil when a source does not say it.
func (m *merger) summary() *redact.Summary {
	all := redact.Summary{Rules: map[string]int{}, Paths: map[string]map[string]int{}}
	var r *Redaction
	for i, p := range m.parts {
		b, err := readSome(p.Reader, redact.SummaryPath)
		var s redact.Summary
		if err != nil || json.Unmarshal(b, &s) != nil {
			return nil
		}
		this := &Redaction{Policy: s.Policy, Payload: s.Payload}
		if i == 0 {
			r, all.Key, all.Pack = this, s.Key, s.Pack
		}
		r = weaker(r, this)
		if all.Key != s.Key {
			all.Key = ""
		}
		if all.Pack != s.Pack {
			all.Pack = ""
		}
		for rule, n := range s.Rules {
			all.Rules[rule] += n
		}
		for path, rules := range s.Paths {
			all.Paths[p.to(path)] = rules
		}
		all.PathsOmitted += s.PathsOmitted
	}
	all.Policy, all.Payload = r.Policy, r.Payload
	return &all
}
