package redact

import (
	"bytes"
	"slices"
	"strings"
)

// longestName bounds an identifier around a keyword, to either side.
const longestName = 128

// assigned finds the value that is given to a name with a keyword in it:
//
//	name=value  name: value  "name":"value"  'name' => 'value'  --name value
//	<name>value</name>  name: NAME, value: value (over two lines, too)
func assigned(b []byte, at, end int) (int, int) {
	start := at
	for start > 0 && at-start < longestName && isWordByte(b[start-1]) {
		start--
	}
	stop := skip(b[:min(len(b), end+longestName)], end, isWordByte)
	if harmlessTail(b[end:stop]) || isReference(b[start:stop]) {
		return -1, stop
	}
	name := b[start:at]
	if len(name) > 0 && name[0] == '-' && stop < len(b) && isBlank(b[stop]) {
		from := skip(b, stop, isBlank)
		if from < len(b) && b[from] == '-' {
			return -1, stop
		}
		return valueAt(b, from, false)
	}
	from, sep := separator(b, stop)
	if from < 0 {
		if n := namedValue(b, start, stop); n >= 0 {
			return valueAt(b, n, false)
		}
		return -1, stop
	}
	inPath := start > 0 && b[start-1] == '/' && (len(name) == 0 || name[0] != '-')
	if inPath && sep == ':' || sep == '>' && (start == 0 || b[start-1] != '<') {
		return -1, stop
	}
	if hasFold(b[at:], "pwd") && from < len(b) && b[from] == '/' {
		return -1, stop // the working directory
	}
	if sep == ':' && (isSource(b[start:stop]) && from < len(b) && b[from] >= '0' && b[from] <= '9' || isMessage(b, from)) {
		return -1, stop
	}
	line := sep == ':' && startsLine(b, start)
	if line && from < len(b) && (b[from] == '|' || b[from] == '>') {
		return block(b, start, from)
	}
	from, to := valueAt(b, from, line)
	if from >= 0 && hasFold(b[stop-1:], "s") && allDigits(b[from:to]) {
		return -1, to // a number of tokens
	}
	return from, to
}

// harmlessTails are ends of names that hold no secret although a keyword is in
// them: secretName, tokenFile, passwordPolicy.
func harmlessTails() []string {
	return []string{"name", "names", "ref", "refs", "file", "files", "path", "paths", "dir", "id", "type", "types", "ttl", "seconds",
		"duration", "timeout", "expiry", "expiration", "expires", "expiresat", "expirationtimestamp", "count", "length", "size", "version",
		"url", "uri", "endpoint", "policy", "class", "provider", "store", "controller", "review", "reviews", "request", "requests",
		"mount", "mounts", "lookup", "audience", "audiences", "issuer", "format", "enabled", "disabled", "required", "generation", "rotation",
		"namespace", "selector", "resource", "keyref", "ordkey", "less", "manager", "informer", "cache", "cleaner", "bootstrapper", "authenticated",
		"webhook", "ization", "izer"}
}

func harmlessTail(tail []byte) bool {
	if len(tail) < 2 {
		return false
	}
	t := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' {
			return -1
		}
		return r
	}, strings.ToLower(string(tail)))
	return slices.ContainsFunc(harmlessTails(), func(h string) bool { return strings.HasSuffix(t, h) })
}

// separator steps from the end of a name over its closing quote, blanks and
// one of = : := => == > %3D, up to where a value begins. It returns -1 when
// there is none.
func separator(b []byte, i int) (from int, sep byte) {
	i = skipANSI(b, i)
	i = skip(b, i, func(c byte) bool { return c == '\\' })
	if i < len(b) && (b[i] == '"' || b[i] == '\'' || b[i] == '`') {
		i++
	}
	if i < len(b) && b[i] == ']' {
		i++
	}
	i = skipANSI(b, skip(b, i, isBlank))
	if i >= len(b) {
		return -1, 0
	}
	sep = b[i]
	switch {
	case sep == '=' || sep == ':' || sep == '>':
		i++
		for i < len(b) && (b[i] == '=' || b[i] == '>' && sep == '=') {
			i++
		}
	case hasFold(b[i:], "%3d"), hasFold(b[i:], "%3a"):
		return i + 3, '='
	default:
		return -1, 0
	}
	return skipANSI(b, skip(b, i, isBlank)), sep
}

// startsLine says whether a name is the first of its line, as in YAML.
func startsLine(b []byte, start int) bool {
	i := start
	for i > 0 && start-i < longestName && (isBlank(b[i-1]) || b[i-1] == '-') {
		i--
	}
	return i == 0 || b[i-1] == '\n' || i <= lineStart(b, start)
}

// lineStart is where the text of the line around b[i] begins: behind the time
// stamp and stream that a container runtime puts before it.
func lineStart(b []byte, i int) int {
	start := bytes.LastIndexByte(b[:i], '\n') + 1
	return start + stamp(b[start:])
}

// stamp is the length of what a container runtime puts before a line.
func stamp(line []byte) int {
	const longest = 48
	head := line[:min(len(line), longest)]
	for _, stream := range []string{" stdout F ", " stderr F ", " stdout P ", " stderr P "} {
		if n := bytes.Index(head, []byte(stream)); n > 0 {
			return n + len(stream)
		}
	}
	return 0
}

// block finds the lines of a YAML block scalar, whose indicator is b[i]: those
// that are indented further than its name b[start].
func block(b []byte, start, i int) (int, int) {
	end := lineEnd(b, i)
	const longestIndicator = 4
	if end == len(b) || end-i > longestIndicator {
		return valueAt(b, i, true)
	}
	indent := start - lineStart(b, start)
	from, to := -1, end
	for to < len(b) {
		line := to + 1 + stamp(b[to+1:])
		text := skip(b, line, isBlank)
		next := lineEnd(b, text)
		if text < next && text-line <= indent {
			break
		}
		if from < 0 && text < next {
			from = text
		}
		to = next
	}
	return from, to
}

// namedValue finds the value in name: DB_PASSWORD, value: x, where the keyword
// b[start:stop] is itself a value. It returns -1 when there is none.
func namedValue(b []byte, start, stop int) int {
	const reach = 64 // from the name to the word value
	before := bytes.TrimRight(b[max(0, start-16):start], " \t\\\"'`")
	if !bytes.HasSuffix(before, []byte(":")) && !bytes.HasSuffix(before, []byte("=")) {
		return -1
	}
	before = bytes.TrimRight(before, " \t\\\"'`:=")
	if len(before) < 4 || !hasFold(before[len(before)-4:], "name") {
		return -1
	}
	i := skip(b[:min(len(b), stop+reach)], stop, func(c byte) bool { return bytes.IndexByte([]byte(" \t\r\n\\\"'`,;-"), c) >= 0 })
	if !hasFold(b[i:], "value") {
		return -1
	}
	from, _ := separator(b, i+len("value"))
	return from
}

// valueAt delimits the value that begins at b[i]. A plain value ends at a
// blank, or with its line when wholeLine is set.
func valueAt(b []byte, i int, wholeLine bool) (int, int) {
	for i < len(b) && b[i] == '[' && !bytes.HasPrefix(b[i:], []byte(maskOpen)) {
		i++
	}
	quote := skip(b, i, func(c byte) bool { return c == '\\' })
	if quote < len(b) && (b[quote] == '"' || b[quote] == '\'' || b[quote] == '`') {
		return quoted(b, quote, quote-i)
	}
	to := looseEnd(b, i)
	if wholeLine {
		to = max(to, i+len(bytes.TrimRight(b[i:lineEnd(b, i)], " \t\r,")))
	}
	if harmlessValue(b[i:to]) {
		return -1, to
	}
	return i, to
}

// quoted delimits what stands between the quote at b[q], which has depth
// backslashes before it, and its like; without one, to the end of the line.
func quoted(b []byte, q, depth int) (int, int) {
	end := lineEnd(b, q)
	slashes := 0
	for i := q + 1; i < end; i++ {
		switch {
		case b[i] == '\\':
			slashes++
			continue
		case b[i] == b[q] && slashes <= depth && (depth > 0 || slashes == 0):
			end = i - min(slashes, depth)
			if harmlessValue(b[q+1 : end]) {
				return -1, end
			}
			return q + 1, end
		}
		slashes = 0
	}
	return q + 1, end
}

// looseEnd returns the end of a value without quotes. Punctuation ends it only
// where something else begins: passwords have commas. A bracket that was
// opened in the value is part of it.
func looseEnd(b []byte, i int) int {
	for open := 0; i < len(b) && isLoose(b[i]); i++ {
		switch c := b[i]; {
		case c == '(' || c == '{' || c == '[':
			open++
			continue
		case !isClosing(c):
			continue
		case open > 0 && (c == ')' || c == '}' || c == ']'):
			open--
			continue
		}
		after := skip(b, i, isClosing)
		if after >= len(b) || !isLoose(b[after]) {
			return i
		}
		name := skip(b[:min(len(b), after+longestName)], after, isWordByte)
		if name > after && name < len(b) && (b[name] == '=' || b[name] == ':') {
			return i
		}
		i = after - 1
	}
	return i
}

func isClosing(c byte) bool {
	return c == ',' || c == ';' || c == '&' || c == ')' || c == '}' || c == ']'
}

// harmlessValue says whether a value is none: empty, a literal of a language,
// or a reference that is resolved elsewhere.
func harmlessValue(v []byte) bool {
	switch strings.ToLower(string(v[:min(len(v), 12)])) {
	case "", "true", "false", "null", "nil", "none", "{", "map[", "undefined", "%s", "%v", "%q", "yes", "no", "void":
		return true
	}
	if len(v) < 4 || v[0] != '$' {
		return false
	}
	open, shut := v[1], v[len(v)-1]
	return (open == '(' && shut == ')' || open == '{' && shut == '}') && skip(v, 2, isWordByte) == len(v)-1
}

// header finds the value of an HTTP header, which ends with its line or with
// the quote or bracket around it.
func header(b []byte, at, end int) (int, int) {
	if at > 0 && isWordByte(b[at-1]) && b[at-1] != '-' {
		return -1, end
	}
	if end < len(b) && (b[end] == 's' || b[end] == 'S') {
		end++
	}
	from, _ := separator(b, end)
	if from < 0 {
		return -1, end
	}
	bracket := false
	for from < len(b) && b[from] == '[' && !bytes.HasPrefix(b[from:], []byte(maskOpen)) {
		bracket = true
		from++
	}
	quote := skip(b, from, func(c byte) bool { return c == '\\' })
	if quote < len(b) && (b[quote] == '"' || b[quote] == '\'') {
		return quoted(b, quote, quote-from)
	}
	to := from + len(bytes.TrimRight(b[from:lineEnd(b, from)], " \t\r"))
	before := b[max(0, at-16):at]
	if n := bytes.LastIndexAny(before, `"'`); n >= 0 { // curl -H 'Cookie: …'
		if m := sameQuote(b[from:to], before[:n+1]); m > 0 && b[from+m-1] != '=' { // not that of a parameter, which lost its escape
			to = from + m
		}
	} else if bracket {
		inside := from
		if bytes.HasPrefix(b[from:], []byte(maskOpen)) {
			inside += 1 + bytes.IndexByte(b[from:to], ']')
		}
		if m := bytes.IndexByte(b[inside:to], ']'); m >= 0 {
			to = inside + m
		}
	}
	if harmlessValue(b[from:to]) {
		return -1, to
	}
	return from, to
}

// sameQuote finds the quote that closes the one at the end of open: it has no
// more backslashes before it.
func sameQuote(b, open []byte) int {
	quote := open[len(open)-1]
	depth := len(open) - 1 - len(bytes.TrimRight(open[:len(open)-1], `\`))
	slashes := 0
	for i, c := range b {
		if c == quote && slashes <= depth {
			return i - slashes
		}
		if slashes++; c != '\\' {
			slashes = 0
		}
	}
	return -1
}
