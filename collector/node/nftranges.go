package node

import (
	"bytes"
	"slices"
)

// ranges joins the two elements that a range of addresses or ports is in the
// kernel, the start and the one behind the end, into one row. The kernel tells
// the highest first, so that an end comes before its start.
type ranges struct {
	types setTypes
	end   *nftRow
	emit  func(nftRow) error
}

func (r *ranges) add(row nftRow) error {
	if !slices.Contains(row.Flags, elementEnd) {
		end := r.end
		r.end = nil
		switch {
		case end == nil:
		case len(end.raw) == len(row.raw) && bytes.Compare(end.raw, row.raw) > 0:
			if last := r.types.key.text(before(end.raw)); last != row.Key {
				row.KeyEnd = last
			}
		default: // no pair: tell both as they are
			if err := r.emit(*end); err != nil {
				return err
			}
		}
		return r.emit(row)
	}
	if err := r.close(); err != nil {
		return err
	}
	row.raw = bytes.Clone(row.raw)
	r.end = &row
	return nil
}

// close tells an end without a start; that of the range below the first one
// means nothing.
func (r *ranges) close() error {
	end := r.end
	r.end = nil
	if end == nil || allZero(end.raw) {
		return nil
	}
	return r.emit(*end)
}

// before is the number before the one in b, which is not zero.
func before(b []byte) []byte {
	b = bytes.Clone(b)
	for i := len(b) - 1; i >= 0; i-- {
		b[i]--
		if b[i] != 0xff {
			break
		}
	}
	return b
}
