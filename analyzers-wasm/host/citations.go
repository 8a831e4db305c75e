package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"

	"github.com/casefile-io/casefile/analyzers-wasm/input"
	"github.com/casefile-io/casefile/analyzers-wasm/input/flow"
	"github.com/casefile-io/casefile/sdk/abi"
)

// Bounds of looking cited places up in the bundle.
const (
	maxCitedBytes = 2 << 30 // read for one module
	maxLineText   = 160     // shown of a cited line
)

// citations turns what findings cite into places that exist.
type citations struct {
	ctx    context.Context
	bundle fs.FS
	inputs *input.Projection

	files map[string]*citedFile
	rows  map[int64]abi.ReportedEvidence
}

// citedFile is a file of the bundle that is cited by line or packet.
type citedFile struct {
	lines   map[int]string // wanted lines, and their text once read
	have    map[int]bool
	packets int  // in the file
	byPkt   bool // packets are wanted
	err     error
}

// resolve gives the findings with their places. On a bad citation it stops
// and returns the findings before that line.
func (c *citations) resolve(findings []printedFinding) ([]abi.ResolvedFinding, *lineError) {
	c.files, c.rows = map[string]*citedFile{}, map[int64]abi.ReportedEvidence{}
	c.gather(findings)
	c.read()
	var out []abi.ResolvedFinding
	for _, f := range findings {
		r := abi.ResolvedFinding{Finding: f.Finding}
		for _, e := range f.Evidence {
			place, err := c.place(e)
			if err != nil {
				return out, &lineError{f.line, err}
			}
			r.Places = append(r.Places, place)
		}
		out = append(out, r)
	}
	return out, nil
}

// gather notes which lines and packets are wanted, so that each file is read once.
func (c *citations) gather(findings []printedFinding) {
	for _, f := range findings {
		for _, e := range f.Evidence {
			if e.Path == "" || e.Line == 0 && e.Packet == 0 || !c.inputs.Declared(e.Path) {
				continue
			}
			file := c.files[e.Path]
			if file == nil {
				file = &citedFile{lines: map[int]string{}, have: map[int]bool{}}
				c.files[e.Path] = file
			}
			if e.Line > 0 {
				file.lines[e.Line] = ""
			} else {
				file.byPkt = true
			}
		}
	}
}

// read looks the wanted places up, within a budget for all of them.
func (c *citations) read() {
	paths := make([]string, 0, len(c.files))
	for p := range c.files {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	budget := int64(maxCitedBytes)
	for _, p := range paths {
		file := c.files[p]
		f, err := c.bundle.Open(p)
		if err != nil {
			file.err = err
			continue
		}
		r := &budgetReader{ctx: c.ctx, r: f, left: &budget}
		if file.byPkt {
			file.packets, file.err = flow.Count(r)
		}
		if len(file.lines) > 0 && file.err == nil {
			if file.byPkt {
				f.Close()
				if f, err = c.bundle.Open(p); err != nil {
					file.err = err
					continue
				}
				r.r = f
			}
			file.err = file.readLines(r)
		}
		f.Close()
	}
}

// place resolves one citation.
func (c *citations) place(e abi.Evidence) (abi.ReportedEvidence, error) {
	var place abi.ReportedEvidence
	var err error
	if e.At > 0 {
		place, err = c.row(e.At)
	} else {
		place, err = c.spot(e)
	}
	if err != nil {
		return place, err
	}
	place.Pointer = e.Pointer
	if e.Value != "" {
		place.Value = e.Value
	}
	if e.Delta != nil {
		place.Delta = e.Delta
	}
	if e.Seconds != 0 {
		place.Seconds = e.Seconds
	}
	return place, nil
}

func (c *citations) row(at int64) (abi.ReportedEvidence, error) {
	if place, ok := c.rows[at]; ok {
		return place, nil
	}
	place, ok, err := c.inputs.Resolve(at)
	if err != nil {
		return place, err
	}
	if !ok {
		return place, fmt.Errorf("evidence at %d: no row has that number", at)
	}
	place.Value = input.Clean(place.Value)
	c.rows[at] = place
	return place, nil
}

func (c *citations) spot(e abi.Evidence) (abi.ReportedEvidence, error) {
	place := abi.ReportedEvidence{Path: e.Path, Line: e.Line, Packet: e.Packet}
	if !c.inputs.Declared(e.Path) {
		return place, fmt.Errorf("evidence in %q, which is in no input of the module", shortReason(input.Clean(e.Path)))
	}
	if e.Line == 0 && e.Packet == 0 {
		return place, nil
	}
	file := c.files[e.Path]
	switch {
	case file.err != nil:
		return place, fmt.Errorf("evidence in %s: %w", e.Path, file.err)
	case e.Packet > file.packets:
		return place, fmt.Errorf("evidence at packet %d of %s, which has %d", e.Packet, e.Path, file.packets)
	case e.Line > 0 && !file.have[e.Line]:
		return place, fmt.Errorf("evidence at line %d of %s, which has fewer", e.Line, e.Path)
	}
	place.Value = file.lines[e.Line]
	return place, nil
}

// readLines fills the wanted lines in and stops after the last of them.
func (f *citedFile) readLines(r io.Reader) error {
	last := 0
	for n := range f.lines {
		last = max(last, n)
	}
	br := bufio.NewReaderSize(r, 64<<10)
	for nr := 1; nr <= last; nr++ {
		text, any, err := lineStart(br)
		if _, want := f.lines[nr]; want && any {
			f.lines[nr], f.have[nr] = text, true
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lineStart reads a line and returns how it begins; any is false at the end.
func lineStart(br *bufio.Reader) (start string, any bool, err error) {
	var text []byte
	for {
		part, err := br.ReadSlice('\n')
		any = any || len(part) > 0
		if room := maxLineText + 4 - len(text); room > 0 {
			text = append(text, part[:min(room, len(part))]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return showLine(text), any, err
		}
	}
}

func showLine(text []byte) string {
	text = bytes.ToValidUTF8(bytes.TrimRight(text, "\r\n"), nil)
	s := []rune(input.Clean(string(text)))
	if len(text) > maxLineText {
		return string(s[:min(len(s), maxLineText)]) + "…"
	}
	return string(s)
}

// budgetReader charges what is read to a budget.
type budgetReader struct {
	ctx  context.Context
	r    io.Reader
	left *int64
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if *b.left <= 0 {
		return 0, fmt.Errorf("the cited files have more than %d bytes", int64(maxCitedBytes))
	}
	n, err := b.r.Read(p)
	*b.left -= int64(n)
	return n, err
}
