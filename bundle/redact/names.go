package redact

import (
	"bytes"
	"strings"
)

// secretName says whether a name is that of a secret value.
func (s *scanner) secretName(name []byte) bool {
	for end, state := s.words.find(name, 0, 0); end >= 0; end, state = s.words.find(name, end, state) {
		for _, w := range s.words.ending(state) {
			if r := &s.rules[s.owner[w]]; r.named != nil && r.named(name, end-int(s.words.lengths[w]), end) {
				return true
			}
		}
	}
	return false
}

// partOfName is the usual test of a name with a keyword in it.
func partOfName(name []byte, _, end int) bool {
	return !harmlessTail(name[end:]) && !isPlace(name[end:]) && !isReference(name)
}

// isReference says whether a name that ends in secret is that of an object's
// name: existingSecret, imagePullSecret.
func isReference(name []byte) bool {
	lower := strings.ToLower(string(name[max(0, len(name)-32):]))
	for _, end := range []string{"existingsecret", "existing-secret", "existing_secret", "credentialssecret", "credentialsecret", "pullsecret", "tlssecret", "certsecret", "casecret", "secretprovider"} {
		if strings.HasSuffix(lower, end) {
			return true
		}
	}
	return false
}

// isSource says whether a name is that of a file of source code, as it stands
// before a line's number.
func isSource(name []byte) bool {
	for _, ext := range []string{".go", ".java", ".kt", ".scala", ".py", ".js", ".ts", ".tsx", ".rs", ".rb", ".c", ".cc", ".cpp", ".h", ".cs", ".php", ".ex"} {
		if bytes.HasSuffix(name, []byte(ext)) {
			return true
		}
	}
	return false
}

// isMessage says whether what follows a colon at b[i] is a sentence or a
// structure, which has names of its own: "token: token has expired".
func isMessage(b []byte, i int) bool {
	const longest = 16
	word := skip(b[:min(len(b), i+longest)], i, isLetter)
	if i < len(b) && b[i] == '{' {
		name := skip(b[:min(len(b), i+longestName)], i+1, isWordByte)
		return name > i+1 && name < len(b) && b[name] == ':'
	}
	if word == i || word >= len(b) || b[word] != ' ' {
		return false
	}
	switch strings.ToLower(string(b[i:word])) {
	case "the", "a", "an", "token", "tokens", "secret", "secrets", "password", "credential", "credentials", "invalid", "missing", "failed", "unable", "cannot",
		"could", "error", "not", "no", "unexpected", "unauthorized", "expired", "context", "open", "dial", "rpc", "failure", "must", "may", "should":
		return true
	}
	return false
}

// isPlace says whether what follows a keyword shows that the name is a path or
// a sentence.
func isPlace(tail []byte) bool {
	return bytes.ContainsAny(tail, "/ :")
}

// endOfName is the test for pass and psk, which are parts of other words, too:
// db_pass, smtpPass and pass, but neither bypass nor passed.
func endOfName(name []byte, at, end int) bool {
	if end < len(name) && isWordByte(name[end]) {
		return false
	}
	if at == 0 || !isWordByte(name[at-1]) {
		return true
	}
	last := name[at-1]
	if !isLetter(last) || name[at] < 'a' && last >= 'a' {
		return true
	}
	lower := strings.ToLower(string(name[max(0, at-8):at]))
	for _, w := range []string{"db", "smtp", "sql", "redis", "root", "user", "admin", "mail", "auth", "ldap", "bind", "store", "http", "ftp", "proxy", "my", "ssh", "wpa"} {
		if strings.HasSuffix(lower, w) {
			return true
		}
	}
	return false
}

// lastWord finds the value of a name that ends in its keyword. The keyword
// alone needs more than a colon behind it: a test may pass.
func lastWord(b []byte, at, end int) (int, int) {
	if !endOfName(b, at, end) {
		return -1, end
	}
	alone := at == 0 || !isWordByte(b[at-1])
	if alone && (b[at] < 'a' || end >= len(b) || bytes.IndexByte([]byte("=\"'\\%"), b[end]) < 0) && !yamlPass(b, at, end) {
		return -1, end
	}
	return assigned(b, at, end)
}

// yamlPass says whether a line is no more than "pass: value".
func yamlPass(b []byte, at, end int) bool {
	if !startsLine(b, at) || end+2 >= len(b) || b[end] != ':' || b[end+1] != ' ' {
		return false
	}
	value := b[end+2 : lineEnd(b, end)]
	return len(value) > 0 && bytes.IndexByte(bytes.TrimRight(value, " \r"), ' ') < 0
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
