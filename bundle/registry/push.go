package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Artifact is a bundle to store. Of an encrypted one nothing but the file is
// stored, whatever else is set.
type Artifact struct {
	File      io.ReaderAt
	Size      int64
	Encrypted bool

	ID, Top   string
	Created   time.Time
	Manifest  []byte // manifest.json
	Signature []byte // manifest.sigstore.json; nil when unsigned
}

// Push stores a under the tag of ref, streaming the file: once to hash it, once
// to send it, and again where the registry breaks off. It returns the digest of
// the artifact, sha256:…, by which it can be had for good. What is there
// already is not sent again.
func Push(ctx context.Context, ref Reference, a Artifact, o Options) (digest string, err error) {
	push, err := newPusher(ref, o)
	if err != nil {
		return "", err
	}
	file, err := newBlob(ctx, a.File, a.Size, typePlain)
	if err != nil {
		return "", err
	}
	file.progress = o.Progress
	m := v1.Manifest{ArtifactType: ArtifactType}
	if a.Encrypted {
		file.mediaType = typeEncrypted
	} else {
		m.Annotations = map[string]string{AnnotationID: a.ID, AnnotationTop: a.Top, AnnotationCreated: a.Created.UTC().Format(time.RFC3339)}
	}
	subject, err := push.artifact(ctx, push.tag, m, file)
	if err != nil || a.Encrypted || a.Signature == nil {
		return subject.Digest.String(), explain(err)
	}
	return subject.Digest.String(), explain(push.seal(ctx, subject, a))
}

type pusher struct {
	*remote.Pusher
	tag name.Tag
}

func newPusher(ref Reference, o Options) (pusher, error) {
	target, err := o.target(ref)
	if err != nil {
		return pusher{}, err
	}
	tag, ok := target.(name.Tag)
	if !ok {
		return pusher{}, errors.New("push wants a tag, not a digest")
	}
	opts, err := o.remote(ref)
	if err != nil {
		return pusher{}, err
	}
	p, err := remote.NewPusher(opts...)
	return pusher{p, tag}, err
}

// seal stores the signature and what it is about, as a referrer to subject.
func (p pusher) seal(ctx context.Context, subject v1.Descriptor, a Artifact) error {
	signature, err := newBlob(ctx, bytes.NewReader(a.Signature), int64(len(a.Signature)), typeSeal)
	if err != nil {
		return err
	}
	manifest, err := newBlob(ctx, bytes.NewReader(a.Manifest), int64(len(a.Manifest)), typeManifest)
	if err != nil {
		return err
	}
	m := v1.Manifest{ArtifactType: SealArtifactType, Subject: &subject,
		Annotations: map[string]string{AnnotationCreated: a.Created.UTC().Format(time.RFC3339)}}
	if _, err := p.artifact(ctx, nil, m, signature, manifest); err != nil {
		return fmt.Errorf("the bundle is stored, but not its seal beside it: %w", err)
	}
	return nil
}

// artifact stores layers and the manifest over them; at nil is by digest.
func (p pusher) artifact(ctx context.Context, at name.Reference, m v1.Manifest, layers ...*blob) (v1.Descriptor, error) {
	empty, err := newBlob(ctx, bytes.NewReader([]byte("{}")), 2, typeEmpty)
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, l := range append([]*blob{empty}, layers...) {
		if err := p.Upload(ctx, p.tag.Context(), l); err != nil {
			return v1.Descriptor{}, err
		}
	}
	m.SchemaVersion, m.MediaType, m.Config = 2, types.OCIManifestSchema1, empty.descriptor()
	m.Config.Data = []byte("{}")
	for _, l := range layers {
		m.Layers = append(m.Layers, l.descriptor())
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: m.MediaType, ArtifactType: m.ArtifactType, Digest: hash(sha256.Sum256(raw)), Size: int64(len(raw))}
	if at == nil {
		at = p.tag.Context().Digest(d.Digest.String())
	}
	return d, p.Put(ctx, at, raws(raw))
}

// raws is a manifest as it goes over the wire.
type raws []byte

// RawManifest is that of remote.Taggable.
func (r raws) RawManifest() ([]byte, error) { return r, nil }

// MediaType tells the library what it is.
func (r raws) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func hash(sum [32]byte) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])} }

// blob is a file as a layer: sent as it is, as often as it takes.
type blob struct {
	src       io.ReaderAt
	size      int64
	digest    v1.Hash
	mediaType types.MediaType
	title     string // file name for those who fetch it with other tools
	progress  func(done, total int64)
}

func newBlob(ctx context.Context, src io.ReaderAt, size int64, t types.MediaType) (*blob, error) {
	h := sha256.New()
	if n, err := io.Copy(h, contextReader{ctx, io.NewSectionReader(src, 0, size)}); err != nil {
		return nil, err
	} else if n != size {
		return nil, fmt.Errorf("the file ended after %d of %d bytes", n, size)
	}
	return &blob{src: src, size: size, digest: hash([32]byte(h.Sum(nil))), mediaType: t}, nil
}

func (b *blob) descriptor() v1.Descriptor {
	d := v1.Descriptor{MediaType: b.mediaType, Size: b.size, Digest: b.digest}
	if b.title != "" {
		d.Annotations = map[string]string{annotationTitle: b.title}
	}
	return d
}

// Compressed is the file itself: a layer is stored as it is.
func (b *blob) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(&progressReader{r: io.NewSectionReader(b.src, 0, b.size), total: b.size, report: b.progress}), nil
}

// Uncompressed, Digest, DiffID, Size and MediaType make it a layer.
func (b *blob) Uncompressed() (io.ReadCloser, error) { return b.Compressed() }
func (b *blob) Digest() (v1.Hash, error)             { return b.digest, nil }
func (b *blob) DiffID() (v1.Hash, error)             { return b.digest, nil }
func (b *blob) Size() (int64, error)                 { return b.size, nil }
func (b *blob) MediaType() (types.MediaType, error)  { return b.mediaType, nil }

// progressReader reports what went through it.
type progressReader struct {
	r           io.Reader
	done, total int64
	report      func(done, total int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.done += int64(n)
	if p.report != nil && n > 0 {
		p.report(p.done, p.total)
	}
	return n, err
}

// contextReader ends when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
