package underlay

import (
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
)

// tooBig is an ICMP error that says that an end sends what does not fit.
type tooBig struct {
	tooBigKey
	source
	device  string
	packet  int
	flow    direction // that was told for longest
	seconds float64   // from the first time to the last
	told    bool      // in another finding
}

type tooBigKey struct {
	sender, from string
	mtu          int
}

// heeded is how long one flow may be told, in seconds: a sender that hears it
// sends smaller packets within a round trip.
const heeded = 1

// errors takes the ICMP errors of a flow, by their time. Many places see the
// same error: the capture of a pod tells best who sends.
func (c *captures) errors(f *sdk.Flow, src source) {
	since := map[tooBigKey]float64{}
	for _, e := range f.ICMP {
		if !saysTooBig(e) {
			continue
		}
		from, to := &f.A, &f.B
		if e.About == "b" {
			from, to = to, from
		}
		key := tooBigKey{from.IP, e.From, e.MTU}
		b := c.index[key]
		if b == nil {
			b = &tooBig{tooBigKey: key, source: src}
			c.index[key] = b
			c.tooBig = append(c.tooBig, b)
		}
		if _, ok := since[key]; !ok {
			since[key] = e.Time
		}
		seconds, pod := e.Time-since[key], b.space.Inode == 0 && src.space.Inode != 0
		if b.packet == 0 || pod || b.path == src.path && seconds > b.seconds {
			b.source, b.device, b.packet, b.flow = src, f.Device, e.Packet, direction{endpoint(from), endpoint(to)}
		}
		b.seconds = max(b.seconds, seconds)
	}
}

// saysTooBig is true of "fragmentation needed" and "packet too big".
func saysTooBig(e abi.ICMPError) bool {
	if strings.Contains(e.From, ":") {
		return e.Type == 2
	}
	return e.Type == 3 && e.Code == 4
}

// cites gives the errors of a node that name an MTU as evidence: they prove
// what its tables say.
func (w *walk) cites(node string, mtu int) (evidence []sdk.Evidence) {
	for _, b := range w.captures.tooBig {
		if b.space.Node == node && b.mtu == mtu {
			b.told = true
			evidence = append(evidence, sdk.AtPacket(b.path, b.packet))
		}
	}
	return evidence
}

// errors reports what routers say that no table explains.
func (w *walk) errors() {
	for _, b := range w.captures.tooBig {
		if b.told {
			continue
		}
		subject, owner, at := w.machines.Who(b.space)
		f := sdk.Finding{
			Variant: "icmp", Severity: sdk.Low, Subject: subject, Owner: owner,
			Params:   map[string]any{"from": b.from, "mtu": b.mtu, "flow": b.flow.String(), "seconds": kernel.Tenths(b.seconds), "where": kernel.NameOf(subject)},
			Evidence: []sdk.Evidence{sdk.AtPacket(b.path, b.packet)},
		}
		if b.seconds >= heeded {
			f.Severity = sdk.High
		}
		if at != 0 {
			f.Evidence = append(f.Evidence, sdk.At(at))
		}
		w.found(b.space.Node, b.device, f)
	}
}
