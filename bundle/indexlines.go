package bundle

import (
	"fmt"
	"strings"
)

// indexLines is what parseIndex finds.
type indexLines struct {
	chunks  []chunk
	entries []entry
}

// parseIndex reads whole lines. It checks their form and the paths, but not
// what only all lines together can tell.
func parseIndex(text string) (indexLines, error) {
	var p indexLines
	var paths pathCheck
	for n := 1; text != ""; n++ {
		if strings.HasPrefix(text, chunkKey) && len(p.entries) == 0 {
			c, rest, ok := cutChunk(text)
			if !ok {
				return p, fmt.Errorf("%w: line %d of the index is no chunk", ErrDamaged, n)
			}
			p.chunks, text = append(p.chunks, c), rest
			continue
		}
		if p.entries == nil {
			p.entries = make([]entry, 0, strings.Count(text, "\n"))
		}
		var e entry
		rest, ok := e.cut(text)
		if !ok {
			return p, fmt.Errorf("%w: line %d of the index is no entry", ErrDamaged, n)
		}
		if _, err := paths.check(&e); err != nil {
			return p, err
		}
		p.entries, text = append(p.entries, e), rest
	}
	return p, nil
}

// pathCheck checks the paths of entries that follow each other: what a path
// shares with the one before need not be looked at again.
type pathCheck struct {
	prev  string
	ascii bool // prev is
}

// check checks the path of e, notes what is rare about it, and tells how many
// bytes it begins with that the last one begins with too.
func (c *pathCheck) check(e *entry) (shared int, err error) {
	shared = common(c.prev, e.path)
	from := 0
	if c.ascii {
		from = strings.LastIndexByte(e.path[:shared], '/') + 1
	}
	ascii, err := scanPath(e.path, from)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if reserved(e.path) {
		return 0, fmt.Errorf("%w: %w: %q belongs to the format", ErrDamaged, ErrPath, e.path)
	}
	e.foreign = !ascii
	_, e.part = partOf(e.path)
	c.prev, c.ascii = e.path, ascii
	return shared, nil
}

// cutChunk reads the line of a chunk off the text.
func cutChunk(text string) (c chunk, rest string, ok bool) {
	line, rest, ok := strings.Cut(text, "\n")
	if !ok || !strings.HasPrefix(line, chunkKey) {
		return c, "", false
	}
	class, line, ok := strings.Cut(line[len(chunkKey):], `"`)
	if c.class = Class(class); !ok || !c.class.known() {
		return c, "", false
	}
	packed, line, ok1 := cutNumber(line, `,"cl":`)
	size, line, ok2 := cutNumber(line, `,"ul":`)
	hash, ok3 := strings.CutPrefix(line, `,"h":"`)
	hash, ok4 := strings.CutSuffix(hash, lineEnd)
	if !ok1 || !ok2 || !ok3 || !ok4 || packed == 0 || size == 0 || packed > maxPacked || size > MaxFrame || len(hash) != hashText {
		return c, "", false
	}
	c.extent = extent{uint32(packed), uint32(size)}
	return c, rest, decodeText(c.sum[:], hash) == nil
}

// cut reads the line of an entry off the text.
func (e *entry) cut(text string) (rest string, ok bool) {
	text, ok = strings.CutPrefix(text, entryKey)
	if !ok {
		return "", false
	}
	if e.path, text, ok = strings.Cut(text, `"`); !ok {
		return "", false
	}
	var ok2, ok3 bool
	e.off, text, ok = cutNumber(text, `,"o":`)
	e.size, text, ok2 = cutNumber(text, `,"s":`)
	text, ok3 = strings.CutPrefix(text, `,"h":"`)
	if !ok || !ok2 || !ok3 || e.size > MaxFile || e.off > MaxTotal || len(text) <= tailText || text[tailText] != '\n' {
		return "", false
	}
	e.tail = text[:tailText]
	return text[tailText+1:], e.tail[hashText:hashText+len(saltKey)] == saltKey && e.tail[tailText-len(lineEnd):] == lineEnd
}

// cutNumber reads key and the number behind it.
func cutNumber(s, key string) (n int64, rest string, ok bool) {
	if len(s) < len(key) || s[:len(key)] != key {
		return 0, s, false
	}
	s = s[len(key):]
	i := 0
	for ; i < len(s) && i < 16 && s[i] >= '0' && s[i] <= '9'; i++ {
		n = n*10 + int64(s[i]-'0')
	}
	return n, s[i:], i > 0 && i < 16 && (s[0] != '0' || i == 1)
}

// order holds what sorted paths must keep among each other: no path twice
// (ASCII case aside), folders spelled one way, and no path both file and folder.
type order struct {
	prev string
	open []int // lengths of the paths before that prev begins with, and of prev
}

// next takes the next path, of which shared bytes are those of the one before.
// It tells how many paths before are still open.
func (o *order) next(p string, shared int) (inherited int, err error) {
	switch first := len(o.open) == 0; {
	case first:
		shared = 0
	case shared < len(o.prev) && shared < len(p) && lower(o.prev[shared]) < lower(p[shared]):
	default:
		if shared, err = o.compare(p); err != nil {
			return 0, err
		}
	}
	for len(o.open) > 0 && o.open[len(o.open)-1] > shared {
		o.open = o.open[:len(o.open)-1]
	}
	for _, length := range o.open {
		if p[length] == '/' {
			return 0, fmt.Errorf("%w: %q is a file and a folder", ErrDamaged, p[:length])
		}
	}
	inherited = len(o.open)
	o.open, o.prev = append(o.open, len(p)), p
	return inherited, nil
}

// compare is for a path that differs in more than its next byte: in case, or
// not at all.
func (o *order) compare(p string) (shared int, err error) {
	shared = foldCommon(o.prev, p)
	if !sortsBefore(o.prev, p, shared) {
		return 0, fmt.Errorf("%w: %q and %q are one name or out of order", ErrDamaged, o.prev, p)
	}
	if dir := strings.LastIndexByte(p[:shared], '/') + 1; o.prev[:dir] != p[:dir] {
		return 0, fmt.Errorf("%w: %q and %q spell one folder in two ways", ErrDamaged, o.prev, p)
	}
	return shared, nil
}

// sortsBefore is foldCompare(a, b) < 0 for a common prefix that is known.
func sortsBefore(a, b string, shared int) bool {
	if shared == len(a) || shared == len(b) {
		return len(a) < len(b)
	}
	return lower(a[shared]) < lower(b[shared])
}
