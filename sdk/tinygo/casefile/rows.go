package casefile

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
)

const (
	maxRow  = 32 << 20
	maxFile = 64 << 20
)

// Rows is an input's rows, one after the other.
type Rows struct {
	name  string
	file  *os.File
	r     *bufio.Reader
	shape *shape // nil for lines of JSON, where the host gave no .rows
	row   Value
	err   error
}

func openRows(name string) *Rows {
	in := &Rows{name: name}
	if in.open(".rows") {
		in.schema()
	} else if in.err == nil {
		in.open(".ndjson") // the index tells what it means when there is none
	}
	return in
}

func (in *Rows) open(ending string) bool {
	f, err := os.Open("/in/" + in.name + ending)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			in.fail(err)
		}
		return false
	}
	in.file, in.r = f, bufio.NewReaderSize(f, 64<<10)
	return true
}

func (in *Rows) schema() {
	magic := make([]byte, 8)
	if _, err := io.ReadFull(in.r, magic); err != nil || string(magic) != "CFROWS1\n" {
		in.fail(errors.New("no rows of version 1"))
		return
	}
	b, err := in.frame()
	if err == nil {
		var v Value
		if v, err = Parse(b); err == nil {
			in.shape, err = newShape(v)
		}
	}
	if err != nil {
		in.fail(err)
	}
}

// Next says whether there is another row.
func (in *Rows) Next() bool {
	if in.r == nil {
		return false
	}
	var b []byte
	var err error
	if in.shape == nil {
		if b, err = in.line(); err == nil {
			in.row, err = Parse(b)
		}
	} else if b, err = in.frame(); err == nil {
		r := reader{b: b}
		in.row = r.binary(in.shape)
		if len(r.b) > 0 {
			r.fail(errors.New("bytes after a row"))
		}
		if err = r.err; errors.Is(err, io.EOF) {
			err = errCut
		}
	}
	if err != nil {
		in.fail(err)
		return false
	}
	in.row.unfold()
	return true
}

// Row is the row that Next has read.
func (in *Rows) Row() Value { return in.row }

// Err is what ended the rows too early; the rule returns it.
func (in *Rows) Err() error { return in.err }

// fail ends the rows, with an error unless it is their end.
func (in *Rows) fail(err error) {
	if err != io.EOF && in.err == nil { //nolint:errorlint // the readers here return it bare
		in.err = errors.New("input " + in.name + ": " + err.Error())
	}
	if in.file != nil {
		in.file.Close()
	}
	in.file, in.r = nil, nil
}

// unfold: an input without fields has its object under the key "".
func (v *Value) unfold() {
	if n := len(v.keys) - 1; n >= 0 && v.keys[n] == "" && v.items[n].Kind == Object {
		own := v.items[n]
		v.keys, v.items = append(v.keys[:n:n], own.keys...), append(v.items[:n:n], own.items...)
	}
}

// frame reads a length and as many bytes.
func (in *Rows) frame() ([]byte, error) {
	var head []byte
	for len(head) < 10 {
		b, err := in.r.ReadByte()
		if err != nil && len(head) > 0 {
			return nil, errCut
		}
		if err != nil {
			return nil, err
		}
		if head = append(head, b); b < 0x80 {
			break
		}
	}
	r := reader{b: head}
	n := r.uvarint()
	if r.err != nil || n > maxRow {
		return nil, errors.New("a row that is cut off or too long")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in.r, b); err != nil {
		return nil, errCut
	}
	return b, nil
}

func (in *Rows) line() ([]byte, error) {
	var line []byte
	for {
		part, err := in.r.ReadSlice('\n')
		if len(line)+len(part) > maxRow {
			return nil, errors.New("a row that is too long")
		}
		line = append(line, part...)
		switch {
		case err == bufio.ErrBufferFull: //nolint:errorlint // returned bare
		case err == io.EOF && len(line) > 0:
			return line, nil
		case err != nil:
			return nil, err
		case len(line) == 1:
			line = line[:0]
		default:
			return line, nil
		}
	}
}

// readFile reads a JSON file; null where there is none.
func readFile(path string) (Value, bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Value{}, false, nil
	}
	if err != nil {
		return Value{}, false, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile)) //nolint:forbidigo // it is limited
	if err == nil && len(b) == maxFile {
		err = errors.New("it is too long")
	}
	if err != nil {
		return Value{}, false, err
	}
	v, err := Parse(b)
	return v, true, err
}
