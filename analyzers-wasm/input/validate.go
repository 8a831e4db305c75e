package input

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/casefile-io/casefile/sdk/abi"
)

// Bounds of a declaration.
const (
	maxRules       = 200
	maxInputs      = 64
	maxCounters    = 256
	maxName        = 64
	maxTitle       = 300
	maxMessage     = 4000
	maxDoc         = 32 << 10
	maxItems       = 32
	maxLanguages   = 16
	maxMemoryAsked = 4096 // MiB
	maxFacts       = 64
)

// Validate holds a declaration against the ABI, strictly. The error names the
// rule or input at fault; it wraps [ErrUnsupported] if the declaration is
// sound but asks for what this host does not do.
func Validate(d abi.Declaration) error {
	switch {
	case d.ABI[0] < 1 || d.ABI[1] < d.ABI[0]:
		return fmt.Errorf("abi %v is not a range of versions", d.ABI)
	case d.ABI[0] > abi.VersionMax || d.ABI[1] < abi.VersionMin:
		return fmt.Errorf("%w: the module speaks ABI %d to %d, this host %d to %d", ErrUnsupported, d.ABI[0], d.ABI[1], abi.VersionMin, abi.VersionMax)
	case !isName(d.Name):
		return fmt.Errorf("name %q: want [a-z0-9][a-z0-9._-]*, up to %d bytes", shorten(d.Name), maxName)
	case d.Version == "" || len(d.Version) > maxName || strings.ContainsFunc(d.Version, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("version %q: want 1 to %d printable characters", shorten(d.Version), maxName)
	case d.Scope != "" && d.Scope != abi.ScopeCluster && d.Scope != abi.ScopeNode:
		return fmt.Errorf("scope %q: want %q or %q", shorten(d.Scope), abi.ScopeCluster, abi.ScopeNode)
	case d.Limits.MemoryMiB < 0 || d.Limits.MemoryMiB > maxMemoryAsked || d.Limits.Fuel < 0:
		return fmt.Errorf("limits %+v are out of range", d.Limits)
	}
	if err := checkText("doc", d.Doc, maxDoc); err != nil {
		return err
	}
	if err := validateRules(d.Rules); err != nil {
		return err
	}
	if err := validateFacts(d); err != nil {
		return err
	}
	if err := validateInputs(d.Inputs); err != nil {
		return err
	}
	return validateScope(d)
}

// validateFacts holds what a module tells of its nodes against the ABI.
func validateFacts(d abi.Declaration) error {
	if len(d.Facts) > maxFacts {
		return fmt.Errorf("more than %d facts", maxFacts)
	}
	if len(d.Facts) > 0 && d.Scope != abi.ScopeNode {
		return fmt.Errorf("facts are told by modules of scope %q", abi.ScopeNode)
	}
	seen := map[string]bool{}
	for _, f := range d.Facts {
		if !isRuleID(f.Fact) {
			return fmt.Errorf("fact %q: want topic/name of [a-z0-9-]", shorten(f.Fact))
		}
		if seen[f.Fact] {
			return fmt.Errorf("fact %s is declared twice", f.Fact)
		}
		seen[f.Fact] = true
		if err := checkText("doc", f.Doc, maxDoc); err != nil {
			return fmt.Errorf("fact %s: %w", f.Fact, err)
		}
	}
	return nil
}

// validateScope refuses inputs that a run for one node could never have.
func validateScope(d abi.Declaration) error {
	if d.Scope != abi.ScopeNode {
		return nil
	}
	for _, in := range d.Inputs {
		if in.Resource != "" || in.FactRows != "" {
			return fmt.Errorf("input %s: a module of scope %q sees one node; resources and facts are for scope %q", in.Name, abi.ScopeNode, abi.ScopeCluster)
		}
		for _, glob := range []string{in.Table, in.Files} {
			if glob == "" {
				continue
			}
			if top, _, _ := strings.Cut(glob, "/"); !matchSegment(top, "nodes") && !matchSegment(top, "captures") {
				return fmt.Errorf("input %s: a module of scope %q sees nodes/ and captures/ only", in.Name, abi.ScopeNode)
			}
		}
	}
	return nil
}

func validateRules(rules []abi.Rule) error {
	if len(rules) == 0 || len(rules) > maxRules {
		return fmt.Errorf("%d rules: want 1 to %d", len(rules), maxRules)
	}
	seen := map[string]bool{}
	for _, r := range rules {
		if !isRuleID(r.ID) {
			return fmt.Errorf("rule %q: want topic/name of [a-z0-9-]", shorten(r.ID))
		}
		if seen[r.ID] {
			return fmt.Errorf("rule %s is declared twice", r.ID)
		}
		seen[r.ID] = true
		if err := validateRule(r); err != nil {
			return fmt.Errorf("rule %s: %w", r.ID, err)
		}
	}
	return nil
}

// ValidSeverity says whether s is one of the ABI's severities.
func ValidSeverity(s string) bool { return slices.Contains(abi.Severities(), s) }

func validateRule(r abi.Rule) error {
	if !ValidSeverity(r.Severity) {
		return fmt.Errorf("severity %q: want one of %s", shorten(r.Severity), strings.Join(abi.Severities(), ", "))
	}
	if !slices.Contains(abi.Layers(), r.Layer) {
		return fmt.Errorf("layer %q: want one of %s", shorten(r.Layer), strings.Join(abi.Layers(), ", "))
	}
	if _, ok := r.Text["en"]; !ok {
		return errors.New(`text in "en" is missing`)
	}
	if len(r.Text) > maxLanguages {
		return fmt.Errorf("more than %d languages", maxLanguages)
	}
	for _, lang := range sortedKeys(r.Text) {
		if err := validateText(lang, r.Text[lang]); err != nil {
			return fmt.Errorf("text %s: %w", shorten(lang), err)
		}
	}
	return nil
}

func validateText(lang string, t abi.Text) error {
	if !isName(strings.ToLower(lang)) || len(lang) > 16 {
		return errors.New("not a language tag")
	}
	if t.Title == "" || t.Message == "" {
		return errors.New("title and message must not be empty")
	}
	if len(t.Remediation) > maxItems || len(t.References) > maxItems {
		return fmt.Errorf("more than %d remedies or references", maxItems)
	}
	errs := []error{checkText("title", t.Title, maxTitle), checkText("message", t.Message, maxMessage), checkText("doc", t.Doc, maxDoc)}
	for _, s := range t.Remediation {
		errs = append(errs, checkText("remediation", s, maxMessage))
	}
	for _, s := range t.References {
		if !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") {
			errs = append(errs, fmt.Errorf("reference %q is no web address", shorten(s)))
		}
		errs = append(errs, checkText("reference", s, maxTitle))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return validateVariants(lang, t)
}

// validateVariants holds each other wording to what the rule's own is held to.
func validateVariants(lang string, t abi.Text) error {
	if len(t.Variants) > maxItems {
		return fmt.Errorf("more than %d variants", maxItems)
	}
	for name, v := range t.Variants {
		if !isName(name) {
			return fmt.Errorf("variant %q: want [a-z0-9][a-z0-9._-]*, up to %d bytes", shorten(name), maxName)
		}
		if len(v.Variants) > 0 {
			return fmt.Errorf("variant %s has variants of its own", name)
		}
		if err := validateText(lang, t.Variant(name)); err != nil {
			return fmt.Errorf("variant %s: %w", name, err)
		}
	}
	return nil
}

func validateInputs(inputs []abi.Input) error {
	if len(inputs) > maxInputs {
		return fmt.Errorf("more than %d inputs", maxInputs)
	}
	seen := map[string]bool{}
	for _, in := range inputs {
		if !isName(in.Name) {
			return fmt.Errorf("input %q: want [a-z0-9][a-z0-9._-]*, up to %d bytes", shorten(in.Name), maxName)
		}
		if seen[in.Name] {
			return fmt.Errorf("input %s is declared twice", in.Name)
		}
		seen[in.Name] = true
		if err := validateInput(in); err != nil {
			return fmt.Errorf("input %s: %w", in.Name, err)
		}
	}
	return nil
}

func validateInput(in abi.Input) error {
	kinds := 0
	for _, set := range []bool{in.Resource != "", in.Table != "", len(in.Counters) > 0, in.Files != "", in.Flows != "", in.DNS != "", in.Logs != "", in.FactRows != ""} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return errors.New("want just one of resource, table, counters, files, flows, dns, logs and facts")
	}
	if err := checkKind(in); err != nil {
		return err
	}
	if in.Files != "" && (len(in.Fields) > 0 || in.Where != "" || in.Form != "") {
		return errors.New("fields, where and form go with rows, not with files")
	}
	if in.Form != "" && in.Form != abi.FormNDJSON && in.Form != abi.FormRows {
		return fmt.Errorf("form %q: want %q or %q, or none for both", shorten(in.Form), abi.FormNDJSON, abi.FormRows)
	}
	if in.Match != "" {
		if in.Logs == "" {
			return errors.New("match goes with logs only")
		}
		if _, err := compileMatch(in.Match); err != nil {
			return err
		}
	}
	if in.Where != "" {
		if _, err := compileWhere(in.Where); err != nil {
			return err
		}
	}
	return ParseFields(in.Fields)
}

func checkKind(in abi.Input) error {
	var err error
	switch {
	case in.Resource != "":
		_, err = resourceGlob(in.Resource)
	case in.Table != "":
		err = checkTable(in.Table)
	case in.Files != "":
		_, err = ParseGlob(in.Files)
	case in.Flows != "":
		err = checkCaptures(in.Flows)
	case in.DNS != "":
		err = checkCaptures(in.DNS)
	case in.Logs != "":
		_, err = parseLogs(in.Logs)
	case in.FactRows != "":
		if !isRuleID(in.FactRows) {
			err = fmt.Errorf("facts %q: want the name of a fact, topic/name of [a-z0-9-]", shorten(in.FactRows))
		}
	default:
		err = checkCounters(in.Counters)
	}
	return err
}

func checkTable(glob string) error {
	if _, err := ParseGlob(glob); err != nil {
		return err
	}
	if !strings.HasSuffix(glob, ".ndjson") && !strings.HasSuffix(glob, ".json") {
		return fmt.Errorf("table %q: want a glob that ends in .ndjson or .json", glob)
	}
	return nil
}

func checkCaptures(glob string) error {
	glob = captureGlob(glob)
	if !strings.HasSuffix(glob, ".pcapng") {
		return fmt.Errorf("captures %q: want a glob that ends in .pcapng, or *", shorten(glob))
	}
	_, err := ParseGlob(glob)
	return err
}

func checkCounters(names []string) error {
	if len(names) > maxCounters {
		return fmt.Errorf("more than %d counters", maxCounters)
	}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return fmt.Errorf("counter %s is declared twice", name)
		}
		seen[name] = true
		if _, err := parseCounter(name); err != nil {
			return err
		}
	}
	return nil
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

func isRuleID(s string) bool {
	topic, name, ok := strings.Cut(s, "/")
	return ok && isName(topic) && isName(name) && !strings.ContainsAny(s, "._")
}

// checkText refuses what a terminal would act on instead of showing it.
func checkText(what, s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("%s has more than %d bytes", what, limit)
	}
	if !utf8.ValidString(s) || Clean(s) != s {
		return fmt.Errorf("%s holds control characters or is not UTF-8", what)
	}
	return nil
}

// Clean drops what a terminal would act on: control characters but line feed
// and tab, and marks that turn the direction of text.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, s)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
