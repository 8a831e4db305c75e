package review

import (
	"bytes"
	"encoding/base64"
	"math"
	"net/netip"
	"strings"
)

// What a token turned out to be.
const (
	kindIPv4 = "IPv4 addresses"
	kindIPv6 = "IPv6 addresses"
	kindMAC  = "MAC addresses"
	kindHost = "host names"
	kindMail = "e-mail addresses"
)

// A string is suspect when it is at least this long and this random. Hex has
// four bits a character at most: digests and UUIDs stay below.
const (
	suspectLength  = 20
	suspectEntropy = 4.1
	shownOfSuspect = 6
)

// tokens looks at each word of a line.
type tokens struct {
	in    [256]bool // bytes that may stand in a word
	found func(path string, line int, kind, token string, entropy float64)
}

func newTokens(found func(path string, line int, kind, token string, entropy float64)) tokens {
	t := tokens{found: found}
	for c := range t.in {
		t.in[c] = inToken(byte(c))
	}
	return t
}

// line takes a line apart at every byte that is in no address, name or key.
func (t *tokens) line(path string, n int, line []byte) {
	for i := 0; i < len(line); {
		if !t.in[line[i]] {
			if line[i] == '\\' {
				i++ // the letter of an escape is no part of a word
			}
			i++
			continue
		}
		end := i + 1
		for end < len(line) && t.in[line[end]] {
			end++
		}
		if end-i >= 6 {
			t.token(path, n, line[i:end])
		}
		i = end
	}
}

func inToken(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".:-_@/+=%", c) >= 0
}

func (t *tokens) token(path string, n int, w []byte) {
	word := bytes.Trim(w, ".:-_/=%+@")
	dots, colons, at := bytes.Count(word, []byte{'.'}), bytes.Count(word, []byte{':'}), bytes.IndexByte(word, '@')
	switch {
	case len(word) < 6:
		return
	case at > 0 && dots > 0 && isHost(string(word[at+1:])) && bytes.IndexByte(word, '/') < 0:
		t.found(path, n, kindMail, string(word), 0)
		return
	case colons == 5 && len(word) == 17 && isHex(bytes.ReplaceAll(word, []byte{':'}, nil)):
		t.found(path, n, kindMAC, string(word), 0)
		return
	case dots >= 3 || colons >= 2:
		if kind, a := address(string(word)); kind != "" {
			t.found(path, n, kind, a, 0)
			return
		}
	}
	if dots > 0 && len(word) > 3 && hasLetter(word) {
		for part := range strings.FieldsFuncSeq(string(word), func(r rune) bool { return strings.ContainsRune("/:@=%+", r) }) {
			if isHost(part) {
				t.found(path, n, kindHost, part, 0)
			}
		}
	}
	if len(word) >= suspectLength {
		t.random(path, n, word)
	}
}

func hasLetter(b []byte) bool {
	for _, c := range b {
		if c|0x20 >= 'a' && c|0x20 <= 'z' {
			return true
		}
	}
	return false
}

// address reads an address with an optional port or prefix length.
func address(s string) (kind, a string) {
	if p, err := netip.ParseAddrPort(s); err == nil {
		return addressKind(p.Addr()), p.Addr().String()
	}
	s, _, _ = strings.Cut(s, "/")
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return "", ""
	}
	return addressKind(ip), ip.String()
}

func addressKind(a netip.Addr) string {
	if a.Is4() {
		return kindIPv4
	}
	return kindIPv6
}

// isHost says whether s looks like a fully qualified host name.
func isHost(s string) bool {
	dot := strings.LastIndexByte(s, '.')
	if dot <= 0 || len(s) > 253 {
		return false
	}
	switch strings.ToLower(s[dot+1:]) {
	case "com", "net", "org", "edu", "gov", "int", "de", "fr", "uk", "eu", "us", "cn", "jp", "in", "ch", "at", "nl", "ru", "br", "cloud", "dev",
		"local", "internal", "lan", "corp", "home", "intra", "intranet", "localdomain", "arpa", "example", "test", "private":
	default:
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return false
		}
	}
	return true
}

// random reports runs that look like keys: mixed characters, no words, no
// paths, no hex, no certificates.
func (t *tokens) random(path string, n int, word []byte) {
	for piece := range bytes.FieldsFuncSeq(word, func(r rune) bool { return r == ':' || r == '@' || r == '.' || r == '%' }) {
		piece = bytes.Trim(piece, "-_=")
		if len(piece) < suspectLength || isHex(bytes.ReplaceAll(piece, []byte{'-'}, nil)) || !mixed(piece) || bytes.Count(piece, []byte{'/'}) > 2+len(piece)/16 {
			continue
		}
		if e := entropy(piece); e >= suspectEntropy && !publicDER(piece) {
			t.found(path, n, "", string(piece), e)
		}
	}
}

// mixed says whether lower case, upper case and digits all occur.
func mixed(b []byte) bool {
	var lower, upper, digit bool
	for _, c := range b {
		lower = lower || c >= 'a' && c <= 'z'
		upper = upper || c >= 'A' && c <= 'Z'
		digit = digit || c >= '0' && c <= '9'
	}
	return lower && upper && digit
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return len(b) > 0
}

// entropy is that of the characters of b, in bits each.
func entropy(b []byte) float64 {
	var count [256]int
	for _, c := range b {
		count[c]++
	}
	e := 0.0
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(b))
			e -= p * math.Log2(p)
		}
	}
	return e
}

// publicDER says whether b is the base64 of a certificate or of its PEM, which
// are public.
func publicDER(b []byte) bool {
	const prefix = 40
	dec := make([]byte, prefix)
	k, _ := base64.StdEncoding.Decode(dec, b[:min(len(b), prefix)/4*4])
	return bytes.HasPrefix(dec[:k], []byte("-----BEGIN CERTIFICATE")) || k > 3 && dec[0] == 0x30 && dec[1] == 0x82
}

// found files a token.
func (s *scan) found(path string, line int, kind, token string, e float64) {
	switch {
	case kind != "":
		s.name(kind, token)
	case strings.Contains(token, "REDACTED"):
	case len(s.Suspects) == maxSuspects:
		s.Omitted++
	default:
		s.Suspects = append(s.Suspects, Suspect{Path: path, Line: line, Length: len(token), Entropy: math.Round(e*100) / 100, Begin: token[:shownOfSuspect]})
	}
}
