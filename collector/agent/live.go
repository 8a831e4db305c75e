package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxPiece bounds a piece of a live capture.
const maxPiece = 1 << 20

// WritePiece writes some of the capture at path; the F records of a live plan
// are such pieces, one behind the other.
func WritePiece(w io.Writer, path string, data []byte) error {
	for len(data) > 0 {
		some := data[:min(len(data), maxPiece)]
		data = data[len(some):]
		b := binary.BigEndian.AppendUint16(make([]byte, 0, 6+len(path)+len(some)), uint16(len(path)))
		b = binary.BigEndian.AppendUint32(b, uint32(len(some)))
		if _, err := w.Write(append(append(b, path...), some...)); err != nil {
			return err
		}
	}
	return nil
}

// ReadPieces hands the pieces in r to fn until r ends. Paths are below the
// prefixes; otherwise it is an error.
func ReadPieces(r io.Reader, prefixes []string, fn func(path string, data []byte) error) error {
	var head [6]byte
	var buf []byte
	for {
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		n, size := int(binary.BigEndian.Uint16(head[:])), int(binary.BigEndian.Uint32(head[2:]))
		if n > maxPath || size > maxPiece {
			return fmt.Errorf("%w: a piece of %d bytes", ErrProtocol, size)
		}
		if cap(buf) < n+size {
			buf = make([]byte, n+size)
		}
		buf = buf[:n+size]
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("%w: a piece is cut: %w", ErrProtocol, err)
		}
		path := string(buf[:n])
		if !below(prefixes, path) || clean(path, maxPath) != path {
			return fmt.Errorf("%w: a capture outside of its own folders", ErrProtocol)
		}
		if err := fn(path, buf[n:]); err != nil {
			return err
		}
	}
}
