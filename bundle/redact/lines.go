package redact

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// What is read whole.
const (
	maxLine     = 8 << 20  // bytes of one line of NDJSON; an API object has 1.5 MiB
	maxDocument = 32 << 20 // bytes of one JSON document
)

// lines redacts NDJSON. A line that is not one JSON value fails the entry.
type lines struct {
	src    *bufio.Reader
	walker *walker
	line   []byte
	n      int
}

func newLines(src io.Reader, s *scanner, hint string, c counts) *lines {
	return &lines{src: bufio.NewReaderSize(src, 64<<10), walker: newWalker(s, hint, c)}
}

func (l *lines) next(out []byte) ([]byte, error) {
	line, err := l.read()
	if err != nil && !errors.Is(err, io.EOF) {
		return out, err
	}
	if len(line) == 0 {
		return out, err
	}
	l.n++
	body := bytes.TrimRight(line, "\r\n")
	if len(bytes.TrimSpace(body)) > 0 {
		var bad error
		if out, bad = l.walker.append(out, body); bad != nil {
			return out, failf("line %d: %w", l.n, bad)
		}
	}
	return append(out, line[len(body):]...), err
}

func (l *lines) read() ([]byte, error) {
	l.line = l.line[:0]
	for {
		part, err := l.src.ReadSlice('\n')
		if len(l.line) == 0 && err == nil {
			return part, nil
		}
		l.line = append(l.line, part...)
		if len(l.line) > maxLine {
			return nil, failf("line %d is longer than %d bytes", l.n+1, maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.line, err
		}
	}
}

// document redacts one JSON document.
type document struct {
	src    io.Reader
	walker *walker
}

func newDocument(src io.Reader, s *scanner, hint string, c counts) *document {
	return &document{src: src, walker: newWalker(s, hint, c)}
}

func (d *document) next(out []byte) ([]byte, error) {
	all, err := readDocument(d.src)
	if err != nil {
		return out, err
	}
	out, err = d.walker.append(out, all)
	if err != nil {
		return out, failf("%w", err)
	}
	return out, io.EOF
}

func readDocument(src io.Reader) ([]byte, error) {
	all, err := io.ReadAll(io.LimitReader(src, maxDocument+1)) //nolint:forbidigo // bounded by the LimitReader
	if err == nil && len(all) > maxDocument {
		err = failf("the document is longer than %d bytes", maxDocument)
	}
	return all, err
}
