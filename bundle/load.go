package bundle

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// load gives the content of data frame i: read, hash compared, decompressed.
// It must not be changed.
func (r *Reader) load(i int) ([]byte, error) {
	if data, ok := r.cached(i); ok {
		return data, nil
	}
	data, err := r.decode(i, nil)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cache) == cacheFrames {
		r.cache = slices.Delete(r.cache, 0, 1)
	}
	r.cache = append(r.cache, cached{i, data})
	return data, nil
}

// cached gives a frame that was read lately, and makes it the latest.
func (r *Reader) cached(i int) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at := len(r.cache) - 1; at >= 0; at-- {
		if c := r.cache[at]; c.chunk == i {
			copy(r.cache[at:], r.cache[at+1:])
			r.cache[len(r.cache)-1] = c
			return c.data, true
		}
	}
	return nil, false
}

// decode reads data frame i past the cache, into dst if that is large enough.
func (r *Reader) decode(i int, dst []byte) ([]byte, error) {
	c := r.chunks[i]
	packed, err := readFull(r.src, make([]byte, c.packed), r.offsets[i])
	if err != nil {
		return nil, &DamageError{Part: fmt.Sprint("chunk ", i), Err: err}
	}
	if sha256.Sum256(packed) != c.sum {
		return nil, damaged(fmt.Sprint("chunk ", i), "its hash is not the one in the index")
	}
	data, err := decodeFrame(r.dec, packed, int(c.size), dst)
	if err != nil {
		return nil, &DamageError{Part: fmt.Sprint("chunk ", i), Err: err}
	}
	return data, nil
}
