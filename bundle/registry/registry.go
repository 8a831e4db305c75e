// Package registry stores bundles and analyzer modules in OCI registries, and
// fetches them, so that they travel the way images do: with the logins, mirrors and policies that are
// there already.
//
// A bundle is an artifact: an OCI image manifest of the artifact type
// [ArtifactType] with one layer, the file as it is. The seal is a referrer to
// it (a second manifest whose subject is the first), so that policy engines see
// who signed without fetching the bundle. What is encrypted says nothing of
// itself: no annotations, no seal.
//
//	ref, err := registry.Parse("oci://registry.example/support/bundles:ticket-4711")
//	digest, err := registry.Push(ctx, ref, registry.Artifact{File: f, Size: n, …}, registry.Options{})
//	found, err := registry.Find(ctx, ref, registry.Options{})
//	err = found.Fetch(ctx, out)
//
// A module ([PushModule], [PullModule]) is an artifact of the type
// [ModuleArtifactType]: the WebAssembly, and its signature as a second layer,
// so that whatever copies the artifact copies both, and a digest fixes both.
//
// Logins are those of docker and podman (authn.DefaultKeychain), else none.
// Plain HTTP is spoken to this machine only, unless [Options] allow it for the
// registry. Nothing here checks a bundle or a signature: that is for package
// bundle, once the file is there.
package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Types of what is stored.
const (
	ArtifactType     = "application/vnd.casefile.bundle.v1"
	SealArtifactType = "application/vnd.dev.sigstore.bundle.v0.3+json"

	typePlain     types.MediaType = ArtifactType + ".tar+zstd"
	typeEncrypted types.MediaType = ArtifactType + ".tar+zstd+age"
	typeManifest  types.MediaType = "application/vnd.casefile.manifest.v1+json"
	typeSeal      types.MediaType = SealArtifactType
	typeEmpty     types.MediaType = "application/vnd.oci.empty.v1+json"
)

// Annotations of an artifact that is not encrypted.
const (
	AnnotationID      = "dev.casefile.bundle.id"
	AnnotationTop     = "dev.casefile.bundle.top"
	AnnotationCreated = "org.opencontainers.image.created" // RFC 3339

	annotationTitle = "org.opencontainers.image.title"
)

// Errors that decide what a caller does next.
var (
	ErrNotFound  = errors.New("not in the registry")
	ErrDenied    = errors.New("the registry refuses it")
	ErrNotBundle = errors.New("no casefile bundle")
	ErrNotModule = errors.New("no casefile module")
	ErrCorrupt   = errors.New("not what the registry promised")
	ErrPlainHTTP = errors.New("refused to speak plain HTTP")
	ErrTooLarge  = errors.New("too large")
)

// MaxFile is the largest file that is fetched.
const MaxFile = 16 << 30

// Options say how to reach a registry. The zero value is right for most.
type Options struct {
	PlainHTTP bool                    // the registry may be spoken to without TLS
	CA        []byte                  // PEM, of authorities beside those of the system
	UserAgent string                  // empty is the library's
	Progress  func(done, total int64) // bytes; may be nil, may go back after an error

	backoff *remote.Backoff // nil is the library's: three tries, seconds apart
}

// Reference names an artifact.
type Reference struct {
	ref  name.Reference
	name string // HOST/REPO:TAG, as the user wrote it
}

const scheme = "oci://"

// String is the reference with its scheme.
func (r Reference) String() string { return scheme + r.name }

// At is the same repository by digest, with the scheme.
func (r Reference) At(digest string) string {
	return scheme + r.ref.Context().Name() + "@" + digest
}

// Repository is the last element of the repository's path.
func (r Reference) Repository() string {
	path := r.ref.Context().RepositoryStr()
	return path[strings.LastIndexByte(path, '/')+1:]
}

// Parse reads oci://HOST/REPO[:TAG|@sha256:…]; the tag is "latest" by default.
func Parse(s string) (Reference, error) {
	rest, ok := strings.CutPrefix(s, scheme)
	host, path, _ := strings.Cut(rest, "/")
	switch {
	case !ok || path == "":
		return Reference{}, fmt.Errorf("want oci://HOST/REPO:TAG, as in %sregistry.example/support/bundles:ticket-4711", scheme)
	case strings.Contains(host, "@"):
		return Reference{}, errors.New("no user or password in a reference: log in with docker login or podman login")
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return Reference{}, fmt.Errorf("%q is no host of a registry; want one with a dot or a port", host)
	}
	ref, err := name.ParseReference(rest)
	if err != nil {
		return Reference{}, fmt.Errorf("want oci://HOST/REPO:TAG: %w", err)
	}
	return Reference{ref: ref, name: rest}, nil
}

// Tagged says whether the reference names a tag of its own.
func (r Reference) Tagged() bool {
	_, path, _ := strings.Cut(r.name, "/")
	return strings.Contains(path, ":") && !strings.Contains(path, "@")
}

// target is the reference as o allows to reach it.
func (o Options) target(r Reference) (name.Reference, error) {
	var opts []name.Option
	if o.PlainHTTP {
		opts = append(opts, name.Insecure)
	}
	return name.ParseReference(r.name, opts...)
}

// remote are the options of the library.
func (o Options) remote(r Reference) ([]remote.Option, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second}
	t.ResponseHeaderTimeout = 2 * time.Minute
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if len(o.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("no certificate of an authority in the PEM file")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	g := guard{next: t}
	if o.PlainHTTP {
		g.plain = r.ref.Context().RegistryStr()
	}
	opts := []remote.Option{remote.WithTransport(g), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if o.UserAgent != "" {
		opts = append(opts, remote.WithUserAgent(o.UserAgent))
	}
	if o.backoff != nil {
		opts = append(opts, remote.WithRetryBackoff(*o.backoff))
	}
	return opts, nil
}

// guard lets no request out in the clear but to this machine and to the one
// registry that it was told of, whatever a redirect or a login service asks
// for. The library on its own would also take private addresses for safe.
type guard struct {
	next  http.RoundTripper
	plain string // HOST[:PORT]
}

// RoundTrip is that of http.RoundTripper.
func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && req.URL.Host != g.plain && !loopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("%w to %s", ErrPlainHTTP, req.URL.Host)
	}
	return g.next.RoundTrip(req)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// explain turns what a registry answered into our errors.
func explain(err error) error {
	answer := (*transport.Error)(nil)
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}
