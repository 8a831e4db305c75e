package redact

import (
	"bytes"
)

// Kinds of objects that are redacted by their structure.
const (
	kindSecret    = "Secret"
	kindConfigMap = "ConfigMap"
)

// Bounds of one JSON value.
const (
	maxDepth  = 1000 // objects and arrays in each other
	maxNested = 3    // JSON in strings of JSON
	maxPasses = 6    // lists of lists of ConfigMaps
)

// walker redacts JSON values: it copies their bytes, so that the order of keys,
// white space and the digits of numbers stay as they are. What it does with a
// value depends on the names above it and on the kind of the object it is in.
// Since that kind may come last, a value with a Secret or ConfigMap in it is
// walked again once the kinds are known.
type walker struct {
	scanner *scanner
	counts  counts
	hint    string // kind of all objects, by the path
	nested  int

	in    []byte
	i     int
	out   []byte
	depth int
	found counts         // in this value
	known map[int]object // Secrets and ConfigMaps by where they begin
	late  map[int]typeMeta
	again bool

	keys  *memory[key]
	clean *memory[struct{}] // strings with nothing to mask in them
	spans []span
	plain []byte
}

// key is what the name of a member says.
type key struct {
	plain            bool // nothing in it to mask
	env, applied     bool
	secret, password bool
	dull             bool // see isDull
}

// key tells about a name, raw as it stands between its quotes.
func (w *walker) key(raw []byte) key {
	if k := w.keys.of(raw); k != nil {
		return *k
	}
	name := unescape(nil, raw)
	w.spans = w.scanner.scan(name, w.spans)
	k := key{
		plain:    len(w.spans) == 0 && !startsJSON(name),
		env:      isEnv(name),
		applied:  bytes.Contains(name, []byte("last-applied")) || string(name) == "objectset.rio.cattle.io/applied",
		secret:   w.scanner.secretName(name),
		password: bytes.Contains(bytes.ToLower(name), []byte("passw")),
	}
	k.dull = isDull(string(name), k)
	w.keys.keep(raw, k)
	return k
}

// startsJSON says whether a string may be JSON with more in it than a number.
func startsJSON(s []byte) bool {
	s = bytes.TrimSpace(s)
	return len(s) > 1 && (s[0] == '{' || s[0] == '[') && bytes.IndexByte(s, '"') >= 0
}

func newWalker(s *scanner, hint string, c counts) *walker {
	return emptyWalker(walker{scanner: s, counts: c, hint: hint, keys: new(memory[key]), clean: new(memory[struct{}])})
}

// within makes a walker for JSON in a string.
func (w *walker) within() *walker {
	return emptyWalker(walker{scanner: w.scanner, counts: counts{}, hint: w.hint, nested: w.nested + 1, keys: w.keys, clean: w.clean})
}

func emptyWalker(w walker) *walker {
	w.found, w.known, w.late = counts{}, map[int]object{}, map[int]typeMeta{}
	return &w
}

// object is what is known of an object that must be walked again.
type object struct{ kind, namespace, name string }

// said is what an object says about itself; the names are parts of the input.
type said struct {
	kind            string
	namespace, name []byte
}

// place is where a value stands.
type place struct {
	rule   string     // all strings and numbers below are masked, and counted as this
	flat   bool       // the rule ends at objects
	env    bool       // in a list of environment variables
	kind   string     // of an object that does not say so itself
	secret bool       // in the metadata of a Secret
	args   *arguments // the strings before, in an array
	keep   bool       // the rules for text apply, names say nothing
	active []fieldState
}

// append appends in redacted; in must be one JSON value.
func (w *walker) append(out, in []byte) ([]byte, error) {
	clear(w.known)
	clear(w.late)
	for pass := 0; ; pass++ {
		if pass == maxPasses {
			return out, errDeep
		}
		w.in, w.i, w.out, w.depth, w.again = in, 0, out, 0, false
		clear(w.found)
		w.space()
		if _, err := w.value(place{kind: w.hint}); err != nil {
			return out, err
		}
		w.space()
		if w.i < len(w.in) {
			return out, w.syntax("more than one value")
		}
		if !w.again {
			break
		}
	}
	for rule, n := range w.found {
		w.counts[rule] += n
	}
	return w.out, nil
}

func (w *walker) value(p place) (said, error) {
	switch c := w.peek(); c {
	case '{', '[':
		if w.depth++; w.depth > maxDepth {
			return said{}, errDeep
		}
		var self said
		var err error
		if c == '{' {
			self, err = w.object(p)
		} else {
			err = w.array(p)
		}
		w.depth--
		return self, err
	case '"':
		raw, err := w.lexString()
		if err == nil {
			w.string(raw, p)
		}
		return said{}, err
	}
	raw, err := w.lexScalar()
	if err != nil {
		return said{}, err
	}
	if p.rule != "" && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		w.mask(p.rule)
		return said{}, nil
	}
	w.out = append(w.out, raw...)
	return said{}, nil
}

func (w *walker) array(p place) error {
	p.args = nil
	if next := w.i + 1; next < len(w.in) && w.in[next] != '{' {
		p.args = &arguments{}
	}
	return w.members('[', ']', func() (bool, error) {
		_, err := w.value(p)
		return true, err
	})
}

// members copies what is between brackets and calls one for each member, which
// says whether the member stays.
func (w *walker) members(open, shut byte, one func() (bool, error)) error {
	w.out = append(w.out, open)
	w.i++
	w.space()
	kept := 0
	for n := 0; w.peek() != shut || n > 0; n++ {
		mark := len(w.out)
		if n > 0 {
			if w.peek() != ',' {
				return w.syntax("an object or array does not go on")
			}
			if kept > 0 {
				w.out = append(w.out, ',')
			}
			w.i++
			w.space()
		}
		stays, err := one()
		if err != nil {
			return err
		}
		if stays {
			kept++
		} else {
			w.out = w.out[:mark]
		}
		w.space()
		if w.peek() == shut {
			break
		}
	}
	w.out = append(w.out, shut)
	w.i++
	return nil
}

// mask puts a mask in the place of a value.
func (w *walker) mask(rule string) {
	w.out = append(w.out, '"')
	w.out = appendMask(w.out, rule)
	w.out = append(w.out, '"')
	w.found[rule]++
}

// string redacts a string, raw as it stands between its quotes.
func (w *walker) string(raw []byte, p place) {
	plain := raw
	if bytes.IndexByte(raw, '\\') >= 0 {
		w.plain = unescape(w.plain[:0], raw)
		plain = w.plain
	}
	rule := p.rule
	from := 0
	if rule == "" && p.args != nil {
		from, rule = p.args.next(plain, w.scanner)
	}
	if rule == "" && p.env { // NAME=value
		from, rule = bytes.IndexByte(plain, '=')+1, ruleEnv
	}
	switch {
	case rule == "":
		w.text(raw, plain)
	case len(plain) == from || w.scanner.isMask(plain[from:]) || rule != ruleEnv && rule != ruleConfigMap && harmlessValue(plain[from:]):
		w.quote(raw)
	default:
		masked := appendMask(append([]byte(nil), plain[:from]...), rule)
		w.out = appendQuoted(w.out, masked)
		w.found[rule]++
	}
}

func (w *walker) quote(raw []byte) {
	w.out = append(append(append(w.out, '"'), raw...), '"')
}

// text redacts a string as text, or as JSON if it is such.
func (w *walker) text(raw, plain []byte) {
	if w.clean.of(raw) != nil {
		w.quote(raw)
		return
	}
	if w.json(raw, plain) {
		return
	}
	w.spans = w.scanner.scan(plain, w.spans)
	if len(w.spans) == 0 {
		w.clean.keep(raw, struct{}{})
		w.quote(raw)
		return
	}
	var masked []byte
	masked, w.spans = w.scanner.appendText(nil, plain, w.spans, w.found)
	w.out = appendQuoted(w.out, masked)
}

func (w *walker) json(raw, plain []byte) bool {
	if w.nested >= maxNested || !startsJSON(plain) {
		return false
	}
	inner := w.within()
	masked, err := inner.append(nil, plain)
	if err != nil {
		return false
	}
	if len(inner.counts) == 0 {
		w.quote(raw)
		return true
	}
	for rule, n := range inner.counts {
		w.found[rule] += n
	}
	w.out = appendQuoted(w.out, masked)
	return true
}

// kindOf returns the kind that matters among those an object claims.
func kindOf(a string, b []byte) string {
	for _, k := range [...]string{kindSecret, kindSecret + "List", kindConfigMap, kindConfigMap + "List"} {
		if a == k || string(b) == k {
			return k
		}
	}
	return ""
}

// isEnv says whether a name is that of a list or map of environment variables.
func isEnv(name []byte) bool {
	lower := bytes.ToLower(name)
	return string(lower) == "env" || string(lower) == "environment" ||
		bytes.HasSuffix(name, []byte("Env")) || bytes.HasSuffix(name, []byte("_env")) ||
		bytes.HasSuffix(lower, []byte("envvars")) || bytes.HasSuffix(lower, []byte("env_vars"))
}
