package casefile

import (
	"errors"
	"os"
	"strconv"
)

// What a host takes of a module; what is more is left out, and said.
const (
	maxFindings    = 10_000
	maxAllEvidence = 100_000
	maxFacts       = 10_000
	maxEvidence    = 64
	maxAffected    = 1000
	maxReason      = 4000
)

// Rule is one thing that a module looks for: an id that the declaration has,
// the inputs without which it cannot be clear, and what it does.
type Rule struct {
	ID    string
	Needs []string
	Run   func(run *Run) error
}

// Run is a rule's view of its inputs, and where it reports.
type Run struct {
	rule    string
	config  Value
	room    *room
	found   int
	dropped int
	unknown bool
	reason  string
	lacking []string
}

// room is what the module may still print.
type room struct{ findings, evidence, facts int }

// Main is a module's main: it does what argv[1] says and exits.
func Main(declaration string, rules ...Rule) {
	if err := serve(declaration, rules); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func serve(declaration string, rules []Rule) error {
	verb := ""
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	switch verb {
	case "describe":
		_, err := os.Stdout.WriteString(declaration + "\n")
		return err
	case "analyze":
	default:
		return errors.New("want the argument describe or analyze")
	}
	config, _, err := readFile("/config.json")
	if err != nil {
		return err
	}
	left := &room{maxFindings, maxAllEvidence, maxFacts}
	for _, r := range rules {
		run := &Run{rule: r.ID, config: config, room: left}
		if err := run.conclude(r.Needs, r.Run(run)); err != nil {
			return err
		}
	}
	return nil
}

// Rows streams an input.
func (run *Run) Rows(name string) *Rows { return openRows(name) }

// Setting is a setting that the user gave, or "".
func (run *Run) Setting(name string) string { return run.config.Key("settings").Key(name).text }

// Time is when the bundle was made, RFC 3339.
func (run *Run) Time() string { return run.config.Text("captureTime") }

// Missing says whether an input is incomplete, and why.
func (run *Run) Missing(name string) (reason string, missing bool) {
	index, there, err := readFile("/in/" + name + ".index")
	switch {
	case err != nil:
		return name + ": " + err.Error(), true
	case !there:
		return name + ": not there", true
	case index.Bool("complete"):
		return "", false
	}
	const shown = 3
	all := index.List("missing")
	for i, m := range all {
		if i == shown {
			reason += "; and " + strconv.Itoa(len(all)-shown) + " more"
			break
		}
		if i > 0 {
			reason += "; "
		}
		if reason += m.Text("source"); m.Text("reason") != "" {
			reason += ": " + m.Text("reason")
		}
	}
	if len(all) == 0 {
		reason = "incomplete"
	}
	return reason, true
}

// Files names the files of an input of files; open them below /bundle/.
func (run *Run) Files(name string) ([]string, error) {
	index, _, err := readFile("/in/" + name + ".index")
	var paths []string
	for _, f := range index.List("files") {
		paths = append(paths, f.text)
	}
	return paths, err
}

// Log writes to the module's log, which the host caps.
func (run *Run) Log(text string) { _, _ = os.Stderr.WriteString(run.rule + ": " + text + "\n") }

// Unknown says that the rule could not tell, and for want of which inputs; it
// counts only if the rule found nothing. The first reason stands.
func (run *Run) Unknown(reason string, inputs ...string) {
	if !run.unknown {
		run.unknown, run.reason, run.lacking = true, reason, inputs
	}
}

// conclude prints the outcome of the rule, after it has run.
func (run *Run) conclude(needs []string, err error) error {
	outcome, reason := "found", ""
	if err != nil {
		reason = err.Error()
	}
	switch {
	case run.found > 0:
		run.lacking = nil
		if run.dropped > 0 {
			reason = join(reason, strconv.Itoa(run.dropped)+" more findings were left out: a module may report "+strconv.Itoa(maxFindings))
		}
	default:
		outcome = "clear"
		if err != nil || run.unknown {
			outcome = "unknown"
		}
		reasons := []string{run.reason}
		for _, name := range needs {
			if why, missing := run.Missing(name); missing {
				outcome, run.lacking, reasons = "unknown", appendNew(run.lacking, name), appendNew(reasons, why)
			}
		}
		if reason == "" {
			reason = join(reasons...)
		}
	}
	if len(reason) > maxReason {
		reason = cut(reason, maxReason)
	}
	var w writer
	w.open('{')
	w.text("rule", run.rule)
	w.text("outcome", outcome)
	w.text("reason", reason)
	if len(run.lacking) > 0 {
		w.name("missing")
		w.open('[')
		for _, m := range run.lacking {
			w.item()
			w.quote(m)
		}
		w.close(']')
	}
	w.close('}')
	return w.print()
}

func join(list ...string) string {
	all := ""
	for _, s := range list {
		if all != "" && s != "" {
			all += "; "
		}
		all += s
	}
	return all
}

func appendNew(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}
