package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"unsafe"
)

// plan is how values of a shape get into values of a type: what the type
// takes as it comes goes straight to its place in memory, all else as JSON
// through package json, which is also the judge of what does not fit.
type plan struct {
	op    op
	size  uintptr // of the type
	typ   reflect.Type
	shape *shape
	slots []slot // of an object, by key
	elem  *plan  // of an array's elements, or of what a pointer points to
}

// slot is where in a struct the value of a key goes; without a plan nowhere.
type slot struct {
	offset uintptr
	plan   *plan
}

type op byte

const (
	opJSON op = iota // maps, interfaces, what decodes itself …
	opString
	opBool
	opInt
	opUint
	opFloat
	opStruct
	opSlice
	opPointer
)

func newPlan(s *shape, t reflect.Type) (*plan, error) {
	p := &plan{typ: t, size: t.Size(), shape: s}
	if decodesItself(t) {
		return p, nil
	}
	var err error
	switch t.Kind() {
	case reflect.String:
		if t != reflect.TypeFor[json.Number]() {
			p.op = opString
		}
	case reflect.Bool:
		p.op = opBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.op = opInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		p.op = opUint
	case reflect.Float64:
		p.op = opFloat
	case reflect.Pointer:
		p.op = opPointer
		p.elem, err = newPlan(s, t.Elem())
	case reflect.Struct:
		p.op = opStruct
		err = p.fields(t)
	case reflect.Slice:
		if s.Elem != nil {
			p.op = opSlice
			p.elem, err = newPlan(s.Elem, t.Elem())
		}
	default:
	}
	return p, err
}

func (p *plan) fields(t reflect.Type) error {
	fields, err := structFields(t)
	if err != nil {
		return err
	}
	p.slots = make([]slot, len(p.shape.Keys))
	for i, k := range p.shape.Keys {
		for _, f := range fields {
			if f.name != k {
				continue
			}
			if p.slots[i].plan, err = newPlan(p.shape.Of[i], f.typ); err != nil {
				return err
			}
			for in, n := t, 0; n < len(f.index); n++ {
				step := in.Field(f.index[n])
				p.slots[i].offset += step.Offset
				in = step.Type
			}
		}
	}
	return nil
}

// top decodes the object that a row is, behind its tag, into the struct at v;
// number is the slot of the row's number. The key "" holds a whole object, of
// a row without fields.
func (p *plan) top(c *cursor, v unsafe.Pointer, number int) (n int64, err error) {
	keys := p.shape.Keys
	bits, err := c.bits(len(keys))
	if err != nil {
		return 0, err
	}
	for i, k := range keys {
		if bits[i/8]>>(i%8)&1 == 0 {
			continue
		}
		if i == number {
			look := *c
			if n, err = look.number(); err != nil {
				return 0, fmt.Errorf("%s: %w", k, err)
			}
		}
		if k == "" {
			err = p.json(c, v, p.shape.Of[i])
		} else {
			err = p.key(c, v, i)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", k, err)
		}
	}
	return n, nil
}

// key decodes the value of the i-th key of an object into its field of the
// struct at v.
func (p *plan) key(c *cursor, v unsafe.Pointer, i int) error {
	s := &p.slots[i]
	if s.plan == nil {
		return c.skip(p.shape.Of[i])
	}
	return s.plan.value(c, unsafe.Add(v, s.offset))
}

// value decodes one value into the place at v, which is of the plan's type.
func (p *plan) value(c *cursor, v unsafe.Pointer) error {
	if c.i >= len(c.s) {
		return errCut
	}
	tag := c.s[c.i]
	switch p.op {
	case opString:
		if tag == tagText {
			c.i++
			return c.text((*string)(v))
		}
	case opBool:
		if tag == tagTrue || tag == tagFalse {
			c.i++
			*(*bool)(v) = tag == tagTrue
			return nil
		}
	case opInt, opUint, opFloat:
		if done, err := p.number(c, tag, v); done {
			return err
		}
	case opStruct:
		if tag == tagObject {
			c.i++
			return p.object(c, v)
		}
	case opSlice:
		if tag == tagArray {
			c.i++
			return p.array(c, v)
		}
	case opPointer:
		if tag != tagNull {
			to := reflect.New(p.typ.Elem()).UnsafePointer()
			*(*unsafe.Pointer)(v) = to
			return p.elem.value(c, to)
		}
	case opJSON:
	}
	return p.json(c, v, p.shape)
}

// json has package json decode a value into the place at v.
func (p *plan) json(c *cursor, v unsafe.Pointer, s *shape) error {
	text, err := c.json(nil, s, 0)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, reflect.NewAt(p.typ, v).Interface())
}

func (p *plan) object(c *cursor, v unsafe.Pointer) error {
	bits, err := c.bits(len(p.slots))
	if err != nil {
		return err
	}
	for i := range p.slots {
		if bits[i/8]>>(i%8)&1 != 0 {
			if err := p.key(c, v, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// number takes a number that fits the type; otherwise done is false, and the
// cursor stands where it stood.
func (p *plan) number(c *cursor, tag byte, v unsafe.Pointer) (done bool, err error) {
	start := c.i
	c.i++
	switch {
	case tag == tagFloat && p.op == opFloat:
		*(*float64)(v), err = c.float()
		return true, err
	case tag == tagInt:
		n, err := c.int()
		if err != nil {
			return true, err
		}
		if p.store(v, n) {
			return true, nil
		}
	}
	c.i = start
	return false, nil
}

// store says whether the integer fits.
func (p *plan) store(v unsafe.Pointer, n int64) bool {
	switch shift := 64 - 8*p.size; {
	case p.op == opFloat:
		*(*float64)(v) = float64(n)
		return true
	case p.op == opInt && n<<shift>>shift != n,
		p.op == opUint && (n < 0 || uint64(n)<<shift>>shift != uint64(n)):
		return false
	}
	switch p.size { // the same bits, signed or not
	case 1:
		*(*int8)(v) = int8(n)
	case 2:
		*(*int16)(v) = int16(n)
	case 4:
		*(*int32)(v) = int32(n)
	default:
		*(*int64)(v) = n
	}
	return true
}

const growBy = 256 // elements that are made without looking

func (p *plan) array(c *cursor, v unsafe.Pointer) error {
	n, err := c.count()
	if err != nil {
		return err
	}
	list := reflect.NewAt(p.typ, v).Elem()
	if n == 0 {
		list.Set(reflect.MakeSlice(p.typ, 0, 0))
		return nil
	}
	list.SetZero()
	list.Grow(min(n, growBy))
	list.SetLen(min(n, growBy))
	first := list.UnsafePointer()
	for i := range n {
		if i == list.Len() {
			list.Grow(1)
			list.SetLen(list.Cap())
			first = list.UnsafePointer()
		}
		if err := p.elem.value(c, unsafe.Add(first, uintptr(i)*p.elem.size)); err != nil {
			return err
		}
	}
	list.SetLen(n)
	return nil
}
