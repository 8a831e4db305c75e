package underlay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
	"github.com/casefile-io/casefile/sdk/abi"
)

// A ratio needs a number below it: with fewer than 20 segments, or fewer than
// 5 sent again, there is none worth telling. Three unanswered SYNs in a capture
// are (1 s, 3 s and 7 s of waiting).
const (
	minSent        = 20
	minAgain       = 5
	minSYN         = 3
	mediumPercent  = 1
	highPercent    = 5
	retransSegs    = "Tcp.RetransSegs"
	outSegs        = "Tcp.OutSegs"
	synRetransmits = "TcpExt.TCPSynRetrans"
)

func tcpInput() sdk.CounterSource { return sdk.Counters("tcp", retransSegs, outSegs, synRetransmits) }

// Retransmissions finds pods and nodes that must send segments again, by their
// counters and in captures.
func Retransmissions() sdk.Rule {
	return sdk.Rule{
		ID: "underlay/retransmissions", Severity: sdk.Medium, Layer: sdk.LayerUnderlay,
		Text: map[string]sdk.Text{"en": retransmissionsEN(), "zh": retransmissionsZH()},
		Inputs: []sdk.Source{tcpInput(), kernel.NodesInput(), sdk.Optional(flowsInput()),
			sdk.Optional(kube.PodsInput())},
		Run: retransmissions,
	}
}

// sender is a pod or a node that sends segments again.
type sender struct {
	subject  sdk.Subject
	owner    string
	at       int64
	set      *sdk.CounterSet
	captures []*capture
}

func retransmissions(in *sdk.Input, out *sdk.Reporter) error {
	machines := kernel.MachinesOf(in)
	var senders []*sender
	index := map[string]*sender{}
	of := func(subject sdk.Subject, owner string, at int64) *sender {
		key := kernel.NameOf(subject)
		if index[key] == nil {
			index[key] = &sender{subject: subject, owner: owner, at: at}
			senders = append(senders, index[key])
		}
		return index[key]
	}
	once := false
	for _, set := range tcpInput().Sets(in) {
		again, twice := set.Delta(retransSegs)
		once = once || !twice
		fresh, _ := set.Delta(outSegs)
		if enough(int(again), int(again+fresh)) {
			of(machines.Who(kernel.Space{Node: set.Node, Inode: set.Netns})).set = &set
		}
	}
	seen := capturesOf(in)
	for _, c := range seen.files {
		if enough(int(c.again), int(c.segments)) || c.syn >= minSYN {
			s := of(c.whose(in, machines))
			s.captures = append(s.captures, c)
		}
	}
	if reason, cut := in.Missing(flowsInput()); cut && len(in.Files(flowsInput())) > 0 {
		out.Unknown(reason, flowsInput()) // no capture at all was not asked for
	}
	for _, s := range senders {
		out.Find(s.finding(machines, seen))
	}
	if once {
		out.Unknown("the nodes were sampled once, so counters have no rate; collect with --samples 2", tcpInput())
	}
	return nil
}

func enough(again, sent int) bool {
	return again >= minAgain && sent >= minSent && again*100 >= sent*mediumPercent
}

func (s *sender) finding(m *kernel.Machines, seen *captures) sdk.Finding {
	f := sdk.Finding{Subject: s.subject, Owner: s.owner, Params: map[string]any{
		"where": kernel.NameOf(s.subject), "node": s.subject.Node, "again": int64(0), "sent": int64(0), "percent": 0.0, "seconds": 0.0, "syn": int64(0),
		"packets": 0, "segments": 0, "synPackets": 0, "capturePercent": 0.0, "flow": "?",
	}}
	worst := 0.0
	if s.set != nil {
		again, _ := s.set.Delta(retransSegs)
		fresh, _ := s.set.Delta(outSegs)
		syn, _ := s.set.Delta(synRetransmits)
		worst = percent(int(again), int(again+fresh))
		f.Params["again"], f.Params["sent"], f.Params["syn"] = again, again+fresh, syn
		f.Params["percent"], f.Params["seconds"] = worst, kernel.Tenths(s.set.Values[retransSegs].Seconds)
		f.Evidence = s.set.Evidence(s.set.Moved(retransSegs, outSegs, synRetransmits)...)
	}
	if len(s.captures) > 0 {
		f.Variant = "both"
		if s.set == nil {
			f.Variant = "capture"
		}
		worst = max(worst, s.addCaptures(&f))
		s.addCause(&f, m, seen)
	}
	if worst >= highPercent {
		f.Severity = sdk.High
	}
	if s.at != 0 {
		f.Evidence = append(f.Evidence, sdk.At(s.at))
	}
	return f
}

// addCaptures adds what the captures show, and returns the ratio in them if it
// is one.
func (s *sender) addCaptures(f *sdk.Finding) float64 {
	var sum capture
	for _, c := range s.captures {
		sum.segments, sum.again, sum.syn = sum.segments+c.segments, sum.again+c.again, sum.syn+c.syn
		for _, n := range c.packets() {
			f.Evidence = append(f.Evidence, sdk.AtPacket(c.path, n))
		}
	}
	ratio := percent(int(sum.again), int(sum.segments))
	f.Params["packets"], f.Params["segments"], f.Params["synPackets"], f.Params["capturePercent"] = sum.again, sum.segments, sum.syn, ratio
	f.Params["flow"] = s.worst()[0].String()
	if !enough(int(sum.again), int(sum.segments)) {
		return 0 // a few SYNs: their share says nothing
	}
	return ratio
}

// worst is the connections with most segments sent again, of all captures.
func (s *sender) worst() []*sent {
	var list []*sent
	for _, c := range s.captures {
		list = append(list, c.worst...)
	}
	slices.SortStableFunc(list, func(a, b *sent) int { return cmp.Compare(b.again, a.again) })
	return list
}

// addCause adds why, when the captures show it: an error that came back, or
// the hop where the packets vanish.
func (s *sender) addCause(f *sdk.Finding, m *kernel.Machines, seen *captures) {
	for _, c := range s.captures {
		for _, w := range c.worst {
			if e := w.icmp; e != nil {
				f.Variant = "icmp"
				f.Params["from"], f.Params["icmp"], f.Params["flow"] = e.From, icmpName(e), w.String()
				f.Evidence = append(f.Evidence, sdk.AtPacket(c.path, e.Packet))
				return
			}
		}
	}
	if d, g, ok := seen.gap(s.worst()); ok {
		f.Variant = "hop"
		f.Params["lost"], f.Params["gone"], f.Params["of"] = d.String(), g.Packets, g.Of
		f.Params["at"], f.Params["before"] = place(m, g.At), place(m, g.Before)
		f.Evidence = append(f.Evidence, sdk.AtPacket(g.path, g.First))
	}
}

// icmpName says what an error says, in the words of its RFC.
func icmpName(e *abi.ICMPError) string {
	v4 := map[[2]int]string{{3, 0}: "net unreachable", {3, 1}: "host unreachable", {3, 2}: "protocol unreachable", {3, 3}: "port unreachable",
		{3, 4}: "fragmentation needed", {3, 9}: "administratively prohibited", {3, 10}: "administratively prohibited",
		{3, 13}: "administratively prohibited", {11, 0}: "TTL exceeded"}
	v6 := map[[2]int]string{{1, 0}: "no route", {1, 1}: "administratively prohibited", {1, 3}: "address unreachable", {1, 4}: "port unreachable",
		{2, 0}: "packet too big", {3, 0}: "hop limit exceeded"}
	names := v4
	if strings.Contains(e.From, ":") {
		names = v6
	}
	return cmp.Or(names[[2]int{e.Type, e.Code}], fmt.Sprintf("type %d code %d", e.Type, e.Code))
}

func percent(again, sent int) float64 {
	return kernel.Tenths(float64(again) * 100 / float64(cmp.Or(sent, 1)))
}
