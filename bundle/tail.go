package bundle

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"time"
)

// tail writes what comes after the data frames.
type tail struct {
	w      *Writer
	m      *Manifest
	frames []extent // of the whole file
	text   digest   // of index.jsonl
}

func (t *tail) write(info Info, s Signer) error {
	var id [16]byte
	if _, err := io.ReadFull(t.w.random, id[:]); err != nil {
		return fmt.Errorf("bundle id: %w", err)
	}
	t.m.ID, t.m.Top, t.m.Created = uuid(id), t.w.top, time.Unix(t.w.mtime, 0).UTC()
	for _, c := range t.w.chunks {
		t.frames = append(t.frames, c.extent)
	}
	slices.SortFunc(t.w.files, func(a, b file) int { return foldCompare(a.path, b.path) })
	if err := t.index(); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	leaves := make([]digest, len(t.w.files))
	for i, f := range t.w.files {
		leaves[i] = merkleLeaf(f.salt, f.path, f.size, f.sum)
	}
	root := merkleRoot(leaves)
	t.m.Tree = Tree{Root: root[:], Leaves: len(leaves)}
	if info.Provenance != nil {
		if err := t.provenance(info.Provenance); err != nil {
			return fmt.Errorf("provenance: %w", err)
		}
	}
	if s != nil {
		if err := t.treeProof(s); err != nil {
			return fmt.Errorf("tree: %w", err)
		}
	}
	return t.finish(s, info.Timestamp)
}

// index writes the frames of index.jsonl: whole lines, the tar header before
// the first and the padding after the last.
func (t *tail) index() error {
	size, text := int64(0), sha256.New()
	t.lines(func(line []byte) error { //nolint:errcheck // the callback has no error
		size += int64(len(line))
		text.Write(line)
		return nil
	})
	text.Sum(t.text[:0])
	t.m.Index = IndexCommitment{Offset: t.w.out.n, Size: size, Chunks: len(t.w.chunks), Files: len(t.w.files)}
	first := len(t.frames)
	sum := sha256.New()
	buf := append(t.w.packer.buffer()[:0], tarHeader(t.w.top+"/"+nameIndex, size, t.w.mtime)...)
	flush := func() error {
		f := t.w.packer.start(buf)
		packed, _ := f.bytes() // in memory: no error
		sum.Write(packed)
		t.frames = append(t.frames, extent{uint32(f.length), uint32(f.size)})
		_, err := t.w.out.Write(packed)
		buf = t.w.packer.buffer()[:0]
		return err
	}
	err := t.lines(func(line []byte) error {
		if len(buf)+len(line)+block > MaxFrame {
			if err := flush(); err != nil {
				return err
			}
		}
		buf = append(buf, line...)
		return nil
	})
	if err != nil {
		return err
	}
	buf = append(buf, make([]byte, padding(size))...)
	if err := flush(); err != nil {
		return err
	}
	t.m.Index.Length = t.w.out.n - t.m.Index.Offset
	t.m.Index.Frames = len(t.frames) - first
	t.m.Index.SHA256 = sum.Sum(nil)
	return nil
}

// lines yields the index, line by line, in a buffer that it reuses.
func (t *tail) lines(yield func([]byte) error) error {
	var b []byte
	for _, c := range t.w.chunks {
		b = appendChunk(b[:0], c)
		if err := yield(b); err != nil {
			return err
		}
	}
	for _, f := range t.w.files {
		b = appendFile(b[:0], f)
		if err := yield(b); err != nil {
			return err
		}
	}
	return nil
}

func (t *tail) provenance(make func([32]byte) ([]byte, error)) error {
	b, err := make(t.text)
	if err != nil {
		return err
	}
	t.m.Provenance, err = t.proof(nameProvenance, b)
	return err
}

func (t *tail) treeProof(s Signer) error {
	b, err := attestTree(t.m, s)
	if err != nil {
		return err
	}
	t.m.TreeProof, err = t.proof(nameTree, b)
	return err
}

func (t *tail) proof(name string, b []byte) (*Proof, error) {
	if len(b) > maxProof {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(b))
	}
	sum := sha256.Sum256(b)
	return &Proof{SHA256: sum[:]}, t.stored(memberStream(t.m, name, b))
}

// finish writes manifest, seal, end of archive and seek table.
func (t *tail) finish(s Signer, timestamp func([]byte) ([]byte, error)) error {
	if s != nil {
		der, err := x509.MarshalPKIXPublicKey(s.Public())
		if err != nil {
			return fmt.Errorf("public key: %w", err)
		}
		t.m.Signer = &SignerInfo{Fingerprint: fingerprint(der), PublicKey: der}
	}
	manifest, err := canonical(t.m)
	if err != nil {
		return err
	}
	if len(manifest) > MaxManifest {
		return fmt.Errorf("%w: manifest of %d bytes", ErrTooLarge, len(manifest))
	}
	name, sealed := nameDigest, digestFile(manifest)
	if s != nil {
		name = nameSeal
		if sealed, err = makeSeal(manifest, t.m.Signer.Fingerprint, s, timestamp); err != nil {
			return err
		}
	}
	for _, stream := range [][]byte{memberStream(t.m, nameManifest, manifest), memberStream(t.m, name, sealed), make([]byte, 2*block)} {
		if err := t.stored(stream); err != nil {
			return err
		}
	}
	_, err = t.w.out.Write(seekTable(t.frames))
	t.w.written.Store(t.w.out.n)
	return err
}

// stored writes a canonical frame.
func (t *tail) stored(stream []byte) error {
	f := storedFrame(stream)
	t.frames = append(t.frames, extent{uint32(len(f)), uint32(len(stream))})
	_, err := t.w.out.Write(f)
	return err
}

// memberStream is the tar stream of one of the format's own members.
func memberStream(m *Manifest, name string, body []byte) []byte {
	return tarMember(m.Top+"/"+name, body, m.Created.Unix())
}

// uuid formats 16 random bytes as a version 4 UUID.
func uuid(b [16]byte) string {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
