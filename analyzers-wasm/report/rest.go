package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
)

// failed prints the modules that did not end well, loudly: what they would
// have found is not in the report.
func (p *printer) failed(modules []abi.ModuleResult) {
	for _, m := range modules {
		if m.Status == abi.ModuleOK {
			continue
		}
		p.line("")
		name := strings.TrimSuffix(m.Name+"@"+m.Version, "@")
		p.line(p.style(loud, fmt.Sprintf(p.words.failed, name+" ("+m.Status+")")))
		p.block(indent, cmp.Or(m.Reason, m.Status)+"  "+m.Digest)
		const shown = 5
		for i, l := range strings.Split(strings.TrimSpace(m.Log), "\n") {
			if l != "" && i < shown {
				p.block(indent+p.words.moduleLog+": ", l)
			}
		}
	}
}

// unknown prints the rules that could not tell, folded by what they lacked and
// the command that would supply it.
func (p *printer) unknown(rules []abi.RuleResult) {
	byNeed := map[string][]abi.RuleResult{}
	n := 0
	for _, r := range rules {
		if r.Outcome == abi.OutcomeUnknown {
			need := needOf(r)
			byNeed[need] = append(byNeed[need], r)
			n++
		}
	}
	if n == 0 {
		return
	}
	p.line("")
	p.line(p.style(bold, fmt.Sprintf(p.words.unknown, n)))
	for _, need := range []string{needNodes, needSamples, needCaptures, needCluster, needLogs, needOther} {
		if list := byNeed[need]; len(list) > 0 {
			p.need(need, list)
		}
	}
}

func (p *printer) need(need string, rules []abi.RuleResult) {
	if need != needOther {
		p.block(indent, p.words.missing[need]+": "+strings.Join(each(rules, func(r abi.RuleResult) string { return r.Rule }), p.words.sep))
		p.line(indent + indent + "→ " + supply(need))
	}
	reasons := map[string][]string{}
	for _, r := range rules {
		reasons[r.Reason] = append(reasons[r.Reason], r.Rule)
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		switch {
		case need == needOther:
			p.block(indent, strings.Join(reasons[reason], p.words.sep)+": "+cmp.Or(reason, "?"))
		case reason != "":
			p.block(indent+indent, p.style(dim, reason))
		}
	}
}

// needOf says what a rule lacked, by its missing inputs and its reason.
func needOf(r abi.RuleResult) string {
	if strings.Contains(r.Reason, "--samples") {
		return needSamples
	}
	needs := map[string]bool{}
	for _, m := range r.Missing {
		switch {
		case strings.HasPrefix(m, "captures"), strings.HasPrefix(m, "flows"), strings.HasPrefix(m, "capture/"):
			needs[needCaptures] = true
		case strings.HasPrefix(m, "nodes"), strings.HasPrefix(m, "node/"), strings.HasPrefix(m, "counters "):
			needs[needNodes] = true
		case strings.HasPrefix(m, "logs"), strings.HasPrefix(m, "cluster/logs"):
			needs[needLogs] = true
		case strings.HasPrefix(m, "resource "), strings.HasPrefix(m, "cluster"):
			needs[needCluster] = true
		}
	}
	for _, need := range []string{needCluster, needNodes, needCaptures, needLogs} {
		if needs[need] {
			return need
		}
	}
	return needOther
}

func (p *printer) clear(rules []abi.RuleResult) {
	var names []string
	for _, r := range rules {
		if r.Outcome == abi.OutcomeClear {
			names = append(names, r.Rule)
		}
	}
	if len(names) > 0 {
		p.line("")
		p.block("", p.style(green, fmt.Sprintf(p.words.clear, len(names), strings.Join(names, p.words.sep))))
	}
}

// Explain prints what a rule is about, without a bundle.
func Explain(w io.Writer, rule abi.Rule, lang string, color bool) error {
	p := newPrinter(w, TextOptions{Color: color, Lang: lang})
	t := textOf(rule, "", lang)
	tag := strings.ToUpper(cmp.Or(p.words.severity[rule.Severity], clean(rule.Severity)))
	p.block("", p.style(bold, clean(rule.ID))+"  "+p.style(severityStyle(rule.Severity), tag)+"  "+cmp.Or(p.words.layer[rule.Layer], clean(rule.Layer)))
	p.block("", p.style(bold, placeholders(t.Title)))
	if t.Doc != "" {
		p.line("")
		p.line(p.style(dim, p.words.symptom))
		for _, l := range strings.Split(strings.TrimSpace(cleanLines(t.Doc)), "\n") {
			p.block(indent, l)
		}
	}
	p.explained(t)
	variants := rule.Text["en"].Variants
	if l := rule.Text[lang].Variants; len(l) > 0 {
		variants = l
	}
	for i, name := range slices.Sorted(maps.Keys(variants)) {
		if i == 0 {
			p.line("")
			p.line(p.style(dim, p.words.variants))
		}
		v := variants[name]
		p.block(indent, p.style(bold, placeholders(cmp.Or(v.Title, t.Title))))
		p.remedies(each(v.Remediation, placeholders), indent)
	}
	return p.w.Flush()
}

func (p *printer) explained(t abi.Text) {
	if len(t.Remediation) > 0 {
		p.line("")
		p.remedies(each(t.Remediation, placeholders), "")
	}
	if len(t.References) > 0 {
		p.line("")
	}
	for _, ref := range t.References {
		p.line(p.style(dim, p.words.see+" "+clean(ref)))
	}
}

// placeholders shows the params of a template as <name>.
func placeholders(template string) string {
	names := map[string]any{}
	for i := range len(template) {
		if template[i] != '{' {
			continue
		}
		if name, ok := paramAt(template[i:]); ok {
			names[name] = "<" + name + ">"
		}
	}
	return render(template, names)
}
