package bundle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// checkPath says whether p (without the top folder) may name an entry:
// relative, slash-separated, UTF-8 in normal form C, within the limits, and
// harmless on every common file system.
func checkPath(p string) error {
	_, err := scanPath(p, 0)
	return err
}

// scanPath is checkPath and says whether p is ASCII. The elements that end
// before from were checked before and are ASCII.
func scanPath(p string, from int) (ascii bool, err error) {
	if len(p) == 0 || len(p) > MaxPath {
		return false, fmt.Errorf("%w: %d bytes long", ErrPath, len(p))
	}
	ascii = true
	for begin, depth := from, 1+strings.Count(p[:from], "/"); begin <= len(p); depth++ {
		end := begin
		for end < len(p) && p[end] != '/' {
			end++
		}
		plain, err := checkElement(p[begin:end])
		if err != nil {
			return false, fmt.Errorf("%w: %q: %w", ErrPath, p, err)
		}
		if depth > MaxDepth {
			return false, fmt.Errorf("%w: %q: more than %d folders deep", ErrPath, p, MaxDepth)
		}
		ascii, begin = ascii && plain, end+1
	}
	if !ascii && !norm.NFC.IsNormalString(p) {
		return false, fmt.Errorf("%w: %q: not in Unicode normal form C", ErrPath, p)
	}
	return ascii, nil
}

type pathError string

func (e pathError) Error() string { return string(e) }

// checkElement checks one element of a path but for its normal form.
func checkElement(e string) (ascii bool, err error) {
	if len(e) == 0 || len(e) > MaxElement {
		return false, pathError("an element is empty or too long")
	}
	ascii = true
	for i := 0; i < len(e); i++ {
		if c := e[i]; c >= utf8.RuneSelf {
			ascii = false
		} else if refused(c) {
			return false, pathError("a control character or one of < > : \" | ? * \\")
		}
	}
	if last := e[len(e)-1]; last == '.' || last == ' ' {
		return false, pathError("an element ends in a dot or a space")
	}
	if device(e) {
		return false, pathError("a device name of Windows")
	}
	if !ascii {
		if !utf8.ValidString(e) {
			return false, pathError("not UTF-8")
		}
		if strings.ContainsFunc(e, invisible) {
			return false, pathError("an invisible character")
		}
	}
	return ascii, nil
}

// The ASCII bytes that may not stand in an element, one bit each: controls and
// " * / : < > ? below 64, \ | DEL above.
const (
	refusedLow  = 1<<32 - 1 | 1<<'"' | 1<<'*' | 1<<'/' | 1<<':' | 1<<'<' | 1<<'>' | 1<<'?'
	refusedHigh = 1<<('\\'-64) | 1<<('|'-64) | 1<<(0x7f-64)
)

// refused says whether an ASCII byte may not stand in an element.
func refused(c byte) bool {
	if c < 64 {
		return uint64(refusedLow)>>c&1 == 1
	}
	return uint64(refusedHigh)>>(c-64)&1 == 1
}

// invisible finds what could deceive a reader: controls, bidirectional and
// other format characters, line separators.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// device finds the names that Windows gives to devices, with any extension.
func device(e string) bool {
	switch lower(e[0]) {
	case 'a', 'c', 'l', 'n', 'p':
	default:
		return false
	}
	n := 0
	for n < len(e) && n < 16 && e[n] != '.' {
		n++
	}
	stem := strings.TrimRight(e[:n], " ")
	switch len(stem) {
	case 3, 4:
		port := len(stem) == 4
		if port && (stem[3] < '0' || stem[3] > '9') {
			return false
		}
		switch [3]byte{lower(stem[0]), lower(stem[1]), lower(stem[2])} {
		case [3]byte{'c', 'o', 'n'}, [3]byte{'p', 'r', 'n'}, [3]byte{'a', 'u', 'x'}, [3]byte{'n', 'u', 'l'}:
			return !port
		case [3]byte{'c', 'o', 'm'}, [3]byte{'l', 'p', 't'}:
			return port
		}
	case 6, 7:
		return strings.EqualFold(stem, "conin$") || strings.EqualFold(stem, "conout$")
	}
	return false
}

// EscapePath makes one element of a path (not a whole path) acceptable: bytes
// that the format refuses become %XX, so that 0000:00:1f.6 is 0000%3A00%3A1f.6;
// what is beyond 255 bytes is cut and ends in %~ and a hash. An element that
// is acceptable comes back as it is.
func EscapePath(element string) string {
	if acceptable(element) {
		return element
	}
	if element == "" {
		return "%"
	}
	escaped := escapeBytes(element, !utf8.ValidString(element) || !norm.NFC.IsNormalString(element))
	if !norm.NFC.IsNormalString(escaped) { // a mark that would join the last digit of an escape
		escaped = escapeBytes(element, true)
	}
	if len(escaped) <= MaxElement && acceptable(escaped) {
		return escaped
	}
	return shorten(element, escaped)
}

// escapeBytes escapes what the format refuses; foreign: all beyond ASCII too.
func escapeBytes(element string, foreign bool) string {
	var b strings.Builder
	meaning := -1 // where a name begins to mean something of its own
	if p, ok := partOf(element); ok {
		meaning = len(p.base)
	} else if device(element) {
		meaning = 0
	}
	for i := 0; i < len(element); {
		r, n := utf8.DecodeRuneInString(element[i:])
		escape := n == 1 && (refused(element[i]) || element[i] == '%')
		escape = escape || r >= utf8.RuneSelf && (foreign || !unicode.IsGraphic(r) || invisible(r))
		escape = escape || i == meaning || i+n == len(element) && (r == '.' || r == ' ')
		for _, c := range []byte(element[i : i+n]) {
			if escape {
				fmt.Fprintf(&b, "%%%02X", c)
			} else {
				b.WriteByte(c)
			}
		}
		i += n
	}
	return b.String()
}

func acceptable(e string) bool {
	if _, err := checkElement(e); err != nil {
		return false
	}
	if _, part := partOf(e); part {
		return false
	}
	return norm.NFC.IsNormalString(e) && !strings.ContainsFunc(e, func(r rune) bool { return !unicode.IsGraphic(r) })
}

// shorten cuts an escaped element at a border between characters.
func shorten(element, escaped string) string {
	cut := min(len(escaped), 200)
	for cut > 0 && cut < len(escaped) && !utf8.RuneStart(escaped[cut]) {
		cut--
	}
	if i := strings.LastIndexByte(escaped[:cut], '%'); i >= 0 && cut-i < 3 {
		cut = i
	}
	sum := sha256.Sum256([]byte(element))
	return escaped[:cut] + "%~" + hex.EncodeToString(sum[:8])
}

// escapePath escapes the elements of a whole path. What points elsewhere
// (absolute, empty elements, dots) is an error and not escaped.
func escapePath(p string) (string, error) {
	elements := strings.Split(p, "/")
	for i, e := range elements {
		if e == "" || e == "." || e == ".." {
			return "", fmt.Errorf("%w: %q is not a clean relative path", ErrPath, p)
		}
		elements[i] = EscapePath(e)
	}
	p = strings.Join(elements, "/")
	return p, checkPath(p)
}

// part is a piece of an entry that was cut: x.part0001, x.part0002.end.
type part struct {
	base string // path of the whole entry
	n    int    // from 1
	end  bool   // the last one
}

const partDigits = len(".part0000")

// partOf takes the reserved suffix of a part apart.
func partOf(p string) (part, bool) {
	if n := len(p); n == 0 || p[n-1] != 'd' && (p[n-1] < '0' || p[n-1] > '9') {
		return part{}, false
	}
	rest, end := strings.CutSuffix(p, ".end")
	at := len(rest) - partDigits
	if at < 0 || rest[at:at+5] != ".part" {
		return part{}, false
	}
	n := 0
	for _, c := range []byte(rest[at+5:]) {
		if c < '0' || c > '9' {
			return part{}, false
		}
		n = n*10 + int(c-'0')
	}
	return part{base: rest[:at], n: n, end: end}, true
}

func (p part) String() string {
	s := fmt.Sprintf("%s.part%04d", p.base, p.n)
	if p.end {
		s += ".end"
	}
	return s
}

// lower folds an ASCII byte.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// common is the length of the common prefix of a and b.
func common(a, b string) int {
	n := min(len(a), len(b))
	x, y := unsafe.Slice(unsafe.StringData(a), n), unsafe.Slice(unsafe.StringData(b), n) // only read
	i := 0
	for ; i+8 <= n; i += 8 {
		if d := binary.LittleEndian.Uint64(x[i:]) ^ binary.LittleEndian.Uint64(y[i:]); d != 0 {
			return i + bits.TrailingZeros64(d)/8
		}
	}
	for ; i < n && x[i] == y[i]; i++ {
	}
	return i
}

// foldCommon is the length of the common prefix of a and b, ASCII case aside.
func foldCommon(a, b string) int {
	n := min(len(a), len(b))
	a, b = a[:n], b[:n]
	for i := range len(a) {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return i
		}
	}
	return n
}

// foldCompare is the order of the index: bytewise, ASCII letters as lower
// case. It rests on no Unicode table, so that it never changes.
func foldCompare(a, b string) int {
	i := foldCommon(a, b)
	if i < len(a) && i < len(b) {
		return int(lower(a[i])) - int(lower(b[i]))
	}
	return len(a) - len(b)
}

// foldKey is equal for paths that a case-insensitive or normalising file
// system takes for the same.
func foldKey(p string) string {
	plain := true
	for i := 0; i < len(p); i++ {
		if p[i] >= utf8.RuneSelf {
			return norm.NFC.String(cases.Fold().String(norm.NFC.String(p)))
		}
		plain = plain && (p[i] < 'A' || p[i] > 'Z')
	}
	if plain {
		return p
	}
	return strings.ToLower(p)
}
