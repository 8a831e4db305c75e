package encrypt

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/casefile-io/casefile/bundle"
)

// The payload of an age file: a nonce, then chunks, each with its tag; the
// number of the chunk and whether it is the last are in its nonce.
const (
	nonceSize = 16
	chunkSize = 64 << 10
	packed    = chunkSize + chacha20poly1305.Overhead
)

// OpenTruncated is [Open] for what is left of a file: r holds everything up to
// the first chunk that does not decrypt, n bytes, and cause says what is wrong
// with the rest; nil is a file that is whole. r is nil when nothing of the file
// can be read. It decrypts the whole file once to find the end, and keeps
// nothing of it.
func OpenTruncated(src io.ReaderAt, size int64, ids Identities) (r io.ReaderAt, n int64, cause error) {
	h, err := openHeader(src, size, ids)
	if err != nil {
		return nil, 0, err
	}
	nonce := make([]byte, nonceSize)
	if got, err := src.ReadAt(nonce, h.length); got < nonceSize {
		return nil, 0, damaged("%w: it ends within the header (%w)", bundle.ErrTruncated, err)
	}
	key, err := hkdf.Key(sha256.New, h.key, nonce, "payload", chacha20poly1305.KeySize)
	if err != nil {
		return nil, 0, err
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, 0, err
	}
	p := &prefix{aead: aead, src: src, at: h.length + nonceSize, end: size, last: -1}
	cause = p.walk()
	return p, p.size, cause
}

// prefix reads the good chunks at the beginning of an age file.
type prefix struct {
	aead  cipher.AEAD
	src   io.ReaderAt
	at    int64 // where the chunks begin
	end   int64 // of the file
	size  int64 // of the plain text
	last  int64 // the chunk that is marked as the last, or -1
	cache atomic.Pointer[opened]
}

// opened is a chunk that was decrypted.
type opened struct {
	n    int64
	data []byte
}

// walk finds the end of what decrypts.
func (p *prefix) walk() error {
	in, out := make([]byte, packed), make([]byte, 0, chunkSize)
	for n := int64(0); ; n++ {
		at := p.at + n*packed
		b := in[:max(0, min(packed, p.end-at))]
		if err := readFull(p.src, b, at); err != nil {
			return damaged("%w: %w", bundle.ErrDamaged, err)
		}
		last, ok := p.try(out, n, b)
		switch {
		case !ok && len(b) < packed:
			return damaged("%w: it ends after %d bytes that can be read", bundle.ErrTruncated, p.size)
		case !ok:
			return damaged("%w: the chunk after %d bytes does not decrypt", bundle.ErrDamaged, p.size)
		}
		p.size += int64(len(b) - chacha20poly1305.Overhead)
		if !last {
			continue
		}
		p.last = n
		if rest := p.end - at - int64(len(b)); rest > 0 {
			return damaged("%w: %d bytes follow the end", bundle.ErrDamaged, rest)
		}
		return nil
	}
}

// try says whether b is chunk n, and whether it is the last one.
func (p *prefix) try(out []byte, n int64, b []byte) (last, ok bool) {
	if len(b) == packed {
		if _, err := p.aead.Open(out, chunkNonce(n, false), b, nil); err == nil {
			return false, true
		}
	}
	if n > 0 && len(b) <= chacha20poly1305.Overhead {
		return false, false // only an empty file has an empty chunk
	}
	_, err := p.aead.Open(out, chunkNonce(n, true), b, nil)
	return true, err == nil
}

// ReadAt is that of io.ReaderAt.
func (p *prefix) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	done := 0
	for done < len(b) && off < p.size {
		data, err := p.chunk(off / chunkSize)
		if err != nil {
			return done, err
		}
		k := copy(b[done:], data[off%chunkSize:])
		done += k
		off += int64(k)
	}
	if done < len(b) {
		return done, io.EOF
	}
	return done, nil
}

// chunk decrypts chunk n, which walk could decrypt.
func (p *prefix) chunk(n int64) ([]byte, error) {
	if c := p.cache.Load(); c != nil && c.n == n {
		return c.data, nil
	}
	at := p.at + n*packed
	b := make([]byte, min(packed, p.end-at))
	if err := readFull(p.src, b, at); err != nil {
		return nil, err
	}
	data, err := p.aead.Open(b[:0], chunkNonce(n, n == p.last), b, nil)
	if err != nil {
		return nil, damaged("%w: the file changed while it was read", bundle.ErrDamaged)
	}
	p.cache.Store(&opened{n, data})
	return data, nil
}

func readFull(src io.ReaderAt, b []byte, at int64) error {
	if n, err := src.ReadAt(b, at); n < len(b) {
		return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
	}
	return nil
}

func chunkNonce(n int64, last bool) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSize)
	binary.BigEndian.PutUint64(nonce[3:11], uint64(n)) //nolint:gosec // chunks are counted from 0
	if last {
		nonce[11] = 1
	}
	return nonce
}
