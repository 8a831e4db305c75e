package redact

import (
	"bytes"
	"errors"
	"io"

	"github.com/casefile-io/casefile/bundle/redact/pseudonym"
)

// strictText maps names and addresses in a stream of text, in bounded memory:
// whole lines, or, where there are none, all but the last bytes of what it has.
type strictText struct {
	inner   step
	mapper  *pseudonym.Mapper
	counts  counts
	columns columns // of a file of the kernel, nil otherwise
	hosted  bool    // each line names its host behind the time, as those of the journal do

	buf  []byte
	from int // buf[:from] is given out, and context
	eof  bool

	certificates certificates
}

// strictContext is how much of what was given out a mapper may look back at.
const strictContext = 32

func (t *strictText) next(out []byte) ([]byte, error) {
	if !t.eof {
		var err error
		t.buf, err = t.inner.next(t.buf)
		if t.eof = errors.Is(err, io.EOF) && !errors.Is(err, ErrRedaction); err != nil && !t.eof {
			return out, err
		}
	}
	cut := len(t.buf)
	if !t.eof {
		if cut = t.from + bytes.LastIndexByte(t.buf[t.from:], '\n') + 1; cut == t.from {
			cut = max(t.from, len(t.buf)-pseudonym.Lookahead)
		}
	}
	piece := t.certificates.mask(t.buf[t.from:cut], t.counts)
	if t.hosted {
		piece = mapLineHosts(t.mapper, piece, t.counts)
	}
	if !bytes.Equal(piece, t.buf[t.from:cut]) {
		rest := append(piece, t.buf[cut:]...)
		t.buf, cut = append(t.buf[:t.from], rest...), t.from+len(piece)
	}
	if t.columns != nil {
		t.columns.lines(t.mapper, t.buf[t.from:cut], t.counts)
	}
	out, t.from = t.mapper.Window(out, t.buf, t.from, cut, t.counts)
	if keep := min(t.from, strictContext); t.from > keep {
		t.buf = t.buf[:copy(t.buf, t.buf[t.from-keep:])]
		t.from = keep
	}
	if t.eof && t.from == len(t.buf) {
		return out, io.EOF
	}
	return out, nil
}
