// Package collector is the engine that gathers a casefile: it runs collectors
// side by side under a budget, gives each one a way to bytes ([Output]) and
// writes down one [Result] for every thing that was asked for, because what
// was not collected is data too.
//
// It knows neither Kubernetes nor the bundle format: collectors live in the
// packages below it, and bytes leave through a [Sink] that the caller gives.
package collector

import (
	"context"
	"encoding/json"
	"errors"
	"io"
)

// Class groups members of a bundle that compress well together.
type Class string

// The classes of a bundle.
const (
	ClassCluster  Class = "cluster"
	ClassNodes    Class = "nodes"
	ClassLogs     Class = "logs"
	ClassCaptures Class = "captures"
	ClassMeta     Class = "meta" // collection/…, probes/…, findings/…
)

// Sink takes what was collected; there is no other way out. Both methods are
// safe for concurrent use.
type Sink interface {
	// Put stores what r yields at path and returns the bytes stored. On an
	// error nothing of the entry is in the bundle.
	Put(path string, class Class, r io.Reader) (int64, error)
	// Frames stores the finished frames of an agent, which may only lie at
	// the given path prefixes. It reads r to its end.
	Frames(prefixes []string, r io.Reader) error
}

// Collector gathers one kind of thing.
type Collector interface {
	Name() string
	// Collect gathers until done or until ctx ends. What it could not get it
	// records; an error means that the collector as a whole failed.
	Collect(ctx context.Context, out *Output) error
}

// Status of a thing that was asked for.
type Status string

// The statuses of collection/results.ndjson.
const (
	StatusOK         Status = "ok"
	StatusPartial    Status = "partial"
	StatusDenied     Status = "denied"
	StatusFailed     Status = "failed"
	StatusSkipped    Status = "skipped" // not offered here: a kernel or cluster without the feature
	StatusOverBudget Status = "over-budget"
)

// Incomplete says whether the status makes a bundle incomplete (exit 4).
func (s Status) Incomplete() bool { return s != StatusOK && s != StatusSkipped }

// Result is one line of collection/results.ndjson.
type Result struct {
	Source string `json:"source"` // "cluster", "node/rc-n2", "capture/pod/a/b", …
	Path   string `json:"path,omitempty"`
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
	Bytes  int64  `json:"bytes"`
	Millis int64  `json:"millis"`
}

// Progress is what a status line shows: how far a phase is.
type Progress struct {
	Phase string `json:"phase"` // "cluster", "nodes", "captures", "logs"
	Done  int    `json:"done"`
	Total int    `json:"total,omitempty"` // 0 while unknown
	Bytes int64  `json:"bytes,omitempty"`
	Note  string `json:"note,omitempty"`
}

// Observation is a row of what was measured by sending something, rather than
// read: the outcome of a probe, or, of the kind [ActionKind], that it was sent.
type Observation struct {
	Kind string          `json:"kind"` // "dns", "tcp", …: probes/<kind>.ndjson
	Row  json.RawMessage `json:"row"`  // an object with the name of its "node"
}

// ActionKind is the kind of the rows of collection/actions.ndjson.
const ActionKind = "action"

// Errors that decide the status of a result.
var (
	ErrDenied      = errors.New("denied")
	ErrUnsupported = errors.New("not supported here")
	ErrOverBudget  = errors.New("over budget")
)
