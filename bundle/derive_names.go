package bundle

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// mentions finds the names of what was left out.
type mentions struct {
	paths []string // of entries and of folders of which nothing is left, sorted
	words []string // what such folders are called where no path stands, sorted
}

// hide gathers the names of the entries that are gone, and of the folders that
// went with them.
func hide(gone map[string]bool, left ...[]node) mentions {
	folders := map[string]bool{} // true: something in it is left
	mark := func(path string, value bool) {
		for at := strings.LastIndexByte(path, '/'); at > 0; at = strings.LastIndexByte(path[:at], '/') {
			if known, ok := folders[path[:at]]; ok && (known || !value) {
				break
			}
			folders[path[:at]] = value
		}
	}
	var m mentions
	for _, nodes := range left {
		for _, n := range nodes {
			if !gone[n.path] {
				mark(n.path, true)
			}
		}
	}
	for path := range gone {
		m.add(path)
		mark(path, false)
	}
	for folder, left := range folders {
		parent, name, deep := strings.Cut(folder, "/")
		if left || !deep { // the folders at the top are always the same
			continue
		}
		m.add(folder)
		if (parent == "nodes" || parent == "captures") && !strings.Contains(name, "/") {
			m.words = append(m.words, name)
		}
	}
	slices.Sort(m.paths)
	slices.Sort(m.words)
	return m
}

// add takes a path, also as it was before it was escaped.
func (m *mentions) add(path string) {
	m.paths = append(m.paths, path)
	if plain, err := url.PathUnescape(path); err == nil && plain != path {
		m.paths = append(m.paths, plain)
	}
}

// in says whether a text names something that is gone; words are looked for
// unless the text is about something that is there.
func (m *mentions) in(s string, words bool) bool {
	for i := range len(s) {
		if i > 0 && nameByte(s[i-1]) {
			continue
		}
		if begins(m.paths, s[i:]) || words && begins(m.words, s[i:]) {
			return true
		}
	}
	return false
}

// begins says whether s begins with one of the names, which are sorted.
func begins(names []string, s string) bool {
	for most := min(len(s), MaxPath); ; {
		i, exact := slices.BinarySearch(names, s[:most])
		if !exact {
			i--
		}
		if i < 0 {
			return false
		}
		n := commonPrefix(names[i], s)
		if n == len(names[i]) && (n == len(s) || !nameByte(s[n])) {
			return true
		}
		if n = min(n, most-1); n <= 0 {
			return false
		}
		most = n
	}
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// nameByte says whether a name goes on with c. A dot or an underscore may end
// it: rather one line too many is taken out.
func nameByte(c byte) bool {
	return c >= '0' && c <= '9' || lower(c) >= 'a' && lower(c) <= 'z' || c == '-'
}

// inJSON looks through all strings of a JSON value, with their escapes undone,
// and through b as it stands.
func (m *mentions) inJSON(b []byte, words bool) bool {
	if m.in(string(b), words) {
		return true
	}
	var v any
	return json.Unmarshal(b, &v) == nil && m.inValue(v, words)
}

func (m *mentions) inValue(v any, words bool) bool {
	switch v := v.(type) {
	case string:
		return m.in(v, words)
	case []any:
		return slices.ContainsFunc(v, func(x any) bool { return m.inValue(x, words) })
	case map[string]any:
		for key, x := range v {
			if m.in(key, words) || m.inValue(x, words) {
				return true
			}
		}
	}
	return false
}
