// Command closewait finds TCP connections that pile up in CLOSE-WAIT: the
// other side has closed, and the process on this side does not. It is the
// sample of an analyzer; its siblings say the same in other languages.
//
//	GOOS=wasip1 GOARCH=wasm go build -ldflags='-s -w' -o closewait.wasm .
package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk"
)

func main() {
	sdk.Main(sdk.Analyzer{Name: "close-wait", Version: "1.0.0", Doc: "finds sockets that a process forgets to close", Rules: []sdk.Rule{rule()}})
}

type node struct {
	sdk.Place
	Samples []struct {
		K         int     `json:"k"`
		Monotonic float64 `json:"monotonic"`
	} `json:"samples"`
	Netns []netns `json:"netns"`
}

type netns struct {
	Inode        uint64 `json:"inode"`
	Host         bool   `json:"host"`
	PodUID       string `json:"podUID"`
	PodNamespace string `json:"podNamespace"`
	PodName      string `json:"podName"`
}

type socket struct {
	sdk.Place
	Src    string `json:"src"`
	Sport  int    `json:"sport"`
	Dst    string `json:"dst"`
	Dport  int    `json:"dport"`
	Rqueue int64  `json:"rqueue"`
	Inode  int64  `json:"inode"`
	Comm   string `json:"comm"`
	at     int64
}

type pod struct {
	Metadata struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		UID       string `json:"uid"`
		Labels    struct {
			Hash string `json:"pod-template-hash"`
		} `json:"labels"`
		OwnerReferences []struct {
			Kind       string `json:"kind"`
			Name       string `json:"name"`
			Controller bool   `json:"controller"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
}

// space is a network namespace; that of the node itself is 0.
type space struct {
	node  string
	inode uint64
}

// sample is a moment at which a node was read.
type sample struct {
	k       int
	seconds float64
}

// finder is what the rule knows.
type finder struct {
	names       map[space]netns
	first, last map[string]sample // of each node
	pods        []sdk.Row[pod]
	overflows   map[space]sdk.Counter
	threshold   int
}

func nodes() sdk.RowSource[node] { return sdk.Table[node]("nodes", "nodes/*/node.json") }
func sockets() sdk.RowSource[socket] {
	return sdk.Table[socket]("sockets", "nodes/*/*/net/sockets.ndjson").Where(closeWait)
}
func podSockets() sdk.RowSource[socket] {
	return sdk.Table[socket]("pod-sockets", "nodes/*/netns/*/*/net/sockets.ndjson").Where(closeWait)
}
func pods() sdk.RowSource[pod]     { return sdk.Resource[pod]("pods", "v1/pods") }
func overflows() sdk.CounterSource { return sdk.Counters("overflows", listenOverflows) }

const (
	closeWait        = "row.proto == 'tcp' && row.state == 'CLOSE-WAIT'"
	listenOverflows  = "TcpExt.ListenOverflows"
	defaultThreshold = 20
	shown            = 5
)

func rule() sdk.Rule {
	return sdk.Rule{
		ID: "sample/close-wait-pileup", Severity: sdk.High, Layer: sdk.LayerApp, Text: texts(),
		Inputs: []sdk.Source{nodes(), sockets(), sdk.Optional(podSockets()), sdk.Optional(pods()), sdk.Optional(overflows())},
		Run:    pileup,
	}
}

func pileup(in *sdk.Input, out *sdk.Reporter) error {
	f := finder{names: map[space]netns{}, first: map[string]sample{}, last: map[string]sample{}, overflows: map[space]sdk.Counter{}}
	if f.threshold = number(in.Setting("close-wait"), defaultThreshold); f.threshold == 0 {
		out.Unknown("the setting close-wait is no number from 1 to 999999")
		return nil
	}
	inPods := f.readNodes(in)
	f.pods = pods().All(in)
	for _, set := range overflows().Sets(in) {
		f.overflows[space{set.Node, set.Netns}] = set.Values[listenOverflows]
	}
	waiting := map[space][]socket{}
	for _, source := range []sdk.RowSource[socket]{sockets(), podSockets()} {
		for s, at := range source.Rows(in) {
			s.at = at
			where := space{s.Node, s.Netns}
			waiting[where] = append(waiting[where], s)
		}
	}
	for _, where := range slices.SortedFunc(maps.Keys(waiting), func(a, b space) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.inode, b.inode))
	}) {
		f.look(where, waiting[where], out)
	}
	if reason, missing := in.Missing(podSockets()); missing && inPods {
		out.Unknown(reason, podSockets())
	}
	return nil
}

// readNodes says whether there are network namespaces of pods.
func (f *finder) readNodes(in *sdk.Input) (inPods bool) {
	for n := range nodes().Rows(in) {
		for _, ns := range n.Netns {
			if ns.Host {
				continue
			}
			inPods = true
			f.names[space{n.Node, ns.Inode}] = ns
		}
		for i, s := range n.Samples {
			if i == 0 || s.K < f.first[n.Node].k {
				f.first[n.Node] = sample{s.K, s.Monotonic}
			}
			if i == 0 || s.K > f.last[n.Node].k {
				f.last[n.Node] = sample{s.K, s.Monotonic}
			}
		}
	}
	return inPods
}

// look counts the sockets of one network namespace that were there in the
// first sample and still are in the last; one sample alone shows a moment.
func (f *finder) look(where space, all []socket, out *sdk.Reporter) {
	first, last := f.first[where.node], f.last[where.node]
	type ends struct {
		src, dst     string
		sport, dport int
	}
	before := map[ends]bool{}
	for _, s := range all {
		if s.Sample == first.k {
			before[ends{s.Src, s.Dst, s.Sport, s.Dport}] = true
		}
	}
	var stuck []socket
	for _, s := range all {
		if s.Sample == last.k && before[ends{s.Src, s.Dst, s.Sport, s.Dport}] {
			stuck = append(stuck, s)
		}
	}
	if len(stuck) >= f.threshold {
		slices.SortFunc(stuck, func(a, b socket) int { return cmp.Compare(a.at, b.at) })
		out.Find(f.finding(where, stuck, math.Round((last.seconds-first.seconds)*10)/10, first.k == last.k))
	}
}

func (f *finder) finding(where space, stuck []socket, seconds float64, once bool) sdk.Finding {
	unread, unaccepted := 0, 0
	var local, peer, process []string
	for _, s := range stuck {
		if s.Inode == 0 {
			unaccepted++
		} else if s.Rqueue > 0 {
			unread++
		}
		local = append(local, fmt.Sprintf(":%d", s.Sport))
		peer = append(peer, address(s.Dst, s.Dport))
		if s.Comm != "" {
			process = append(process, s.Comm)
		}
	}
	end, top := most(local)
	if p, n := most(peer); n > top {
		end, top = p, n
	}
	comm, _ := most(process)
	var fd sdk.Finding
	for _, s := range stuck[:min(len(stuck), shown)] {
		fd.Evidence = append(fd.Evidence, sdk.At(s.at))
	}
	switch {
	case 2*unaccepted > len(stuck):
		fd.Variant = "unaccepted"
		if c := f.overflows[where]; c.Delta != nil && *c.Delta > 0 {
			fd.Evidence = append(fd.Evidence, sdk.Evidence{At: c.At, Delta: c.Delta, Seconds: c.Seconds})
		}
	case 2*unread > len(stuck):
		fd.Variant = "unread"
	}
	if once {
		fd.Confidence = "medium"
	}
	f.who(where, &fd)
	name := fd.Subject.Name
	if fd.Subject.Namespace != "" {
		name = fd.Subject.Namespace + "/" + name
	}
	fd.Params = map[string]any{"where": fd.Subject.Kind + " " + name, "count": len(stuck), "top": top, "end": end,
		"process": cmp.Or(comm, "?"), "seconds": seconds}
	return fd
}

// who fills in what the finding is about.
func (f *finder) who(where space, fd *sdk.Finding) {
	ns := f.names[where]
	fd.Subject, fd.Owner = sdk.Subject{Kind: "Node", Name: where.node, Node: where.node}, "Node "+where.node
	switch {
	case where.inode == 0:
		return
	case ns.PodName == "":
		fd.Subject.Name = fmt.Sprintf("%s (network namespace %d)", where.node, where.inode)
		return
	}
	fd.Subject = sdk.Subject{Kind: "Pod", Namespace: ns.PodNamespace, Name: ns.PodName, Node: where.node, UID: ns.PodUID}
	fd.Owner = "Pod " + ns.PodNamespace + "/" + ns.PodName
	for _, p := range f.pods {
		if m := p.V.Metadata; m.Namespace == ns.PodNamespace && m.Name == ns.PodName && m.UID == ns.PodUID {
			fd.Owner = owner(p.V)
			fd.Evidence = append(fd.Evidence, sdk.At(p.At))
			return
		}
	}
}

// owner is the workload, which keeps its name when pods are replaced.
func owner(p pod) string {
	kind, name, hash := "Pod", p.Metadata.Name, p.Metadata.Labels.Hash
	for _, o := range p.Metadata.OwnerReferences {
		if o.Controller && o.Kind != "Node" {
			kind, name = o.Kind, o.Name
		}
	}
	if deployment, ok := strings.CutSuffix(name, "-"+hash); ok && kind == "ReplicaSet" && hash != "" {
		kind, name = "Deployment", deployment
	}
	return kind + " " + p.Metadata.Namespace + "/" + name
}

// most is the text that stands most often, the first by its bytes of those
// that stand as often.
func most(list []string) (text string, n int) {
	count := map[string]int{}
	for _, s := range list {
		count[s]++
	}
	for _, s := range slices.Sorted(maps.Keys(count)) {
		if count[s] > n {
			text, n = s, count[s]
		}
	}
	return text, n
}

func address(ip string, port int) string {
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	return fmt.Sprintf("%s:%d", ip, port)
}

// number reads a setting; 0 if it is no number in range.
func number(s string, unset int) int {
	if s == "" {
		return unset
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || len(s) > 6 {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}
