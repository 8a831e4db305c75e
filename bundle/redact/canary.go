package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// Canaries looks for known secrets in what is redacted already: as they are, in
// any case of letters, escaped for JSON or URLs, in hex, in UTF-16, as names of
// the DNS, and in base64 and gzip, also in each other. Safe for concurrent use.
type Canaries struct {
	scanner *scanner
}

// Bounds of canaries.
const (
	MinCanary   = 4       // bytes of a secret
	MaxCanaries = 1000    // secrets
	maxCanary   = 4 << 10 // bytes of a secret

	canaryKey   = 10 // bytes of a form that the automaton knows
	canaryPiece = 48 // of a long secret, its pieces are looked for
)

// Hit is where a canary was found.
type Hit struct {
	Line   int // from 1
	Canary int // which of them; -1 when it is one in base64 or gzip
}

// NewCanaries takes the secrets to look for. Errors do not show them.
func NewCanaries(secrets []string) (*Canaries, error) {
	if len(secrets) > MaxCanaries {
		return nil, fmt.Errorf("%d canaries; at most %d", len(secrets), MaxCanaries)
	}
	s := &scanner{table: newFieldTable(nil), blind: true}
	var keys []string
	for i, secret := range secrets {
		if len(secret) < MinCanary || len(secret) > maxCanary {
			return nil, fmt.Errorf("canary %d has %d bytes; %d to %d are needed", i+1, len(secret), MinCanary, maxCanary)
		}
		for _, form := range canaryForms(secret) {
			key := form[:min(len(form), canaryKey)]
			keys = append(keys, string(lowerASCII(key)))
			s.owner = append(s.owner, uint16(len(s.rules)))
			s.rules = append(s.rules, rule{name: canaryName(i), find: exactly(form)})
		}
	}
	s.words = newWords(keys)
	return &Canaries{s}, nil
}

func canaryName(i int) string { return fmt.Sprintf("canary-%d", i) }

// exactly finds one form of a secret, in any case.
func exactly(form []byte) finder {
	return func(b []byte, at, end int) (int, int) {
		if to := at + len(form); to <= len(b) && bytes.EqualFold(b[at:to], form) {
			return at, to
		}
		return -1, end
	}
}

func lowerASCII(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

// canaryForms are the ways in which a secret may stand in a file. Of a long
// one, pieces do.
func canaryForms(secret string) [][]byte {
	pieces := []string{secret}
	if n := len(secret); n > 2*canaryPiece {
		pieces = []string{secret[:canaryPiece], secret[(n-canaryPiece)/2 : (n+canaryPiece)/2], secret[n-canaryPiece:]}
	}
	var forms [][]byte
	seen := map[string]bool{}
	add := func(form string) {
		if len(form) >= MinCanary && !seen[strings.ToLower(form)] {
			seen[strings.ToLower(form)] = true
			forms = append(forms, []byte(form))
		}
	}
	for _, p := range pieces {
		add(p)
		add(url.QueryEscape(p))
		add(url.PathEscape(p))
		add(percented(p))
		once := escapedJSON(p)
		add(once)
		add(escapedJSON(once))
		add(hex.EncodeToString([]byte(p)))
		add(strings.Join(strings.Split(p, ""), "\x00"))
		for shift := range 3 {
			enc := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + p))
			if shortest := 8; len(enc) >= shortest+8 {
				add(enc[4 : len(enc)-4])
				add(strings.NewReplacer("+", "-", "/", "_").Replace(enc[4 : len(enc)-4]))
			}
		}
		if labels := strings.Split(p, "."); len(labels) > 1 && !slices.ContainsFunc(labels, func(l string) bool { return len(l) > 63 }) {
			name := labels[0]
			for _, l := range labels[1:] {
				name += string([]byte{byte(len(l))}) + l
			}
			add(name)
		}
	}
	return forms
}

func percented(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

func escapedJSON(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return s
	}
	return strings.TrimSuffix(strings.TrimSpace(b.String())[1:], `"`)
}

// Find reads src to its end and tells of every canary in it.
func (c *Canaries) Find(src io.Reader, found func(Hit)) error {
	return c.find(src, 0, found)
}

const maxMembers = 3 // gzip in each other

func (c *Canaries) find(src io.Reader, depth int, found func(Hit)) error {
	line := 1
	members := newMembers(src, counts{})
	passed := &lineCounter{src: members}
	members.inside = func(plain io.Reader) {
		if depth < maxMembers {
			at := 1 + passed.lines
			_ = c.find(plain, depth+1, func(h Hit) { found(Hit{at, h.Canary}) }) // damaged data ends where it is damaged
		}
	}
	buf := make([]byte, 0, textWindow)
	var spans []span
	for {
		n, err := io.ReadFull(passed, buf[len(buf):textWindow])
		buf = buf[:len(buf)+n]
		eof := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !eof {
			return err
		}
		cut := len(buf)
		if !eof {
			cut -= lookahead
		}
		spans = c.scanner.scan(buf, spans)
		done := 0
		for _, sp := range spans {
			if sp.from >= cut {
				break
			}
			line += bytes.Count(buf[done:sp.from], []byte{'\n'})
			done = sp.from
			c.tell(sp, line, found)
		}
		line += bytes.Count(buf[done:cut], []byte{'\n'})
		if eof {
			return nil
		}
		buf = buf[:copy(buf, buf[cut:])]
	}
}

// tell reports a stretch; what could only not be looked into is no canary.
func (c *Canaries) tell(sp span, line int, found func(Hit)) {
	h := Hit{Line: line, Canary: -1}
	if sp.rule != ruleEncoded {
		if n, err := fmt.Sscanf(sp.rule, "canary-%d", &h.Canary); n != 1 || err != nil {
			return
		}
	}
	found(h)
}

// lineCounter counts the lines that were read.
type lineCounter struct {
	src   io.Reader
	lines int
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.src.Read(p)
	l.lines += bytes.Count(p[:n], []byte{'\n'})
	return n, err
}
