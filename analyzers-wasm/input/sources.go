package input

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// run is one call of [Project].
type run struct {
	ctx     context.Context
	fsys    fs.FS
	lim     Limits
	files   []string
	results results

	tables []*output // resource and table inputs
	raws   []*output
	counts []*output
	logs   []*output
	flows  []*output
	dns    []*output
	facts  []*output
}

// add takes in one input of a module.
func (r *run) add(p *Projection, in abi.Input) error {
	list, globs, err := r.kind(in)
	if err != nil {
		return err
	}
	o, err := p.newOutput(in, globs)
	if err != nil {
		return err
	}
	*list = append(*list, o)
	return nil
}

// kind says with which inputs one goes, and which files it reads.
func (r *run) kind(in abi.Input) (list *[]*output, globs []Glob, err error) {
	var g Glob
	switch {
	case len(in.Counters) > 0:
		return &r.counts, counterGlobs(in.Counters), nil
	case in.Logs != "":
		list = &r.logs
		globs, err = r.logGlobs(in.Logs)
		return list, globs, err
	case in.FactRows != "":
		return &r.facts, nil, nil
	case in.Files != "":
		list = &r.raws
		g, err = ParseGlob(in.Files)
	case in.Flows != "":
		list = &r.flows
		g, err = ParseGlob(captureGlob(in.Flows))
	case in.DNS != "":
		list = &r.dns
		g, err = ParseGlob(captureGlob(in.DNS))
	case in.Resource != "":
		list = &r.tables
		g, err = resourceGlob(in.Resource)
	default:
		list = &r.tables
		g, err = ParseGlob(in.Table)
	}
	return list, []Glob{g}, err
}

// resourceGlob gives the files of "v1/pods" or "apps/v1/deployments".
func resourceGlob(resource string) (Glob, error) {
	segs := strings.Split(resource, "/")
	if len(segs) == 2 {
		segs = append([]string{"core"}, segs...)
	}
	if len(segs) != 3 || !resourceSegment(segs[0]) || !resourceSegment(segs[1]) || !resourceSegment(segs[2]) {
		return nil, fmt.Errorf(`resource %q: write "v1/pods" or "apps/v1/deployments"`, resource)
	}
	return ParseGlob(resourceFolder + strings.Join(segs, "/") + "/*.ndjson")
}

func resourceSegment(s string) bool {
	if s == "" {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return s[0] != '.'
}

// sources reads every file that an input names, once, in order of paths.
func (r *run) sources() error {
	p, todo := &pipeline{}, []*source{}
	tables, logs, raws := r.readers(r.tables), r.readers(r.logs), r.readers(r.raws)
	known, raw := groups{}, newGroup(nil)
	for _, path := range r.files {
		if outs := tables[path]; outs != nil {
			todo = append(todo, r.tableSource(p, path, known.of(outs)))
		}
		if outs := logs[path]; outs != nil {
			todo = append(todo, r.logSource(p, path, known.of(outs)))
		}
		if outs := raws[path]; outs != nil {
			todo = append(todo, r.rawSource(p, path, outs, raw))
		}
	}
	return p.flow(r.ctx, todo, r.lim.Parallel)
}

// readers says of each file which inputs read it.
func (r *run) readers(outs []*output) map[string][]*output {
	of := map[string][]*output{}
	for _, o := range outs {
		for _, path := range r.below(o) {
			if o.wants(path) {
				of[path] = append(of[path], o)
			}
		}
	}
	return of
}

// below gives the files that an input may want, by how their paths begin.
func (r *run) below(o *output) []string {
	if o.p.node != "" {
		return append(r.under("captures/"), r.under("nodes/"+o.p.node+"/")...)
	}
	if len(o.globs) != 1 || o.log != nil {
		return r.files
	}
	return r.under(o.globs[0].fixed())
}

// under gives the files whose path begins so.
func (r *run) under(prefix string) []string {
	from, _ := slices.BinarySearch(r.files, prefix)
	to := from
	for to < len(r.files) && strings.HasPrefix(r.files[to], prefix) {
		to++
	}
	return r.files[from:to:to]
}
