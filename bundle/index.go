package bundle

import (
	"encoding/base64"
	"fmt"
	"strconv"
)

// The index is text, one line for each data frame in the order of the file,
// then one line for each entry, sorted by foldCompare:
//
//	{"k":"nodes","cl":41210,"ul":1048064,"h":"<base64 of 32 bytes>"}
//	{"p":"cluster/version.json","o":512,"s":263,"h":"<base64 of 32 bytes>","n":"<base64 of 16 bytes>"}
//
// There is one spelling only: these keys in this order, no spaces, decimal
// numbers without leading zeros, base64 without padding. Paths need no escape.

// chunk is one data frame.
type chunk struct {
	class Class
	extent
	sum digest // of the compressed frame
}

// entry is one member of the tar stream.
type entry struct {
	path string
	off  int64 // of its content in the tar stream
	size int64
	tail string // `<hash>","n":"<salt>"}`, decoded when needed

	foreign bool // path is not ASCII
	part    bool // path has the suffix of a part
}

const (
	chunkKey = `{"k":"`
	entryKey = `{"p":"`
	hashText = 43 // base64 of 32 bytes
	saltText = 22 // base64 of 16 bytes
	saltKey  = `","n":"`
	lineEnd  = `"}`
	tailText = hashText + len(saltKey) + saltText + len(lineEnd)
)

func encoding() *base64.Encoding { return base64.RawStdEncoding.Strict() }

func (e entry) sum() (d digest, err error) {
	err = decodeText(d[:], e.tail[:hashText])
	return d, err
}

func (e entry) salt() (s [16]byte, err error) {
	err = decodeText(s[:], e.tail[hashText+len(saltKey):tailText-len(lineEnd)])
	return s, err
}

func decodeText(dst []byte, text string) error {
	if n, err := encoding().Decode(dst, []byte(text)); err != nil || n != len(dst) {
		return fmt.Errorf("%w: base64 in the index", ErrDamaged)
	}
	return nil
}

func appendChunk(b []byte, c chunk) []byte {
	b = append(b, chunkKey...)
	b = append(b, c.class...)
	b = append(b, `","cl":`...)
	b = strconv.AppendUint(b, uint64(c.packed), 10)
	b = append(b, `,"ul":`...)
	b = strconv.AppendUint(b, uint64(c.size), 10)
	b = append(b, `,"h":"`...)
	b = encoding().AppendEncode(b, c.sum[:])
	return append(b, lineEnd+"\n"...)
}

// file is an entry while it is written.
type file struct {
	path      string
	off, size int64
	sum       digest
	salt      [16]byte
}

func appendFile(b []byte, f file) []byte {
	b = append(b, entryKey...)
	b = append(b, f.path...)
	b = append(b, `","o":`...)
	b = strconv.AppendInt(b, f.off, 10)
	b = append(b, `,"s":`...)
	b = strconv.AppendInt(b, f.size, 10)
	b = append(b, `,"h":"`...)
	b = encoding().AppendEncode(b, f.sum[:])
	b = append(b, saltKey...)
	b = encoding().AppendEncode(b, f.salt[:])
	return append(b, lineEnd+"\n"...)
}
