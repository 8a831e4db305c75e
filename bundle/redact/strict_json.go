package redact

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// strictJSON maps names and addresses in JSON, which its inner step gives out
// in whole values.
type strictJSON struct {
	inner step
	pass  jsonPass
	in    []byte
}

func newStrictJSON(inner step, m *pseudonym.Mapper, c counts) *strictJSON {
	return &strictJSON{inner: inner, pass: jsonPass{mapper: m, counts: c, fields: map[string]field{}}}
}

func (s *strictJSON) next(out []byte) ([]byte, error) {
	var err error
	s.in, err = s.inner.next(s.in[:0])
	if err != nil && (!errors.Is(err, io.EOF) || errors.Is(err, ErrRedaction)) {
		return out, err
	}
	out, bad := s.pass.append(out, s.in)
	if bad != nil {
		return out, failf("pseudonyms: %w", bad)
	}
	return out, err
}

// jsonPass maps what is in JSON in one pass over its bytes: all else stays as
// it is, byte for byte.
type jsonPass struct {
	mapper *pseudonym.Mapper
	counts counts
	fields map[string]field // by the name as it stands between quotes
	nested int

	in    []byte
	i     int
	done  int // in[:done] is in out
	out   []byte
	depth int
	plain []byte
	text  []byte
}

// field is what a name of a field says.
type field struct {
	as     string // what the name becomes
	string string // unescaped
	role   role
}

var errJSON = errors.New("not JSON")

func (p *jsonPass) append(out, in []byte) ([]byte, error) {
	p.in, p.i, p.done, p.out, p.depth = in, 0, 0, out, 0
	for {
		p.space()
		if p.i == len(in) {
			return append(p.out, in[p.done:]...), nil
		}
		if err := p.value(itselfRole, asText); err != nil {
			return out, err
		}
	}
}

func (p *jsonPass) space() {
	for p.i < len(p.in) && (p.in[p.i] == ' ' || p.in[p.i] == '\n' || p.in[p.i] == '\r' || p.in[p.i] == '\t') {
		p.i++
	}
}

func (p *jsonPass) peek() byte {
	if p.i < len(p.in) {
		return p.in[p.i]
	}
	return 0
}

// value maps a value whose strings are a, and whose objects have a role.
func (p *jsonPass) value(r role, a action) error {
	switch p.peek() {
	case '{':
		return p.members('}', func(int) error { return p.member(r) })
	case '[':
		return p.members(']', func(n int) error {
			switch {
			case a != asFirst:
				return p.value(r, a)
			case n == 0:
				return p.value(r, asKnown)
			}
			return p.value(r, asText)
		})
	case '"':
		raw, err := p.lex()
		if err == nil {
			p.string(raw, a)
		}
		return err
	}
	start := p.i
	for p.i < len(p.in) && (isWordByte(p.in[p.i]) || p.in[p.i] == '+') {
		p.i++
	}
	if p.i == start {
		return errJSON
	}
	return nil
}

func (p *jsonPass) members(end byte, one func(n int) error) error {
	if p.depth++; p.depth > maxDepth {
		return errDeep
	}
	p.i++
	p.space()
	for n := 0; p.peek() != end; n++ {
		if n > 0 {
			if p.peek() != ',' {
				return errJSON
			}
			p.i++
			p.space()
		}
		if err := one(n); err != nil {
			return err
		}
		p.space()
	}
	p.i++
	p.depth--
	return nil
}

func (p *jsonPass) member(r role) error {
	if p.peek() != '"' {
		return errJSON
	}
	raw, err := p.lex()
	if err != nil {
		return err
	}
	f := p.field(raw)
	if f.as != "" {
		p.put(raw, f.as)
	}
	p.space()
	if p.peek() != ':' {
		return errJSON
	}
	p.i++
	p.space()
	return p.value(f.role, fieldAction(f.string, r))
}

// lex steps over a string and returns what stands between its quotes.
func (p *jsonPass) lex() ([]byte, error) {
	start := p.i + 1
	for i := start; ; {
		n := bytes.IndexByte(p.in[i:], '"')
		if n < 0 {
			return nil, errJSON
		}
		i += n
		slashes := 0
		for i-1-slashes >= start && p.in[i-1-slashes] == '\\' {
			slashes++
		}
		if i++; slashes%2 == 0 {
			p.i = i
			return p.in[start : i-1], nil
		}
	}
}

// put writes the string s in the place of raw, which was stepped over last.
func (p *jsonPass) put(raw []byte, s string) {
	from := p.i - 1 - len(raw)
	p.out = append(append(p.out, p.in[p.done:from]...), s...)
	p.done = p.i - 1
}

// field tells about the name of a field. It is mapped if it is in a map whose
// keys are names or hosts: fields of a schema are neither.
func (p *jsonPass) field(raw []byte) field {
	if f, ok := p.fields[string(raw)]; ok {
		return f
	}
	name := string(unescape(nil, raw))
	f := field{string: name, role: fieldRole(name)}
	found := counts{}
	as, known := p.mapper.Key(name)
	if !known && strings.ContainsAny(name, "./:@") {
		as = string(p.mapper.Text(nil, []byte(name), found))
	}
	if as != name && as != "" {
		quoted := appendQuoted(nil, []byte(as))
		f.as = string(quoted[1 : len(quoted)-1])
		p.counts["field-name"]++
	}
	if len(p.fields) < maxKeys && len(raw) <= maxKeyLength {
		p.fields[string(raw)] = f
	}
	return f
}

// string maps the string that was stepped over last, raw between its quotes.
func (p *jsonPass) string(raw []byte, a action) {
	if len(raw) < 2 && a == asText {
		return
	}
	plain := raw
	if bytes.IndexByte(raw, '\\') >= 0 {
		p.plain = unescape(p.plain[:0], raw)
		plain = p.plain
	}
	text, ok := p.json(plain)
	if !ok {
		in := plain
		if len(in) > shortestEncoded {
			in = new(certificates).mask(in, p.counts)
		}
		p.text = p.act(p.text[:0], in, a)
		text = p.text
	}
	if bytes.Equal(text, plain) {
		return
	}
	from := p.i - 1 - len(raw)
	p.out = append(p.out, p.in[p.done:from-1]...)
	p.out = appendQuoted(p.out, text)
	p.done = p.i
}

// json maps a string that holds JSON itself.
func (p *jsonPass) json(plain []byte) ([]byte, bool) {
	if p.nested >= maxNested || !startsJSON(plain) {
		return nil, false
	}
	inner := jsonPass{mapper: p.mapper, counts: counts{}, fields: p.fields, nested: p.nested + 1}
	out, err := inner.append(nil, plain)
	if err != nil {
		return nil, false
	}
	for rule, n := range inner.counts {
		p.counts[rule] += n
	}
	return out, true
}

// act appends the pseudonym of a string that is what a says.
func (p *jsonPass) act(dst, s []byte, a action) []byte {
	m := p.mapper
	n := len(dst)
	switch form := formOf(s); {
	case len(s) == 0 || bytes.HasPrefix(s, []byte(maskOpen)):
		return append(dst, s...)
	case a == asText || form == numberForm && a != asID:
	case a == asID:
		dst = m.Name(dst, pseudonym.KindID, s)
		return p.count(dst, n, s, "machine-id")
	case a == asPath && bytes.IndexByte(s, '/') > 0 && m.IsPath(string(s)):
		dst = append(dst, m.Path(string(s))...)
		return p.count(dst, n, s, "name")
	case a == asTarget && form == otherForm && isTarget(s):
		return p.target(dst, s)
	case form != nameForm:
	case a == asNamespace && bytes.IndexByte(s, '.') < 0:
		return p.count(m.Name(dst, pseudonym.KindNamespace, s), n, s, "name")
	case a >= asNode && a <= asUser && m.Ordinary(s):
		if out, ok := m.Known(dst, s); ok {
			return p.count(out, n, s, "name")
		}
		return append(dst, s...)
	case a == asNode:
		return p.count(m.Name(dst, pseudonym.KindNode, s), n, s, "name")
	case a == asHost:
		return p.count(m.Host(dst, s), n, s, "host-name")
	case a == asUser || a == asSubject:
		return p.count(m.Name(dst, pseudonym.KindUser, s), n, s, "user-name")
	default:
		if out, ok := m.Known(dst, s); ok {
			return p.count(out, n, s, "name")
		}
	}
	return m.Text(dst, s, p.counts)
}

func (p *jsonPass) count(dst []byte, n int, s []byte, rule string) []byte {
	if !bytes.Equal(dst[n:], s) {
		p.counts[rule]++
	}
	return dst
}

// form of a string: could it be a name of something?
type form uint8

const (
	otherForm  form = iota
	nameForm        // letters, digits, dots, dashes and underscores
	numberForm      // without a letter
)

func formOf(s []byte) form {
	letters := false
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			letters = true
		case c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '*':
		default:
			return otherForm
		}
	}
	if !letters {
		return numberForm
	}
	return nameForm
}
