package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const reference = "casefile.local/agent:v1"

func agents() map[string][]byte {
	return map[string][]byte{"amd64": bytes.Repeat([]byte("intel"), 5000), "arm64": bytes.Repeat([]byte("arm"), 3000)}
}

func save(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Save(&b, reference, agents()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSameBytesEachTime(t *testing.T) {
	if !bytes.Equal(save(t), save(t)) {
		t.Error("two images of the same agents differ")
	}
}

// unpack is how others see the tar.
func unpack(t *testing.T, b []byte) string {
	t.Helper()
	dir := t.TempDir()
	for tr := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there twice", h.Name)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOCILayout(t *testing.T) {
	path, err := layout.FromPath(unpack(t, save(t)))
	if err != nil {
		t.Fatal(err)
	}
	top, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	m, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 1 || m.Manifests[0].Annotations[refName] != reference || m.Manifests[0].Annotations[ctrName] != reference {
		t.Fatalf("%+v", m.Manifests)
	}
	index, err := top.ImageIndex(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	inner, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		if inner.Manifests[i].Platform.Architecture != arch {
			t.Fatalf("%+v", inner.Manifests)
		}
		img, err := index.Image(inner.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, img, arch)
	}
}

// holds checks that the image is the agent for arch and nothing else.
func holds(t *testing.T, img v1.Image, arch string) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != arch || config.OS != "linux" || config.Config.Entrypoint[0] != "/casefile-agent" {
		t.Errorf("%+v", config)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	rc, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	tr := tar.NewReader(rc)
	h, err := tr.Next()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(tr)
	if err != nil || h.Name != "casefile-agent" || h.Mode != 0o755 || !bytes.Equal(content, agents()[arch]) {
		t.Errorf("%+v: %d bytes, %v", h, len(content), err)
	}
	if _, err := tr.Next(); !errors.Is(err, io.EOF) {
		t.Error("there is more in the layer")
	}
}

// TestDockerArchive: what docker before version 25 loads.
func TestDockerArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.tar")
	if err := os.WriteFile(path, save(t), 0o600); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(path, &tag)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, img, "amd64")
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	for what, c := range map[string]struct {
		name   string
		agents map[string][]byte
	}{
		"no agents": {reference, nil}, "an empty one": {reference, map[string][]byte{"amd64": nil}},
		"no tag": {"casefile.local/agent", agents()}, "bad name": {"Casefile Local:1", agents()},
	} {
		if err := Save(io.Discard, c.name, c.agents); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
