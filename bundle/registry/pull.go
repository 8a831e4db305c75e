package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Found is a bundle in a registry.
type Found struct {
	Digest    string // of the artifact, sha256:…
	Size      int64  // of the file
	Encrypted bool
	Top       string // as the registry says, empty when it does not; check it before use

	from source
}

// tries is how often a transfer that broke off is begun anew.
const tries = 3

// Find asks the registry for the artifact at ref and holds it against what
// [Push] stores. It fetches no file. Errors wrap ErrNotFound, ErrDenied,
// ErrNotBundle or ErrTooLarge.
func Find(ctx context.Context, ref Reference, o Options) (*Found, error) {
	got, from, err := get(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	layer, m, err := parseArtifact(got.Manifest, got.MediaType)
	if err != nil {
		return nil, err
	}
	from.layer = layer
	return &Found{Digest: got.Digest.String(), Size: layer.Size, Encrypted: layer.MediaType == typeEncrypted, Top: m.Annotations[AnnotationTop], from: from}, nil
}

// get fetches the manifest at ref; what from it is a layer is not said yet.
func get(ctx context.Context, ref Reference, o Options) (*remote.Descriptor, source, error) {
	target, err := o.target(ref)
	if err != nil {
		return nil, source{}, err
	}
	opts, err := o.remote(ref)
	if err != nil {
		return nil, source{}, err
	}
	puller, err := remote.NewPuller(opts...)
	if err != nil {
		return nil, source{}, err
	}
	got, err := puller.Get(ctx, target)
	if err != nil {
		return nil, source{}, explain(err)
	}
	return got, source{repo: target.Context(), puller: puller, progress: o.Progress}, nil
}

// parseArtifact is the layer of a bundle's manifest.
func parseArtifact(raw []byte, t types.MediaType) (v1.Descriptor, *v1.Manifest, error) {
	none := v1.Descriptor{}
	m, err := manifestOf(raw, t, ArtifactType, ErrNotBundle)
	if err != nil {
		return none, nil, err
	}
	if len(m.Layers) != 1 {
		return none, nil, fmt.Errorf("%w: %d layers, not one", ErrNotBundle, len(m.Layers))
	}
	l := m.Layers[0]
	if l.MediaType != typePlain && l.MediaType != typeEncrypted {
		return none, nil, fmt.Errorf("%w: a layer of the type %q", ErrNotBundle, l.MediaType)
	}
	if err := checkLayer(l, MaxFile, ErrNotBundle); err != nil {
		return none, nil, err
	}
	return l, m, nil
}

// manifestOf reads the manifest of an artifact of the type want; the errors
// about what is none wrap none.
func manifestOf(raw []byte, t types.MediaType, want string, none error) (*v1.Manifest, error) {
	if t != types.OCIManifestSchema1 {
		return nil, fmt.Errorf("%w: what is there is of the type %q", none, t)
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: its manifest: %w", none, err)
	}
	if m.ArtifactType == "" {
		m.ArtifactType = string(m.Config.MediaType)
	}
	if m.ArtifactType != want {
		return nil, fmt.Errorf("%w: what is there is of the type %q", none, m.ArtifactType)
	}
	return &m, nil
}

func checkLayer(l v1.Descriptor, limit int64, none error) error {
	switch {
	case l.Digest.Algorithm != "sha256" || l.Size <= 0:
		return fmt.Errorf("%w: a layer of %d bytes by %q", none, l.Size, l.Digest.Algorithm)
	case l.Size > limit:
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, l.Size)
	}
	return nil
}

// Fetch writes the file to out, from its beginning, and returns nil only when
// size and digest are those of the manifest. After an error out holds what came.
func (f *Found) Fetch(ctx context.Context, out *os.File) error {
	return f.from.fetchTo(ctx, out, func() error {
		if _, err := out.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return out.Truncate(0)
	})
}

// source is a layer in a registry.
type source struct {
	repo     name.Repository
	puller   *remote.Puller
	layer    v1.Descriptor
	progress func(done, total int64)
}

// fetchTo begins anew, after again, when a transfer breaks off.
func (s source) fetchTo(ctx context.Context, out io.Writer, again func() error) error {
	for try := 1; ; try++ {
		err := s.fetch(ctx, out)
		broken := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
		if err == nil || !broken || try == tries || ctx.Err() != nil {
			return explain(err)
		}
		if err := again(); err != nil {
			return err
		}
	}
}

func (s source) fetch(ctx context.Context, out io.Writer) error {
	layer, err := s.puller.Layer(ctx, s.repo.Digest(s.layer.Digest.String()))
	if err != nil {
		return err
	}
	body, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer body.Close()
	// One byte more than promised is asked for: so the library reaches the end
	// and compares the digest, and a file that does not end is cut off.
	r := &progressReader{r: io.LimitReader(body, s.layer.Size+1), total: s.layer.Size, report: s.progress}
	n, err := io.Copy(out, r)
	switch {
	case err != nil && (ctx.Err() != nil || errors.Is(err, io.ErrUnexpectedEOF)):
		return err
	case err != nil && n >= s.layer.Size:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err != nil:
		return err
	case n != s.layer.Size:
		return fmt.Errorf("%w: a file of %d bytes instead of %d", ErrCorrupt, n, s.layer.Size)
	}
	return nil
}
