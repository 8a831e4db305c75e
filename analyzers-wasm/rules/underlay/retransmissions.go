package underlay

import (
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/analyzers-wasm/rules/kernel"
	"github.com/casefile-io/casefile/analyzers-wasm/rules/kube"
	"github.com/casefile-io/casefile/sdk"
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
	maxCaptures    = 1000
	retransSegs    = "Tcp.RetransSegs"
	outSegs        = "Tcp.OutSegs"
	synRetransmits = "TcpExt.TCPSynRetrans"
)

func tcpInput() sdk.CounterSource { return sdk.Counters("tcp", retransSegs, outSegs, synRetransmits) }

func capturesInput() sdk.FileSource { return sdk.Files("captures", "captures/*/*.pcapng") }

// Retransmissions finds pods and nodes that must send segments again, by their
// counters and in captures.
func Retransmissions() sdk.Rule {
	return sdk.Rule{
		ID: "underlay/retransmissions", Severity: sdk.Medium, Layer: sdk.LayerUnderlay,
		Text: map[string]sdk.Text{"en": retransmissionsEN(), "zh": retransmissionsZH()},
		Inputs: []sdk.Source{tcpInput(), kernel.NodesInput(), sdk.Optional(capturesInput()),
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
	captures []captureFile
}

type captureFile struct {
	path string
	captureStat
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
	files := capturesInput().List(in)
	for _, name := range files[:min(len(files), maxCaptures)] {
		stat, err := scanFile(in, name)
		if err != nil {
			out.Logf("%s: %v", name, err)
			out.Unknown(name+" was not readable to its end: "+err.Error(), capturesInput())
		}
		if enough(stat.again, stat.segments) || stat.syn >= minSYN {
			s := of(captured(in, machines, name))
			s.captures = append(s.captures, captureFile{name, stat})
		}
	}
	for _, s := range senders {
		out.Find(s.finding())
	}
	if once {
		out.Unknown("the nodes were sampled once, so counters have no rate; collect with --samples 2", tcpInput())
	}
	return nil
}

func enough(again, sent int) bool {
	return again >= minAgain && sent >= minSent && again*100 >= sent*mediumPercent
}

func scanFile(in *sdk.Input, name string) (captureStat, error) {
	f, err := capturesInput().Open(in, name)
	if err != nil {
		return captureStat{}, err
	}
	defer f.Close()
	return scan(f)
}

// captured tells whose packets a file captures/<target>/<node>__<netns>.pcapng
// holds: the pod of the network namespace, else what the target says.
func captured(in *sdk.Input, m *kernel.Machines, name string) (sdk.Subject, string, int64) {
	target := path.Base(path.Dir(name))
	node, where, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".pcapng"), "__")
	if inode, err := strconv.ParseUint(where, 10, 64); err == nil {
		if r, ok := m.PodIn(kernel.Space{Node: node, Inode: inode}); ok {
			return r.V.Subject(), r.V.Owner(), r.At
		}
	}
	if p := strings.Split(target, "_"); len(p) == 3 && p[0] == "pod" {
		if r, ok := kube.PodsOf(in).ByName(p[1], p[2]); ok {
			return r.V.Subject(), r.V.Owner(), r.At
		}
		return sdk.Subject{Kind: "Pod", Namespace: p[1], Name: p[2], Node: node}, "Pod " + p[1] + "/" + p[2], 0
	}
	return sdk.Subject{Kind: "Node", Name: node, Node: node}, "Node " + node, 0
}

func (s *sender) finding() sdk.Finding {
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
	}
	if worst >= highPercent {
		f.Severity = sdk.High
	}
	if s.at != 0 {
		f.Evidence = append(f.Evidence, sdk.At(s.at))
	}
	return f
}

// addCaptures adds the packets that the captures show, and returns the ratio
// in them if it is one.
func (s *sender) addCaptures(f *sdk.Finding) float64 {
	var sum captureStat
	for _, c := range s.captures {
		sum.again, sum.segments, sum.syn = sum.again+c.again, sum.segments+c.segments, sum.syn+c.syn
		if c.worst != nil && (sum.worst == nil || c.worst.again > sum.worst.again) {
			sum.worst = c.worst
		}
		for _, n := range c.packets {
			f.Evidence = append(f.Evidence, sdk.AtPacket(c.path, n))
		}
	}
	ratio := percent(sum.again, sum.segments)
	f.Params["packets"], f.Params["segments"], f.Params["synPackets"], f.Params["capturePercent"] = sum.again, sum.segments, sum.syn, ratio
	if w := sum.worst; w != nil {
		f.Params["flow"] = fmt.Sprintf("%s → %s", w.key.src, w.key.dst)
	}
	if !enough(sum.again, sum.segments) {
		return 0 // a few SYNs: their share says nothing
	}
	return ratio
}

func percent(again, sent int) float64 {
	return kernel.Tenths(float64(again) * 100 / float64(cmp.Or(sent, 1)))
}
