package cluster_test

import (
	"context"
	"errors"
	"io"
	"sort"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/casefile-io/casefile/collector"
	"github.com/casefile-io/casefile/collector/cluster"
)

// memory is a sink that keeps everything, and like a bundle refuses a path twice.
type memory struct {
	mu    sync.Mutex
	files map[string]string
	each  func(path string) error // called before a file is read
}

func newMemory() *memory { return &memory{files: map[string]string{}} }

func (m *memory) Put(path string, _ collector.Class, r io.Reader) (int64, error) {
	if m.each != nil {
		if err := m.each(path); err != nil {
			return 0, err
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.files[path]; ok {
		return 0, errors.New("duplicate path " + path)
	}
	m.files[path] = string(b)
	return int64(len(b)), nil
}

func (m *memory) Frames([]string, io.Reader) error { return errors.New("no frames here") }

// under returns the files below a folder.
func (m *memory) under(prefix string) map[string]string {
	out := map[string]string{}
	for p, b := range m.files {
		if strings.HasPrefix(p, prefix) {
			out[p] = b
		}
	}
	return out
}

func (m *memory) paths() []string {
	var out []string
	for p := range m.files {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}

// run collects into memory.
func run(t *testing.T, ctx context.Context, cfg *rest.Config, o cluster.Options) (*memory, []collector.Result) {
	t.Helper()
	m := newMemory()
	return m, runInto(t, ctx, cfg, o, m)
}

func runInto(t *testing.T, ctx context.Context, cfg *rest.Config, o cluster.Options, m *memory) []collector.Result {
	t.Helper()
	c, err := cluster.New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return collector.Run(ctx, m, []collector.Collector{c}, collector.Options{})
}

// results finds the results of a path.
func results(rs []collector.Result, path string) []collector.Result {
	var out []collector.Result
	for _, r := range rs {
		if r.Path == path {
			out = append(out, r)
		}
	}
	return out
}

func want(t *testing.T, rs []collector.Result, path string, status collector.Status, reason string) {
	t.Helper()
	found := results(rs, path)
	for _, r := range found {
		if r.Status == status && strings.Contains(r.Reason, reason) {
			return
		}
	}
	t.Errorf("%s: got %+v, want status %s with reason %q", path, found, status, reason)
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}
