package conform

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/casefile-io/casefile/sdk/abi"
	"github.com/casefile-io/casefile/sdk/analyzertest/cases"
)

// texts compares the languages of each rule: a report in any of them must be
// able to say the same.
func (k *kit) texts() {
	var params, variants, docs, remedies []string
	for _, r := range k.d.Rules {
		en := r.Text["en"]
		for _, lang := range slices.Sorted(maps.Keys(r.Text)) {
			t := r.Text[lang]
			if a, b := names(en.Message), names(t.Message); !slices.Equal(a, b) {
				params = append(params, fmt.Sprintf("%s names %v in en and %v in %s", r.ID, a, b, lang))
			}
			if a, b := slices.Sorted(maps.Keys(en.Variants)), slices.Sorted(maps.Keys(t.Variants)); !slices.Equal(a, b) {
				variants = append(variants, fmt.Sprintf("%s has %v in en and %v in %s", r.ID, a, b, lang))
			}
			for name, v := range en.Variants {
				if w, ok := t.Variants[name]; ok && !slices.Equal(names(v.Message), names(w.Message)) {
					params = append(params, fmt.Sprintf("%s, variant %s, names %v in en and %v in %s", r.ID, name, names(v.Message), names(w.Message), lang))
				}
			}
		}
		if en.Doc == "" {
			docs = append(docs, r.ID)
		}
		if !remedied(en) {
			remedies = append(remedies, r.ID)
		}
	}
	slices.Sort(params)
	k.add("D8", Should, "every language names the same params", strings.Join(params, "; "))
	k.add("D9", Should, "every language has the same variants", strings.Join(variants, "; "))
	k.add("D10", Should, "every rule has a doc, which `casefile explain` prints", lacking(docs))
	k.add("D11", Should, "every rule has a remedy", lacking(remedies))
}

func lacking(rules []string) string {
	if rules == nil {
		return ""
	}
	return "these have none: " + strings.Join(rules, ", ")
}

// remedied says whether every wording of a rule says what to do.
func remedied(t abi.Text) bool {
	if len(t.Remediation) > 0 {
		return true
	}
	for name := range t.Variants {
		if len(t.Variant(name).Remediation) == 0 {
			return false
		}
	}
	return len(t.Variants) > 0
}

// names lists the params of a template, each once, sorted.
func names(template string) []string {
	all := cases.Placeholders(template)
	slices.Sort(all)
	return slices.Compact(all)
}
