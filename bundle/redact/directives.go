package redact

import (
	"bytes"
	"slices"
	"strings"
)

// directive finds the value of a line that is no more than a word and it:
// password VALUE in netrc and in configurations, credentials USER VALUE.
func directive(b []byte, at, end int) (int, int) {
	if !startsLine(b, at) {
		return -1, end
	}
	from := skip(b, end, isBlank)
	if b[at]|0x20 == 'c' { // credentials USER VALUE
		from = skip(b, skip(b, from, isLoose), isBlank)
	}
	to := skip(b, from, isLoose)
	rest := skip(b, to, func(c byte) bool { return isBlank(c) || c == ';' || c == '\r' })
	if from == to || rest < len(b) && b[rest] != '\n' || b[from] == ':' || b[from] == '=' || isProse(b[from:to]) || harmlessValue(b[from:to]) {
		return -1, end
	}
	return from, to
}

// isProse says whether a word after "password" makes a message.
func isProse(word []byte) bool {
	return slices.Contains([]string{"expired", "required", "incorrect", "invalid", "mismatch", "missing", "changed", "reset", "updated", "accepted", "rejected",
		"wrong", "empty", "needed", "prompt", "set", "unset", "failed", "authentication", "policy", "protected", "provided", "hash", "file", "auth", "{", "login",
		"refreshed", "rotated", "loaded", "found", "here", "above", "below", "correct", "ok", "none", "optional", "manager"},
		strings.ToLower(strings.TrimRight(string(word), ".,:;!?")))
}

// accounts finds the lines below chpasswd: of cloud-init, which hold
// USER:PASSWORD, from the first password on.
func accounts(b []byte, at, end int) (int, int) {
	indent := at - lineStart(b, at)
	from, to := -1, lineEnd(b, end)
	for to < len(b) {
		line := to + 1 + stamp(b[to+1:])
		text := skip(b, line, isBlank)
		next := lineEnd(b, text)
		if text < next && text-line <= indent && b[text] != '-' {
			break
		}
		word := bytes.TrimLeft(b[text:next], "- \"'")
		if n := bytes.IndexByte(word, ':'); from < 0 && n > 0 && n+1 < len(word) && isLoose(word[n+1]) {
			from = next - len(word) + n + 1
		}
		to = next
	}
	if from < 0 {
		return -1, end
	}
	return from, to
}
