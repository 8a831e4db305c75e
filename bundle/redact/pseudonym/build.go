package pseudonym

import (
	"bytes"
	"net/netip"
	"strings"
)

// build fills the dictionary.
func (m *Mapper) build(names []Name) {
	m.words = newVocabulary()
	names = withShortNames(names)
	all := distinct(names)
	words := 0
	for _, n := range all {
		words++
		for i := range len(n.Value) {
			if class[n.Value[i]]&alnum == 0 {
				words++
			}
		}
	}
	d := &m.dict
	d.prepare(len(all)+256, words+1024)
	d.entries = make([]*entry, 0, len(all)+256)
	for _, s := range wellKnown() {
		m.enter([]byte(s), &entry{as: s, mark: keepMark})
	}
	for _, n := range all {
		value := []byte(n.Value)
		if _, known := d.whole[n.Value]; known || m.isWholeToken(value) || isAddress(n.Value) {
			continue
		}
		e := m.pseudonymOf(n.Kind, value)
		m.enter(value, e)
	}
	for word, c := range contexts() {
		if e := d.exact([]byte(word)); e != nil {
			e.context = c
			continue
		}
		m.enter([]byte(word), &entry{as: word, context: c})
		delete(d.whole, word)
	}
}

func (m *Mapper) enter(value []byte, e *entry) {
	d := &m.dict
	d.entries = append(d.entries, e)
	n := int32(len(d.entries) - 1) //nolint:gosec // at most MaxNames and some
	d.whole[string(value)] = n
	if hasEdges(value) {
		d.insert(value, n)
	}
}

// withShortNames adds to nodes and hosts that are called by a full name the
// first label of it: that is what their own logs call them.
func withShortNames(names []Name) []Name {
	out := names[:len(names):len(names)]
	for _, n := range names {
		if short, _, ok := strings.Cut(n.Value, "."); ok && n.Kind == KindNode && strings.Trim(short, "0123456789") != "" {
			out = append(out, Name{KindNode, short})
		}
	}
	return out
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// pseudonymOf says what a name becomes. Names that are made of others become
// what these become, so that the pods of a workload share its token.
func (m *Mapper) pseudonymOf(k Kind, value []byte) *entry {
	if at := bytes.LastIndexByte(value, '@'); at > 0 && at+1 < len(value) {
		user := m.Name(nil, KindUser, value[:at])
		return &entry{kind: k, as: string(m.Host(append(user, '@'), value[at+1:]))}
	}
	if dot := bytes.IndexByte(value, '.'); dot >= 0 && (k == KindNode || k == KindHost || m.looksLikeHost(value)) {
		return &entry{kind: k, as: string(m.Host(nil, value))}
	}
	if as, ok := m.dashed(nil, value, false); ok {
		return &entry{kind: k, as: string(as)}
	}
	if n := generatedSuffix(value); n > 0 {
		base := m.dict.exact(value[:len(value)-n])
		rest := string(value[len(value)-n:])
		switch {
		case base != nil && base.context == 0:
			return &entry{kind: base.kind, value: base.value, token: base.token, as: base.as + rest}
		case n > 6: // a ReplicaSet's hash as well
			e := m.own(k, value[:len(value)-n])
			e.as += rest
			return e
		}
	}
	for i := 1; i < len(value)-1 && k == KindObject; i++ {
		if value[i] != '-' {
			continue
		}
		if node := m.dict.exact(value[i+1:]); node != nil && node.kind == KindNode && node.token != "" {
			if e := m.dict.exact(value[:i]); e != nil {
				return &entry{kind: e.kind, value: e.value, token: e.token, with: []string{node.token, node.value}, as: e.as + "-" + node.as}
			}
			e := m.own(k, value[:i])
			e.with, e.as = []string{node.token, node.value}, e.as+"-"+node.as
			return e
		}
	}
	e := m.own(k, value)
	if m.words.ordinary(value) {
		e.mark = ordinaryMark
	}
	return e
}

// own is the entry of a name with a token of its own.
func (m *Mapper) own(k Kind, value []byte) *entry {
	if e := m.dict.exact(value); e != nil && e.mark&keepMark != 0 {
		return &entry{as: e.as, kind: k}
	}
	t := m.tokens.token(value)
	token := string(k) + "-" + string(t[:])
	return &entry{kind: k, value: string(value), token: token, as: token}
}

// generatedSuffix returns the length of what Kubernetes has appended to the
// name of an owner: -x7k2p, -7d9c6b8f5, -7d9c6b8f5-x7k2p, -0.
func generatedSuffix(name []byte) int {
	i := bytes.LastIndexByte(name, '-')
	if i <= 0 {
		return 0
	}
	switch last := name[i+1:]; {
	case isOrdinal(last):
		return len(name) - i
	case isRandom(last) && len(last) == 5:
		if j := bytes.LastIndexByte(name[:i], '-'); j > 0 && isHash(name[j+1:i]) {
			return len(name) - j
		}
		return len(name) - i
	case isHash(last):
		return len(name) - i
	}
	return 0
}

// isRandom says whether b is of the letters that Kubernetes makes names of.
func isRandom(b []byte) bool {
	for _, c := range b {
		if bytes.IndexByte([]byte("bcdfghjklmnpqrstvwxz2456789"), c) < 0 {
			return false
		}
	}
	return len(b) > 0
}

func isHash(b []byte) bool { return len(b) >= 8 && len(b) <= 10 && isRandom(b) }

func isOrdinal(b []byte) bool {
	return len(b) > 0 && len(b) <= 4 && len(bytes.Trim(b, "0123456789")) == 0 || len(b) == 8 && len(bytes.Trim(b, "0123456789")) == 0
}
