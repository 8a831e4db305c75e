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

	layer  name.Digest
	puller *remote.Puller
	o      Options
}

// tries is how often a transfer that broke off is begun anew.
const tries = 3

// Find asks the registry for the artifact at ref and holds it against what
// [Push] stores. It fetches no file. Errors wrap ErrNotFound, ErrDenied,
// ErrNotBundle or ErrTooLarge.
func Find(ctx context.Context, ref Reference, o Options) (*Found, error) {
	target, err := o.target(ref)
	if err != nil {
		return nil, err
	}
	opts, err := o.remote(ref)
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(opts...)
	if err != nil {
		return nil, err
	}
	got, err := puller.Get(ctx, target)
	if err != nil {
		return nil, explain(err)
	}
	layer, m, err := parseArtifact(got.Manifest, got.MediaType)
	if err != nil {
		return nil, err
	}
	return &Found{Digest: got.Digest.String(), Size: layer.Size, Encrypted: layer.MediaType == typeEncrypted, Top: m.Annotations[AnnotationTop],
		layer: target.Context().Digest(layer.Digest.String()), puller: puller, o: o}, nil
}

// parseArtifact is the layer of a bundle's manifest.
func parseArtifact(raw []byte, t types.MediaType) (v1.Descriptor, *v1.Manifest, error) {
	none := v1.Descriptor{}
	if t != types.OCIManifestSchema1 {
		return none, nil, fmt.Errorf("%w: what is there is of the type %q", ErrNotBundle, t)
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return none, nil, fmt.Errorf("%w: its manifest: %w", ErrNotBundle, err)
	}
	if m.ArtifactType != ArtifactType {
		if m.ArtifactType == "" {
			m.ArtifactType = string(m.Config.MediaType)
		}
		return none, nil, fmt.Errorf("%w: what is there is of the type %q", ErrNotBundle, m.ArtifactType)
	}
	if len(m.Layers) != 1 {
		return none, nil, fmt.Errorf("%w: %d layers, not one", ErrNotBundle, len(m.Layers))
	}
	l := m.Layers[0]
	switch {
	case l.MediaType != typePlain && l.MediaType != typeEncrypted:
		return none, nil, fmt.Errorf("%w: a layer of the type %q", ErrNotBundle, l.MediaType)
	case l.Digest.Algorithm != "sha256" || l.Size <= 0:
		return none, nil, fmt.Errorf("%w: a layer of %d bytes by %q", ErrNotBundle, l.Size, l.Digest.Algorithm)
	case l.Size > MaxFile:
		return none, nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, l.Size)
	}
	return l, &m, nil
}

// Fetch writes the file to out, from its beginning, and returns nil only when
// size and digest are those of the manifest. After an error out holds what came.
func (f *Found) Fetch(ctx context.Context, out *os.File) error {
	for try := 1; ; try++ {
		err := f.fetch(ctx, out)
		broken := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
		if err == nil || !broken || try == tries || ctx.Err() != nil {
			return explain(err)
		}
		if _, err := out.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := out.Truncate(0); err != nil {
			return err
		}
	}
}

func (f *Found) fetch(ctx context.Context, out io.Writer) error {
	layer, err := f.puller.Layer(ctx, f.layer)
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
	r := &progressReader{r: io.LimitReader(body, f.Size+1), total: f.Size, report: f.o.Progress}
	n, err := io.Copy(out, r)
	switch {
	case err != nil && (ctx.Err() != nil || errors.Is(err, io.ErrUnexpectedEOF)):
		return err
	case err != nil && n >= f.Size:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err != nil:
		return err
	case n != f.Size:
		return fmt.Errorf("%w: a file of %d bytes instead of %d", ErrCorrupt, n, f.Size)
	}
	return nil
}
