package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"iter"
	"reflect"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Source is a declared input.
type Source interface {
	declare() (abi.Input, error)
	optional() bool
}

// Optional declares an input whose lack does not make its rule unknown: it
// adds evidence or names, and the rule can tell clear without it.
func Optional(s Source) Source { return optionalSource{s} }

type optionalSource struct{ Source }

func (optionalSource) optional() bool { return true }

// Place tells where a row of a table below nodes/ was read; embed it.
type Place struct {
	Node   string `json:"_node"`
	Netns  uint64 `json:"_netns"`  // inode of a pod's network namespace, 0 for the node's own
	Sample int    `json:"_sample"` // 0 is the first
}

// RowSource is an input of rows that decode into T.
type RowSource[T any] struct{ input abi.Input }

// Row is a kept row and the number that evidence cites.
type Row[T any] struct {
	V  T
	At int64
}

// Resource declares the objects of an API resource: "v1/pods",
// "apps/v1/deployments".
func Resource[T any](name, resource string) RowSource[T] {
	return RowSource[T]{abi.Input{Name: name, Resource: resource}}
}

// Table declares the lines of NDJSON files by a glob, in which ** stands for
// any number of folders; a .json file is one row.
func Table[T any](name, glob string) RowSource[T] {
	return RowSource[T]{abi.Input{Name: name, Table: glob}}
}

// Flows declares the connections in captures, by a glob of their files: a row
// for each connection and place that saw it. "*" takes all captures.
func Flows(name, captures string) RowSource[Flow] {
	return RowSource[Flow]{abi.Input{Name: name, Flows: captures}}
}

// DNS declares the queries in captures, by a glob of their files: a row for
// each query and place that saw it. "*" takes all captures.
func DNS(name, captures string) RowSource[Query] {
	return RowSource[Query]{abi.Input{Name: name, DNS: captures}}
}

// Logs declares lines of logs: of a container or workload ("coredns"), of a
// node's unit ("kubelet"), or by a glob of NAMESPACE/POD/CONTAINER. Only lines
// that match the expression (RE2) are rows, unless it is empty; its named
// groups are the row's Groups.
func Logs(name, whose, match string) RowSource[LogLine] {
	return RowSource[LogLine]{abi.Input{Name: name, Logs: whose, Match: match}}
}

// FactRows declares what modules of scope node tell of their nodes under the
// name of a fact; see [Reporter.Tell]. Embed [Place] to learn the node.
func FactRows[T any](name, fact string) RowSource[T] {
	return RowSource[T]{abi.Input{Name: name, FactRows: fact}}
}

// Where is the source with a condition: the host leaves out rows for which
// the expression (CEL over the source row, named row) is false. It may look at
// what T does not have: Where("row.status.phase != 'Running'").
func (s RowSource[T]) Where(expression string) RowSource[T] {
	s.input.Where = expression
	return s
}

func (s RowSource[T]) declare() (abi.Input, error) {
	in := s.input
	in.Form = abi.FormRows
	fields, err := fieldsOf(reflect.TypeFor[T]())
	in.Fields = fields
	if err == nil {
		err = checkName("input name", in.Name)
	}
	return in, err
}

func (RowSource[T]) optional() bool { return false }

// Rows streams the rows with the numbers that evidence cites. It ends early
// where reading fails, which makes the rule unknown.
func (s RowSource[T]) Rows(in *Input) iter.Seq2[T, int64] { return s.RowsHaving(in, "") }

// RowsHaving streams only rows that hold the text somewhere, which spares
// decoding the others; look at the row itself all the same. The text is one
// that stands alike in JSON: letters, digits, spaces. Where a condition can
// say it, [RowSource.Where] spares more.
func (s RowSource[T]) RowsHaving(in *Input, text string) iter.Seq2[T, int64] {
	return func(yield func(T, int64) bool) {
		if s.rows(in, text, yield) {
			return
		}
		for line := range in.lines(s.input.Name) {
			if text != "" && !bytes.Contains(line, []byte(text)) {
				continue
			}
			var row T
			at, err := decodeRow(line, &row)
			if err != nil {
				in.fail(fmt.Errorf("input %s: %w", s.input.Name, err))
				return
			}
			if !yield(row, at) {
				return
			}
		}
	}
}

// All decodes the rows once and keeps them for every rule of the run.
func (s RowSource[T]) All(in *Input) []Row[T] {
	return Memo(in, "rows "+s.input.Name, func(in *Input) []Row[T] {
		var rows []Row[T]
		for v, at := range s.Rows(in) {
			rows = append(rows, Row[T]{v, at})
		}
		return rows
	})
}

// decodeRow decodes a line into row and returns its number.
func decodeRow(line []byte, row any) (int64, error) {
	if err := json.Unmarshal(line, row); err != nil {
		return 0, err
	}
	if rest, ok := bytes.CutPrefix(line, []byte(`{"`+abi.KeyAt+`":`)); ok {
		n, i := int64(0), 0
		for ; i < len(rest) && i < 18 && rest[i] >= '0' && rest[i] <= '9'; i++ {
			n = n*10 + int64(rest[i]-'0')
		}
		if i > 0 && i < len(rest) && (rest[i] == ',' || rest[i] == '}') {
			return n, nil
		}
	}
	var at struct {
		At int64 `json:"_at"`
	}
	err := json.Unmarshal(line, &at)
	return at.At, err
}

// CounterSource is an input of kernel counters.
type CounterSource struct{ input abi.Input }

// Counters declares counters by name, "TcpExt.ListenOverflows": a row for
// each node, network namespace and name.
func Counters(name string, counters ...string) CounterSource {
	return CounterSource{abi.Input{Name: name, Counters: counters}}
}

func (s CounterSource) declare() (abi.Input, error) {
	if len(s.input.Counters) == 0 {
		return s.input, fmt.Errorf("no counters")
	}
	s.input.Form = abi.FormNDJSON
	return s.input, checkName("input name", s.input.Name)
}

func (CounterSource) optional() bool { return false }

// CounterSet is the counters of one network namespace by name.
type CounterSet struct {
	Node   string
	Netns  uint64 // 0 for the node's own
	Values map[string]Counter
}

// Delta is how far a counter moved between the samples; false when it was
// read less than twice.
func (s CounterSet) Delta(name string) (int64, bool) {
	if c := s.Values[name]; c.Delta != nil {
		return *c.Delta, true
	}
	return 0, false
}

// Last is the newest value; false when there is none.
func (s CounterSet) Last(name string) (int64, bool) {
	c, ok := s.Values[name]
	if c.T1 != nil {
		return *c.T1, true
	}
	return c.T0, ok
}

// Evidence cites the named counters of the set, those that there are, with
// how far they moved.
func (s CounterSet) Evidence(names ...string) []Evidence {
	var es []Evidence
	for _, n := range names {
		if c, ok := s.Values[n]; ok {
			e := Evidence{At: c.At}
			if c.Delta != nil && *c.Delta != 0 {
				e.Delta, e.Seconds = c.Delta, c.Seconds
			}
			es = append(es, e)
		}
	}
	return es
}

// Moved keeps those of the names that changed between the samples.
func (s CounterSet) Moved(names ...string) []string {
	var moved []string
	for _, n := range names {
		if d, _ := s.Delta(n); d != 0 {
			moved = append(moved, n)
		}
	}
	return moved
}

// Sets groups the counters by node and network namespace, in the host's order.
func (s CounterSource) Sets(in *Input) []CounterSet {
	type key struct {
		node  string
		netns uint64
	}
	var sets []CounterSet
	index := map[key]int{}
	for c := range RowSource[Counter](s).Rows(in) {
		k := key{c.Node, c.Netns}
		i, ok := index[k]
		if !ok {
			i = len(sets)
			index[k] = i
			sets = append(sets, CounterSet{Node: c.Node, Netns: c.Netns, Values: map[string]Counter{}})
		}
		sets[i].Values[c.Name] = c
	}
	return sets
}

// FileSource is an input of raw files.
type FileSource struct{ input abi.Input }

// Files declares raw files of the bundle by a glob.
func Files(name, glob string) FileSource { return FileSource{abi.Input{Name: name, Files: glob}} }

func (s FileSource) declare() (abi.Input, error) {
	if s.input.Files == "" {
		return s.input, fmt.Errorf("no glob")
	}
	return s.input, checkName("input name", s.input.Name)
}

func (FileSource) optional() bool { return false }

// List names the files, sorted, by their paths in the bundle.
func (s FileSource) List(in *Input) []string { return in.Files(s) }

// Open opens one of them.
func (s FileSource) Open(in *Input, path string) (fs.File, error) {
	return in.shared.fsys.Open("bundle/" + path)
}
