package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Reader reads one bundle. It is an [io/fs.FS] of the entries, without the top
// folder, parts joined. Safe for concurrent use.
type Reader struct {
	src      io.ReaderAt
	manifest *Manifest
	tail     *tailFrames
	dec      *zstd.Decoder

	offsets []int64 // in the file, of each data frame, and the end of the last
	starts  []int64 // in the tar stream, of each data frame, and the end of the last
	chunks  []chunk
	entries []entry // sorted by foldCompare
	nodes   []node  // the same, parts joined

	mu    sync.Mutex
	cache []cached // the last frames read, latest last
}

// node is an entry as readers see it.
type node struct {
	path      string
	size      int64
	parts     []entry
	truncated bool // in parts, and the last ones never came
}

type cached struct {
	chunk int
	data  []byte
}

const cacheFrames = 8

// File describes an entry.
type File struct {
	Path      string
	Size      int64
	SHA256    [32]byte // zero for an entry in several parts, or damaged beyond the signature
	Parts     int      // 1 unless an agent cut it
	Truncated bool     // the last parts never came
}

// Open opens a bundle that a key known to v sealed. In this order, and nothing
// is parsed before what comes first holds: seek table, manifest and seal, hash
// of the index. Errors wrap ErrNotBundle, ErrTruncated, ErrDamaged,
// ErrSignature, ErrUnknownSigner (the seal is good, the key is none of v's),
// ErrUnsigned or ErrTooLarge.
func Open(r io.ReaderAt, size int64, v Verifier) (*Reader, error) {
	if v == nil {
		return nil, errors.New("bundle: Open needs a Verifier; OpenUnverified does without")
	}
	return open(r, size, v)
}

// OpenUnverified opens a bundle no matter who sealed it, if anybody did. All
// else is checked as [Open] does, so that only the question remains who made it.
func OpenUnverified(r io.ReaderAt, size int64) (*Reader, error) { return open(r, size, nil) }

// Manifest tells what the bundle is. It must not be changed.
func (r *Reader) Manifest() *Manifest { return r.manifest }

// Provenance is the content of provenance.sigstore.json, which the manifest
// stands for, and nil when there is none. [CheckAttestation] reads it.
func (r *Reader) Provenance() []byte { return r.tail.proofs[nameProvenance] }

// Files lists the entries, sorted by path (ASCII case aside).
func (r *Reader) Files() []File {
	fs := make([]File, len(r.nodes))
	for i, n := range r.nodes {
		fs[i] = File{Path: n.path, Size: n.size, Parts: len(n.parts), Truncated: n.truncated}
		if len(n.parts) == 1 {
			fs[i].SHA256, _ = n.parts[0].sum() // Verify and reading report what is wrong
		}
	}
	return fs
}

func open(src io.ReaderAt, size int64, trust Verifier) (*Reader, error) {
	h, err := readTail(src, size)
	if err != nil {
		return nil, err
	}
	m, err := h.checkSeal(trust)
	if err != nil {
		return nil, err
	}
	dec, err := newDecoder()
	if err != nil {
		return nil, err
	}
	r := &Reader{src: src, manifest: m, tail: h, dec: dec}
	if err := r.readIndex(h); err != nil {
		return nil, err
	}
	return r, nil
}

// tailFrames is the end of a bundle while it is opened.
type tailFrames struct {
	src        io.ReaderAt
	frames     []extent
	offsets    []int64
	manifestAt int // its frame; the seal's is the next
	manifest   []byte
	name       string // of the seal: nameSeal, or nameDigest when unsigned
	seal       []byte
	approvals  []byte            // nil when there are none
	proofs     map[string][]byte // by name, once the manifest holds
}

const fixedFrames = 3 // manifest, seal, end of archive

// readTail reads the seek table and the last frames.
func readTail(src io.ReaderAt, size int64) (*tailFrames, error) {
	if err := checkMagic(src, size); err != nil {
		return nil, err
	}
	t, err := readSeekTable(src, size)
	if err != nil {
		return nil, err
	}
	if len(t.frames) < fixedFrames+1 {
		return nil, damaged("seek table", "%d frames are too few", len(t.frames))
	}
	return t, t.readMembers()
}

// readSeekTable reads the seek table at the end of a file that is long enough
// for one, and holds it against the length of the file.
func readSeekTable(src io.ReaderAt, size int64) (*tailFrames, error) {
	if size < seekHead+seekFoot {
		return nil, &DamageError{Part: "seek table", Err: fmt.Errorf("%w: %d bytes", ErrTruncated, size)}
	}
	foot := make([]byte, seekFoot)
	if _, err := readFull(src, foot, size-seekFoot); err != nil {
		return nil, &DamageError{Part: "seek table", Err: err}
	}
	length, err := seekTableSize(foot)
	if err != nil {
		return nil, &DamageError{Part: "seek table", Err: fmt.Errorf("%w: the file does not end in one (cut short?): %w", ErrTruncated, err)}
	}
	if length > size {
		return nil, damaged("seek table", "longer than the file")
	}
	table := make([]byte, length)
	if _, err := readFull(src, table, size-length); err != nil {
		return nil, &DamageError{Part: "seek table", Err: err}
	}
	t := &tailFrames{src: src, offsets: []int64{0}, proofs: map[string][]byte{}}
	if t.frames, err = parseSeekTable(table); err != nil {
		return nil, &DamageError{Part: "seek table", Err: err}
	}
	end := int64(0)
	for _, f := range t.frames {
		end += int64(f.packed)
		t.offsets = append(t.offsets, end)
	}
	if end != size-length {
		return nil, damaged("seek table", "its frames end at %d, the file's at %d", end, size-length)
	}
	return t, nil
}

// checkMagic tells a bundle from other files.
func checkMagic(src io.ReaderAt, size int64) error {
	if size < 4 {
		return fmt.Errorf("%w: %d bytes", ErrNotBundle, max(size, 0))
	}
	head := make([]byte, min(size, 21))
	if _, err := readFull(src, head, 0); err != nil {
		return err
	}
	if strings.HasPrefix(string(head), "age-encryption.org/v1") {
		return fmt.Errorf("%w: it is encrypted with age; decrypt it first", ErrNotBundle)
	}
	if !bytes.HasPrefix(head, []byte{0x28, 0xB5, 0x2F, 0xFD}) {
		return fmt.Errorf("%w: it does not begin as one (damaged chunk 0, or another kind of file)", ErrNotBundle)
	}
	if size < seekHead+seekFoot {
		return fmt.Errorf("%w: %d bytes", ErrTruncated, size)
	}
	return nil
}

// readMembers takes manifest and seal out of their frames.
func (t *tailFrames) readMembers() error {
	n := len(t.frames)
	eoa, err := t.frame(n-1, storedSize(2*block))
	if err != nil {
		return &DamageError{Part: "end of archive", Err: err}
	}
	if !bytes.Equal(eoa, storedFrame(make([]byte, 2*block))) {
		return damaged("end of archive", "not two blocks of zeros")
	}
	if t.frames[n-1].size != 2*block {
		return damaged("seek table", "it gives the end of archive %d bytes", t.frames[n-1].size)
	}
	t.manifestAt = n - fixedFrames
	body, name, err := t.member(n-2, maxProof)
	if err == nil && name == nameApprovals && t.manifestAt > 0 {
		t.approvals = body
		t.manifestAt--
		body, name, err = t.member(t.manifestAt+1, maxSeal)
	}
	if err == nil && len(body) > maxSeal {
		err = fmt.Errorf("%w: %d bytes", ErrTooLarge, len(body))
	}
	if err != nil {
		return &DamageError{Part: "signature", Err: asSignature(err)}
	}
	t.seal, t.name = body, name
	if name == nameApprovals {
		return &DamageError{Part: "signature", Err: fmt.Errorf("%w: approvals in its place", ErrSignature)}
	}
	if t.manifest, _, err = t.member(t.manifestAt, MaxManifest); err != nil {
		return &DamageError{Part: "manifest", Err: err}
	}
	return nil
}

// frame reads frame i, which may not be longer than limit.
func (t *tailFrames) frame(i, limit int) ([]byte, error) {
	if int64(t.frames[i].packed) > int64(limit) {
		return nil, fmt.Errorf("%w: frame of %d bytes", ErrTooLarge, t.frames[i].packed)
	}
	b := make([]byte, t.frames[i].packed)
	return readFull(t.src, b, t.offsets[i])
}

// member reads a stored frame that holds one member of at most limit bytes,
// and tells from its first bytes which one of the last it is.
func (t *tailFrames) member(i, limit int) (body []byte, name string, err error) {
	f, err := t.frame(i, storedSize(limit+8*block))
	if err != nil {
		return nil, "", err
	}
	stream, err := openStored(f)
	if err != nil {
		return nil, "", err
	}
	if body, err = tarBody(stream); err != nil {
		return nil, "", err
	}
	if len(body) > limit {
		return nil, "", fmt.Errorf("%w: %d bytes", ErrTooLarge, len(body))
	}
	switch {
	case bytes.HasPrefix(body, []byte(`{"dsseEnvelope"`)):
		return body, nameApprovals, nil
	case bytes.HasPrefix(body, []byte("{")):
		return body, nameSeal, nil
	}
	return body, nameDigest, nil
}

// checkSeal holds the seal, then rebuilds both frames and compares them.
func (t *tailFrames) checkSeal(trust Verifier) (m *Manifest, err error) {
	if t.name == nameSeal {
		m, err = checkSeal(t.seal, t.manifest, trust)
	} else {
		m, err = checkDigest(t.seal, t.manifest, trust)
	}
	if err != nil {
		return nil, err
	}
	if t.approvals != nil {
		if err := t.rebuild(t.manifestAt+2, "approvals", memberStream(m, nameApprovals, t.approvals)); err != nil {
			return nil, err
		}
		if _, err := parseApprovals(t.approvals, t.manifest); err != nil {
			return nil, err
		}
	}
	if err := t.rebuild(t.manifestAt+1, "signature", memberStream(m, t.name, t.seal)); err != nil {
		return nil, err
	}
	return m, t.rebuild(t.manifestAt, "manifest", memberStream(m, nameManifest, t.manifest))
}

// rebuild says whether frame i is the stored frame of stream, in the seek table too.
func (t *tailFrames) rebuild(i int, part string, stream []byte) error {
	f, err := t.frame(i, storedSize(len(stream)))
	if err != nil {
		return &DamageError{Part: part, Err: err}
	}
	if !bytes.Equal(f, storedFrame(stream)) {
		return damaged(part, "its frame is not the canonical one")
	}
	if t.frames[i].size != uint32(len(stream)) {
		return damaged("seek table", "it gives the %s %d bytes", part, t.frames[i].size)
	}
	return nil
}

// checkDigest is checkSeal for an unsigned bundle.
func checkDigest(sum, manifest []byte, trust Verifier) (*Manifest, error) {
	if !bytes.Equal(sum, digestFile(manifest)) {
		return nil, &DamageError{Part: "manifest", Err: fmt.Errorf("%w: manifest and %s do not belong together, or the signature was damaged", ErrSignature, nameDigest)}
	}
	m, err := parseManifest(manifest)
	switch {
	case err != nil:
		return nil, &DamageError{Part: "manifest", Err: err}
	case m.Signer != nil:
		return nil, &DamageError{Part: "signature", Err: fmt.Errorf("%w: it was taken away", ErrSignature)}
	case trust != nil:
		return nil, fmt.Errorf("%w: anyone can have made it; read it with --unverified", ErrUnsigned)
	}
	return m, nil
}

// readFull reads all of b or fails.
func readFull(src io.ReaderAt, b []byte, at int64) ([]byte, error) {
	if at < 0 {
		return nil, fmt.Errorf("%w: it begins before the file", ErrTruncated)
	}
	n, err := src.ReadAt(b, at)
	if n == len(b) {
		return b, nil // some readers say io.EOF beside the last bytes
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = ErrTruncated
	}
	return nil, fmt.Errorf("read %d bytes at %d: %w", len(b), at, err)
}

// find gives the index of the entry with this exact path.
func (r *Reader) find(path string) (int, bool) {
	i := r.search(path)
	return i, i < len(r.nodes) && r.nodes[i].path == path
}

// search gives the index of the first entry that does not sort before path.
func (r *Reader) search(path string) int {
	return sort.Search(len(r.nodes), func(i int) bool { return foldCompare(r.nodes[i].path, path) >= 0 })
}

// chunkAt gives the data frame that holds byte off of the tar stream.
func (r *Reader) chunkAt(off int64) int {
	return sort.Search(len(r.chunks), func(i int) bool { return r.starts[i+1] > off })
}
