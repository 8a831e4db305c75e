package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casefile-io/casefile/bundle"
	"github.com/casefile-io/casefile/bundle/encrypt"
	"github.com/casefile-io/casefile/bundle/redact"
	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/agent"
)

// job is one run of the pipeline from collectors to a sealed bundle; collect
// makes one from its flags, demo from its sample.
type job struct {
	plan    *plan
	output  string // as the user said; empty is a name made from the top folder
	signer  bundle.Signer
	stamper *stamper           // nil: no timestamp
	readers encrypt.Recipients // nil leaves the bundle plain
	review  bool               // write a review beside the bundle
	status  *statusLine
	strict  *strictness // nil unless redaction is strict
	started time.Time   // the time of the bundle
	began   time.Time   // of this run; a sample is older

	cluster    bundle.Cluster // or this machine's name
	top        string
	collectors []collector.Collector
	captures   []captureIndex
	prepare    func(context.Context) error // what may stop the run before anything is written; may be nil
	redactor   *redact.Redactor            // everything passes it; made before anything is named
	probing    *probing                    // nil: nothing is sent
	observed   observed

	mu       sync.Mutex
	redacted map[string]int // redactions that agents made, by rule
	log      []logLine
}

// captureIndex becomes captures/<name>/capture.json.
type captureIndex struct {
	Name     string   `json:"name"`
	Target   string   `json:"target"`
	Filter   string   `json:"filter,omitempty"`
	Snaplen  int      `json:"snaplen"`
	Duration int64    `json:"durationMillis"`
	Points   []string `json:"points"` // where: a node, or a node and the pod on it; one file each, its counters beside it
}

// logLine is one line of collection/log.ndjson.
type logLine struct {
	Time string `json:"time"`
	Text string `json:"text"`
}

func (j *job) note(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	j.mu.Lock()
	j.log = append(j.log, logLine{time.Now().UTC().Format(time.RFC3339Nano), text})
	j.mu.Unlock()
	j.status.say("%s", oneLine(text))
}

// ended takes what an agent said last.
func (j *job) ended(_ string, end agent.End) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.redacted == nil {
		j.redacted = map[string]int{}
	}
	for rule, n := range end.Redaction {
		if n > 0 {
			j.redacted[rule] += n
		}
	}
	j.strict.heard(end.Pseudonyms)
}

var unsafeName = regexp.MustCompile(`[^a-z0-9.-]+`)

// topFolder names the bundle: casefile-<cluster>-<UTC>.
func topFolder(name string, at time.Time) string {
	name = strings.Trim(unsafeName.ReplaceAllString(strings.ToLower(name), "-"), "-.")
	if name == "" {
		name = "cluster"
	}
	return "casefile-" + name[:min(len(name), 63)] + "-" + at.Format("20060102T150405Z")
}

// run collects until done or until ctx ends, and seals. parent is the context
// without the time limit: when it has ended, the user has had enough.
func (j *job) run(ctx, parent context.Context) (err error) {
	j.began = time.Now()
	if j.prepare != nil {
		if err := j.prepare(ctx); err != nil {
			return err
		}
	}
	out, err := j.create()
	if err != nil {
		return err
	}
	defer out.abandon()
	defer func() { err = out.fail(err) }()
	reveal, err := j.strict.createReveal(out.name, j.top)
	if err != nil {
		return err
	}
	defer reveal.abandon()
	file, err := encrypting(out, j.readers)
	if err != nil {
		return err
	}
	w, err := bundle.NewWriter(file, bundle.Options{Top: j.top, Time: j.started, Redactor: j.redactor})
	if err != nil {
		return err
	}
	sink := bundleSink{w, j.redactor}
	if err := errors.Join(putJSON(sink, "collection/plan.json", j.plan), w.Flush()); err != nil {
		return err
	}
	g := startJournal(w, sink, journalInterval)
	results := collector.Run(ctx, sink, j.collectors, collector.Options{MaxBytes: j.plan.MaxBytes, Progress: j.status.progress, Recorded: g.record, Observed: j.observed.add})
	g.end()
	if why := interruption(ctx, parent, j.plan.timeout); why != "" {
		results = slices.Insert(results, 0, collector.Result{Source: "collect", Status: collector.StatusPartial, Reason: why}) // first: tell lists ten
	}
	m, err := j.seal(w, sink, results)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	if err := out.keep(); err != nil {
		return err
	}
	if err := j.strict.writeReveal(reveal, j.redactor, j.top); err != nil {
		return fmt.Errorf("%s is whole, but its map of names could not be written: %w", out.name, err)
	}
	if j.review {
		if err := j.writeReview(parent, out.name); err != nil {
			return fmt.Errorf("%s is whole, but its review could not be written: %w", out.name, err)
		}
	}
	return j.tell(m, out, results)
}

func interruption(ctx, parent context.Context, limit time.Duration) string {
	switch {
	case parent.Err() != nil:
		return "interrupted by the user; the bundle holds what was there by then"
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("--timeout of %s ran out; the bundle holds what was there by then", limit)
	}
	return ""
}

// seal writes what the collection says about itself, and closes the bundle.
func (j *job) seal(w *bundle.Writer, sink bundleSink, results []collector.Result) (*bundle.Manifest, error) {
	for _, c := range j.captures {
		if err := putJSON(sink, "captures/"+c.Name+"/capture.json", c); err != nil {
			return nil, err
		}
	}
	if err := j.sealObserved(sink, &results); err != nil {
		return nil, err
	}
	j.redactor.Add(j.redacted)
	if err := putLines(sink, "collection/results.ndjson", results); err != nil {
		return nil, err
	}
	if err := putLines(sink, "collection/log.ndjson", j.log); err != nil {
		return nil, err
	}
	if err := putJSON(sink, "collection/redaction.json", j.redactor.Summary()); err != nil {
		return nil, err
	}
	info := j.info(results)
	info.Timestamp = j.stamper.timestamp()
	if j.strict != nil {
		if err := maskInfo(j.redactor, &info); err != nil {
			return nil, err
		}
	}
	if j.signer != nil {
		var err error
		if info.Provenance, err = j.provenance(results); err != nil {
			j.note("the bundle goes without provenance: %v", err) // what was collected is worth more
		}
	}
	return w.Close(info, j.signer)
}

func (j *job) info(results []collector.Result) bundle.Info {
	counts := map[string]int{}
	complete := true
	for _, r := range results {
		counts[string(r.Status)]++
		complete = complete && !r.Status.Incomplete()
	}
	return bundle.Info{
		Producer: "casefile " + version, Cluster: &j.cluster, Labels: j.plan.Labels, Note: j.plan.Note,
		Incident:     &bundle.Window{From: j.started.Truncate(time.Second), To: j.started.Add(time.Since(j.began)).Truncate(time.Second)},
		Redaction:    &bundle.Redaction{Policy: j.plan.Redaction, Payload: j.plan.Payload},
		Completeness: &bundle.Completeness{Complete: complete, Results: counts},
	}
}

// tell prints the bundle's name on stdout and the rest on stderr.
func (j *job) tell(m *bundle.Manifest, out *output, results []collector.Result) error {
	lacking := slices.DeleteFunc(slices.Clone(results), func(r collector.Result) bool { return !r.Status.Incomplete() })
	j.status.say("%d things asked for, %d incomplete; %d files, %s", len(results), len(lacking), m.Index.Files, byteSize(out.n))
	for i, r := range lacking {
		if i == 10 {
			j.status.say("  … and %d more: casefile bundle cat FILE collection/results.ndjson", len(lacking)-i)
			break
		}
		j.status.say("  %s: %s", r.Status, oneLine(strings.TrimSpace(r.Source+" "+r.Path+": "+r.Reason)))
	}
	if j.signer != nil {
		j.status.say("sealed by %s", m.Signer.Fingerprint)
	} else {
		j.status.say("not signed (--no-sign): readers need --unverified")
	}
	if len(j.readers) > 0 {
		j.status.say("encrypted for %d recipients", len(j.readers))
	}
	j.status.done()
	if out.name != "-" {
		fmt.Println(out.name)
	}
	if err := j.stamper.lacking(out.name); err != nil {
		return err
	}
	if len(lacking) > 0 {
		return incompletef("done, but incomplete: %d of %d things are missing or partial", len(lacking), len(results))
	}
	return nil
}

// bundleSink lets collectors write to a bundle without knowing the format.
type bundleSink struct {
	w        *bundle.Writer
	redactor *redact.Redactor
}

func (s bundleSink) Put(path string, class collector.Class, r io.Reader) (int64, error) {
	return s.w.Put(path, bundle.Class(class), r)
}

// Frames grants an agent its folders by the names that they have in the bundle.
func (s bundleSink) Frames(prefixes []string, r io.Reader) error {
	stored := make([]string, len(prefixes))
	for i, p := range prefixes {
		stored[i] = s.redactor.Path(p)
	}
	return s.w.Frames(stored, r)
}

func putJSON(s bundleSink, path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = s.Put(path, collector.ClassMeta, strings.NewReader(string(b)+"\n"))
	return err
}

func putLines[T any](s bundleSink, path string, lines []T) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	_, err := s.Put(path, collector.ClassMeta, strings.NewReader(b.String()))
	return err
}

// sortedKeys gives the keys of m in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
