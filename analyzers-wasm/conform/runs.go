package conform

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/sdk/abi"
)

const config = `{"abi":1,"captureTime":"2026-01-01T00:00:00Z"}` + "\n"

// captureTime is that of config.
func captureTime() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// bare lays out the declared inputs without a row.
func (k *kit) bare(index string) map[string][]byte {
	files := map[string][]byte{"config.json": []byte(config)}
	for _, in := range k.d.Inputs {
		files["in/"+in.Name+".index"] = []byte(index + "\n")
		if in.Files != "" {
			continue
		}
		if in.Form != abi.FormRows {
			files["in/"+in.Name+".ndjson"] = nil
		}
		if in.Form != abi.FormNDJSON {
			files["in/"+in.Name+".rows"] = emptyRows()
		}
	}
	return files
}

// emptyRows is a file of rows without one.
func emptyRows() []byte {
	const schema = `{"keys":["` + abi.KeyAt + `"],"of":[{}]}`
	return append(binary.AppendUvarint([]byte(magic), uint64(len(schema))), schema...)
}

// empty runs the module over inputs that are whole and hold nothing.
func (k *kit) empty() {
	files := k.bare(`{"complete":true,"rows":0}`)
	out, failure := k.analyze("empty inputs", files)
	k.add("A1", Must, "it ends well, and prints what it may, over inputs without a row", failure)
	if failure != "" {
		k.skip("A5", Must, "two runs print the same bytes", "it did not get that far")
		return
	}
	again, failure := k.analyze("empty inputs", files)
	if failure == "" && !bytes.Equal(out, again) {
		failure = difference(out, again)
	}
	k.add("A5", Must, "two runs print the same bytes", failure)
	said := map[string]int{}
	for _, o := range outcomes(out) {
		said[o.Rule]++
	}
	var odd []string
	for _, r := range k.d.Rules {
		if said[r.ID] != 1 {
			odd = append(odd, fmt.Sprintf("%s has %d", r.ID, said[r.ID]))
		}
	}
	k.add("A4", Should, "it prints one outcome for every rule", strings.Join(odd, "; "))
}

// incomplete runs the module over inputs of which nothing was collected.
func (k *kit) incomplete() {
	const says = "it calls no rule clear when nothing was collected"
	if len(k.d.Inputs) == 0 {
		k.skip("A2", Must, says, "it has no inputs")
		return
	}
	out, failure := k.analyze("inputs that were not collected", k.bare(`{"complete":false,"rows":0,"missing":[{"source":"all","reason":"denied"}]}`))
	var clear, silent []string
	for _, o := range outcomes(out) {
		if o.Outcome == abi.OutcomeClear {
			clear = append(clear, o.Rule)
		}
		if o.Outcome == abi.OutcomeUnknown && len(o.Missing) == 0 && o.Reason == "" {
			silent = append(silent, o.Rule)
		}
	}
	if failure == "" && clear != nil {
		failure = "these are: " + strings.Join(clear, ", ")
	}
	k.add("A2", Must, says, failure)
	if silent != nil {
		k.add("A6", Should, "an unknown outcome says what is lacking", "these do not: "+strings.Join(silent, ", "))
	} else {
		k.add("A6", Should, "an unknown outcome says what is lacking", "")
	}
}

// bundles runs the module over what the bundles hold for it.
func (k *kit) bundles() {
	checks := []struct {
		id    string
		level Level
		says  string
		check func(name string, files map[string][]byte, out []byte) string
	}{
		{"A1", Must, "it ends well, and prints what it may, over the rows of every bundle", nil},
		{"A5", Must, "two runs over a bundle print the same bytes", func(name string, files map[string][]byte, out []byte) string { return k.same(name, files, out) }},
		{"V1", Must, "it ignores keys that it does not know, in config.json, .index and rows", func(name string, files map[string][]byte, out []byte) string {
			return k.same(name+" with unknown keys", unknownKeys(files), out)
		}},
		{"R9", Must, "either form of the rows of an input gives the same", func(name string, files map[string][]byte, out []byte) string {
			return k.same(name+" without the .rows that have an .ndjson", oneForm(files), out)
		}},
		{"R4", Must, "it takes JSON in place of any value of a row in binary form", func(name string, files map[string][]byte, out []byte) string {
			return k.same(name+" with JSON in its .rows", jsonInRows(files), out)
		}},
		{"A7", Should, "it finishes, within its fuel and memory, over many times the rows", func(name string, files map[string][]byte, _ []byte) string {
			_, failure := k.analyze(name+", many times over", manyTimes(files))
			return failure
		}},
	}
	views := k.views()
	if len(views) == 0 {
		for _, c := range checks[1:] {
			k.skip(c.id, c.level, c.says, "no case or bundle was given that holds what it runs for")
		}
		return
	}
	failures := make([]string, len(checks))
	for _, v := range views {
		name := v.name
		files, err := lay(k.ctx, v, k.d)
		if err != nil {
			failures[0] = first(failures[0], name+": "+err.Error())
			continue
		}
		out, failure := k.analyze(name, files)
		failures[0] = first(failures[0], failure)
		for i := 1; i < len(checks) && failure == "" && k.ctx.Err() == nil; i++ {
			if failures[i] == "" {
				failures[i] = checks[i].check(name, files, out)
			}
		}
	}
	for i, c := range checks {
		if i > 0 && failures[0] != "" && failures[i] == "" {
			k.skip(c.id, c.level, c.says, "it did not get that far")
			continue
		}
		k.add(c.id, c.level, c.says, failures[i])
	}
}

// view is what one run of the module is given: a bundle, or one node of it.
type view struct {
	name, node string
	bundle     fs.FS
}

const nodesTried = 3 // of a bundle, for a module of scope node

func (k *kit) views() []view {
	var views []view
	for n, b := range k.o.Bundles {
		name := fmt.Sprintf("bundle %d", n+1)
		if k.d.Scope != abi.ScopeNode {
			views = append(views, view{name: name, bundle: b})
			continue
		}
		nodes, err := fs.ReadDir(b, "nodes")
		if err != nil {
			continue // it has none
		}
		for _, node := range nodes[:min(len(nodes), nodesTried)] {
			views = append(views, view{name: name + ", node " + node.Name(), node: node.Name(), bundle: b})
		}
	}
	return views
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// same says how the output over the files differs from what it should be.
func (k *kit) same(over string, files map[string][]byte, want []byte) string {
	out, failure := k.analyze(over, files)
	if failure == "" && !bytes.Equal(out, want) {
		failure = "over " + over + ": " + difference(want, out)
	}
	return failure
}

// memory is a spool in memory.
type memory struct{ bytes.Buffer }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.Bytes()).ReadAt(p, off)
}

const maxLaid = 64 << 20 // bytes of a bundle's rows that the kit takes

// lay lays out what a view holds for a declaration.
func lay(ctx context.Context, v view, d abi.Declaration) (map[string][]byte, error) {
	spool := &memory{}
	laid, err := input.Project(ctx, v.bundle, []input.Request{{Inputs: d.Inputs, Spool: spool, Node: v.node}}, input.Limits{ModuleBytes: maxLaid, InputBytes: maxLaid})
	if err != nil {
		return nil, err
	}
	if err := laid[0].Err(); err != nil {
		return nil, err
	}
	files := map[string][]byte{"config.json": []byte(config)}
	for _, f := range laid[0].Files() {
		text := make([]byte, f.Size)
		if _, err := f.ReaderAt(spool).ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		files[f.Path] = text
	}
	return files, nil
}

// oneForm leaves out .rows where there is an .ndjson of the same input, as for
// a module that asks for neither form and gets both.
func oneForm(files map[string][]byte) map[string][]byte {
	files = maps.Clone(files)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if base, ok := strings.CutSuffix(path, ".rows"); ok && files[base+".ndjson"] != nil {
			delete(files, path)
		}
	}
	return files
}

const (
	unknownKey  = "casefileUnknown"
	many        = 50
	maxManyFile = 32 << 20
)

// unknownKeys adds to every object of the host a key that no version has.
func unknownKeys(files map[string][]byte) map[string][]byte {
	changed := map[string][]byte{}
	for path, text := range files {
		switch {
		case strings.HasSuffix(path, ".rows") && strings.HasPrefix(path, "in/"):
			text = rowsWithKey(text)
		case strings.HasPrefix(path, "in/") || path == "config.json":
			var b bytes.Buffer
			for line := range bytes.Lines(text) {
				b.Write(withKey(bytes.TrimSpace(line)))
				b.WriteByte('\n')
			}
			text = b.Bytes()
		}
		changed[path] = text
	}
	return changed
}

func withKey(object []byte) []byte {
	if len(object) < 2 || object[len(object)-1] != '}' || !json.Valid(object) {
		return object
	}
	object = bytes.Clone(object[:len(object)-1])
	if len(object) > 1 {
		object = append(object, ',')
	}
	return append(object, `"`+unknownKey+`":{"a":["x",1.5,null]}}`...)
}

// manyTimes repeats the rows, with the numbers that they have.
func manyTimes(files map[string][]byte) map[string][]byte {
	more := map[string][]byte{}
	for path, text := range files {
		head := 0
		switch {
		case strings.HasSuffix(path, ".ndjson"):
		case strings.HasSuffix(path, ".rows"):
			if _, rest, ok := cutSchema(text); ok {
				head = len(text) - len(rest)
			}
		default:
			more[path] = text
			continue
		}
		times := many
		if n := len(text) - head; n*times > maxManyFile {
			times = max(1, maxManyFile/n)
		}
		more[path] = append(bytes.Clone(text[:head]), bytes.Repeat(text[head:], times)...)
	}
	return more
}
