package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

// Extract writes all entries below dir, in the top folder of the bundle: plain
// files (0600) and folders (0700), nothing outside of dir, no file that is
// there already. It stops at the first error and returns the files written.
func (r *Reader) Extract(ctx context.Context, dir string) (int, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }()
	made := map[string]bool{}
	for i, n := range r.nodes {
		if err := ctx.Err(); err != nil {
			return i, err
		}
		name := r.manifest.Top + "/" + n.path
		if folder := path.Dir(name); !made[folder] {
			if err := root.MkdirAll(folder, 0o700); err != nil {
				return i, err
			}
			made[folder] = true
		}
		if err := r.extractOne(root, n.path, name); err != nil {
			return i, fmt.Errorf("extract %s: %w", n.path, err)
		}
	}
	return len(r.nodes), nil
}

// extractOne writes one entry; a file that came out wrong is removed.
func (r *Reader) extractOne(root *os.Root, entry, name string) error {
	src, err := r.Open(entry)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err = errors.Join(err, dst.Close()); err != nil {
		return errors.Join(err, root.Remove(name))
	}
	return nil
}
