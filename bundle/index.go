package bundle

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// The index is text, one line for each data frame in the order of the file,
// then one line for each entry, sorted by foldCompare:
//
//	{"k":"nodes","cl":41210,"ul":1048064,"h":"<base64 of 32 bytes>"}
//	{"p":"cluster/version.json","o":512,"s":263,"h":"<base64 of 32 bytes>","n":"<base64 of 16 bytes>"}
//
// There is one spelling only: these keys in this order, no spaces, decimal
// numbers without leading zeros, base64 without padding. Paths need no escape.

// chunk is one data frame.
type chunk struct {
	class Class
	extent
	sum digest // of the compressed frame
}

// entry is one member of the tar stream.
type entry struct {
	path string
	off  int64 // of its content in the tar stream
	size int64
	tail string // `<hash>","n":"<salt>"}`, decoded when needed

	foreign bool // path is not ASCII
	part    bool // path has the suffix of a part
}

const (
	hashText = 43 // base64 of 32 bytes
	saltText = 22 // base64 of 16 bytes
	saltKey  = `","n":"`
	lineEnd  = `"}`
	tailText = hashText + len(saltKey) + saltText + len(lineEnd)
)

func encoding() *base64.Encoding { return base64.RawStdEncoding.Strict() }

func (e entry) sum() (d digest, err error) {
	err = decodeText(d[:], e.tail[:hashText])
	return d, err
}

func (e entry) salt() (s [16]byte, err error) {
	err = decodeText(s[:], e.tail[hashText+len(saltKey):tailText-len(lineEnd)])
	return s, err
}

func decodeText(dst []byte, text string) error {
	if n, err := encoding().Decode(dst, []byte(text)); err != nil || n != len(dst) {
		return fmt.Errorf("%w: base64 in the index", ErrDamaged)
	}
	return nil
}

func appendChunk(b []byte, c chunk) []byte {
	b = append(b, `{"k":"`...)
	b = append(b, c.class...)
	b = append(b, `","cl":`...)
	b = strconv.AppendUint(b, uint64(c.packed), 10)
	b = append(b, `,"ul":`...)
	b = strconv.AppendUint(b, uint64(c.size), 10)
	b = append(b, `,"h":"`...)
	b = encoding().AppendEncode(b, c.sum[:])
	return append(b, lineEnd+"\n"...)
}

// file is an entry while it is written.
type file struct {
	path      string
	off, size int64
	sum       digest
	salt      [16]byte
}

func appendFile(b []byte, f file) []byte {
	b = append(b, `{"p":"`...)
	b = append(b, f.path...)
	b = append(b, `","o":`...)
	b = strconv.AppendInt(b, f.off, 10)
	b = append(b, `,"s":`...)
	b = strconv.AppendInt(b, f.size, 10)
	b = append(b, `,"h":"`...)
	b = encoding().AppendEncode(b, f.sum[:])
	b = append(b, saltKey...)
	b = encoding().AppendEncode(b, f.salt[:])
	return append(b, lineEnd+"\n"...)
}

// indexPart is the lines of one frame of the index.
type indexPart struct {
	chunks  []chunk
	entries []entry
}

// parseIndex reads whole lines. It checks their form and the paths, but not
// what only all lines together can tell.
func parseIndex(text string) (indexPart, error) {
	var p indexPart
	for n := 1; text != ""; n++ {
		line, rest, ok := strings.Cut(text, "\n")
		if !ok {
			return p, fmt.Errorf("%w: line %d of the index does not end", ErrDamaged, n)
		}
		text = rest
		if strings.HasPrefix(line, `{"k":"`) && len(p.entries) == 0 {
			c, ok := parseChunk(line)
			if !ok {
				return p, fmt.Errorf("%w: line %d of the index is no chunk", ErrDamaged, n)
			}
			p.chunks = append(p.chunks, c)
			continue
		}
		e, ok := parseEntry(line)
		if !ok {
			return p, fmt.Errorf("%w: line %d of the index is no entry", ErrDamaged, n)
		}
		if err := e.checkName(); err != nil {
			return p, err
		}
		if p.entries == nil {
			p.entries = make([]entry, 0, 1+len(text)/len(line))
		}
		p.entries = append(p.entries, e)
	}
	return p, nil
}

// checkName checks the path of an entry and notes what is rare about it.
func (e *entry) checkName() error {
	ascii, err := scanPath(e.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if reserved(e.path) {
		return fmt.Errorf("%w: %w: %q belongs to the format", ErrDamaged, ErrPath, e.path)
	}
	e.foreign = !ascii
	_, e.part = partOf(e.path)
	return nil
}

func parseChunk(line string) (c chunk, ok bool) {
	rest := line[len(`{"k":"`):]
	class, rest, ok := strings.Cut(rest, `"`)
	if c.class = Class(class); !ok || !c.class.known() {
		return c, false
	}
	packed, rest, ok1 := cutNumber(rest, `,"cl":`)
	size, rest, ok2 := cutNumber(rest, `,"ul":`)
	hash, ok3 := strings.CutPrefix(rest, `,"h":"`)
	hash, ok4 := strings.CutSuffix(hash, lineEnd)
	if !ok1 || !ok2 || !ok3 || !ok4 || packed == 0 || size == 0 || packed > maxPacked || size > MaxFrame || len(hash) != hashText {
		return c, false
	}
	c.extent = extent{uint32(packed), uint32(size)}
	return c, decodeText(c.sum[:], hash) == nil
}

func parseEntry(line string) (e entry, ok bool) {
	rest, ok := strings.CutPrefix(line, `{"p":"`)
	if !ok {
		return e, false
	}
	if e.path, rest, ok = strings.Cut(rest, `"`); !ok {
		return e, false
	}
	var ok2, ok3 bool
	e.off, rest, ok = cutNumber(rest, `,"o":`)
	e.size, rest, ok2 = cutNumber(rest, `,"s":`)
	e.tail, ok3 = strings.CutPrefix(rest, `,"h":"`)
	if !ok || !ok2 || !ok3 || e.size > MaxFile || e.off > MaxTotal || len(e.tail) != tailText {
		return e, false
	}
	return e, e.tail[hashText:hashText+len(saltKey)] == saltKey && e.tail[tailText-len(lineEnd):] == lineEnd
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

// checkOrder holds what sorted paths must keep among each other: no path twice
// (ASCII case aside), folders spelled one way, and no path both file and folder.
func checkOrder(n int, path func(int) string) error {
	var open []int // lengths of the paths before that the last one begins with, itself included
	prev := ""
	for i := range n {
		p := path(i)
		common := foldCommon(prev, p)
		if i > 0 && !sortsBefore(prev, p, common) {
			return fmt.Errorf("%w: %q and %q are one name or out of order", ErrDamaged, prev, p)
		}
		if dir := strings.LastIndexByte(p[:common], '/') + 1; prev[:dir] != p[:dir] {
			return fmt.Errorf("%w: %q and %q spell one folder in two ways", ErrDamaged, prev, p)
		}
		for len(open) > 0 && open[len(open)-1] > common {
			open = open[:len(open)-1]
		}
		for _, length := range open {
			if p[length] == '/' {
				return fmt.Errorf("%w: %q is a file and a folder", ErrDamaged, p[:length])
			}
		}
		open, prev = append(open, len(p)), p
	}
	return nil
}

// sortsBefore is foldCompare(a, b) < 0 for a common prefix that is known.
func sortsBefore(a, b string, common int) bool {
	if common == len(a) || common == len(b) {
		return len(a) < len(b)
	}
	return lower(a[common]) < lower(b[common])
}
