package journal

import (
	"fmt"
	"io"
)

const (
	blockSize = 4 << 10
	blocks    = 512
)

// cache keeps blocks of the files, since the values that most entries share
// are read again and again. A file is not mapped into memory: reading one that
// is cut meanwhile would end the process.
type cache struct {
	slots   [blocks]slot
	scratch []byte
}

type slot struct {
	file  *file
	block int64
	n     int // bytes in it
	b     []byte
}

// read gives n bytes that are within the file. They are good until the next
// read.
func (c *cache) read(f *file, at int64, n int) ([]byte, error) {
	if first := at / blockSize; n > 0 && first == (at+int64(n)-1)/blockSize {
		b, err := c.block(f, first)
		if off := int(at % blockSize); err == nil && off+n <= len(b) {
			return b[off : off+n], nil
		}
	}
	if cap(c.scratch) < n {
		c.scratch = make([]byte, n)
	}
	b := c.scratch[:n]
	for done := 0; done < n; {
		if n-done >= 2*blockSize { // much of it: past the cache
			return b, readAt(f, b[done:], at+int64(done))
		}
		block, err := c.block(f, (at+int64(done))/blockSize)
		if err != nil {
			return nil, err
		}
		off := int((at + int64(done)) % blockSize)
		if off >= len(block) {
			return nil, fmt.Errorf("%w: it was cut while it was read", ErrDamage)
		}
		done += copy(b[done:], block[off:])
	}
	return b, nil
}

func (c *cache) block(f *file, block int64) ([]byte, error) {
	s := &c.slots[uint64(block*31+int64(f.index)*17)%blocks]
	if s.file == f && s.block == block {
		return s.b[:s.n], nil
	}
	if s.b == nil {
		s.b = make([]byte, blockSize)
	}
	s.file = nil
	n := int(min(blockSize, f.Size-block*blockSize))
	if err := readAt(f, s.b[:n], block*blockSize); err != nil {
		return nil, err
	}
	s.file, s.block, s.n = f, block, n
	return s.b[:n], nil
}

func readAt(f *file, b []byte, at int64) error {
	if n, err := f.R.ReadAt(b, at); n < len(b) {
		if err == nil || err == io.EOF {
			err = ErrDamage
		}
		return fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
	}
	return nil
}
