package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz/lzma"
)

// How an object is compressed.
const (
	packedXZ   = 1
	packedLZ4  = 2
	packedZSTD = 4
)

const (
	maxPacked = 1 << 20 // bytes of one value, compressed
	maxWindow = 8 << 20 // memory of a zstd or xz stream
)

// unpacker undoes the compression of values.
type unpacker struct {
	zstd *zstd.Decoder
	buf  []byte
}

func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

// unpack gives the first limit bytes of a value, and whether there are more.
// They are good until the next call.
func (u *unpacker) unpack(b []byte, flags byte, limit int) (value []byte, cut bool, err error) {
	switch flags & 7 {
	case packedLZ4:
		if len(b) <= 8 { // the size comes first
			return nil, false, fmt.Errorf("%w: %d bytes of LZ4", ErrDamage, len(b))
		}
		u.grow(limit + 1)
		n, err := unpackLZ4(u.buf[:limit+1], b[8:])
		if err != nil {
			return nil, false, err
		}
		return u.buf[:min(n, limit)], n > limit, nil
	case packedXZ:
		r, err := openXZ(b)
		if err != nil {
			return nil, false, err
		}
		return u.stream(r, limit)
	case packedZSTD:
		if u.zstd == nil {
			u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, false, err
			}
		}
		if err := u.zstd.Reset(bytes.NewReader(b)); err != nil {
			return nil, false, fmt.Errorf("%w: %w", ErrDamage, err)
		}
		return u.stream(u.zstd, limit)
	}
	return nil, false, fmt.Errorf("%w: compressed in several ways", ErrDamage)
}

func (u *unpacker) stream(r io.Reader, limit int) ([]byte, bool, error) {
	u.grow(limit + 1)
	n, err := io.ReadFull(r, u.buf[:limit+1])
	switch {
	case err == nil:
		return u.buf[:limit], true, nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return u.buf[:n], false, nil
	}
	return nil, false, fmt.Errorf("%w: %w", ErrDamage, err)
}

func (u *unpacker) grow(n int) {
	if len(u.buf) < n {
		u.buf = make([]byte, n)
	}
}

// openXZ opens the first block of a stream, which is all that systemd writes. It
// has one filter, LZMA2. The stream's own reader would allocate whatever
// dictionaries its blocks ask for.
func openXZ(b []byte) (io.Reader, error) {
	const streamHeader, lzma2 = 12, 0x21
	if len(b) < streamHeader+8 {
		return nil, fmt.Errorf("%w: %d bytes of xz", ErrDamage, len(b))
	}
	block := b[streamHeader:]
	size := (int(block[0]) + 1) * 4
	if size > len(block) || block[1] != 0 || block[2] != lzma2 || block[3] != 1 {
		return nil, fmt.Errorf("%w: an xz block with flags %#x", ErrDamage, block[1])
	}
	bits := block[4]
	dictionary := int64(2|bits&1) << (bits/2 + 11)
	if bits > 40 || dictionary > maxWindow {
		return nil, fmt.Errorf("%w: an xz block with a dictionary of %d bytes", ErrDamage, dictionary)
	}
	r, err := lzma.Reader2Config{DictCap: int(dictionary)}.NewReader2(bytes.NewReader(block[size:]))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamage, err)
	}
	return r, nil
}
