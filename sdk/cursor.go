package sdk

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// cursor reads the values of one row, and never beyond it.
type cursor struct {
	s string
	i int
}

func (c *cursor) byte() (byte, error) {
	if c.i >= len(c.s) {
		return 0, errCut
	}
	b := c.s[c.i]
	c.i++
	return b, nil
}

func (c *cursor) bytes(n int) (string, error) {
	if n < 0 || n > len(c.s)-c.i {
		return "", errCut
	}
	s := c.s[c.i : c.i+n]
	c.i += n
	return s, nil
}

func (c *cursor) uvarint() (uint64, error) {
	if c.i < len(c.s) && c.s[c.i] < 0x80 { // most are short
		c.i++
		return uint64(c.s[c.i-1]), nil
	}
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := c.byte()
		if err != nil || shift == 63 && b > 1 {
			return 0, errCut
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errCut
}

// sized reads a length and as many bytes.
func (c *cursor) sized() (string, error) {
	n, err := c.uvarint()
	if err != nil || n > uint64(len(c.s)-c.i) {
		return "", errCut
	}
	s := c.s[c.i : c.i+int(n)]
	c.i += int(n)
	return s, nil
}

// text reads a sized text, most of which are short.
func (c *cursor) text(to *string) (err error) {
	if i := c.i; i < len(c.s) && c.s[i] < 0x80 {
		if end := i + 1 + int(c.s[i]); end <= len(c.s) {
			*to, c.i = c.s[i+1:end], end
			return nil
		}
	}
	*to, err = c.sized()
	return err
}

// count reads a number of values, each of which takes a byte at least.
func (c *cursor) count() (int, error) {
	n, err := c.uvarint()
	if err != nil || n > uint64(len(c.s)-c.i) {
		return 0, errCut
	}
	return int(n), nil
}

// bits reads which of an object's keys are there; none beyond the last may be.
func (c *cursor) bits(keys int) (string, error) {
	s, err := c.bytes((keys + 7) / 8)
	if err == nil && keys%8 != 0 && s[len(s)-1]>>(keys%8) != 0 {
		err = errCut
	}
	return s, err
}

func (c *cursor) int() (int64, error) {
	u, err := c.uvarint()
	return int64(u>>1) ^ -int64(u&1), err
}

func (c *cursor) float() (float64, error) {
	s, err := c.bytes(8)
	if err != nil {
		return 0, err
	}
	var u uint64
	for i := range 8 {
		u |= uint64(s[i]) << (8 * i)
	}
	f := math.Float64frombits(u)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, errCut
	}
	return f, nil
}

// number reads a value that must be an integer.
func (c *cursor) number() (int64, error) {
	tag, err := c.byte()
	switch {
	case err == nil && tag == tagInt:
		return c.int()
	case err == nil && tag == tagJSON:
		text, err := c.sized()
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(text, 10, 64)
	}
	return 0, errCut
}

// skip passes over a value.
func (c *cursor) skip(s *shape) error { return c.walk(s, 0) }

func (c *cursor) walk(s *shape, depth int) error {
	tag, err := c.byte()
	if err != nil || s == nil || depth > maxShapeDepth {
		return errCut
	}
	switch tag {
	case tagNull, tagFalse, tagTrue:
	case tagInt:
		_, err = c.uvarint()
	case tagFloat:
		_, err = c.float()
	case tagText, tagJSON:
		_, err = c.sized()
	case tagObject:
		bits, err := c.bits(len(s.Keys))
		for i := 0; err == nil && i < len(s.Keys); i++ {
			if bits[i/8]>>(i%8)&1 != 0 {
				err = c.walk(s.Of[i], depth+1)
			}
		}
		return err
	case tagArray:
		n, err := c.count()
		for i := 0; err == nil && i < n; i++ {
			err = c.walk(s.Elem, depth+1)
		}
		return err
	default:
		err = fmt.Errorf("%w: tag %d", errCut, tag)
	}
	return err
}

// json appends a value as JSON, for types that only package json can fill.
func (c *cursor) json(dst []byte, s *shape, depth int) ([]byte, error) {
	tag, err := c.byte()
	if err != nil || s == nil || depth > maxShapeDepth {
		return dst, errCut
	}
	switch tag {
	case tagNull:
		return append(dst, "null"...), nil
	case tagFalse, tagTrue:
		return strconv.AppendBool(dst, tag == tagTrue), nil
	case tagInt:
		n, err := c.int()
		return strconv.AppendInt(dst, n, 10), err
	case tagFloat:
		f, err := c.float()
		if err != nil {
			return dst, err
		}
		return appendJSON(dst, f)
	case tagText:
		text, err := c.sized()
		if err != nil {
			return dst, err
		}
		return appendJSON(dst, text)
	case tagJSON:
		text, err := c.sized()
		return append(dst, text...), err
	case tagObject:
		return c.jsonObject(dst, s, depth)
	case tagArray:
		return c.jsonArray(dst, s, depth)
	}
	return dst, fmt.Errorf("%w: tag %d", errCut, tag)
}

func (c *cursor) jsonObject(dst []byte, s *shape, depth int) ([]byte, error) {
	bits, err := c.bits(len(s.Keys))
	if err != nil {
		return dst, err
	}
	open := len(dst)
	dst = append(dst, '{')
	for i, k := range s.Keys {
		if bits[i/8]>>(i%8)&1 == 0 {
			continue
		}
		if len(dst) > open+1 {
			dst = append(dst, ',')
		}
		if dst, err = appendJSON(dst, k); err != nil {
			return dst, err
		}
		if dst, err = c.json(append(dst, ':'), s.Of[i], depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func (c *cursor) jsonArray(dst []byte, s *shape, depth int) ([]byte, error) {
	n, err := c.count()
	if err != nil {
		return dst, err
	}
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = c.json(dst, s.Elem, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendJSON(dst []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(dst, text...), err
}
