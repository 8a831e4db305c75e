// Package image makes the agent's container image from nothing but the agent
// binaries: FROM scratch, one layer, one variant for each CPU, with no
// container engine and the same bytes each time.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	binary   = "casefile-agent" // at the root of the image
	layoutV1 = `{"imageLayoutVersion":"1.0.0"}`
	refName  = "org.opencontainers.image.ref.name"
	ctrName  = "io.containerd.image.name"
)

// Save writes the multi-arch image as a tar that ctr, podman, skopeo and
// docker load: an OCI image layout, whose index is the image's own, and the
// older manifest.json for the amd64 variant beside it. reference is the full
// name with a tag; agents maps amd64, arm64 to the binary.
func Save(w io.Writer, reference string, agents map[string][]byte) error {
	tag, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("image name: %w", err)
	}
	a := &archive{tw: tar.NewWriter(w), seen: map[string]bool{}}
	index, err := Index(agents)
	if err != nil {
		return err
	}
	if err := a.file("oci-layout", []byte(layoutV1)); err != nil {
		return err
	}
	if err := a.index(index, tag.Name()); err != nil {
		return err
	}
	if err := a.legacy(index, tag.Name()); err != nil {
		return err
	}
	return a.tw.Close()
}

// Index makes the image index from the binaries.
func Index(agents map[string][]byte) (v1.ImageIndex, error) {
	if len(agents) == 0 {
		return nil, errors.New("no agent to make an image of: this casefile was built without them; build it with make")
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range slices.Sorted(maps.Keys(agents)) {
		img, err := variant(arch, agents[arch])
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img,
			Descriptor: v1.Descriptor{MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	return index, nil
}

func variant(arch string, agent []byte) (v1.Image, error) {
	if len(agent) == 0 {
		return nil, errors.New("the binary is empty")
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	if err := tw.WriteHeader(&tar.Header{Name: binary, Mode: 0o755, Size: int64(len(agent)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, ModTime: time.Unix(0, 0)}); err != nil {
		return nil, err
	}
	if _, err := tw.Write(agent); err != nil {
		return nil, err
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: types.OCILayer,
		History: v1.History{CreatedBy: "casefile agent image"}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Config = v1.Config{Entrypoint: []string{"/" + binary}, Cmd: []string{"wait"}, WorkingDir: "/",
		Labels: map[string]string{"org.opencontainers.image.title": binary, "org.opencontainers.image.source": "https://github.com/casefile-io/casefile"}}
	return mutate.ConfigFile(img, config)
}

// archive writes the files of an image layout, each once.
type archive struct {
	tw   *tar.Writer
	seen map[string]bool
}

func (a *archive) file(path string, b []byte) error {
	if a.seen[path] {
		return nil
	}
	a.seen[path] = true
	if err := a.tw.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(b)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err := a.tw.Write(b)
	return err
}

func blob(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

// index writes the image's index as a blob, all below it, and index.json,
// which names that one blob.
func (a *archive) index(index v1.ImageIndex, reference string) error {
	raw, err := index.RawManifest()
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	for _, d := range manifest.Manifests {
		img, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		if err := a.image(img); err != nil {
			return err
		}
	}
	if err := a.file(blob(digest), raw); err != nil {
		return err
	}
	top, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.OCIImageIndex, Size: int64(len(raw)), Digest: digest,
		Annotations: map[string]string{refName: reference, ctrName: reference}}}})
	if err != nil {
		return err
	}
	return a.file("index.json", top)
}

func (a *archive) image(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return err
		}
		rc, err := l.Compressed()
		if err != nil {
			return err
		}
		b, err := io.ReadAll(rc) //nolint:forbidigo // our own bytes, in memory already
		rc.Close()
		if err != nil {
			return err
		}
		if err := a.file(blob(h), b); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		raw  func() ([]byte, error)
		hash func() (v1.Hash, error)
	}{{img.RawConfigFile, img.ConfigName}, {img.RawManifest, img.Digest}} {
		raw, err := part.raw()
		if err != nil {
			return err
		}
		h, err := part.hash()
		if err != nil {
			return err
		}
		if err := a.file(blob(h), raw); err != nil {
			return err
		}
	}
	return nil
}

// legacy writes manifest.json, for docker before version 25.
func (a *archive) legacy(index v1.ImageIndex, reference string) error {
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	at := max(0, slices.IndexFunc(manifest.Manifests, func(d v1.Descriptor) bool { return d.Platform != nil && d.Platform.Architecture == "amd64" }))
	img, err := index.Image(manifest.Manifests[at].Digest)
	if err != nil {
		return err
	}
	m, err := img.Manifest()
	if err != nil {
		return err
	}
	var layers []string
	for _, l := range m.Layers {
		layers = append(layers, blob(l.Digest))
	}
	b, err := json.Marshal([]map[string]any{{"Config": blob(m.Config.Digest), "RepoTags": []string{strings.TrimPrefix(reference, "index.docker.io/")}, "Layers": layers}})
	if err != nil {
		return err
	}
	return a.file("manifest.json", b)
}
