package bundle

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
)

const (
	maxStored   = maxProof + 8*block       // uncompressed, of any frame
	scanWindow  = maxStored + 16<<10       // compressed, of any frame
	scanBuffer  = 8 << 20                  // of the file
	scanBudget  = 4*MaxTotal + 64*MaxFrame // bytes decoded, false starts among them
	scanBlocks  = 1 << 12                  // blocks of a frame
	scanBorders = int64(1) << 30           // blocks looked at where a frame might begin
)

// scanned is one frame of a file that may be damaged.
type scanned struct {
	n        int // its number
	from, to int64
	size     int    // of its content as it declares; -1 when even that is unknown
	sure     bool   // to is where it ends, and not only where the next good frame begins
	data     []byte // until the next call
	err      error
}

// walker finds the frames of a file that may be damaged: where the seek table
// says when there is one, else by walking over their blocks, and behind damage
// by looking for the next frame that can be decoded.
type walker struct {
	ctx     context.Context
	src     *bufio.Reader
	at, end int64
	n       int
	borders []int64 // ends of the frames, by the seek table; nil without one
	table   bool    // the file ends in a seek table
	dec     *zstd.Decoder
	scratch []byte
	budget  int64
	looked  int64
}

func newWalker(ctx context.Context, src io.ReaderAt, size int64) (*walker, error) {
	dec, err := newDecoder()
	if err != nil {
		return nil, err
	}
	w := &walker{ctx: ctx, src: bufio.NewReaderSize(io.NewSectionReader(src, 0, size), scanBuffer), end: size,
		dec: dec, scratch: make([]byte, 0, MaxFrame), budget: scanBudget}
	if t, err := readSeekTable(src, size); err == nil && !slices.ContainsFunc(t.frames, func(e extent) bool { return e.packed == 0 }) {
		w.borders, w.table, w.end = t.offsets[1:], true, t.offsets[len(t.frames)]
	}
	return w, nil
}

// next gives the next frame, or io.EOF. Other errors are those of reading.
func (w *walker) next() (scanned, error) {
	if err := w.ctx.Err(); err != nil {
		return scanned{}, err
	}
	f := scanned{n: w.n, from: w.at, sure: true}
	if w.at >= w.end {
		return f, io.EOF
	}
	b, err := w.peek()
	if err != nil {
		return f, err
	}
	if w.borders == nil && w.onlyTable(b) {
		return f, io.EOF
	}
	w.n++
	length := 0
	length, f.size, f.err = frameLength(b, int64(len(b)) == w.end-w.at)
	if w.borders != nil {
		return w.bordered(f, b, length)
	}
	if f.err == nil {
		f.data, f.err = w.open(b[:length], f.size)
	}
	switch {
	case f.err == nil || length > 0 && beginsFrame(b[length:], w.at+int64(length) == w.end):
		f.to = w.at + int64(length)
		return f, w.discard(length)
	case errors.Is(f.err, ErrTooLarge) && w.budget < 0:
		return f, f.err
	}
	f.sure = false
	err = w.resync()
	if f.to = w.at; f.to < w.end && errors.Is(f.err, ErrTruncated) {
		f.err = fmt.Errorf("%w: its blocks lead nowhere", ErrDamaged)
	}
	return f, err
}

// onlyTable says whether nothing but a seek table, cut off or damaged, is left
// of the file that goes on with b.
func (w *walker) onlyTable(b []byte) bool {
	magic := binary.LittleEndian.AppendUint32(nil, skippableMagic)
	if len(b) < seekHead {
		return bytes.HasPrefix(b, magic[:min(len(b), len(magic))])
	}
	return bytes.HasPrefix(b, magic) && int64(binary.LittleEndian.Uint32(b[4:])) >= w.end-w.at-seekHead
}

// bordered ends a frame where the seek table says.
func (w *walker) bordered(f scanned, b []byte, length int) (scanned, error) {
	f.to = w.borders[f.n]
	n := f.to - w.at
	switch {
	case f.err == nil && n != int64(length):
		f.err = fmt.Errorf("%w: it does not end where the seek table says", ErrDamaged)
	case f.err == nil:
		f.data, f.err = w.open(b[:length], f.size)
	}
	if n <= int64(len(b)) {
		return f, w.discard(int(n))
	}
	w.at = f.to
	_, err := io.CopyN(io.Discard, w.src, n)
	return f, err
}

// peek shows what lies ahead, as much as a frame may have.
func (w *walker) peek() ([]byte, error) {
	b, err := w.src.Peek(int(min(scanWindow, w.end-w.at)))
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: the file became shorter while it was read", ErrTruncated)
	}
	return b, err
}

func (w *walker) discard(n int) error {
	w.at += int64(n)
	_, err := w.src.Discard(n)
	return err
}

// resync goes on to the next frame that can be decoded, or to the end.
func (w *walker) resync() error {
	skip := 1
	for {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if err := w.discard(int(min(int64(skip), w.end-w.at))); err != nil {
			return err
		}
		b, err := w.peek()
		if err != nil || len(b) == 0 {
			return err
		}
		at := bytes.Index(b, []byte{0x28, 0xB5, 0x2F, 0xFD})
		if at < 0 {
			skip = max(1, len(b)-3)
			continue
		}
		if err := w.discard(at); err != nil {
			return err
		}
		if b, err = w.peek(); err != nil {
			return err
		}
		if w.looked += scanBlocks / 64; w.looked > scanBorders {
			return fmt.Errorf("%w: too many places where a frame might begin", ErrTooLarge)
		}
		skip = 1
		length, size, err := frameLength(b, int64(len(b)) == w.end-w.at)
		if err != nil {
			continue
		}
		if _, err := w.open(b[:length], size); err == nil {
			return nil
		} else if w.budget < 0 {
			return err
		}
	}
}

// open decodes a whole frame.
func (w *walker) open(b []byte, size int) ([]byte, error) {
	if w.budget -= int64(size); w.budget < 0 {
		return nil, fmt.Errorf("%w: more than %d bytes uncompressed", ErrTooLarge, int64(scanBudget))
	}
	if size > MaxFrame {
		data, err := openStored(b)
		if err == nil && len(data) != size {
			err = fmt.Errorf("%w: a stored frame of %d bytes says %d", ErrDamaged, len(data), size)
		}
		return data, err
	}
	return decodeFrame(w.dec, b, size, w.scratch)
}

// frameLength walks over the blocks of the frame that b begins with: its
// length, and the size of its content. last says that the file ends with b.
func frameLength(b []byte, last bool) (length, size int, err error) {
	var h zstd.Header
	rest, err := h.DecodeAndStrip(b)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return 0, -1, fmt.Errorf("%w: it is cut off", ErrTruncated)
	case err != nil:
		return 0, -1, fmt.Errorf("%w: no zstd frame: %w", ErrDamaged, err)
	case h.Skippable || h.DictionaryID != 0 || !h.HasFCS || h.FrameContentSize == 0 || h.FrameContentSize > maxStored || h.WindowSize > maxWindow:
		return 0, -1, fmt.Errorf("%w: a zstd frame that no bundle has", ErrDamaged)
	}
	size = int(h.FrameContentSize)
	for n := 0; n < scanBlocks; n++ {
		next, end, ok := cutBlock(rest)
		switch {
		case !ok && last && (len(rest) < 3 || rest[0]>>1&3 != 3):
			return 0, size, fmt.Errorf("%w: it is cut off", ErrTruncated)
		case !ok:
			return 0, size, fmt.Errorf("%w: its blocks lead nowhere", ErrDamaged)
		}
		rest = next
		if !end {
			continue
		}
		sum := 0
		if h.HasCheckSum {
			sum = 4
		}
		if len(rest) < sum {
			return 0, size, fmt.Errorf("%w: it is cut off", ErrTruncated)
		}
		return len(b) - len(rest) + sum, size, nil
	}
	return 0, size, fmt.Errorf("%w: a frame of too many blocks", ErrDamaged)
}

// cutBlock takes the first block off.
func cutBlock(b []byte) (rest []byte, last, ok bool) {
	if len(b) < 3 {
		return nil, false, false
	}
	head := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	n := int(head >> 3)
	switch head >> 1 & 3 {
	case 1:
		n = 1 // one byte, repeated
	case 3:
		return nil, false, false
	}
	if n > len(b)-3 {
		return nil, false, false
	}
	return b[3+n:], head&1 == 1, true
}

// beginsFrame says whether a frame may begin here; at the end of the file none need.
func beginsFrame(b []byte, end bool) bool {
	if len(b) < 4 {
		return end
	}
	m := binary.LittleEndian.Uint32(b)
	return m == zstdMagic || m == skippableMagic
}
