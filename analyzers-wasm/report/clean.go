package report

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/casefile-io/casefile/sdk/abi"
)

// clean makes s fit to be printed on one line of a terminal: escape sequences
// go as a whole, as do control characters and those that are invisible or
// change the writing direction; white space becomes blanks.
func clean(s string) string { return sanitize(s, false) }

// cleanLines is clean that keeps the ends of lines.
func cleanLines(s string) string { return sanitize(s, true) }

func sanitize(s string, lines bool) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == 0x1b || r == 0x9b:
			i += escapeLength(s[i:], n)
			continue
		case r == '\n' && lines:
			b.WriteByte('\n')
		case r == '\n' || r == '\t' || r == '\u2028' || r == '\u2029':
			b.WriteByte(' ')
		case r == utf8.RuneError:
			b.WriteRune(utf8.RuneError)
		case !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r) && !isInvisible(r):
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// isInvisible finds what Unicode does not count as format characters.
func isInvisible(r rune) bool {
	return r >= 0xFE00 && r <= 0xFE0F || r == 0x115F || r == 0x1160 || r == 0x3164 || r == 0xFFA0 || r >= 0xE000 && r <= 0xF8FF
}

// escapeLength gives the length of an escape sequence, whose introducer has n
// bytes: CSI to its final byte, OSC and its like to their terminator.
func escapeLength(s string, n int) int {
	i := n
	kind := byte('[')
	if s[0] == 0x1b {
		if i >= len(s) {
			return i
		}
		kind = s[i]
		i++
	}
	switch kind {
	case '[':
		for i < len(s) && s[i] >= 0x20 && s[i] <= 0x3f {
			i++
		}
		if i < len(s) && s[i] >= 0x40 && s[i] <= 0x7e {
			i++
		}
		return i
	case ']', 'P', 'X', '^', '_':
		if end := strings.IndexAny(s[i:], "\a\x1b\n"); end >= 0 {
			return i + end // the terminator goes as a control character
		}
		return i
	}
	if kind >= 0x20 && kind <= 0x7e {
		return i
	}
	return n
}

// render puts params into a template: {name} stands for a param, ? for one
// that is missing. Braces around anything else stay.
func render(template string, params map[string]any) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(template, '{')
		if open < 0 {
			break
		}
		b.WriteString(template[:open])
		template = template[open:]
		name, ok := paramAt(template)
		if ok {
			b.WriteString(show(params[name]))
			template = template[len(name)+2:]
		} else {
			b.WriteByte('{')
			template = template[1:]
		}
	}
	b.WriteString(template)
	return clean(b.String())
}

// paramAt gives the name in the braces that s begins with.
func paramAt(s string) (string, bool) {
	const longest = 64
	for i := 1; i < len(s) && i <= longest; i++ {
		switch c := s[i] | 0x20; {
		case s[i] == '}':
			return s[1:i], i > 1
		case c >= 'a' && c <= 'z', s[i] == '_', s[i] >= '0' && s[i] <= '9' && i > 1:
		default:
			return "", false
		}
	}
	return "", false
}

// show writes a param as people do.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "?"
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		const exact = 1 << 53
		if v == math.Trunc(v) && math.Abs(v) < exact {
			return strconv.FormatInt(int64(v), 10)
		}
		return strconv.FormatFloat(v, 'g', 6, 64)
	case json.Number:
		return v.String()
	case []any:
		return strings.Join(each(v, show), ", ")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}

// maxParamDepth bounds params in params; what is deeper is left out.
const maxParamDepth = 8

func cleanParams(params map[string]any) map[string]any {
	if params == nil {
		return nil
	}
	m, _ := cleanParam(params, 0).(map[string]any)
	return m
}

func cleanParam(v any, depth int) any {
	if depth > maxParamDepth {
		return nil
	}
	switch v := v.(type) {
	case string:
		return clean(v)
	case json.Number:
		return v
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			out = append(out, cleanParam(e, depth+1))
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[clean(k)] = cleanParam(e, depth+1)
		}
		return out
	}
	return v
}

// textOf is a rule's text in a language, with English where that has none. A
// variant in English says more than the rule as such in another language.
func textOf(rule abi.Rule, variant, lang string) abi.Text {
	en := rule.Text["en"]
	local, ok := rule.Text[lang]
	if !ok {
		return en.Variant(variant)
	}
	if _, ok := local.Variants[variant]; !ok {
		return fill(fill(en.Variants[variant], local), en)
	}
	return fill(local.Variant(variant), en.Variant(variant))
}

// fill takes from other what t lacks.
func fill(t, other abi.Text) abi.Text {
	if t.Title == "" {
		t.Title = other.Title
	}
	if t.Message == "" {
		t.Message = other.Message
	}
	if t.Doc == "" {
		t.Doc = other.Doc
	}
	if len(t.Remediation) == 0 {
		t.Remediation = slices.Clone(other.Remediation)
	}
	if len(t.References) == 0 {
		t.References = slices.Clone(other.References)
	}
	return t
}
