package input

import "github.com/casefile-io/casefile/sdk/abi"

// made is a row that the host makes rather than reads: a flow, a counter, a
// line of a log, a fact.
type made struct {
	text   []byte // a JSON object; keys that are the host's own are passed over, see origin
	origin origin // whose row it is
	place  abi.ReportedEvidence
}

// feed takes made rows to the inputs of one kind, in the order of the calls:
//
//	f := run.feed(run.flows, (*output).wants)
//	for each capture file: run.begin(run.flows, path), once it is read
//	f.row(made{text, originNode(node, netns), abi.ReportedEvidence{Path: path, Packet: 7}})
//	f.end()
//
// fields, where and form, numbers and caps are the feed's affair. A place needs
// its path and a line or packet; without a value the row itself is shown.
type feed struct {
	b    *block
	pick func(*output, string) bool
}

// feed makes a feed to inputs. pick says which of them get the rows of a path;
// nil is all.
func (r *run) feed(outs []*output, pick func(*output, string) bool) *feed {
	return &feed{b: newBlock(newGroup(outs)), pick: pick}
}

// row takes one row; its text is copied.
func (f *feed) row(m made) {
	if f.b.full() || f.b.path != m.place.Path || !f.b.origin.equal(m.origin) {
		f.end()
		f.b.reset(m.place.Path, m.origin)
		for i, o := range f.b.g.outs {
			f.b.takes[i].none = f.pick != nil && !f.pick(o, m.place.Path)
		}
	}
	at := spot{line: m.place.Line, packet: m.place.Packet}
	if m.place.Value != "" || m.place.Delta != nil || m.place.Pointer != "" {
		at.full = &m.place
	}
	if !f.b.add(m.text, at) {
		f.lacks(m.place.Path, "a row of it could not be made") // a fault of ours, or text that is no UTF-8
	}
}

// end hands over what waits.
func (f *feed) end() {
	f.b.sift()
	for i := range f.b.g.outs {
		f.b.deliver(i)
	}
	f.b.clear()
}

// lacks writes down for every input of the feed that wants the path what is
// missing there.
func (f *feed) lacks(path, reason string) {
	for _, o := range f.b.g.outs {
		if f.pick == nil || f.pick(o, path) {
			o.lacks(path, reason)
		}
	}
}

// begin notes for every input that wants the path that it is read.
func (r *run) begin(outs []*output, path string) {
	for _, o := range outs {
		if o.wants(path) {
			o.begin(path)
		}
	}
}
