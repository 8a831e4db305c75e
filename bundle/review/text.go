package review

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// shownNames is how many names of a kind the text shows; HTML and JSON have
// all that were kept.
const shownNames = 60

// Text prints the review for a terminal. Everything that comes from the bundle
// is escaped.
func (r *Review) Text(w io.Writer) error {
	p := &printer{w: tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	p.head(r)
	p.classes(r)
	p.names(r)
	p.configMaps(r)
	p.captures(r)
	p.suspects(r)
	p.samples(r)
	if err := p.w.Flush(); err != nil {
		return err
	}
	return p.err
}

type printer struct {
	w   *tabwriter.Writer
	err error
}

func (p *printer) f(format string, a ...any) {
	for i, v := range a {
		if s, ok := v.(string); ok {
			a[i] = plain(s)
		}
	}
	if _, err := fmt.Fprintf(p.w, format+"\n", a...); err != nil && p.err == nil {
		p.err = err
	}
}

func (p *printer) title(format string, a ...any) {
	p.f("\n"+format, a...)
}

// plain leaves nothing in s that could move a cursor or hide text.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, s)
}

func (p *printer) head(r *Review) {
	h := r.Head
	p.f("REVIEW  %s", h.Top)
	p.f("made\t%s by %s", h.Created.UTC().Format("2006-01-02 15:04:05 UTC"), h.Producer)
	p.f("cluster\t%s", h.Cluster)
	signer := h.Signer
	if signer == "" {
		signer = "not signed"
	}
	p.f("signed by\t%s", signer)
	p.f("redaction\t%s, payload of packets: %s", h.Policy, h.Payload)
	for _, k := range slices.Sorted(maps.Keys(h.Labels)) {
		p.f("label\t%s=%s", k, h.Labels[k])
	}
	if h.Note != "" {
		p.f("note\t%s", h.Note)
	}
	p.f("contents\t%d files, %s", r.Files, Bytes(r.Bytes))
	p.f("masked\t%s", Counts(r.Rules))
}

func (p *printer) classes(r *Review) {
	p.title("WHAT IS IN IT")
	p.f("class\tfiles\tsize\tmasked\tleft out\twhat it is")
	for _, c := range r.Classes {
		p.f("%s\t%d\t%s\t%s\t%d\t%s", c.Name, c.Files, Bytes(c.Bytes), Counts(c.Masked), c.Refused, c.What)
	}
	if r.Lacking > 0 {
		p.title("ASKED FOR, BUT NOT THERE OR NOT WHOLE (%d)", r.Lacking)
		for _, m := range r.Missing[:min(len(r.Missing), shownNames)] {
			p.f("%s\t%s\t%s", m.Status, strings.TrimSpace(m.Source+" "+m.Path), m.Reason)
		}
		p.rest(len(r.Missing), r.Lacking-len(r.Missing))
	}
}

// rest says how much is not shown.
func (p *printer) rest(kept, more int) {
	if n := max(0, kept-shownNames) + more; n > 0 {
		p.f("… and %d more", n)
	}
}

func (p *printer) names(r *Review) {
	for _, l := range r.Names {
		p.title("%s (%d)", strings.ToUpper(l.Kind), len(l.Names)+l.More)
		shown := l.Names[:min(len(l.Names), shownNames)]
		for len(shown) > 0 {
			n := min(6, len(shown))
			p.f("  %s", strings.Join(shown[:n], "  "))
			shown = shown[n:]
		}
		p.rest(len(l.Names), l.More)
	}
}

func (p *printer) configMaps(r *Review) {
	if len(r.Config) == 0 {
		return
	}
	p.title("CONFIGMAPS")
	p.f("name\tvalues that are there\tvalues that are masked")
	for _, c := range r.Config {
		p.f("%s\t%s\t%s", c.Name, dash(strings.Join(c.Kept, " ")), dash(strings.Join(c.Masked, " ")))
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (p *printer) captures(r *Review) {
	for _, c := range r.Captures {
		p.title("PACKETS  %s", c.Path)
		p.f("%d packets, %s on the wire, %s stored, %s of it payload (%s DNS)", c.Packets, Bytes(c.Wire), Bytes(c.Stored), Bytes(c.Payload), Bytes(c.DNS))
		if c.Error != "" {
			p.f("could not be read to its end: %s", c.Error)
		}
		for _, t := range c.Talkers {
			p.f("  %s", t.String())
		}
		if c.More > 0 {
			p.f("  … and %d more pairs", c.More)
		}
	}
}

func (p *printer) suspects(r *Review) {
	p.title("STRINGS THAT LOOK LIKE KEYS (%d)", len(r.Suspects)+r.Omitted)
	if len(r.Suspects) == 0 {
		p.f("none")
		return
	}
	p.f("where\tbegins\tlength\tbits a character")
	for _, s := range r.Suspects[:min(len(r.Suspects), shownNames)] {
		p.f("%s:%d\t%s…\t%d\t%.2f", s.Path, s.Line, s.Begin, s.Length, s.Entropy)
	}
	p.rest(len(r.Suspects), r.Omitted)
}

func (p *printer) samples(r *Review) {
	p.title("LINES PICKED AT RANDOM")
	for _, c := range r.Classes {
		for _, s := range c.Samples {
			p.f("%s:%d", s.Path, s.Line)
			p.f("    %s", s.Text)
		}
	}
}

// Counts writes counts by name, the largest first.
func Counts(m map[string]int) string {
	if len(m) == 0 {
		return "-"
	}
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, k := range keys {
		parts = append(parts, strconv.Itoa(m[k])+" "+k)
	}
	return strings.Join(parts, ", ")
}

// Bytes writes a size for people.
func Bytes(n int64) string {
	switch {
	case n < 1e3:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
