package journal

import (
	"encoding/binary"
	"fmt"
)

// unpackLZ4 unpacks an LZ4 block into dst, until one of them ends, and gives the
// number of bytes. It is our own since it reads what strangers write, as root,
// and stops where enough is known; libraries want room for all of a block, and
// unpack in assembler.
//
// A block is sequences: a token with the lengths of literals and of a match
// (15 goes on in further bytes), the literals, the distance of the match.
func unpackLZ4(dst, src []byte) (int, error) {
	n := 0
	for len(src) > 0 {
		token := src[0]
		length, rest, ok := lengthLZ4(int(token>>4), src[1:])
		if !ok || length > len(rest) {
			return 0, fmt.Errorf("%w: LZ4 literals", ErrDamage)
		}
		n += copy(dst[n:], rest[:length])
		if src = rest[length:]; len(src) == 0 || n == len(dst) {
			return n, nil // the last sequence has no match
		}
		if len(src) < 2 {
			return 0, fmt.Errorf("%w: an LZ4 match", ErrDamage)
		}
		back := int(binary.LittleEndian.Uint16(src))
		if length, src, ok = lengthLZ4(int(token&15), src[2:]); !ok || back == 0 || back > n {
			return 0, fmt.Errorf("%w: an LZ4 match", ErrDamage)
		}
		for end := min(n+length+4, len(dst)); n < end; { // what it copies may be what it has just written
			n += copy(dst[n:end], dst[n-back:n])
		}
		if n == len(dst) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: LZ4 without an end", ErrDamage)
}

// lengthLZ4 reads what a length of 15 goes on with.
func lengthLZ4(n int, src []byte) (int, []byte, bool) {
	if n < 15 {
		return n, src, true
	}
	for i, c := range src {
		if n += int(c); c < 255 {
			return n, src[i+1:], true
		}
	}
	return 0, nil, false
}
