// Package journal reads the files of systemd's journal, read-only and without
// systemd: the newest entries of a unit, or of the kernel, in a span of time and
// within a number of bytes, merged over several files, as lines of text.
//
//	set := journal.NewSet(files, limits)
//	for _, unit := range set.Values("_SYSTEMD_UNIT") { … }
//	found, err := set.Find(ctx, journal.Query{Match: journal.Unit("kubelet.service"), MaxBytes: 4 << 20})
//	err = found.Write(ctx, w)
//
// A line is
//
//	2026-11-28T16:00:00.123456Z host kubelet[812]: message
//
// with the further lines of a message below it, indented by four blanks.
//
// # The format
//
// A file is a header and objects, 8 bytes aligned, that point at each other by
// offset (systemd.io/JOURNAL_FILE_FORMAT). FIELD objects ("_SYSTEMD_UNIT") chain
// up the DATA objects that hold their values; a DATA object lists the entries
// that it is part of in ENTRY_ARRAY objects, in the order of time; an ENTRY lists
// its DATA objects. A query finds its values by the chain of their field, and
// walks their lists from the end: it reads what it prints, not the file, and it
// needs none of the hashes, whatever their kind. Compact files and DATA
// compressed by xz, LZ4 and zstd are read.
//
// # Care
//
// Files are input of strangers: they may be cut, damaged, made up, or be written
// to at this moment. Every offset is checked, every chain must go in one
// direction and has a limit, every decompression has one. An entry that cannot
// be read is counted and passed over. What is appended after a file was opened
// is not looked at. Memory is a cache of blocks and 40 bytes for each entry that
// will be printed.
package journal

import (
	"errors"
	"io"
	"sort"
	"time"
)

// Errors of a file.
var (
	ErrFormat = errors.New("not a journal file that can be read here")
	ErrDamage = errors.New("the journal file is damaged")
)

// Input is one file.
type Input struct {
	Name string
	R    io.ReaderAt
	Size int64
}

// Set is the open files of one machine's journal. It is not safe for
// concurrent use.
type Set struct {
	files   []*file
	cache   *cache
	packed  *unpacker
	Skipped []error // why files are not in the set, each with its name
}

// NewSet opens the files that may hold entries from since on. A file that is
// no journal is passed over, see Skipped.
func NewSet(inputs []Input, since time.Time) *Set {
	s := &Set{cache: &cache{}, packed: &unpacker{}}
	for _, in := range inputs {
		f, err := s.open(in)
		switch {
		case err != nil:
			s.Skipped = append(s.Skipped, &FileError{in.Name, err})
		case f.entries > 0 && !f.newest().Before(since):
			s.files = append(s.files, f)
		}
	}
	return s
}

// Close frees what decompression holds. The inputs stay open.
func (s *Set) Close() { s.packed.close() }

// Files is the number of files that are read.
func (s *Set) Files() int { return len(s.files) }

// FileError says which file an error is about.
type FileError struct {
	Name string
	Err  error
}

// Error implements error.
func (e *FileError) Error() string { return e.Name + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Peek says of a file from when its newest entry is, so that of many files the
// newest can be opened.
func Peek(in Input) (newest time.Time, err error) {
	h, err := readHeader(in)
	return h.newest(), err
}

// Values lists the values of a field, sorted, without those that do not fit
// into a block or are compressed: names of units are short.
func (s *Set) Values(field string) []string {
	seen := map[string]bool{}
	for _, f := range s.files {
		f.values(field, func(value string, _ object) bool {
			seen[value] = true
			return true
		})
	}
	list := make([]string, 0, len(seen))
	for v := range seen {
		list = append(list, v)
	}
	sort.Strings(list)
	return list
}
