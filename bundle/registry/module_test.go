package registry

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/casefile-io/casefile/bundle/registry/registrytest"
)

func sampleModule(t *testing.T) Module {
	t.Helper()
	wasm := make([]byte, 100<<10)
	if _, err := rand.Read(wasm); err != nil {
		t.Fatal(err)
	}
	return Module{Name: "postgres", Version: "1.2.0", Wasm: wasm, Signature: []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`)}
}

// TestModule stores a module with and without a signature, and fetches it by
// tag and by digest.
func TestModule(t *testing.T) {
	host := start(t, registrytest.Options{})
	signed := sampleModule(t)
	unsigned := signed
	unsigned.Signature = nil
	for tag, m := range map[string]Module{"signed": signed, "unsigned": unsigned} {
		r := ref(t, "oci://"+host+"/acme/postgres:"+tag)
		digest, err := PushModule(t.Context(), r, m, fast())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []Reference{r, ref(t, r.At(digest))} {
			got, at, err := PullModule(t.Context(), r, fast())
			if err != nil || at != digest || got.Name != m.Name || got.Version != m.Version || !bytes.Equal(got.Wasm, m.Wasm) || !bytes.Equal(got.Signature, m.Signature) {
				t.Errorf("%s: %s, %d and %d bytes, %v", r, at, len(got.Wasm), len(got.Signature), err)
			}
		}
	}
	d, err := name.NewTag(host + "/acme/postgres:signed")
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(d)
	if err != nil {
		t.Fatal(err)
	}
	m, err := got.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Layers) != 2 || m.Layers[0].MediaType != "application/wasm" || m.Layers[0].Annotations[annotationTitle] != "postgres.wasm" ||
		m.Layers[1].Annotations[annotationTitle] != "postgres.wasm.sigstore.json" || m.ArtifactType != ModuleArtifactType {
		t.Errorf("%+v", m)
	}
}

// TestNoModule: what is no module, too large, or not as promised is refused.
func TestNoModule(t *testing.T) {
	host := start(t, registrytest.Options{})
	bundle := ref(t, "oci://"+host+"/support/bundles:t1")
	push(t, bundle, sample(t, 1000), fast())
	if _, _, err := PullModule(t.Context(), bundle, fast()); !errors.Is(err, ErrNotModule) {
		t.Errorf("a bundle: %v", err)
	}
	if _, _, err := PullModule(t.Context(), ref(t, "oci://"+host+"/acme/none:t1"), fast()); !errors.Is(err, ErrNotFound) {
		t.Errorf("nothing: %v", err)
	}
	module := ref(t, "oci://"+host+"/acme/m:t1")
	if _, err := PushModule(t.Context(), module, sampleModule(t), fast()); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), module, fast()); !errors.Is(err, ErrNotBundle) {
		t.Errorf("a module for a bundle: %v", err)
	}
	for repo, want := range map[string]error{"tampered": ErrCorrupt, "long": ErrCorrupt, "flaky": nil, "cut": io.ErrUnexpectedEOF} {
		r := ref(t, "oci://"+host+"/"+repo+"/m:t1")
		if _, err := PushModule(t.Context(), r, sampleModule(t), fast()); err != nil {
			t.Fatal(repo, err)
		}
		m, _, err := PullModule(t.Context(), r, fast())
		if !errors.Is(err, want) || (want == nil) != (m.Wasm != nil) {
			t.Errorf("%s: %d bytes, %v", repo, len(m.Wasm), err)
		}
	}
}

// TestModuleLayers: layers of other numbers, orders, types and sizes.
func TestModuleLayers(t *testing.T) {
	host := start(t, registrytest.Options{})
	wasm := v1.Descriptor{MediaType: typeWasm, Size: 10, Digest: hash([32]byte{1})}
	seal := v1.Descriptor{MediaType: typeSeal, Size: 10, Digest: hash([32]byte{2})}
	huge, vast, empty, other := wasm, seal, wasm, wasm
	huge.Size, vast.Size, empty.Size, other.Digest.Algorithm = MaxModule+1, MaxSignature+1, 0, "sha512"
	for what, c := range map[string]struct {
		layers []v1.Descriptor
		err    error
	}{
		"none": {nil, ErrNotModule}, "three": {[]v1.Descriptor{wasm, seal, seal}, ErrNotModule}, "a seal alone": {[]v1.Descriptor{seal}, ErrNotModule},
		"empty": {[]v1.Descriptor{empty}, ErrNotModule}, "another hash": {[]v1.Descriptor{other}, ErrNotModule}, "huge": {[]v1.Descriptor{huge}, ErrTooLarge},
	} {
		r := ref(t, "oci://"+host+"/acme/m:t1")
		p, err := newPusher(r, fast())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: ModuleArtifactType, Config: wasm, Layers: c.layers})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Put(t.Context(), p.tag, raws(raw)); err != nil {
			t.Fatal(err)
		}
		if m, _, err := PullModule(t.Context(), r, fast()); !errors.Is(err, c.err) || m.Wasm != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := checkLayer(vast, MaxSignature, ErrNotModule); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}
