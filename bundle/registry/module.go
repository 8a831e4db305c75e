package registry

import (
	"bytes"
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ModuleArtifactType is the type of an analyzer module's artifact.
const ModuleArtifactType = "application/vnd.casefile.module.v1"

const typeWasm types.MediaType = "application/wasm" // as the CNCF's artifact format for Wasm has it

// Annotations of a module's artifact.
const (
	AnnotationModule  = "dev.casefile.module.name"
	AnnotationVersion = "org.opencontainers.image.version"
)

// Limits of what is fetched of a module, in bytes.
const (
	MaxModule    = 64 << 20
	MaxSignature = 256 << 10
)

// Module is an analyzer module. Name and version are for people who look into
// the registry: what is fetched says itself what it is.
type Module struct {
	Name, Version string
	Wasm          []byte
	Signature     []byte // a Sigstore bundle over Wasm; nil when unsigned
}

// PushModule stores a module and its signature under the tag of ref, and
// returns the digest of the artifact.
func PushModule(ctx context.Context, ref Reference, m Module, o Options) (digest string, err error) {
	push, err := newPusher(ref, o)
	if err != nil {
		return "", err
	}
	file := m.Name
	if file == "" {
		file = ref.Repository()
	}
	var layers []*blob
	for _, l := range []struct {
		content []byte
		t       types.MediaType
		title   string
	}{{m.Wasm, typeWasm, file + ".wasm"}, {m.Signature, typeSeal, file + ".wasm.sigstore.json"}} {
		if l.content == nil {
			continue
		}
		b, err := newBlob(ctx, bytes.NewReader(l.content), int64(len(l.content)), l.t)
		if err != nil {
			return "", err
		}
		b.title = l.title
		layers = append(layers, b)
	}
	layers[0].progress = o.Progress
	annotations := map[string]string{AnnotationModule: m.Name, AnnotationVersion: m.Version}
	for k, v := range annotations {
		if v == "" {
			delete(annotations, k)
		}
	}
	d, err := push.artifact(ctx, push.tag, v1.Manifest{ArtifactType: ModuleArtifactType, Annotations: annotations}, layers...)
	return d.Digest.String(), explain(err)
}

// PullModule fetches the module at ref and the digest of its artifact. It
// returns only what has the size and the digest that the manifest gives. Errors
// wrap ErrNotFound, ErrDenied, ErrNotModule, ErrTooLarge or ErrCorrupt.
func PullModule(ctx context.Context, ref Reference, o Options) (m Module, digest string, err error) {
	got, from, err := get(ctx, ref, o)
	if err != nil {
		return m, "", err
	}
	manifest, err := manifestOf(got.Manifest, got.MediaType, ModuleArtifactType, ErrNotModule)
	if err != nil {
		return m, "", err
	}
	if n := len(manifest.Layers); n < 1 || n > 2 {
		return m, "", fmt.Errorf("%w: %d layers, not one or two", ErrNotModule, n)
	}
	want := []struct {
		t     types.MediaType
		limit int64
		to    *[]byte
	}{{typeWasm, MaxModule, &m.Wasm}, {typeSeal, MaxSignature, &m.Signature}}
	for i, l := range manifest.Layers {
		if l.MediaType != want[i].t {
			return Module{}, "", fmt.Errorf("%w: a layer of the type %q, not %q", ErrNotModule, l.MediaType, want[i].t)
		}
		if err := checkLayer(l, want[i].limit, ErrNotModule); err != nil {
			return Module{}, "", err
		}
		from.layer = l
		if *want[i].to, err = from.bytes(ctx); err != nil {
			return Module{}, "", err
		}
	}
	m.Name, m.Version = manifest.Annotations[AnnotationModule], manifest.Annotations[AnnotationVersion]
	return m, got.Digest.String(), nil
}

// bytes fetches a layer whose size was found good.
func (s source) bytes(ctx context.Context) ([]byte, error) {
	var b bytes.Buffer
	err := s.fetchTo(ctx, &b, func() error { b.Reset(); return nil })
	return b.Bytes(), err
}
