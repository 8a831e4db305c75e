package bundle

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// recut stores an entry that came in parts, cut where it was before, so that
// parts that did not change are as they were. It takes all of src before it
// stores anything.
func (d *deriver) recut(n node, path string, src io.Reader) error {
	h, err := d.hold(src)
	if err != nil {
		return err
	}
	defer h.spool.close()
	if h.dec, err = newDecoder(); err != nil {
		return err
	}
	defer h.dec.Close()
	left := h.size
	for i, e := range n.parts {
		size := min(left, e.size)
		if i == len(n.parts)-1 {
			size = left
		}
		left -= size
		last := i == len(n.parts)-1 || left == 0 && h.size != n.size
		p := part{base: path, n: i + 1, end: last && !n.truncated}.String()
		if err := d.store(p, e.path, d.class(n.parts[0]), io.LimitReader(h, size)); err != nil {
			if i > 0 {
				return fmt.Errorf("only %d parts of it: %v", i, err) //nolint:errorlint // half an entry is stored: nobody may go on
			}
			return err
		}
		if last {
			break
		}
	}
	return nil
}

// held is content that waits, compressed, in memory or in the file of a spool.
type held struct {
	spool *spool
	size  int64
	dec   *zstd.Decoder
	data  []byte // of the frame that is being read
}

func (d *deriver) hold(src io.Reader) (*held, error) {
	h := &held{spool: &spool{dir: d.o.SpoolDir}}
	for {
		buf := d.w.packer.buffer()
		n, last, err := fill(src, buf)
		if h.size += int64(n); h.size > MaxFile && err == nil {
			err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, int64(MaxFile))
		}
		if err != nil {
			d.w.packer.recycle(buf)
			h.spool.close()
			return nil, err
		}
		if n == 0 {
			d.w.packer.recycle(buf)
		} else if err := h.spool.add(d.w.packer.start(buf[:n])); err != nil {
			h.spool.close()
			return nil, err
		}
		if last {
			return h, nil
		}
	}
}

// Read reads what is held once, from its beginning.
func (h *held) Read(p []byte) (int, error) {
	for len(h.data) == 0 {
		if len(h.spool.frames) == 0 {
			return 0, io.EOF
		}
		f := h.spool.frames[0]
		h.spool.frames = h.spool.frames[1:]
		packed, err := f.bytes()
		if err != nil {
			return 0, err
		}
		if h.data, err = h.dec.DecodeAll(packed, make([]byte, 0, f.size)); err != nil {
			return 0, fmt.Errorf("spool: %w", err)
		}
	}
	n := copy(p, h.data)
	h.data = h.data[n:]
	return n, nil
}
