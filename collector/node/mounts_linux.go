package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxMounts    = 2000
	maxMountinfo = 4 << 20
)

// mounts tells what process 1 has mounted, and how full it is. Mounts of
// which there are many alike, such as containers' roots, are counted.
func (g *gatherer) mounts(ctx context.Context, enc *json.Encoder) error {
	text, cut, err := readFile(g.o.ProcRoot+"/1/mountinfo", make([]byte, maxMountinfo))
	if err != nil {
		return err
	}
	kept := collapse(parseMounts(text))
	if len(kept) > maxMounts {
		kept, cut = kept[:maxMounts], true
	}
	sizes := map[string]*mountRow{} // by device
	for _, m := range kept {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", errPartial, context.Cause(ctx))
		}
		if known := sizes[m.Device]; known != nil {
			m.Bytes, m.Inodes = known.Bytes, known.Inodes
		} else if g.fullness(m); m.Bytes != nil {
			sizes[m.Device] = m
		}
		if err := enc.Encode(m); err != nil {
			return err
		}
	}
	if cut {
		return fmt.Errorf("%w: more than %d mounts", errPartial, maxMounts)
	}
	return nil
}

// fullness asks a file system how full it is. One that lies elsewhere is not
// asked, since it may never answer; nor is an autofs, which would be mounted.
func (g *gatherer) fullness(m *mountRow) {
	switch {
	case mayHang(m.Type):
		m.Unasked = "a file system of type " + m.Type + " may not answer"
		return
	case !hasSize(m.Type):
		return
	}
	dir := strings.TrimSuffix(g.o.Root, "/") + m.Point
	st, err := patiently(g, func() (*unix.Statfs_t, error) {
		var st unix.Statfs_t
		return &st, unix.Statfs(dir, &st)
	})
	if err != nil {
		m.Unasked = err.Error()
		return
	}
	size := uint64(st.Bsize) //nolint:gosec,unconvert // never negative; its type differs by architecture
	m.Bytes = &usage{Total: st.Blocks * size, Free: st.Bfree * size, Available: st.Bavail * size}
	if st.Files > 0 {
		m.Inodes = &usage{Total: st.Files, Free: st.Ffree, Available: st.Ffree}
	}
}
