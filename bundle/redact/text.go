package redact

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

// A window of text is scanned at a time; of what lies in its last part, only
// what starts before is masked, so that every match has sight of lookahead
// bytes at least.
const (
	textWindow = 64 << 10
	lookahead  = 8 << 10
)

// text redacts a stream of text in bounded memory.
type text struct {
	src     io.Reader
	scanner *scanner
	counts  counts
	strict  bool // refuse what is not UTF-8 text

	buf   []byte // without NULs, but for a few bytes at its end
	raw   int    // how many of them are yet to be looked at
	nulls nulls
	eof   bool
	spans []span

	// A masked value that had no end in sight goes on: to the end of the line,
	// or, in a private key, to its last line or dropPEM bytes.
	dropLine bool
	dropPEM  int
}

func newText(src io.Reader, s *scanner, strict bool, c counts) *text {
	if !strict {
		src = newMembers(src, c)
	}
	return &text{src: src, scanner: s, strict: strict, counts: c}
}

func (t *text) next(out []byte) ([]byte, error) {
	if err := t.read(); err != nil {
		return out, err
	}
	if t.dropLine {
		t.finishLine()
		return out, nil
	}
	if t.dropPEM > 0 {
		t.finishPEM()
		return out, nil
	}
	if len(t.buf) == 0 && t.eof {
		return out, io.EOF
	}
	t.spans = t.scanner.scan(t.buf, t.spans)
	cut := t.cut()
	done := 0
	for _, sp := range t.spans {
		if sp.from >= cut {
			break
		}
		out = appendMask(append(out, t.buf[done:sp.from]...), sp.rule)
		t.counts[sp.rule]++
		done = sp.to
		if sp.to == len(t.buf) && !t.eof {
			if t.dropLine = !sp.pem; sp.pem {
				t.dropPEM = maxPEM - (sp.to - sp.from)
			}
		}
	}
	out = append(out, t.buf[done:cut]...)
	t.keep(cut)
	return out, nil
}

// read fills the window. Binary data is refused where text is not certain.
func (t *text) read() error {
	if t.buf == nil {
		t.buf = make([]byte, 0, textWindow)
	}
	for idle := 0; !t.eof && len(t.buf) < textWindow; idle++ {
		start := len(t.buf)
		n, err := t.src.Read(t.buf[start:textWindow])
		t.buf = t.buf[:start+n]
		if t.eof = errors.Is(err, io.EOF); err != nil && !t.eof {
			return err
		}
		if n > 0 {
			idle = 0
		} else if idle > maxIdleReads {
			return io.ErrNoProgress
		}
		if !t.strict {
			t.clean(start - t.raw)
		}
	}
	if t.strict && (bytes.IndexByte(t.buf, 0) >= 0 || !validPrefix(t.buf, t.eof)) {
		return failf("binary data of unknown kind")
	}
	return nil
}

const maxIdleReads = 100

// clean takes NULs out of the window from done on.
func (t *text) clean(done int) {
	cleaned, rest, met := t.nulls.clean(t.buf[:done], t.buf[done:], t.eof)
	t.buf, t.raw = append(cleaned, rest...), len(rest)
	if met > 0 {
		t.counts[ruleNUL] += met
	}
}

// validPrefix says whether b is valid UTF-8, but for a rune that more bytes
// may complete at its end.
func validPrefix(b []byte, eof bool) bool {
	for i := 0; i < utf8.UTFMax && i < len(b) && !eof; i++ {
		if last := b[len(b)-1-i]; utf8.RuneStart(last) {
			if !utf8.FullRune(b[len(b)-1-i:]) {
				b = b[:len(b)-1-i]
			}
			break
		}
	}
	return utf8.Valid(b)
}

// cut says up to where the window is safe to give out: the end of a line if
// there is one, and of all that was found by a word before.
func (t *text) cut() int {
	if t.eof {
		return len(t.buf)
	}
	cut := len(t.buf) - lookahead
	if n := bytes.LastIndexByte(t.buf[:cut], '\n'); n >= 0 {
		cut = n + 1
	} else {
		for i := 0; i < utf8.UTFMax && !utf8.RuneStart(t.buf[cut]); i++ {
			cut--
		}
	}
	for again := true; again; {
		again = false
		for _, sp := range t.spans {
			if sp.key < cut && sp.to > cut {
				cut, again = sp.to, true
			}
		}
	}
	return cut
}

func (t *text) finishLine() {
	if n := bytes.IndexByte(t.buf, '\n'); n >= 0 {
		t.keep(n)
		t.dropLine = false
		return
	}
	t.keep(len(t.buf))
	t.dropLine = !t.eof
}

func (t *text) finishPEM() {
	n := pemEnd(t.buf[:min(len(t.buf), t.dropPEM)])
	if n < 0 && len(t.buf) < t.dropPEM && !t.eof {
		n = max(0, len(t.buf)-lookahead)
		t.dropPEM -= n
	} else {
		if n < 0 {
			n = min(len(t.buf), t.dropPEM)
		}
		t.dropPEM = 0
	}
	t.keep(n)
}

// keep forgets the first n bytes of the window.
func (t *text) keep(n int) {
	t.buf = t.buf[:copy(t.buf, t.buf[n:])]
	t.raw = min(t.raw, len(t.buf))
}
