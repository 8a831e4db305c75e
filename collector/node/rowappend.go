package node

import (
	"io"
	"net/netip"
	"strconv"
	"unicode/utf8"
)

// rowWriter writes the rows of the large tables: hundreds of thousands of
// them, for which encoding/json costs more than asking the kernel.
type rowWriter struct {
	w   io.Writer
	buf []byte
	n   int // rows
}

const rowBuffer = 32 << 10

func newRowWriter(w io.Writer) *rowWriter {
	return &rowWriter{w: w, buf: make([]byte, 0, rowBuffer+4096)}
}

// add writes one row.
func (r *rowWriter) add(row interface{ appendJSON([]byte) []byte }) error {
	r.buf = append(row.appendJSON(r.buf), '\n')
	r.n++
	if len(r.buf) < rowBuffer {
		return nil
	}
	return r.flush()
}

func (r *rowWriter) flush() error {
	_, err := r.w.Write(r.buf)
	r.buf = r.buf[:0]
	return err
}

// The functions below append one member; key is `,"name":`, without the comma
// for the first. Those called Some leave out the zero value, and so does
// appendText.

func appendInt[T ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int](b []byte, key string, v T) []byte {
	return strconv.AppendUint(append(b, key...), uint64(v), 10)
}

func appendSome[T ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int](b []byte, key string, v T) []byte {
	if v == 0 {
		return b
	}
	return appendInt(b, key, v)
}

func appendTrue(b []byte, key string, v bool) []byte {
	if !v {
		return b
	}
	return append(append(b, key...), "true"...)
}

func appendAddr(b []byte, key string, a netip.Addr) []byte {
	b = append(append(b, key...), '"')
	return append(a.AppendTo(b), '"')
}

// appendWord is for text that needs no escapes.
func appendWord(b []byte, key, s string) []byte {
	b = append(append(b, key...), '"')
	return append(append(b, s...), '"')
}

func appendSomeWord(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendWord(b, key, s)
}

// appendText is for what programs chose.
func appendText(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	const hexDigits = "0123456789abcdef"
	b = append(append(b, key...), '"')
	for _, r := range s { // a stray byte becomes utf8.RuneError
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
