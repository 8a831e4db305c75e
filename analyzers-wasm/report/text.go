package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// TextOptions of [Text].
type TextOptions struct {
	Color bool   // for a terminal
	Width int    // columns, 100 when 0
	Lang  string // "en" or "zh"
}

const (
	defaultWidth = 100
	minWidth     = 40
	indent       = "  "
	maxAffected  = 5
)

// printer writes text; the first error of the writer stays.
type printer struct {
	w     *bufio.Writer
	words words
	width int
	color bool
}

func newPrinter(w io.Writer, o TextOptions) *printer {
	return &printer{w: bufio.NewWriter(w), words: wordsOf(o.Lang), width: max(cmp.Or(o.Width, defaultWidth), minWidth), color: o.Color}
}

// Text prints a report for people: findings by layer, worst first, each with
// its evidence and what to do; then what could not be told and why.
func Text(w io.Writer, r abi.Report, o TextOptions) error {
	p := newPrinter(w, o)
	p.header(r.Bundle)
	p.summary(r.Findings)
	for _, layer := range append(abi.Layers(), "") {
		p.layer(layer, r.Findings)
	}
	p.failed(r.Modules)
	p.unknown(r.Rules)
	p.clear(r.Rules)
	return p.w.Flush()
}

// Styles of a terminal.
const (
	bold, dim          = "1", "2"
	red, yellow, green = "31", "33", "32"
	loud               = "1;37;41"
)

func (p *printer) style(style, s string) string {
	if !p.color || style == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

func severityStyle(s string) string {
	return map[string]string{abi.SeverityCritical: loud, abi.SeverityHigh: "1;" + red, abi.SeverityMedium: yellow, abi.SeverityLow: "36"}[s]
}

func (p *printer) line(s string) {
	p.w.WriteString(s)  //nolint:errcheck // bufio keeps the error for Flush
	p.w.WriteByte('\n') //nolint:errcheck // as above
}

// block writes s wrapped, the first line after first, the others below it.
func (p *printer) block(first, s string) {
	blank := strings.Repeat(" ", displayWidth(first))
	for i, l := range wrap(s, p.width-displayWidth(first)) {
		if i == 0 {
			p.line(first + l)
		} else {
			p.line(blank + l)
		}
	}
}

func (p *printer) header(b abi.BundleInfo) {
	p.line(p.style(bold, b.Name))
	signature, style := p.words.unverified, "1;"+red
	if b.Verified {
		signature, style = p.words.verified, green
		if b.Signer != "" {
			signature += p.words.sep + fmt.Sprintf(p.words.signedBy, b.Signer)
		}
	}
	complete, completeStyle := p.words.whole, ""
	if !b.Complete {
		complete, completeStyle = p.words.notWhole, yellow
	}
	var labels []string
	for _, k := range slices.Sorted(maps.Keys(b.Labels)) {
		labels = append(labels, k+"="+b.Labels[k])
	}
	rows := []struct{ name, value, style string }{
		{p.words.cluster, b.Cluster, ""}, {p.words.created, b.Created, ""}, {p.words.signature, signature, style}, {p.words.complete, complete, completeStyle},
		{p.words.redaction, b.Redaction, ""}, {p.words.labels, strings.Join(labels, " "), ""}, {p.words.note, b.Note, ""},
	}
	const column = 11
	for _, r := range rows {
		if r.value != "" {
			p.line(indent + pad(r.name, column) + p.style(r.style, r.value))
		}
	}
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(1, width-displayWidth(s)))
}

func (p *printer) summary(findings []abi.ReportedFind) {
	p.line("")
	if len(findings) == 0 {
		p.line(p.style(bold, p.words.nothing))
		return
	}
	var parts []string
	for _, s := range abi.Severities() {
		n := 0
		for _, f := range findings {
			if f.Severity == s {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, p.style(severityStyle(s), strconv.Itoa(n)+" "+p.words.severity[s]))
		}
	}
	count := p.words.findings
	if len(findings) == 1 {
		count = p.words.finding
	}
	p.line(fmt.Sprintf(count, len(findings), strings.Join(parts, p.words.sep)))
}

// layer prints the findings of a layer; those of no layer of the model belong
// to the empty one.
func (p *printer) layer(layer string, findings []abi.ReportedFind) {
	first := true
	for _, f := range findings {
		if f.Layer != layer && !(layer == "" && !slices.Contains(abi.Layers(), f.Layer)) {
			continue
		}
		if first {
			title := p.words.layer[layer]
			rule := strings.Repeat("─", max(0, p.width-displayWidth(title)-4))
			p.line("")
			p.line(p.style(bold, "── "+title) + " " + p.style(dim, rule))
			first = false
		}
		p.line("")
		p.finding(f)
	}
}

func (p *printer) finding(f abi.ReportedFind) {
	tag := strings.ToUpper(cmp.Or(p.words.severity[f.Severity], f.Severity))
	lines := wrap(f.Title, p.width-displayWidth(tag)-1)
	p.line(p.style(severityStyle(f.Severity), tag) + " " + p.style(bold, strings.Join(lines, "\n"+indent)))
	p.block(indent, subject(f.Subject)+"  "+f.Rule+"  "+f.ID)
	if f.Peer != nil {
		p.block(indent, p.words.peer+" "+subject(*f.Peer))
	}
	if f.Message != "" {
		p.block(indent, f.Message)
	}
	if len(f.Affected) > 0 {
		names := each(f.Affected[:min(len(f.Affected), maxAffected)], subject)
		if n := len(f.Affected) - maxAffected; n > 0 {
			names = append(names, fmt.Sprintf(p.words.more, n))
		}
		p.block(indent, p.words.affected+" "+strings.Join(names, p.words.sep))
	}
	if len(f.Evidence) > 0 {
		p.line(indent + p.style(dim, p.words.evidence))
		for _, e := range f.Evidence {
			p.evidence(e)
		}
	}
	p.remedies(f.Remediation, indent)
	for _, ref := range f.References {
		p.line(indent + p.style(dim, p.words.see+" "+ref))
	}
}

func (p *printer) remedies(remedies []string, in string) {
	if len(remedies) > 0 {
		p.line(in + p.style(dim, p.words.remedy))
	}
	for i, s := range remedies {
		p.block(fmt.Sprintf("%s%s%d. ", in, indent, i+1), s)
	}
}

// evidence prints path:line or path #packet, then the value.
func (p *printer) evidence(e abi.ReportedEvidence) {
	where := e.Path
	switch {
	case e.Packet > 0:
		where += " " + fmt.Sprintf(p.words.packet, e.Packet)
	case e.Line > 0:
		where += ":" + strconv.Itoa(e.Line)
	case e.Pointer != "":
		where += "#" + e.Pointer
	}
	value := shorten(e.Value, 3*p.width)
	if e.Delta != nil {
		value = strings.TrimLeft(value+" ("+p.delta(*e.Delta, e.Seconds)+")", " ")
	}
	in := indent + indent
	if displayWidth(in+where)+2+displayWidth(value) <= p.width {
		p.line(strings.TrimRight(in+where+"  "+value, " "))
		return
	}
	p.line(in + where)
	p.block(in+indent, value)
}

// shorten cuts s to a number of runes.
func shorten(s string, most int) string {
	n := 0
	for i := range s {
		if n == most {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

func (p *printer) delta(delta int64, seconds float64) string {
	if seconds <= 0 {
		return fmt.Sprintf("%+d", delta)
	}
	s := strings.TrimSuffix(strconv.FormatFloat(seconds, 'f', 1, 64), ".0")
	return fmt.Sprintf(p.words.deltaIn, delta, s)
}

// subject writes Kind namespace/name, on node.
func subject(s abi.Subject) string {
	name := s.Name
	if s.Namespace != "" {
		name = s.Namespace + "/" + name
	}
	out := strings.TrimSpace(s.Kind + " " + name)
	if s.Node != "" && s.Node != s.Name {
		out += " @ " + s.Node
	}
	return out
}
