package meter

import (
	"errors"
	"fmt"
	"math"
)

var errTruncated = errors.New("the module is cut off or damaged")

// reader reads the primitives of the format; the first error stands, and after
// it everything reads as zero.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) more() bool { return r.err == nil && r.at < len(r.b) }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) byte() byte {
	if r.err != nil || r.at >= len(r.b) {
		r.cut()
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *reader) cut() {
	if r.err == nil {
		r.err = errTruncated
	}
}

func (r *reader) bytes(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)-r.at) {
		r.cut()
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at]
}

// u32 reads an unsigned LEB128 number. Linkers pad them, so that more bytes
// than needed are in order, but no more than five.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > math.MaxUint32 {
				r.cut()
				return 0
			}
			return uint32(v)
		}
	}
	r.cut()
	return 0
}

// signed skips a signed LEB128 number of at most the given bits. That its
// unused bits repeat the sign is for the validator to see.
func (r *reader) signed(bits int) {
	for n := 0; n < bits; n += 7 {
		if r.byte() < 0x80 {
			return
		}
	}
	r.cut()
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

// vector calls f for each item of a vector. Every item takes a byte at least,
// so that a count beyond the rest of the module fails before anything is done.
func (r *reader) vector(f func(i int)) {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)-r.at) {
		r.cut()
	}
	for i := 0; i < int(n) && r.err == nil; i++ {
		f(i)
	}
}

// zero reads a byte that the format reserves.
func (r *reader) zero() {
	if b := r.byte(); b != 0 {
		r.fail("a reserved byte is %#x; memories beyond the first are not supported", b)
	}
}

// valueType reads a type of core WebAssembly 2.0.
func (r *reader) valueType() byte {
	b := r.byte()
	if !isValueType(b) {
		r.fail("value type %#x is of a proposal that is not supported", b)
	}
	return b
}

func isValueType(b byte) bool {
	return b >= 0x7b && b <= 0x7f || b == typeFuncref || b == typeExternref
}

func (r *reader) refType() {
	if b := r.byte(); b != typeFuncref && b != typeExternref {
		r.fail("reference type %#x is of a proposal that is not supported", b)
	}
}

func (r *reader) limits() {
	switch flags := r.byte(); flags {
	case 0:
		r.u32()
	case 1:
		r.u32()
		r.u32()
	default:
		r.fail("a shared or 64-bit memory or table (%#x) is not supported", flags)
	}
}
