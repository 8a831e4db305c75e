package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxCertFiles = 2000
	maxCertFile  = 4 << 20
	maxCertDepth = 4
)

// certificateFolders are where Kubernetes and its distributions keep theirs.
func certificateFolders() []string {
	return []string{"/etc/kubernetes", "/var/lib/kubelet/pki", "/etc/etcd", "/etc/ssl/etcd", "/var/lib/etcd/pki", "/etc/cni/net.d", "/etc/calico/certs",
		"/etc/containerd/certs.d", "/etc/docker/certs.d", "/var/lib/minikube/certs", "/var/lib/rancher/k3s/agent", "/var/lib/rancher/k3s/server/tls",
		"/var/lib/rancher/rke2/agent", "/var/lib/rancher/rke2/server/tls", "/var/snap/microk8s/current/certs", "/var/lib/k0s/pki"}
}

// certificates walks the folders, and tells what is public of what is there.
func (g *gatherer) certificates(ctx context.Context, enc *json.Encoder, root *inRoot) error {
	w := certificateWalk{ctx: ctx, g: g, enc: enc, root: root}
	for _, dir := range certificateFolders() {
		if err := w.folder(dir, 0); err != nil {
			return err
		}
	}
	if err := w.file("/var/lib/kubelet/kubeconfig"); err != nil {
		return err
	}
	if w.failed > 0 {
		return fmt.Errorf("%w: %d files or folders could not be read, the first: %w", errPartial, w.failed, w.first)
	}
	return nil
}

type certificateWalk struct {
	ctx    context.Context
	g      *gatherer
	enc    *json.Encoder
	root   *inRoot
	files  int
	failed int
	first  error
}

func (w *certificateWalk) fail(err error) {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, errNotRegular) {
		return
	}
	if w.failed++; w.first == nil {
		w.first = classify(err)
	}
}

func (w *certificateWalk) folder(dir string, depth int) error {
	names, _, err := w.root.list(dir, maxListedFiles)
	if err != nil {
		w.fail(err)
		return nil
	}
	for _, name := range names {
		if w.ctx.Err() != nil {
			return fmt.Errorf("%w: %w", errPartial, context.Cause(w.ctx))
		}
		if w.files >= maxCertFiles {
			return fmt.Errorf("%w: more than %d files", errPartial, maxCertFiles)
		}
		full := dir + "/" + name
		switch path.Ext(name) {
		case ".key", ".log", ".db", ".yaml", ".sock", ".pub":
			continue // keys are not opened at all
		}
		if depth < maxCertDepth && w.isFolder(full) {
			if err := w.folder(full, depth+1); err != nil {
				return err
			}
			continue
		}
		if err := w.file(full); err != nil {
			return err
		}
	}
	return nil
}

// isFolder says whether name is a folder itself, not a link to one.
func (w *certificateWalk) isFolder(name string) bool {
	fd, err := w.root.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

func (w *certificateWalk) file(name string) error {
	if strings.HasSuffix(name, "-key.pem") {
		return nil
	}
	f, st, err := w.root.file(name)
	if err != nil {
		w.fail(err)
		return nil
	}
	defer f.Close()
	w.files++
	rows, err := certificatesOf(name, io.LimitReader(f, min(st.Size, maxCertFile)))
	if err != nil {
		w.fail(err)
	}
	for _, row := range rows {
		if err := w.enc.Encode(row); err != nil {
			return err
		}
	}
	return nil
}
