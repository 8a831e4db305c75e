package input

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Bounds of an input's fields.
const (
	maxFields     = 256
	maxFieldBytes = 1024
	maxFieldDepth = 32
	maxFieldNodes = 2048
)

// fields is the tree of what to keep of a value. whole keeps all of it.
type fields struct {
	whole bool
	keys  []string // in order of declaration
	subs  []*fields
	elem  *fields // what to keep of each element, if the value is an array
}

func (f *fields) child(key string) *fields {
	for i, k := range f.keys {
		if k == key {
			return f.subs[i]
		}
	}
	sub := &fields{}
	f.keys, f.subs = append(f.keys, key), append(f.subs, sub)
	return sub
}

func (f *fields) element() *fields {
	if f.elem == nil {
		f.elem = &fields{}
	}
	return f.elem
}

// merge takes in all that g keeps.
func (f *fields) merge(g *fields) {
	f.whole = f.whole || g.whole
	for i, k := range g.keys {
		f.child(k).merge(g.subs[i])
	}
	if g.elem != nil {
		f.element().merge(g.elem)
	}
}

func (f *fields) size() int {
	n := 1
	for _, s := range f.subs {
		n += s.size()
	}
	if f.elem != nil {
		n += f.elem.size()
	}
	return n
}

// ParseFields reads field paths: keys joined by dots, [] behind a key for each
// element of an array, {a,b} at the end for several, and keys that hold other
// characters in double quotes. No path at all keeps whole rows.
func ParseFields(paths []string) error {
	_, err := parseFields(paths)
	return err
}

func parseFields(paths []string) (*fields, error) {
	if len(paths) > maxFields {
		return nil, fmt.Errorf("more than %d field paths", maxFields)
	}
	root := &fields{whole: len(paths) == 0}
	for _, path := range paths {
		if path == "" || len(path) > maxFieldBytes {
			return nil, fmt.Errorf("a field path has 1 to %d bytes", maxFieldBytes)
		}
		p := &fieldParser{text: path}
		if err := p.path(root, 0); err != nil {
			return nil, fmt.Errorf("field path %q: %w", path, err)
		}
		if p.i != len(path) {
			return nil, fmt.Errorf("field path %q: unexpected %q at byte %d", path, path[p.i], p.i)
		}
	}
	if root.size() > maxFieldNodes {
		return nil, fmt.Errorf("more than %d fields", maxFieldNodes)
	}
	for _, k := range root.keys {
		if reserved(k) {
			return nil, fmt.Errorf("field %q is the host's own", k)
		}
	}
	return root, nil
}

type fieldParser struct {
	text string
	i    int
}

func (p *fieldParser) at(c byte) bool {
	if p.i < len(p.text) && p.text[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *fieldParser) path(f *fields, depth int) error {
	for {
		if depth++; depth > maxFieldDepth {
			return fmt.Errorf("deeper than %d", maxFieldDepth)
		}
		key, err := p.key()
		if err != nil {
			return err
		}
		f = f.child(key)
		for strings.HasPrefix(p.text[p.i:], "[]") {
			if depth++; depth > maxFieldDepth {
				return fmt.Errorf("deeper than %d", maxFieldDepth)
			}
			p.i += 2
			f = f.element()
		}
		if !p.at('.') {
			f.whole = true
			return nil
		}
		if p.at('{') {
			return p.group(f, depth)
		}
	}
}

func (p *fieldParser) group(f *fields, depth int) error {
	for {
		if err := p.path(f, depth); err != nil {
			return err
		}
		if p.at('}') {
			return nil
		}
		if !p.at(',') {
			return fmt.Errorf("want , or } at byte %d", p.i)
		}
	}
}

func (p *fieldParser) key() (string, error) {
	if p.at('"') {
		return p.quoted()
	}
	start := p.i
	for p.i < len(p.text) && p.text[p.i] > ' ' && p.text[p.i] != 0x7f && !strings.ContainsRune(`.,"[]{}\`, rune(p.text[p.i])) {
		p.i++
	}
	if p.i == start {
		return "", fmt.Errorf("want a key at byte %d", p.i)
	}
	return p.text[start:p.i], nil
}

func (p *fieldParser) quoted() (string, error) {
	start := p.i
	for ; p.i < len(p.text); p.i++ {
		switch p.text[p.i] {
		case '\\':
			p.i++
		case '"':
			p.i++
			var key string
			if err := json.Unmarshal([]byte(p.text[start-1:p.i]), &key); err != nil || key == "" {
				return "", fmt.Errorf("bad quoted key at byte %d", start-1)
			}
			return key, nil
		}
	}
	return "", fmt.Errorf("unclosed quote at byte %d", start-1)
}
