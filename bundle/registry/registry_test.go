package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/casefile-io/casefile/bundle/registry/registrytest"
)

func TestMain(m *testing.M) {
	registrytest.Main()
	os.Exit(m.Run())
}

// start starts a registry in a process of its own.
func start(t *testing.T, o registrytest.Options) string {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // not the login of whoever runs the test
	t.Setenv("XDG_RUNTIME_DIR", "")
	p, err := registrytest.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p.Host
}

func ref(t *testing.T, s string) Reference {
	t.Helper()
	r, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fast() Options {
	return Options{backoff: &remote.Backoff{Duration: time.Millisecond, Factor: 2, Steps: 3}}
}

func sample(t *testing.T, size int) Artifact {
	t.Helper()
	b := make([]byte, size)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return Artifact{File: bytes.NewReader(b), Size: int64(size), ID: "01J", Top: "casefile-prod-20261121T090000Z", Created: time.Unix(1795251600, 0),
		Manifest: []byte(`{"format":1}`), Signature: []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`)}
}

func push(t *testing.T, r Reference, a Artifact, o Options) string {
	t.Helper()
	digest, err := Push(t.Context(), r, a, o)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// fetch pulls into a new file.
func fetch(t *testing.T, r Reference, o Options) ([]byte, *Found, error) {
	t.Helper()
	found, err := Find(t.Context(), r, o)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := found.Fetch(t.Context(), f); err != nil {
		return nil, found, err
	}
	b, err := os.ReadFile(f.Name())
	return b, found, err
}

func content(t *testing.T, a Artifact) []byte {
	t.Helper()
	b := make([]byte, a.Size)
	if _, err := a.File.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return b
}

// TestPushPull stores and fetches, by tag and by digest, in registries with
// and without the referrers API, and finds the seal beside the bundle.
func TestPushPull(t *testing.T) {
	for _, old := range []bool{false, true} {
		host := start(t, registrytest.Options{NoReferrers: old})
		r := ref(t, "oci://"+host+"/support/bundles:t1")
		a := sample(t, 3<<20)
		var reported int64
		o := fast()
		o.Progress = func(done, total int64) {
			if total == a.Size {
				reported = done
			}
		}
		digest := push(t, r, a, o)
		if reported != a.Size {
			t.Errorf("progress of the push ended at %d", reported)
		}
		for _, r := range []Reference{r, ref(t, r.At(digest))} {
			got, found, err := fetch(t, r, fast())
			if err != nil || !bytes.Equal(got, content(t, a)) || found.Digest != digest || found.Top != a.Top || found.Encrypted {
				t.Errorf("%s: %d bytes, %+v, %v", r, len(got), found, err)
			}
		}
		checkStored(t, r, digest, a)
		if again := push(t, r, a, fast()); again != digest {
			t.Errorf("pushed again as %s, was %s", again, digest)
		}
	}
}

// checkStored holds what is in the registry against what FORMAT.md says.
func checkStored(t *testing.T, r Reference, digest string, a Artifact) {
	t.Helper()
	d, err := name.NewDigest(strings.TrimPrefix(r.At(digest), scheme))
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Get(d)
	if err != nil {
		t.Fatal(err)
	}
	var m v1.Manifest
	if m, err = parseManifest(got.Manifest); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{AnnotationID: a.ID, AnnotationTop: a.Top, AnnotationCreated: "2026-11-21T09:00:00Z"}
	if diff := cmp.Diff(want, m.Annotations); diff != "" || m.ArtifactType != ArtifactType || len(m.Layers) != 1 || m.Layers[0].MediaType != typePlain {
		t.Errorf("manifest %s: %s", got.Manifest, diff)
	}
	index, err := remote.Referrers(d)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil || len(list.Manifests) != 1 {
		t.Fatalf("referrers %+v, %v", list, err)
	}
	seal, err := remote.Get(d.Context().Digest(list.Manifests[0].Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	if m, err = parseManifest(seal.Manifest); err != nil || m.Subject == nil || m.Subject.Digest.String() != digest || m.ArtifactType != SealArtifactType || len(m.Layers) != 2 {
		t.Fatalf("seal %s, %v", seal.Manifest, err)
	}
	for i, want := range [][]byte{a.Signature, a.Manifest} {
		l, err := remote.Layer(d.Context().Digest(m.Layers[i].Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(rc); err != nil || !bytes.Equal(b, want) {
			t.Errorf("layer %d of the seal: %q, %v", i, b, err)
		}
		rc.Close()
	}
}

func parseManifest(b []byte) (v1.Manifest, error) {
	m, err := v1.ParseManifest(bytes.NewReader(b))
	if err != nil {
		return v1.Manifest{}, err
	}
	return *m, nil
}

// TestEncryptedSaysNothing: no annotation, no referrer.
func TestEncryptedSaysNothing(t *testing.T) {
	host := start(t, registrytest.Options{})
	r := ref(t, "oci://"+host+"/bundles:secret")
	a := sample(t, 5000)
	a.Encrypted = true
	digest := push(t, r, a, fast())
	got, found, err := fetch(t, r, fast())
	if err != nil || !bytes.Equal(got, content(t, a)) || !found.Encrypted || found.Top != "" {
		t.Errorf("%+v, %v", found, err)
	}
	d, err := name.NewDigest(strings.TrimPrefix(r.At(digest), scheme))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := remote.Get(d)
	if err != nil || bytes.Contains(stored.Manifest, []byte("annotations")) || bytes.Contains(stored.Manifest, []byte("prod")) {
		t.Errorf("manifest %s, %v", stored.Manifest, err)
	}
	index, err := remote.Referrers(d)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := index.IndexManifest(); err != nil || len(list.Manifests) != 0 {
		t.Errorf("referrers %+v, %v", list, err)
	}
}

// TestLogin takes the login out of docker's own file.
func TestLogin(t *testing.T) {
	host := start(t, registrytest.Options{User: "kim", Password: "s3cret"})
	r := ref(t, "oci://"+host+"/bundles:1")
	if _, err := Push(t.Context(), r, sample(t, 5000), fast()); !errors.Is(err, ErrDenied) {
		t.Errorf("push without a login: %v", err)
	}
	if _, err := Find(t.Context(), r, fast()); !errors.Is(err, ErrDenied) {
		t.Errorf("pull without a login: %v", err)
	}
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("kim:s3cret")))
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	push(t, r, sample(t, 5000), fast())
	if _, _, err := fetch(t, r, fast()); err != nil {
		t.Error(err)
	}
}

// TestFaults: what is not what was stored is never taken for it, and a
// connection that breaks once is no failure.
func TestFaults(t *testing.T) {
	host := start(t, registrytest.Options{})
	a := sample(t, 1<<20)
	for folder, want := range map[string]error{"cut": io.ErrUnexpectedEOF, "tampered": ErrCorrupt, "long": ErrCorrupt, "flaky": nil, "good": nil} {
		r := ref(t, "oci://"+host+"/"+folder+"/bundles:1")
		push(t, r, a, fast())
		got, _, err := fetch(t, r, fast())
		if !errors.Is(err, want) || want == nil && !bytes.Equal(got, content(t, a)) {
			t.Errorf("%s: %d bytes, %v; want %v", folder, len(got), err, want)
		}
	}
	short := a
	short.Size++
	if _, err := Push(t.Context(), ref(t, "oci://"+host+"/bundles:1"), short, fast()); err == nil {
		t.Error("pushed a file that is shorter than it was")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Push(ctx, ref(t, "oci://"+host+"/bundles:2"), a, fast()); !errors.Is(err, context.Canceled) {
		t.Errorf("push after an interrupt: %v", err)
	}
}

// TestNoBundle: tags that are missing, or are something else.
func TestNoBundle(t *testing.T) {
	host := start(t, registrytest.Options{})
	for _, s := range []string{"/no/such:repo", "/no/such@sha256:" + strings.Repeat("0", 64)} {
		if _, err := Find(t.Context(), ref(t, "oci://"+host+s), fast()); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", s, err)
		}
	}
	put := func(tag string, write func(name.Tag) error) {
		at, err := name.NewTag(host + "/other:" + tag)
		if err == nil {
			err = write(at)
		}
		if err != nil {
			t.Fatal(err)
		}
		if found, err := Find(t.Context(), ref(t, "oci://"+at.String()), fast()); !errors.Is(err, ErrNotBundle) {
			t.Errorf("%s: %+v, %v", tag, found, err)
		}
	}
	image, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(1000, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	put("image", func(at name.Tag) error { return remote.Write(at, image) })
	put("index", func(at name.Tag) error { return remote.WriteIndex(at, index) })
	put("seal", func(at name.Tag) error {
		return remote.Put(at, raws(`{"schemaVersion":2,"mediaType":"`+string(types.OCIManifestSchema1)+`","artifactType":"`+SealArtifactType+`"}`))
	})
	put("hollow", func(at name.Tag) error {
		return remote.Put(at, raws(`{"schemaVersion":2,"artifactType":"`+ArtifactType+`"}`))
	})
}

// FuzzArtifact: no manifest makes a layer that is not one file within bounds.
func FuzzArtifact(f *testing.F) {
	f.Add([]byte(`{"artifactType":"` + ArtifactType + `","layers":[{"mediaType":"` + string(typePlain) + `","size":12,"digest":"sha256:` + strings.Repeat("ab", 32) + `"}]}`))
	f.Add([]byte(`{"artifactType":"` + ArtifactType + `","layers":[{"mediaType":"` + string(typePlain) + `","size":-1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, m, err := parseArtifact(raw, types.OCIManifestSchema1)
		if err != nil {
			if m != nil {
				t.Error("a manifest beside an error")
			}
			return
		}
		if l.Size <= 0 || l.Size > MaxFile || len(l.Digest.Hex) != 64 || m.ArtifactType != ArtifactType {
			t.Errorf("accepted %+v", l)
		}
	})
}

func TestParse(t *testing.T) {
	for s, tagged := range map[string]bool{
		"oci://images.example/a/b:t": true, "oci://localhost/bundles": false, "oci://[::1]:5000/bundles:x": true, "oci://10.0.0.1:5000/a/b": false,
		"oci://images.example/bundles@sha256:" + strings.Repeat("a", 64): false,
	} {
		r, err := Parse(s)
		if err != nil || r.Tagged() != tagged || r.String() != s {
			t.Errorf("%s: %v, tagged %v, %v", s, r, r.Tagged(), err)
		}
	}
	for _, s := range []string{"", "oci://", "oci://host.example", "oci://ubuntu/x", "images.example/a:b", "docker://images.example/a", "oci://images.example/A:b",
		"oci://images.example/a:b c", "oci://images.example/a@sha256:12", "oci://kim:s3cret@images.example/a:b", "https://images.example/a"} {
		if r, err := Parse(s); err == nil {
			t.Errorf("%q: %v", s, r)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}

// TestPlainHTTP: in the clear to this machine and to the named registry only,
// whatever a redirect says.
func TestPlainHTTP(t *testing.T) {
	sent := errors.New("sent")
	for url, want := range map[string]error{
		"http://127.0.0.1:5000/v2/": sent, "http://[::1]:5000/v2/": sent, "http://localhost/v2/": sent, "https://images.example/v2/": sent,
		"http://10.0.0.1:5000/v2/": ErrPlainHTTP, "http://images.example/v2/": ErrPlainHTTP, "http://plain.example:5000/v2/": sent,
		"http://plain.example/v2/": ErrPlainHTTP, "http://localhost.example/": ErrPlainHTTP, "http://127.0.0.1.example/": ErrPlainHTTP,
	} {
		req := httptest.NewRequest(http.MethodGet, url, nil)
		g := guard{next: roundTrip(func(*http.Request) (*http.Response, error) { return nil, sent }), plain: "plain.example:5000"}
		resp, err := g.RoundTrip(req)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, %v", url, resp, err)
		}
	}
	if _, err := Find(t.Context(), ref(t, "oci://10.255.255.1:1/bundles:b"), Options{CA: []byte("no PEM")}); err == nil {
		t.Error("took text for certificates")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestCA speaks TLS with a registry whose authority only Options.CA knows.
func TestCA(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
		}
	}))
	defer s.Close()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	r := ref(t, "oci://"+strings.TrimPrefix(s.URL, "https://")+"/bundles:b")
	o := fast()
	if _, err := Find(t.Context(), r, o); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("an authority that nobody knows: %v", err)
	}
	o.CA = pemOf(s)
	if _, err := Find(t.Context(), r, o); !errors.Is(err, ErrNotFound) {
		t.Errorf("with its authority: %v", err)
	}
}

func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
