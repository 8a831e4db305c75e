package input

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Bounds of what the counters are read from.
const (
	maxKernelText = 4 << 20
	maxNodeJSON   = 16 << 20
)

// counterGlobs names every file that the counters may stand in.
func counterGlobs(names []string) []Glob {
	var globs []Glob
	seen := map[string]bool{}
	for _, name := range names {
		c, err := parseCounter(name)
		if err != nil {
			continue // the declaration was validated
		}
		for _, f := range c.files {
			if seen[f] {
				continue
			}
			seen[f] = true
			for _, head := range []string{"nodes/*/*/", "nodes/*/netns/*/*/"} {
				globs = append(globs, Glob(strings.Split(head+f, "/")))
			}
		}
	}
	return globs
}

// namespace is one network namespace of one node: a node's own, or a pod's.
type namespace struct {
	node  string
	netns uint64
	root  string          // "nodes/n1" or "nodes/n1/netns/4026532000"
	ks    []int           // samples, ascending
	files map[string]bool // bundle paths of the kernel texts
}

// namespaces groups the kernel texts of the bundle, sorted by node and inode.
func namespaces(files []string) []*namespace {
	byRoot := map[string]*namespace{}
	for _, path := range files {
		o := originOf(path)
		if !o.sampled {
			continue
		}
		root := "nodes/" + o.node
		if o.netns != 0 {
			root += "/netns/" + strconv.FormatUint(o.netns, 10)
		}
		if !strings.HasPrefix(path[len(root):], fmt.Sprintf("/%d/proc/", o.sample)) {
			continue
		}
		ns := byRoot[root]
		if ns == nil {
			ns = &namespace{node: o.node, netns: o.netns, root: root, files: map[string]bool{}}
			byRoot[root] = ns
		}
		ns.files[path] = true
		if i := sort.SearchInts(ns.ks, o.sample); i == len(ns.ks) || ns.ks[i] != o.sample {
			ns.ks = append(ns.ks[:i], append([]int{o.sample}, ns.ks[i:]...)...)
		}
	}
	list := make([]*namespace, 0, len(byRoot))
	for _, ns := range byRoot {
		list = append(list, ns)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].node != list[j].node {
			return list[i].node < list[j].node
		}
		return list[i].netns < list[j].netns
	})
	return list
}

// clock holds the monotonic time of each sample of a node.
type clock map[int]float64

func (r *run) clock(node string) (clock, error) {
	var doc struct {
		Samples []struct {
			K         int     `json:"k"`
			Monotonic float64 `json:"monotonic"`
		} `json:"samples"`
	}
	text, err := r.readAll("nodes/"+node+"/node.json", maxNodeJSON)
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	c := clock{}
	for _, s := range doc.Samples {
		c[s.K] = s.Monotonic
	}
	return c, err
}

func (r *run) readAll(path string, limit int64) ([]byte, error) {
	f, err := r.fsys.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, limit)
}

func readBounded(f io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, limit+1)) //nolint:forbidigo // bounded by the LimitReader
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return text, err
}

// countersOf is a counters input while it is filled.
type countersOf struct {
	*output
	feed     *feed
	counters []counter
	seen     map[string]bool // counters that some node has
	read     map[string]bool // files that are in the index
}

// counters fills every counters input, one namespace after the other.
func (r *run) counters() error {
	if len(r.counts) == 0 {
		return nil
	}
	var ins []*countersOf
	for _, o := range r.counts {
		in := &countersOf{output: o, feed: r.feed([]*output{o}, nil), seen: map[string]bool{}, read: map[string]bool{}}
		for _, name := range o.in.Counters {
			c, err := parseCounter(name)
			if err != nil {
				return err
			}
			in.counters = append(in.counters, c)
		}
		ins = append(ins, in)
	}
	clocks := map[string]clock{}
	for _, ns := range namespaces(r.files) {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if clocks[ns.node] == nil {
			c, err := r.clock(ns.node)
			if err != nil {
				for _, in := range ins {
					in.lacks("nodes/"+ns.node+"/node.json", "no times of the samples: "+err.Error())
				}
			}
			clocks = map[string]clock{ns.node: c} // namespaces come node by node
		}
		t := &tables{run: r, ns: ns, cache: map[string]table{}}
		for _, in := range ins {
			if in.p.sees(ns.node) {
				in.rowsOf(t, clocks[ns.node])
			}
		}
	}
	for _, in := range ins {
		in.feed.end()
		for _, c := range in.counters {
			if !in.seen[c.name] && len(in.index.Files) > 0 && !r.skipped(c) {
				in.lacks(c.name, "no collected kernel table has this number")
			}
		}
	}
	return nil
}

// skipped says whether a kernel was found not to have the counter's table.
func (r *run) skipped(c counter) bool {
	for _, g := range counterGlobs([]string{c.name}) {
		for _, line := range r.results.lines {
			if line.Status == "skipped" && g.Match(line.Path) {
				return true
			}
		}
	}
	return false
}

// tables reads the kernel texts of one namespace, each once.
type tables struct {
	run   *run
	ns    *namespace
	cache map[string]table
}

// get returns the table in a file of a sample, and its path; nil if there is none.
func (t *tables) get(in *countersOf, k int, file string) (table, string) {
	path := t.ns.root + "/" + strconv.Itoa(k) + "/" + file
	if !t.ns.files[path] {
		return nil, path
	}
	got, read := t.cache[path]
	if !read {
		text, err := t.run.readAll(path, maxKernelText)
		if err == nil {
			got = parseTable(file, text)
		} else {
			in.lacks(path, err.Error())
		}
		t.cache[path] = got
	} else if got == nil {
		in.lacks(path, "could not be read")
	}
	if got != nil && !in.read[path] {
		in.read[path] = true
		in.begin(path)
	}
	return got, path
}

func (t *tables) find(in *countersOf, k int, c counter) (reading, string, bool) {
	key := c.key
	if strings.HasPrefix(c.name, "sysctl.") {
		key = ""
	}
	for _, file := range c.files {
		got, path := t.get(in, k, file)
		if r, ok := got[key]; ok {
			return r, path, true
		}
	}
	return reading{}, "", false
}

// rowsOf writes a row for each counter that the namespace has.
func (in *countersOf) rowsOf(t *tables, times clock) {
	ks := t.ns.ks
	first, last := ks[0], ks[len(ks)-1]
	for _, c := range in.counters {
		r0, path0, ok0 := t.find(in, first, c)
		r1, path1, ok1 := reading{}, "", false
		if last != first {
			r1, path1, ok1 = t.find(in, last, c)
		}
		if !ok0 && !ok1 {
			continue
		}
		in.seen[c.name] = true
		if !ok0 { // turned up between the samples: nothing to compare with
			r0, path0, ok1 = r1, path1, false
		}
		row := abi.Counter{Name: c.name, T0: r0.value}
		place := abi.ReportedEvidence{Path: path0, Line: r0.line, Value: c.value(r0)}
		if ok1 {
			delta := c.delta(r0.value, r1.value)
			row.T1, row.Delta, row.Seconds = &r1.value, &delta, seconds(times, first, last)
			place = abi.ReportedEvidence{Path: path1, Line: r1.line, Value: c.value(r1), Delta: &delta, Seconds: row.Seconds}
		} else if last != first && ok0 && !strings.HasPrefix(c.name, "sysctl.") { // settings are read once
			in.lacks(t.ns.root+"/"+strconv.Itoa(last), c.name+" has no second sample")
		}
		text, err := json.Marshal(row)
		if err != nil {
			in.p.fail(err)
			return
		}
		in.feed.row(made{text, originNode(t.ns.node, t.ns.netns), place})
	}
}

// delta is how far a counter came. One that went down was reset in between
// (a namespace or module made anew) and has counted its second value since.
func (c counter) delta(t0, t1 int64) int64 {
	if t1 < t0 && !c.gauge {
		return t1
	}
	return t1 - t0
}

// value shows a reading as evidence: "ListenOverflows 24".
func (c counter) value(r reading) string {
	name := c.name[strings.IndexByte(c.name, '.')+1:]
	text := name + " " + strconv.FormatInt(r.value, 10)
	if r.cpus > 1 {
		text += fmt.Sprintf(" (sum of %d CPUs)", r.cpus)
	}
	return text
}

// seconds between two samples, 0 if the node's clock does not say.
func seconds(c clock, first, last int) float64 {
	t0, ok0 := c[first]
	t1, ok1 := c[last]
	if !ok0 || !ok1 || t1 <= t0 {
		return 0
	}
	return math.Round((t1-t0)*1e6) / 1e6
}
