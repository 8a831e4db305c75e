package sdk

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"unsafe"

	"github.com/casefile-io/casefile/sdk/abi"
)

// The binary form of rows, by ABI.md.
const (
	rowsMagic = "CFROWS1\n"

	tagNull   = 0
	tagFalse  = 1
	tagTrue   = 2
	tagInt    = 3
	tagFloat  = 4
	tagText   = 5
	tagJSON   = 6
	tagObject = 7
	tagArray  = 8

	maxSchema     = 4 << 20
	maxShapeDepth = 64
)

var errCut = errors.New("the row is cut off or damaged")

// shape is the schema of a file of rows.
type shape struct {
	Keys []string `json:"keys"`
	Of   []*shape `json:"of"`
	Elem *shape   `json:"elem"`
}

func (s *shape) check(depth int) error {
	switch {
	case s == nil:
		return errors.New("a shape is missing in the schema")
	case depth > maxShapeDepth:
		return fmt.Errorf("the schema is deeper than %d", maxShapeDepth)
	case len(s.Keys) != len(s.Of):
		return fmt.Errorf("the schema has %d keys of %d shapes", len(s.Keys), len(s.Of))
	}
	for _, sub := range s.Of {
		if err := sub.check(depth + 1); err != nil {
			return err
		}
	}
	if s.Elem != nil {
		return s.Elem.check(depth + 1)
	}
	return nil
}

// readSchema reads the head of a file of rows.
func readSchema(r *bufio.Reader) (*shape, error) {
	head := make([]byte, len(rowsMagic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != rowsMagic {
		return nil, fmt.Errorf("does not begin with %q", rowsMagic)
	}
	text, err := readSized(r, maxSchema)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	var s *shape
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return s, s.check(0)
}

// readSized reads a length and as many bytes. At the end of the file, where
// no length begins, the error is io.EOF.
func readSized(r *bufio.Reader, limit uint64) (string, error) {
	first, err := r.ReadByte()
	if err != nil {
		return "", err
	}
	n := uint64(first)
	if first >= 0x80 {
		if err = r.UnreadByte(); err == nil {
			n, err = binary.ReadUvarint(r)
		}
		if err != nil {
			return "", errCut
		}
	}
	if n > limit {
		return "", fmt.Errorf("%d bytes, more than %d", n, limit)
	}
	if n <= uint64(r.Size()) {
		p, err := r.Peek(int(n))
		if err != nil {
			return "", errCut
		}
		s := string(p)
		_, err = r.Discard(int(n))
		return s, err
	}
	var b strings.Builder
	if got, err := io.CopyN(&b, r, int64(n)); err != nil || got != int64(n) {
		return "", errCut
	}
	return b.String(), nil
}

// rowReader decodes a file of rows into one type.
type rowReader struct {
	r    *bufio.Reader
	plan *plan
	at   int // slot of the row's number; -1
	row  cursor
}

func newRowReader(file io.Reader, t reflect.Type) (*rowReader, error) {
	r := bufio.NewReaderSize(file, 256<<10)
	s, err := readSchema(r)
	if err != nil {
		return nil, err
	}
	p, err := newPlan(s, t)
	if err == nil && p.op != opStruct {
		err = fmt.Errorf("rows are structs, not %s", t)
	}
	if err != nil {
		return nil, err
	}
	rr := &rowReader{r: r, plan: p, at: -1}
	for i, k := range s.Keys {
		if k == abi.KeyAt {
			rr.at = i
		}
	}
	return rr, nil
}

// next reads a row without decoding it; io.EOF after the last.
func (rr *rowReader) next() (string, error) {
	text, err := readSized(rr.r, maxLine)
	rr.row = cursor{s: text}
	return text, err
}

// decode decodes the row that next read into the value at v, which is of the
// reader's type and zero, and returns the row's number.
func (rr *rowReader) decode(v unsafe.Pointer) (at int64, err error) {
	c := &rr.row
	if tag, err := c.byte(); err != nil || tag != tagObject {
		return 0, errCut
	}
	at, err = rr.plan.top(c, v, rr.at)
	if err == nil && c.i != len(c.s) {
		err = errCut
	}
	return at, err
}

// rows streams /in/NAME.rows; ok is false if there is no such file.
func (s RowSource[T]) rows(in *Input, text string, yield func(T, int64) bool) (ok bool) {
	f, err := in.shared.fsys.Open("in/" + s.input.Name + ".rows")
	if err != nil {
		return false
	}
	defer f.Close()
	rr, err := newRowReader(f, reflect.TypeFor[T]())
	var row T // one for all, since it lives on the heap
	for n := 1; err == nil; n++ {
		if n%yieldEvery == 0 {
			runtime.Gosched() // WebAssembly has no preemption: let the garbage collector have its turn
		}
		var raw string
		if raw, err = rr.next(); errors.Is(err, io.EOF) {
			return true
		}
		if err != nil || text != "" && !strings.Contains(raw, text) {
			continue
		}
		row = *new(T)
		var at int64
		if at, err = rr.decode(unsafe.Pointer(&row)); err == nil && !yield(row, at) {
			return true
		}
	}
	in.fail(fmt.Errorf("input %s: %w", s.input.Name, err))
	return true
}
