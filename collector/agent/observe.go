package agent

import (
	"encoding/json"

	"github.com/casefile-io/casefile/collector"
)

// observe takes a row of a probe. An agent speaks of its own node only, and
// only when it was asked to send something.
func (r *router) observe(payload []byte) error {
	var o collector.Observation
	var row struct {
		Node string `json:"node"`
	}
	if len(r.plan.Probes) == 0 || len(payload) > maxJSON || json.Unmarshal(payload, &o) != nil ||
		!isKind(o.Kind) || json.Unmarshal(o.Row, &row) != nil || row.Node != r.plan.Node {
		return r.junk(KindObserved)
	}
	r.observed++
	r.observedBytes += int64(len(o.Row))
	if r.observed > maxObserved || r.observedBytes > maxObservedB {
		return r.junk(KindObserved)
	}
	r.out.Observe(o.Kind, o.Row)
	return nil
}

// isKind says whether s may name the kind of an observation, and with it a
// file of the bundle.
func isKind(s string) bool {
	switch s {
	case collector.ActionKind, "dns", "tcp", "mtu", "path", "http":
		return true
	}
	return false
}
