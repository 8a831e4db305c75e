package redact

import (
	"bytes"
	"encoding/base64"
	"regexp"
)

// isWordByte says whether c may stand in an identifier.
func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
}

// isTokenByte says whether c may stand in a token in any base64 or URL form.
func isTokenByte(c byte) bool {
	return isWordByte(c) || c == '+' || c == '/' || c == '=' || c == '~'
}

// isLoose says whether c may stand in an unquoted value.
func isLoose(c byte) bool {
	return c > ' ' && c != '"' && c != '\'' && c != '`' && c != '<' && c != '>' && c != 0x7f
}

// isBlank takes NUL for a blank: it parts the arguments of a command.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == 0 }

// skip returns the first index from i on whose byte is not in the class.
func skip(b []byte, i int, in func(byte) bool) int {
	for i < len(b) && in(b[i]) {
		i++
	}
	return i
}

func lineEnd(b []byte, i int) int {
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(b)
}

func hasFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}

// skipANSI steps over escape sequences that colour a log line.
func skipANSI(b []byte, i int) int {
	for i+1 < len(b) && b[i] == 0x1b && b[i+1] == '[' {
		j := skip(b, i+2, func(c byte) bool { return c >= '0' && c <= '9' || c == ';' })
		if j >= len(b) {
			return len(b)
		}
		i = j + 1
	}
	return i
}

// toDelimiter masks the value of a URL query parameter, which begins at end.
func toDelimiter(b []byte, _, end int) (int, int) {
	return end, skip(b, end, func(c byte) bool { return isLoose(c) && c != '&' && c != '\\' })
}

// userinfo finds the password of scheme://user:password@host, also when it has
// slashes that should have been escaped; and a long user without password,
// which is a token.
func userinfo(b []byte, _, end int) (int, int) {
	const tokenLength, longest = 16, 2048
	b = b[:min(len(b), end+longest)]
	host := skip(b, end, func(c byte) bool { return isLoose(c) && c != '\\' && c != '/' && c != '?' && c != '#' })
	user := b[end:host]
	at, colon := bytes.LastIndexByte(user, '@'), bytes.IndexByte(user, ':')
	if at < 0 {
		if colon <= 0 || user[0] == '[' || allDigits(user[colon+1:]) {
			return -1, end
		}
		stop := skip(b, host, func(c byte) bool { return isLoose(c) && c != '\\' })
		user = b[end:stop]
		if at = bytes.LastIndexByte(user, '@'); at < 0 {
			if len(user) < longest {
				return -1, stop // nor has a later URL of the run a user
			}
			at = longest // no end in sight
		}
	}
	if bytes.HasPrefix(user, []byte(maskOpen)) || colon < 0 && at >= tokenLength {
		return end, end + at
	}
	if colon >= 0 && colon < at {
		return end + colon + 1, end + at
	}
	return -1, end
}

func allDigits(b []byte) bool {
	return skip(b, 0, func(c byte) bool { return c >= '0' && c <= '9' }) == len(b)
}

// dsn finds the password of user:password@tcp(host)/db.
func dsn(b []byte, at, end int) (int, int) {
	const longest = 512
	from := at
	for from > 0 && at-from < longest && isLoose(b[from-1]) && b[from-1] != '=' {
		from--
	}
	colon := bytes.IndexByte(b[from:at], ':')
	if colon < 0 {
		return -1, end
	}
	return from + colon + 1, at
}

// bearer finds the token after "Bearer".
func bearer(b []byte, _, end int) (int, int) {
	const shortest = 16 // shorter is prose: "bearer token"
	from := skip(b, end, func(c byte) bool { return isBlank(c) || c == ':' || c == '=' })
	to := skip(b, from, isTokenByte)
	if from == end || to-from < shortest {
		return -1, end
	}
	return from, to
}

// basic finds what follows "Basic " if it is base64 of user:password.
func basic(b []byte, _, end int) (int, int) {
	from := skip(b, end, isBlank)
	to := skip(b, from, isTokenByte)
	const longest = 4096
	dec := make([]byte, longest)
	raw := bytes.TrimRight(b[from:min(to, from+longest)], "=")
	n, err := base64.RawStdEncoding.Decode(dec, raw)
	if err != nil || bytes.IndexByte(dec[:n], ':') < 0 {
		return -1, end
	}
	return from, to
}

// jwt finds a token of two or three parts in base64url.
func jwt(b []byte, at, end int) (int, int) {
	const shortest = 8
	part := func(c byte) bool { return isWordByte(c) && c != '.' }
	head := skip(b, end, part)
	if head-end < shortest || head >= len(b) || b[head] != '.' {
		return -1, head
	}
	body := skip(b, head+1, part)
	if body-head-1 < shortest {
		return -1, body
	}
	return at, skip(b, body, isWordByte)
}

// maxPEM is how much of a private key without an end is masked: a key of
// 16384 bits with a time stamp before every line fits.
const maxPEM = 32 << 10

// pem makes a finder of a private key's block, over lines.
func pem() finder {
	label := prefixed(regexp.MustCompile(`^-----BEGIN [A-Za-z0-9 ]{0,40}(?:PRIVATE KEY|SECRET KEY|Static key)[A-Za-z0-9 ]{0,20}-----`), 0)
	return func(b []byte, at, end int) (int, int) {
		if from, _ := label(b, at, end); from < 0 {
			return -1, end
		}
		limit := min(len(b), at+maxPEM)
		if n := pemEnd(b[end:limit]); n >= 0 {
			return at, end + n
		}
		return at, limit
	}
}

// pemEnd returns the index after the last line of a block.
func pemEnd(b []byte) int {
	begin := bytes.Index(b, []byte("-----END "))
	if begin < 0 {
		return -1
	}
	const label = 80
	rest := b[begin+9:]
	if n := bytes.Index(rest[:min(len(rest), label)], []byte("-----")); n >= 0 {
		return begin + 9 + n + 5
	}
	return -1
}

// base64PEM finds the base64 form of a private key's PEM, as kubeconfigs and
// Secrets have it.
func base64PEM(b []byte, at, _ int) (int, int) {
	to := skip(b, at, func(c byte) bool { return isTokenByte(c) && c != '-' && c != '.' && c != '_' && c != '~' })
	const prefix = 80 // characters that hold the label; a multiple of four
	head := b[at:min(to, at+prefix)]
	dec := make([]byte, prefix)
	n, _ := base64.StdEncoding.Decode(dec, head[:len(head)/4*4])
	if !bytes.Contains(dec[:n], []byte("PRIVATE KEY")) {
		return -1, to
	}
	return at, to
}
