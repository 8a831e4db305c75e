package bundle

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	zstdMagic      = 0xFD2FB528
	skippableMagic = 0x184D2A5E
	seekMagic      = 0x8F92EAB1
	seekHead       = 8 // magic and size of the skippable frame
	seekEntry      = 8 // compressed and uncompressed size of a frame
	seekFoot       = 9 // number of frames, descriptor, magic
	storedBlock    = 128 << 10
)

// storedFrame packs content into a zstd frame of raw blocks: a frame that
// every implementation makes the same.
func storedFrame(content []byte) []byte {
	f := binary.LittleEndian.AppendUint32(nil, zstdMagic)
	f = append(f, 0xA0) // single segment, content size in four bytes, no checksum, no dictionary
	f = binary.LittleEndian.AppendUint32(f, uint32(len(content)))
	for first := true; first || len(content) > 0; first = false {
		n := min(len(content), storedBlock)
		head := uint32(n) << 3
		if n == len(content) {
			head |= 1
		}
		f = append(f, byte(head), byte(head>>8), byte(head>>16))
		f = append(f, content[:n]...)
		content = content[n:]
	}
	return f
}

// storedSize is the length of the stored frame of n bytes.
func storedSize(n int) int { return 9 + n + 3*max(1, (n+storedBlock-1)/storedBlock) }

// openStored takes the content out of a stored frame; any other frame is an error.
func openStored(f []byte) ([]byte, error) {
	var content []byte
	for rest := f[min(9, len(f)):]; len(rest) > 3; {
		n := int(rest[0])>>3 | int(rest[1])<<5 | int(rest[2])<<13
		if n > len(rest)-3 {
			break
		}
		content = append(content, rest[3:3+n]...)
		rest = rest[3+n:]
	}
	if !bytes.Equal(storedFrame(content), f) {
		return nil, fmt.Errorf("%w: not a stored frame", ErrDamaged)
	}
	return content, nil
}

// checkFrame says whether b is exactly one zstd frame that declares size bytes
// and needs no dictionary and no large window.
func checkFrame(b []byte, size int) error {
	var h zstd.Header
	rest, err := h.DecodeAndStrip(b)
	switch {
	case err != nil:
		return fmt.Errorf("%w: zstd frame: %w", ErrDamaged, err)
	case h.Skippable || h.DictionaryID != 0 || !h.HasFCS || h.FrameContentSize != uint64(size) || h.WindowSize > maxWindow:
		return fmt.Errorf("%w: not a plain zstd frame of %d bytes", ErrDamaged, size)
	}
	for last := false; !last; {
		if len(rest) < 3 {
			return fmt.Errorf("%w: zstd frame ends early", ErrDamaged)
		}
		head := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
		n := int(head >> 3)
		if kind := head >> 1 & 3; kind == 1 {
			n = 1 // one byte, repeated
		} else if kind == 3 {
			return fmt.Errorf("%w: zstd block of a reserved kind", ErrDamaged)
		}
		if n > len(rest)-3 {
			return fmt.Errorf("%w: zstd frame ends early", ErrDamaged)
		}
		last, rest = head&1 == 1, rest[3+n:]
	}
	if h.HasCheckSum && len(rest) != 4 || !h.HasCheckSum && len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes after a zstd frame", ErrDamaged, len(rest))
	}
	return nil
}

// newDecoder makes a decoder that bounds memory by the buffer it is given.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxWindow(maxWindow),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(MaxFrame+1))
}

// decodeFrame decompresses one frame of size bytes, at most MaxFrame, into dst.
func decodeFrame(dec *zstd.Decoder, b []byte, size int, dst []byte) ([]byte, error) {
	if size <= 0 || size > MaxFrame {
		return nil, fmt.Errorf("%w: frame of %d bytes", ErrTooLarge, size)
	}
	if err := checkFrame(b, size); err != nil {
		return nil, err
	}
	if cap(dst) < size {
		dst = make([]byte, 0, size)
	}
	out, err := dec.DecodeAll(b, dst[:0:size])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(out) != size {
		return nil, fmt.Errorf("%w: frame of %d bytes holds %d", ErrDamaged, size, len(out))
	}
	return out, nil
}

// extent is the size of a frame, compressed and not.
type extent struct{ packed, size uint32 }

// seekTable is the last frame of a bundle, in zstd's seekable format.
func seekTable(frames []extent) []byte {
	t := binary.LittleEndian.AppendUint32(nil, skippableMagic)
	t = binary.LittleEndian.AppendUint32(t, uint32(len(frames)*seekEntry+seekFoot))
	for _, f := range frames {
		t = binary.LittleEndian.AppendUint32(t, f.packed)
		t = binary.LittleEndian.AppendUint32(t, f.size)
	}
	t = binary.LittleEndian.AppendUint32(t, uint32(len(frames)))
	t = append(t, 0)
	return binary.LittleEndian.AppendUint32(t, seekMagic)
}

// seekTableSize reads the foot of a seek table: the length of the whole table.
func seekTableSize(foot []byte) (int64, error) {
	if len(foot) != seekFoot || binary.LittleEndian.Uint32(foot[5:]) != seekMagic || foot[4] != 0 {
		return 0, fmt.Errorf("%w: no seek table", ErrDamaged)
	}
	n := binary.LittleEndian.Uint32(foot)
	if n > maxFrames {
		return 0, fmt.Errorf("%w: %d frames", ErrTooLarge, n)
	}
	return seekHead + int64(n)*seekEntry + seekFoot, nil
}

// parseSeekTable reads a whole seek table.
func parseSeekTable(t []byte) ([]extent, error) {
	if len(t) < seekHead+seekFoot {
		return nil, fmt.Errorf("%w: no seek table", ErrDamaged)
	}
	size, err := seekTableSize(t[len(t)-seekFoot:])
	if err != nil {
		return nil, err
	}
	if size != int64(len(t)) || binary.LittleEndian.Uint32(t) != skippableMagic || binary.LittleEndian.Uint32(t[4:]) != uint32(size-seekHead) {
		return nil, fmt.Errorf("%w: wrong size", ErrDamaged)
	}
	frames := make([]extent, (size-seekHead-seekFoot)/seekEntry)
	var total int64
	for i := range frames {
		e := t[seekHead+i*seekEntry:]
		frames[i] = extent{binary.LittleEndian.Uint32(e), binary.LittleEndian.Uint32(e[4:])}
		total += int64(frames[i].size)
	}
	if total > MaxTotal+MaxIndex+2*maxProof {
		return nil, fmt.Errorf("%w: %d bytes uncompressed", ErrTooLarge, total)
	}
	return frames, nil
}
