package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/casefile-io/casefile/collector"
)

// staticPods stores the manifests of static pods. What does not parse is not
// stored: nobody could say where its secrets are.
func (g *gatherer) staticPods(ctx context.Context) {
	for _, name := range manifestDirs() {
		start := time.Now()
		dir, err := openFolder(g.o.Root, name)
		if errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
			continue
		}
		if err == nil {
			err = g.manifests(dir, name)
			dir.Close()
		}
		if err != nil {
			g.recordErr(g.path("static-pods"), fmt.Errorf("%s: %w", name, err), 0, start)
		}
	}
}

func (g *gatherer) manifests(dir *os.Root, folder string) error {
	entries, cut, err := list(dir, ".", maxManifests)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || strings.HasPrefix(name, ".") { // the kubelet passes these over, too
			continue
		}
		start := time.Now()
		at := g.path("static-pods/" + logName(name))
		if !strings.HasSuffix(at, ".json") {
			at += ".json"
		}
		if !g.o.Only.Wants(at) {
			continue
		}
		var n int64
		b, err := readManifest(dir, name)
		if err == nil {
			n, err = g.out.Store(at, collector.ClassNodes, bytes.NewReader(b))
		}
		if err != nil {
			err = fmt.Errorf("%s/%s: %w", folder, name, err)
		}
		g.recordErr(at, err, n, start)
	}
	if cut {
		return fmt.Errorf("%w: more than %d manifests", errPartial, maxManifests)
	}
	return nil
}

func readManifest(dir *os.Root, name string) ([]byte, error) {
	f, info, err := openFile(dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("%d bytes, more than %d", info.Size(), maxManifest)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxManifest)) //nolint:forbidigo // limited
	if err != nil {
		return nil, err
	}
	return manifestJSON(b)
}
