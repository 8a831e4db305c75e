package probe

import "slices"

// Cell is one connection of a table of contrasts: whatever two cells that
// differ in one axis come to differs by that axis.
type Cell struct {
	ID     string `json:"id"`
	Source string `json:"source"`           // "pod" or "node": the network namespace that it goes out of
	Peer   string `json:"placement"`        // of the far end: "same-node", "other-node"; "any" behind a Service; "outside", "outside-from-other-node"
	Via    string `json:"via"`              // "pod-address", "node-address", "service-address", "service-name", "address", "name"
	From   string `json:"from"`             // pod/NS/NAME or node/NAME
	Target string `json:"target"`           // what it goes to
	Host   string `json:"host,omitempty"`   // address or name
	Port   uint16 `json:"port,omitempty"`   //
	Reason string `json:"reason,omitempty"` // why the cell could not be made, or has no outcome

	Outcome string `json:"outcome,omitempty"` // as [TCPRow] has it
	Lookup  string `json:"lookup,omitempty"`  // outcome of the name's resolution
	Micros  int64  `json:"p50Micros,omitempty"`
	Resent  uint32 `json:"resent,omitempty"`
}

// Fill takes the outcome of a cell from its rows, one for each address.
func (c *Cell) Fill(rows []TCPRow) {
	if len(rows) == 0 {
		c.Reason = "the node did not say what came of it"
		return
	}
	c.Outcome, c.Micros = known(rows[0].Outcome), rows[0].Latency.P50
	for _, r := range rows {
		if known(r.Outcome) != c.Outcome {
			c.Outcome = "mixed"
		}
		if r.Lookup != nil {
			c.Lookup = known(r.Lookup.Outcome)
		}
		for _, a := range r.Attempts {
			c.Resent += a.Resent
		}
	}
}

// known holds what a node says to what it may say.
func known(outcome string) string {
	switch outcome {
	case "connected", "refused", "timeout", "unreachable", "reset", "failed", "unresolved", "mixed", "ok", "nxdomain", "nodata", "servfail":
		return outcome
	}
	return "failed"
}

// Contrasts is probes/contrasts.json.
type Contrasts struct {
	Between []string `json:"between"` // A and B as the user wrote them
	Cells   []Cell   `json:"cells"`
	Reading Reading  `json:"reading"`
}

// Reading says what the cells have in common.
type Reading struct {
	Outcome string    `json:"outcome"`           // all-connected, none-connected, mixed, unknown
	Differs []Differs `json:"differs,omitempty"` // axes by which the outcome differs
	// All is what every cell that did not connect came to, if they agree.
	All string `json:"failures,omitempty"`
}

// Differs is an axis whose two sides come to different ends.
type Differs struct {
	Axis   string   `json:"axis"`  // "node": same or other; "service": pod's address or Service; "source": node or pod; "name": name or address
	Layer  string   `json:"layer"` // where to look first, as findings have it
	Works  []string `json:"works"` // ids of cells
	Fails  []string `json:"fails"`
	Always bool     `json:"always"` // every pair of cells along the axis differs so
}

// axis compares the cells of one side with those of the other that are the
// same in all else.
type axis struct {
	name, layer string
	pair        func(a, b Cell) bool // a on the plain side, b on the other
	plain       bool                 // says something only when the whole plain side of the source connects
}

func axes() []axis {
	direct := func(c Cell) bool { return c.Via == "pod-address" || c.Via == "node-address" }
	return []axis{
		{"node", "cni", func(a, b Cell) bool {
			return a.Source == b.Source && a.Via == b.Via && direct(a) && a.Peer == "same-node" && b.Peer == "other-node" ||
				a.Source == "node" && b.Source == "node" && a.Via == b.Via && a.Peer == "outside" && b.Peer == "outside-from-other-node"
		}, false},
		{"service", "service", func(a, b Cell) bool {
			return a.Source == b.Source && a.Via == "pod-address" && b.Via == "service-address"
		}, true},
		{"source", "cni", func(a, b Cell) bool {
			return a.Source == "node" && b.Source == "pod" && a.Via == b.Via && a.Peer == b.Peer
		}, false},
		{"name", "dns", func(a, b Cell) bool {
			return a.Source == b.Source && (a.Via == "service-address" && b.Via == "service-name" || a.Via == "address" && b.Via == "name")
		}, false},
	}
}

// Read compares the cells along each axis. A cell without an outcome says
// nothing.
func Read(cells []Cell) Reading {
	var r Reading
	var connected, failed []Cell
	for _, c := range cells {
		switch c.Outcome {
		case "":
		case "connected":
			connected = append(connected, c)
		default:
			failed = append(failed, c)
		}
	}
	switch {
	case len(connected)+len(failed) == 0:
		r.Outcome = "unknown"
	case len(failed) == 0:
		r.Outcome = "all-connected"
	case len(connected) == 0:
		r.Outcome = "none-connected"
	default:
		r.Outcome = "mixed"
	}
	for i, c := range failed {
		if i == 0 {
			r.All = c.Outcome
		} else if c.Outcome != r.All {
			r.All = ""
			break
		}
	}
	for _, x := range axes() {
		if d, ok := x.differs(connected, failed, cells); ok {
			r.Differs = append(r.Differs, d)
		}
	}
	return r
}

func (x axis) differs(connected, failed, cells []Cell) (Differs, bool) {
	d := Differs{Axis: x.name, Layer: x.layer}
	differing, pairs := 0, 0
	for _, a := range connected {
		for _, b := range failed {
			if !x.pair(a, b) && !x.pair(b, a) || x.plain && slices.ContainsFunc(failed, func(c Cell) bool { return x.pair(c, b) || x.pair(c, a) }) {
				continue
			}
			differing++
			if !slices.Contains(d.Works, a.ID) {
				d.Works = append(d.Works, a.ID)
			}
			if !slices.Contains(d.Fails, b.ID) {
				d.Fails = append(d.Fails, b.ID)
			}
		}
	}
	for _, a := range cells {
		for _, b := range cells {
			if a.Outcome != "" && b.Outcome != "" && x.pair(a, b) {
				pairs++
			}
		}
	}
	d.Always = differing == pairs
	return d, differing > 0
}
