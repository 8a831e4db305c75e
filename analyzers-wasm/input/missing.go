package input

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Bounds of collection/results.ndjson as it is read here.
const (
	maxResults    = 1_000_000
	maxResultText = 64 << 20
	maxResultLine = 1 << 20
	maxPlan       = 1 << 20
)

// result is one line of collection/results.ndjson.
type result struct {
	Source string `json:"source"`
	Path   string `json:"path"`
	Status string `json:"status"`
	Reason string `json:"reason"`
}

// results says what was asked for and what came of it.
type results struct {
	lines []result
	err   error    // why they are not known, or not all
	only  []string // globs of what was wanted at all; none: everything
	whose string   // for whom that was
}

// forSource begins the sources of lines that say what was not even tried,
// because collect --for left it out or could not have it.
const forSource = "for/"

func readResults(fsys fs.FS) results {
	f, err := fsys.Open(resultsPath)
	if err != nil {
		return results{err: errors.New("the bundle does not say what was collected")}
	}
	defer f.Close()
	rs := readOnly(fsys)
	text := &io.LimitedReader{R: f, N: maxResultText + 1}
	sc := bufio.NewScanner(text)
	sc.Buffer(make([]byte, 64<<10), maxResultLine)
	for n := 1; sc.Scan(); n++ {
		if len(sc.Bytes()) == 0 {
			continue
		}
		if n > maxResults {
			rs.err = fmt.Errorf("more than %d lines", maxResults)
			return rs
		}
		var r result
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			rs.err = fmt.Errorf("line %d is damaged", n)
			continue
		}
		if r.Path == "" {
			r.Path = sourceFolder(r.Source)
		}
		r.Path = strings.Trim(r.Path, "/")
		rs.lines = append(rs.lines, r)
	}
	if err := sc.Err(); err != nil {
		rs.err = err
	}
	if text.N == 0 {
		rs.err = fmt.Errorf("more than %d bytes", maxResultText)
	}
	return rs
}

// readOnly reads of collection/plan.json what alone was wanted. Without a plan
// that was everything; one that cannot be read leaves that unknown.
func readOnly(fsys fs.FS) results {
	f, err := fsys.Open(planPath)
	if err != nil {
		return results{}
	}
	defer f.Close()
	var plan struct {
		For []struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"for"`
		Only []string `json:"only"`
	}
	text, err := readBounded(f, maxPlan)
	if err == nil {
		err = json.Unmarshal(text, &plan)
	}
	if err != nil {
		return results{err: fmt.Errorf("%s, which says what was asked for: %w", planPath, err)}
	}
	var whose []string
	for _, m := range plan.For {
		whose = append(whose, m.Name+"@"+m.Version)
	}
	return results{only: plan.Only, whose: strings.Join(whose, ", ")}
}

// sourceFolder gives the folder that a whole source fills.
func sourceFolder(source string) string {
	kind, rest, _ := strings.Cut(source, "/")
	switch {
	case kind == "cluster":
		return "cluster"
	case kind == "node" && rest != "":
		return "nodes/" + rest
	case kind == "node" || kind == "nodes" || kind == "host":
		return "nodes"
	case kind == "capture" && rest != "":
		return "captures/" + strings.NewReplacer("/", "_").Replace(rest)
	case kind == "capture" || kind == "captures":
		return "captures"
	}
	return source
}

func (r result) good() bool { return r.Status == "ok" || r.Status == "skipped" }

func (r result) why() string {
	if r.Reason == "" || r.Reason == r.Status {
		return r.Status
	}
	return r.Status + ": " + r.Reason
}

func (r result) name() string {
	if r.Path == "" {
		return r.Source
	}
	return r.Path
}

// judge decides whether an input is complete: what failed below its paths,
// what it could not hold, and whether anything was there at all.
func (o *output) judge(r *run) {
	if o.in.FactRows != "" {
		return // of a collection's failures the modules of scope node knew
	}
	asked := len(o.index.Files) > 0
	failed := false
	for _, line := range r.results.lines {
		switch {
		case line.good() && asked, line.Path == "", strings.HasPrefix(line.Source, forSource), !o.p.concerns(line.Path), !o.concerns(line.Path):
			continue
		case line.good():
			// A line for the folder above says nothing of what lies in it.
			asked = o.covers(line.Path)
			continue
		}
		failed = true
		o.lacks(line.name(), line.why())
	}
	if r.results.err != nil {
		o.lacks(resultsPath, r.results.err.Error())
		return
	}
	switch {
	case !asked && !failed:
		o.lacks(o.root(), o.absent(r))
	case o.beyond(r.results.only):
		o.lacks(o.root(), r.results.narrowed())
	}
}

// beyond says whether an input reads more than was wanted. Globs are compared
// as texts: whoever was collected for declares the same ones.
func (o *output) beyond(only []string) bool {
	if len(only) == 0 {
		return false
	}
	paths, err := Paths(o.in)
	return err != nil || slices.ContainsFunc(paths, func(p string) bool { return !slices.Contains(only, p) })
}

func (rs results) narrowed() string {
	return "the bundle was collected for " + rs.whose + " alone; collect without --for, or with --for this module too"
}

// untried is what the collection says of an input that it did not even try.
func (o *output) untried(rs results) string {
	for _, line := range rs.lines {
		if line.Path != "" && strings.HasPrefix(line.Source, forSource) && o.concerns(line.Path) && line.Reason != "" {
			return line.Reason
		}
	}
	if o.beyond(rs.only) {
		return rs.narrowed()
	}
	return ""
}

// concerns says whether a result's path lies at, above or below the input's.
func (o *output) concerns(path string) bool {
	segs := strings.Split(path, "/")
	for _, g := range o.globs {
		if match(g, segs, !isFile(segs)) || o.in.Resource != "" && path == g.folder() {
			return true
		}
	}
	return false
}

// isFile says whether a path names a file, below which nothing lies: a sample
// is a wildcard in many globs, where nodes/n1/drops.ndjson is none.
func isFile(segs []string) bool {
	if len(segs) < 3 {
		return false // a node may have any name
	}
	switch path.Ext(segs[len(segs)-1]) {
	case ".ndjson", ".json", ".log", ".txt", ".prom", ".pcapng":
		return true
	}
	return false
}

// covers says whether a good result for the path means that the input was
// read, though there may have been nothing in it.
func (o *output) covers(path string) bool {
	for _, g := range o.globs {
		if g.Match(path) || o.in.Resource != "" && path == g.folder() {
			return true
		}
	}
	return false
}

// folder is the part of the glob before its last segment.
func (g Glob) folder() string { return strings.Join(g[:len(g)-1], "/") }

// fixed is the part of the glob before its first wildcard.
func (g Glob) fixed() string {
	for i, seg := range g {
		if strings.ContainsAny(seg, "*?") {
			return strings.Join(g[:i], "/")
		}
	}
	return strings.Join(g, "/")
}

// root names what an input lacks when nothing of it is there.
func (o *output) root() string {
	if o.in.FactRows != "" {
		return o.in.FactRows
	}
	if o.in.Resource != "" {
		return o.globs[0].folder()
	}
	return o.globs[0].fixed()
}

// absent says why nothing at all matched.
func (o *output) absent(r *run) string {
	top, untried := o.globs[0][0], o.untried(r.results)
	switch {
	case untried != "":
		return untried
	case o.in.Resource != "":
		return "not collected: this resource was never listed"
	case top == "nodes" && !r.has("nodes/"):
		return "no node data was collected; collect with --nodes auto or --host"
	case o.log != nil:
		return "no container, workload or unit of that name has a log here"
	case top == "captures" && !r.has("captures/"):
		return "no capture was taken; collect with --capture pod/NAMESPACE/NAME"
	case len(o.in.Counters) > 0:
		return "no node has these counters"
	}
	return "nothing in the bundle matches"
}

func (r *run) has(prefix string) bool {
	for _, f := range r.files {
		if strings.HasPrefix(f, prefix) {
			return true
		}
	}
	return false
}
