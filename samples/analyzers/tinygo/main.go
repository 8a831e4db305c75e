// Command tinygo is the sample analyzer in plain Go that TinyGo compiles: no
// reflection, no encoding/json, no fmt. It finds TCP connections that pile up
// in CLOSE-WAIT: the other side has closed, and the process on this side does
// not.
//
//	tinygo build -target=wasip1 -opt=2 -no-debug -o closewait.wasm .
//	GOOS=wasip1 GOARCH=wasm go build -ldflags='-s -w' -o closewait.wasm .
package main

import (
	_ "embed"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/sdk/tinygo/casefile"
)

const (
	defaultThreshold = 20
	shown            = 5
)

//go:embed declaration.json
var declaration string

func main() {
	casefile.Main(declaration, casefile.Rule{ID: "sample/close-wait-pileup", Needs: []string{"nodes", "sockets"}, Run: pileup})
}

// space is a network namespace; that of the node itself is 0.
type space struct {
	node  string
	inode int64
}

// socket is one in CLOSE-WAIT.
type socket struct {
	ends
	sample, rqueue, inode, at int64
	comm                      string
}

type ends struct {
	src, dst     string
	sport, dport int64
}

// sample is a moment at which a node was read.
type sample struct {
	k       int64
	seconds float64
}

type netns struct{ uid, namespace, name string }

type pod struct {
	netns
	owner string
	at    int64
}

// finder is what the rule knows.
type finder struct {
	names       map[space]netns
	first, last map[string]sample // of each node
	pods        []pod
	overflows   map[space]casefile.Evidence
	waiting     map[space][]socket
}

func pileup(run *casefile.Run) error {
	threshold := number(run.Setting("close-wait"), defaultThreshold)
	if threshold == 0 {
		run.Unknown("the setting close-wait is no number from 1 to 999999")
		return nil
	}
	f := finder{map[space]netns{}, map[string]sample{}, map[string]sample{}, nil, map[space]casefile.Evidence{}, map[space][]socket{}}
	inPods, err := f.readNodes(run.Rows("nodes"))
	if err != nil {
		return err
	}
	if err := f.readPods(run.Rows("pods")); err != nil {
		return err
	}
	if err := f.readOverflows(run.Rows("overflows")); err != nil {
		return err
	}
	for _, input := range []string{"sockets", "pod-sockets"} {
		if err := f.readSockets(run.Rows(input)); err != nil {
			return err
		}
	}
	var places []space
	for place := range f.waiting {
		places = append(places, place)
	}
	sort.Slice(places, func(i, j int) bool {
		a, b := places[i], places[j]
		return a.node < b.node || a.node == b.node && a.inode < b.inode
	})
	for _, place := range places {
		f.look(run, place, threshold)
	}
	if reason, missing := run.Missing("pod-sockets"); missing && inPods {
		run.Unknown(reason, "pod-sockets")
	}
	return nil
}

// readNodes says whether there are network namespaces of pods.
func (f *finder) readNodes(rows *casefile.Rows) (inPods bool, err error) {
	for rows.Next() {
		row := rows.Row()
		node := row.Text("_node")
		for _, ns := range row.List("netns") {
			if ns.Bool("host") {
				continue
			}
			inPods = true
			f.names[space{node, ns.Int("inode")}] = netns{ns.Text("podUID"), ns.Text("podNamespace"), ns.Text("podName")}
		}
		for i, s := range row.List("samples") {
			k, seconds := s.Int("k"), s.Float("monotonic")
			if i == 0 || k < f.first[node].k {
				f.first[node] = sample{k, seconds}
			}
			if i == 0 || k > f.last[node].k {
				f.last[node] = sample{k, seconds}
			}
		}
	}
	return inPods, rows.Err()
}

func (f *finder) readPods(rows *casefile.Rows) error {
	for rows.Next() {
		p := rows.Row()
		f.pods = append(f.pods, pod{netns{p.Text("metadata.uid"), p.Text("metadata.namespace"), p.Text("metadata.name")}, owner(p), p.Int("_at")})
	}
	return rows.Err()
}

func (f *finder) readOverflows(rows *casefile.Rows) error {
	for rows.Next() {
		if c := rows.Row(); c.Int("delta") > 0 {
			f.overflows[placeOf(c)] = casefile.Evidence{At: c.Int("_at"), Moved: true, Delta: c.Int("delta"), Seconds: c.Float("seconds")}
		}
	}
	return rows.Err()
}

func (f *finder) readSockets(rows *casefile.Rows) error {
	for rows.Next() {
		s := rows.Row()
		place := placeOf(s)
		f.waiting[place] = append(f.waiting[place], socket{
			ends{s.Text("src"), s.Text("dst"), s.Int("sport"), s.Int("dport")},
			s.Int("_sample"), s.Int("rqueue"), s.Int("inode"), s.Int("_at"), s.Text("comm")})
	}
	return rows.Err()
}

func placeOf(row casefile.Value) space { return space{row.Text("_node"), row.Int("_netns")} }

// look counts the sockets of one network namespace that were there in the
// first sample and still are in the last; one sample alone shows a moment.
func (f *finder) look(run *casefile.Run, place space, threshold int) {
	first, last := f.first[place.node], f.last[place.node]
	before := map[ends]bool{}
	for _, s := range f.waiting[place] {
		if s.sample == first.k {
			before[s.ends] = true
		}
	}
	var stuck []socket
	for _, s := range f.waiting[place] {
		if s.sample == last.k && before[s.ends] {
			stuck = append(stuck, s)
		}
	}
	if len(stuck) < threshold {
		return
	}
	sort.Slice(stuck, func(i, j int) bool { return stuck[i].at < stuck[j].at })
	found := f.finding(place, stuck)
	found.Params = append(found.Params, casefile.Param{Key: "seconds", Value: casefile.Float(math.Round((last.seconds-first.seconds)*10) / 10)})
	if first.k == last.k {
		found.Confidence = "medium"
	}
	run.Find(found)
}

func (f *finder) finding(place space, stuck []socket) casefile.Finding {
	var fd casefile.Finding
	var local, peer, process []string
	unread, unaccepted := 0, 0
	for i, s := range stuck {
		if s.inode == 0 {
			unaccepted++
		} else if s.rqueue > 0 {
			unread++
		}
		if i < shown {
			fd.Evidence = append(fd.Evidence, casefile.At(s.at))
		}
		local, peer = append(local, ":"+strconv.FormatInt(s.sport, 10)), append(peer, address(s.dst, s.dport))
		if s.comm != "" {
			process = append(process, s.comm)
		}
	}
	end, top := most(local)
	if p, n := most(peer); n > top {
		end, top = p, n
	}
	comm, _ := most(process)
	if comm == "" {
		comm = "?"
	}
	switch {
	case 2*unaccepted > len(stuck):
		fd.Variant = "unaccepted"
		if moved, ok := f.overflows[place]; ok {
			fd.Evidence = append(fd.Evidence, moved)
		}
	case 2*unread > len(stuck):
		fd.Variant = "unread"
	}
	f.who(place, &fd)
	where := fd.Subject.Name
	if fd.Subject.Namespace != "" {
		where = fd.Subject.Namespace + "/" + where
	}
	fd.Params = []casefile.Param{
		{Key: "where", Value: casefile.Text(fd.Subject.Kind + " " + where)},
		{Key: "count", Value: casefile.Int(int64(len(stuck)))}, {Key: "top", Value: casefile.Int(int64(top))},
		{Key: "end", Value: casefile.Text(end)}, {Key: "process", Value: casefile.Text(comm)},
	}
	return fd
}

// who fills in what the finding is about.
func (f *finder) who(place space, fd *casefile.Finding) {
	fd.Subject = casefile.Subject{Kind: "Node", Name: place.node, Node: place.node}
	fd.Owner = "Node " + place.node
	ns := f.names[place]
	switch {
	case place.inode == 0:
		return
	case ns.name == "":
		fd.Subject.Name = place.node + " (network namespace " + strconv.FormatInt(place.inode, 10) + ")"
		return
	}
	fd.Subject = casefile.Subject{Kind: "Pod", Namespace: ns.namespace, Name: ns.name, Node: place.node, UID: ns.uid}
	fd.Owner = "Pod " + ns.namespace + "/" + ns.name
	for _, p := range f.pods {
		if p.netns == ns {
			fd.Owner = p.owner
			fd.Evidence = append(fd.Evidence, casefile.At(p.at))
			return
		}
	}
}

// owner is the workload, which keeps its name when pods are replaced.
func owner(p casefile.Value) string {
	kind, name, hash := "Pod", p.Text("metadata.name"), p.Text("metadata.labels.pod-template-hash")
	for _, o := range p.List("metadata.ownerReferences") {
		if o.Bool("controller") && o.Text("kind") != "Node" {
			kind, name = o.Text("kind"), o.Text("name")
		}
	}
	if hash != "" && kind == "ReplicaSet" && strings.HasSuffix(name, "-"+hash) {
		kind, name = "Deployment", strings.TrimSuffix(name, "-"+hash)
	}
	return kind + " " + p.Text("metadata.namespace") + "/" + name
}

// most is the text that stands most often, the first by its bytes of those
// that stand as often.
func most(list []string) (text string, n int) {
	count := map[string]int{}
	for _, s := range list {
		count[s]++
	}
	for s, c := range count {
		if c > n || c == n && s < text {
			text, n = s, c
		}
	}
	return text, n
}

func address(ip string, port int64) string {
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	return ip + ":" + strconv.FormatInt(port, 10)
}

// number reads a setting; 0 if it is no number in range.
func number(s string, unset int) int {
	if s == "" {
		return unset
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || len(s) > 6 {
		return 0
	}
	return int(n)
}
