package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Flags in the header that change how a file is read.
const (
	flagXZ = 1 << iota
	flagLZ4
	flagKeyedHash
	flagZSTD
	flagCompact

	flagsKnown = flagXZ | flagLZ4 | flagKeyedHash | flagZSTD | flagCompact
)

// Types of objects.
const (
	typeData       = 1
	typeField      = 2
	typeEntry      = 3
	typeEntryArray = 6
)

const (
	minHeader    = 208 // of the first files there were
	objectHeader = 16
	dataHeader   = 64
	entryHeader  = 64
	arrayHeader  = 24
	fieldHeader  = 40

	maxBuckets = 1 << 16 // of the table of fields; systemd makes 1,023
	maxFields  = 1 << 16
	maxValues  = 1 << 17 // of a field: sessions and runs are units, too
	maxArrays  = 1 << 12 // of a list; their lengths double
)

// header is what is kept of a file's.
type header struct {
	compact    bool
	size       int64 // of the header
	tail       int64 // the last object when the file was opened
	fields     int64 // where the table of fields is
	buckets    int64
	array      int64 // the list of all entries
	entries    int64
	newestUsec uint64
	sequence   [16]byte // whose numbers the entries bear
}

func (h *header) newest() time.Time { return usec(h.newestUsec) }

func usec(u uint64) time.Time {
	if u > 1<<62 {
		return time.Time{}
	}
	return time.UnixMicro(int64(u)).UTC()
}

func readHeader(in Input) (header, error) {
	var b [minHeader]byte
	if n, err := in.R.ReadAt(b[:], 0); n < len(b) {
		if errors.Is(err, io.EOF) || err == nil {
			return header{}, fmt.Errorf("%w: %d bytes are no header", ErrFormat, n)
		}
		return header{}, err
	}
	if string(b[:8]) != "LPKSHHRH" {
		return header{}, fmt.Errorf("%w: no signature", ErrFormat)
	}
	flags := binary.LittleEndian.Uint32(b[12:])
	if unknown := flags &^ flagsKnown; unknown != 0 {
		return header{}, fmt.Errorf("%w: it needs features %#x that came after this casefile", ErrFormat, unknown)
	}
	word := func(at int) int64 { return int64(min(binary.LittleEndian.Uint64(b[at:]), 1<<62)) }
	h := header{
		compact: flags&flagCompact != 0, size: word(88), fields: word(120), buckets: word(128) / 16, tail: word(136),
		entries: word(152), array: word(176), newestUsec: binary.LittleEndian.Uint64(b[192:]), sequence: [16]byte(b[72:88]),
	}
	if h.size < minHeader || h.size > in.Size {
		return header{}, fmt.Errorf("%w: a header of %d bytes in a file of %d", ErrDamage, h.size, in.Size)
	}
	return h, nil
}

// file is one open file.
type file struct {
	header
	Input
	index int // among the files of the set
	cache *cache
	heads map[string]int64 // the first DATA object of a field, for those in names
}

// fieldsWanted are the fields that queries name.
func fieldsWanted() []string { return []string{"_SYSTEMD_UNIT", "UNIT", "_TRANSPORT"} }

func (s *Set) open(in Input) (*file, error) {
	h, err := readHeader(in)
	if err != nil {
		return nil, err
	}
	f := &file{header: h, Input: in, index: len(s.files), cache: s.cache, heads: map[string]int64{}}
	if f.entries > 0 {
		err = f.findFields()
	}
	return f, err
}

// findFields looks through the table of fields for those that are wanted. One
// damaged chain costs the fields in it.
func (f *file) findFields() error {
	if f.buckets <= 0 || f.buckets > maxBuckets {
		return fmt.Errorf("%w: a table of %d fields", ErrDamage, f.buckets)
	}
	left, damaged := maxFields, error(nil)
	for i := range f.buckets {
		cell, err := f.read(f.fields+i*16, 8)
		if err != nil {
			return err
		}
		for at, last := offset(cell), int64(0); at != 0; left-- {
			o, err := f.object(at, typeField, fieldHeader)
			if err != nil || at <= last || left == 0 {
				damaged = errors.Join(fmt.Errorf("%w: the table of fields", ErrDamage), err)
				break
			}
			next := offset(o.head[24:])
			head := offset(o.head[32:])
			if n := o.size - fieldHeader; n <= 64 {
				name, err := f.read(at+fieldHeader, int(n))
				for _, want := range fieldsWanted() {
					if err == nil && string(name) == want {
						f.heads[want] = head
					}
				}
			}
			at, last = next, at
		}
	}
	if len(f.heads) == 0 {
		return damaged
	}
	return nil
}

// values calls yield for each DATA object of a field, until it returns false.
// The chain goes from the newest object to the oldest.
func (f *file) values(field string, yield func(value string, o object) bool) {
	at := f.heads[field]
	for range maxValues {
		o, err := f.object(at, typeData, f.dataHeader())
		if err != nil {
			return
		}
		next := offset(o.head[32:])
		if n := o.size - f.dataHeader() - int64(len(field)) - 1; o.flags == 0 && n > 0 && n <= 512 {
			if b, err := f.read(at+f.dataHeader()+int64(len(field))+1, int(n)); err == nil && !yield(string(b), o) {
				return
			}
		}
		if next >= at {
			return
		}
		at = next
	}
}

func (f *file) dataHeader() int64 {
	if f.compact {
		return dataHeader + 8
	}
	return dataHeader
}

// object is the fixed part of an object.
type object struct {
	at    int64
	size  int64
	flags byte
	head  [dataHeader]byte // as much of it as was asked for
}

// object reads an object's first n bytes, its type and its size, which is
// within the file.
func (f *file) object(at int64, kind byte, n int64) (object, error) {
	if at < f.size || at&7 != 0 || at > f.tail {
		return object{}, fmt.Errorf("%w: no object can be at %d", ErrDamage, at)
	}
	b, err := f.read(at, int(min(n, dataHeader)))
	if err != nil {
		return object{}, err
	}
	o := object{at: at, flags: b[1]}
	copy(o.head[:], b)
	size := binary.LittleEndian.Uint64(b[8:])
	if b[0] != kind || size < uint64(n) || size > uint64(f.Size-at) {
		return object{}, fmt.Errorf("%w: the object at %d is of type %d and has %d bytes", ErrDamage, at, b[0], size)
	}
	o.size = int64(size)
	return o, nil
}

// offset reads an offset; one that no file can have is 1, where no object is.
func offset(b []byte) int64 {
	v := binary.LittleEndian.Uint64(b)
	if v > 1<<62 {
		return 1
	}
	return int64(v)
}

// read gives n bytes of the file. They are good until the next read.
func (f *file) read(at int64, n int) ([]byte, error) {
	if at < 0 || n < 0 || at > f.Size-int64(n) {
		return nil, fmt.Errorf("%w: it ends before byte %d", ErrDamage, at)
	}
	return f.cache.read(f, at, n)
}
