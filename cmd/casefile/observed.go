package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/casefile-io/casefile/collector"
)

const maxObserved = 32 << 20 // bytes of all rows of probes

// observed holds the rows of probes until the bundle is sealed: several nodes
// write to one file.
type observed struct {
	mu      sync.Mutex
	rows    map[string][]json.RawMessage // by kind
	bytes   int
	dropped int
}

func (o *observed) add(x collector.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bytes += len(x.Row); o.bytes > maxObserved {
		o.dropped++
		return
	}
	if o.rows == nil {
		o.rows = map[string][]json.RawMessage{}
	}
	o.rows[x.Kind] = append(o.rows[x.Kind], x.Row)
}

// sealObserved writes what probes came to: a file for each kind, the actions,
// and the table of contrasts.
func (j *job) sealObserved(sink bundleSink, results *[]collector.Result) error {
	j.observed.mu.Lock()
	defer j.observed.mu.Unlock()
	for _, kind := range sortedKeys(j.observed.rows) {
		path := "probes/" + kind + ".ndjson"
		if kind == collector.ActionKind {
			path = "collection/actions.ndjson"
		}
		if err := putLines(sink, path, j.observed.rows[kind]); err != nil {
			return err
		}
	}
	if j.observed.dropped > 0 {
		*results = append(*results, collector.Result{Source: "probe", Status: collector.StatusPartial,
			Reason: fmt.Sprintf("%d rows of probes are left out: more than %d bytes", j.observed.dropped, maxObserved)})
	}
	if j.probing == nil || j.probing.pair == nil {
		return nil
	}
	c := j.probing.pair.contrasts(j.observed.rows["tcp"])
	j.note("%s", readingText(c))
	for _, cell := range c.Cells {
		if cell.Outcome == "" {
			*results = append(*results, collector.Result{Source: "probe/between", Path: "probes/contrasts.json", Status: collector.StatusSkipped,
				Reason: cell.ID + ": " + cell.Reason})
		}
	}
	if err := putJSON(sink, "probes/contrasts.json", c); err != nil {
		return err
	}
	*results = append(*results, collector.Result{Source: "probe/between", Path: "probes/contrasts.json", Status: collector.StatusOK, Reason: strings.TrimSpace(c.Reading.Outcome)})
	return nil
}
