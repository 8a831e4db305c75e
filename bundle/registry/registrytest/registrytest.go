// Package registrytest runs an OCI registry for tests: the test binary once
// more, as a process of its own that listens on loopback. A test package calls
// [Main] first thing in its TestMain, and [Start] where it needs a registry.
//
// Repositories below these folders misbehave when a large blob is read or
// written: cut/ breaks off, tampered/ changes a byte, long/ does not end in
// time, flaky/ fails at first and then works.
package registrytest

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Options say what kind of registry it is.
type Options struct {
	User, Password string // basic authentication, unless empty
	NoReferrers    bool   // an older one, without the referrers API
}

const variable = "CASEFILE_TEST_REGISTRY"

// small is what the faults leave alone: manifests, configs, seals.
const small = 4096

// Main is the registry, and does not return, if this process was started by
// [Start].
func Main() {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	if err := serve(text); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Process is a registry that runs.
type Process struct {
	Host string // 127.0.0.1:PORT
	cmd  *exec.Cmd
	in   io.Closer
}

// Start starts a registry; Stop ends it, and so does the end of this process.
func Start(ctx context.Context, o Options) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), variable+"="+string(config))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	host, err := bufio.NewReader(out).ReadString('\n')
	p := &Process{strings.TrimSpace(host), cmd, in}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the registry did not start: %w", err), p.Stop())
	}
	return p, nil
}

// Stop ends the process.
func (p *Process) Stop() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }

func serve(config string) error {
	var o Options
	if err := json.Unmarshal([]byte(config), &o); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "registry-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder for temporary files
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	blobs := &faulty{dir: dir, disk: registry.NewDiskBlobHandler(dir).(disk)}
	h := registry.New(registry.WithBlobHandler(blobs), registry.WithReferrersSupport(!o.NoReferrers), registry.Logger(log.New(io.Discard, "", 0)))
	go func() { _ = http.Serve(l, guard(o, h)) }() //nolint:gosec // a test's own client
	fmt.Println(l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin) // until the test ends
	return err
}

func guard(o Options, h http.Handler) http.Handler {
	var flaky atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, password, _ := req.BasicAuth()
		if o.User != "" && subtle.ConstantTimeCompare([]byte(user+":"+password), []byte(o.User+":"+o.Password)) == 0 {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}`, http.StatusUnauthorized)
			return
		}
		if req.Method == http.MethodPatch && req.ContentLength > small && strings.Contains(req.URL.Path, "/flaky/") && flaky.Add(1) == 1 {
			_, _ = io.CopyN(io.Discard, req.Body, small)
			panic(http.ErrAbortHandler) // the connection breaks in the middle
		}
		h.ServeHTTP(w, req)
	})
}

// disk is what the library's disk handler does.
type disk interface {
	registry.BlobHandler
	registry.BlobStatHandler
	registry.BlobPutHandler
}

// faulty hands out large blobs with the faults of their repository.
type faulty struct {
	disk
	dir   string
	reads atomic.Int32
}

// Stat says how long a blob is, or shall seem.
func (f *faulty) Stat(ctx context.Context, repo string, h v1.Hash) (int64, error) {
	n, err := f.disk.Stat(ctx, repo, h)
	if n > small && strings.HasPrefix(repo, "long/") {
		n *= 3
	}
	return n, err
}

// Get reads a blob, with the faults of repo.
func (f *faulty) Get(ctx context.Context, repo string, h v1.Hash) (io.ReadCloser, error) {
	rc, err := f.disk.Get(ctx, repo, h)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(f.dir, h.Algorithm, h.Hex))
	if err != nil || info.Size() <= small {
		return rc, err
	}
	switch kind, _, _ := strings.Cut(repo, "/"); {
	case kind == "cut", kind == "flaky" && f.reads.Add(1) == 1:
		return body{io.LimitReader(rc, info.Size()/2), rc}, nil
	case kind == "tampered":
		b, err := io.ReadAll(rc) //nolint:forbidigo // what a test has stored
		if err != nil {
			return nil, err
		}
		b[len(b)/2] ^= 1
		return body{strings.NewReader(string(b)), rc}, nil
	case kind == "long":
		return body{io.MultiReader(rc, io.LimitReader(zeros{}, 2*info.Size())), rc}, nil
	}
	return rc, nil
}

type body struct {
	io.Reader
	io.Closer
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
