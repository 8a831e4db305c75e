package casefile

import (
	"errors"
	"math"
	"os"
	"strconv"
	"unicode/utf8"
)

// Subject is an object that a finding is about.
type Subject struct{ Kind, Namespace, Name, Node, UID string }

// Param is what a placeholder of a text stands for.
type Param struct {
	Key   string
	Value Value
}

// Evidence cites a row (At), or a place in a declared file (Path with Line or
// Packet, from 1). Delta counts if Moved.
type Evidence struct {
	At           int64
	Path, Value  string
	Line, Packet int64
	Moved        bool
	Delta        int64
	Seconds      float64
}

// At cites a row by its _at.
func At(n int64) Evidence { return Evidence{At: n} }

// Finding is what a rule found; only the subject has to be there.
type Finding struct {
	Variant, Severity, Confidence, Owner string
	Subject                              Subject
	Peer                                 *Subject
	Affected                             []Subject
	FirstSeen, LastSeen                  string
	Params                               []Param
	Evidence                             []Evidence
}

// Find reports a finding. Of evidence and affected objects the first 64 and
// 1000 are kept.
func (run *Run) Find(f Finding) {
	f.Evidence, f.Affected = f.Evidence[:min(len(f.Evidence), maxEvidence)], f.Affected[:min(len(f.Affected), maxAffected)]
	run.found++
	if run.room.findings == 0 || run.room.evidence < len(f.Evidence) {
		run.dropped++
		return
	}
	run.room.findings--
	run.room.evidence -= len(f.Evidence)
	var w writer
	w.open('{')
	w.text("rule", run.rule)
	w.text("variant", f.Variant)
	w.text("severity", f.Severity)
	w.text("confidence", f.Confidence)
	w.text("owner", f.Owner)
	w.name("subject")
	w.subject(f.Subject)
	if f.Peer != nil {
		w.name("peer")
		w.subject(*f.Peer)
	}
	if len(f.Affected) > 0 {
		w.name("affected")
		w.open('[')
		for _, s := range f.Affected {
			w.item()
			w.subject(s)
		}
		w.close(']')
	}
	w.text("firstSeen", f.FirstSeen)
	w.text("lastSeen", f.LastSeen)
	w.given("params", f.Params, f.Evidence)
}

// Tell tells modules of scope cluster a fact of this node, a row of the keys of
// value. The declaration has the scope node, and the fact.
func (run *Run) Tell(fact string, value []Param, evidence ...Evidence) error {
	if run.room.facts == 0 || run.room.evidence < len(evidence) || len(evidence) > maxEvidence {
		return errors.New("more facts, or evidence, than a module may print")
	}
	run.room.facts--
	run.room.evidence -= len(evidence)
	var w writer
	w.open('{')
	w.text("fact", fact)
	w.given("value", value, evidence)
	return nil
}

// writer writes JSON; commas are its own business.
type writer struct {
	b     []byte
	comma bool
}

func (w *writer) open(bracket byte)  { w.b, w.comma = append(w.b, bracket), false }
func (w *writer) close(bracket byte) { w.b, w.comma = append(w.b, bracket), true }

func (w *writer) item() {
	if w.comma {
		w.b = append(w.b, ',')
	}
	w.comma = true
}

func (w *writer) name(key string) {
	w.item()
	w.quote(key)
	w.b = append(w.b, ':')
}

func (w *writer) quote(s string) {
	w.b = append(w.b, '"')
	for _, c := range s { // what is not UTF-8 becomes U+FFFD
		switch {
		case c == '"' || c == '\\':
			w.b = append(w.b, '\\', byte(c))
		case c < ' ':
			const digits = "0123456789abcdef"
			w.b = append(w.b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			w.b = utf8.AppendRune(w.b, c)
		}
	}
	w.b = append(w.b, '"')
}

func (w *writer) text(key, s string) {
	if s != "" {
		w.name(key)
		w.quote(s)
	}
}

func (w *writer) int(key string, n int64) {
	if n != 0 {
		w.name(key)
		w.b = strconv.AppendInt(w.b, n, 10)
	}
}

func (w *writer) value(v Value) {
	switch {
	case v.Kind == Boolean:
		w.b = strconv.AppendBool(w.b, v.truth)
	case v.Kind == Integer:
		w.b = strconv.AppendInt(w.b, v.whole, 10)
	case v.Kind == Number && !math.IsNaN(v.number) && !math.IsInf(v.number, 0):
		w.b = strconv.AppendFloat(w.b, v.number, 'g', -1, 64)
	case v.Kind == String:
		w.quote(v.text)
	case v.Kind == List:
		w.open('[')
		for _, i := range v.items {
			w.item()
			w.value(i)
		}
		w.close(']')
	default:
		w.b = append(w.b, "null"...) // and JSON has no infinity
	}
}

func (w *writer) subject(s Subject) {
	w.open('{')
	w.text("kind", s.Kind)
	w.text("namespace", s.Namespace)
	w.text("name", s.Name)
	w.text("node", s.Node)
	w.text("uid", s.UID)
	w.close('}')
}

func (w *writer) evidence(e Evidence) {
	w.open('{')
	w.int("at", e.At)
	w.text("path", e.Path)
	w.int("line", e.Line)
	w.int("packet", e.Packet)
	w.text("value", e.Value)
	if e.Moved {
		w.name("delta")
		w.value(Int(e.Delta))
		w.name("seconds")
		w.value(Float(e.Seconds))
	}
	w.close('}')
}

// given writes what a finding or a fact ends with, and prints it.
func (w *writer) given(key string, values []Param, evidence []Evidence) {
	w.name(key)
	w.open('{')
	for _, p := range values {
		w.name(p.Key)
		w.value(p.Value)
	}
	w.close('}')
	w.name("evidence")
	w.open('[')
	for _, e := range evidence {
		w.item()
		w.evidence(e)
	}
	w.close(']')
	w.close('}')
	if w.print() != nil {
		os.Exit(1)
	}
}

func (w *writer) print() error {
	_, err := os.Stdout.Write(append(w.b, '\n'))
	return err
}

// cut is s up to n bytes, without half a character at its end.
func cut(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
