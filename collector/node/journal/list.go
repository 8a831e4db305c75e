package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// list is the entries of one value, or all of a file, in the order in which
// they were written.
type list struct {
	f      *file
	first  int64 // stands before the arrays; 0: none
	arrays []array
	n      int64
	lost   int64 // entries that the list should have
}

type array struct {
	items int64 // where the first item is
	start int64 // its number in the list
	n     int64
}

// listOf gives the entries of a DATA object.
func (f *file) listOf(o object) list {
	l := list{f: f, first: offset(o.head[40:])}
	l.follow(offset(o.head[48:]), offset(o.head[56:]))
	return l
}

// all gives the entries of the file.
func (f *file) all() list {
	l := list{f: f}
	l.follow(f.array, f.entries)
	return l
}

// follow finds the arrays of a list that says that it has n entries. The chain
// goes from the oldest array to the newest; where it breaks, the list ends, as
// it does where it goes on in what was appended since the file was opened.
func (l *list) follow(at, n int64) {
	if l.first != 0 {
		l.n = 1
	}
	for l.n < n && len(l.arrays) < maxArrays {
		if at > l.f.tail {
			return
		}
		o, err := l.f.object(at, typeEntryArray, arrayHeader)
		if err != nil {
			break
		}
		items := (o.size - arrayHeader) / l.width()
		l.arrays = append(l.arrays, array{at + arrayHeader, l.n, items})
		l.n += items
		next := offset(o.head[16:])
		if next < at+o.size {
			break
		}
		at = next
	}
	l.lost = min(max(n-l.n, 0), 1<<30)
	l.n = min(l.n, n)
}

func (l *list) width() int64 {
	if l.f.compact {
		return 4
	}
	return 8
}

// at gives the offset of entry i.
func (l *list) at(i int64) (int64, error) {
	if i == 0 && l.first != 0 {
		return l.first, nil
	}
	for k := len(l.arrays) - 1; k >= 0; k-- { // lists are read from the end
		a := l.arrays[k]
		if i < a.start || i >= a.start+a.n {
			continue
		}
		b, err := l.f.read(a.items+(i-a.start)*l.width(), int(l.width()))
		if err != nil {
			return 0, err
		}
		if l.f.compact {
			return int64(binary.LittleEndian.Uint32(b)), nil
		}
		return offset(b), nil
	}
	return 0, fmt.Errorf("%w: a list without its entry %d", ErrDamage, i)
}

// errNewer is an entry that was appended after the file had been opened.
var errNewer = errors.New("newer than the file was")

// ref is an entry that a query has found.
type ref struct {
	at       int64
	realtime uint64
	sequence uint64
	hash     uint64
	f        *file
}

// entry reads the fixed part of entry i.
func (l *list) entry(i int64) (ref, error) {
	at, err := l.at(i)
	if err != nil {
		return ref{}, err
	}
	if at > l.f.tail {
		return ref{}, errNewer
	}
	o, err := l.f.object(at, typeEntry, entryHeader)
	if err != nil {
		return ref{}, err
	}
	return ref{at: at, f: l.f, sequence: binary.LittleEndian.Uint64(o.head[16:]), realtime: binary.LittleEndian.Uint64(o.head[24:]),
		hash: binary.LittleEndian.Uint64(o.head[56:])}, nil
}

// same says whether two files hold the same entry, as they do while what was
// kept in /run moves to the disk.
func (r ref) same(o ref) bool {
	return r.realtime == o.realtime && r.sequence == o.sequence && r.hash == o.hash && r.f.header.sequence == o.f.header.sequence
}

// before orders entries of several files.
func (r ref) before(o ref) bool {
	if r.f.header.sequence == o.f.header.sequence && r.sequence != o.sequence {
		return r.sequence < o.sequence
	}
	return r.realtime < o.realtime
}
