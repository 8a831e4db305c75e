package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"golang.org/x/sys/unix"
)

const (
	maxPlugins     = 200
	maxPluginBytes = 512 << 20 // hashed, in all
	maxLeases      = 20_000
	maxNetworks    = 100
	maxResultFile  = 256 << 10
)

// cniFiles reads the configuration and the state of CNI plugins. Kubeconfigs
// beside the configuration hold tokens: they have other extensions.
func (g *gatherer) cniFiles(ctx context.Context, root *inRoot) {
	gr := g.group(g.path("cni/net.d"))
	for _, name := range root.match("/etc/cni/net.d", ".conf", ".conflist", ".json") {
		gr.addFrom(root, path.Base(name), name, maxConfigFile)
	}
	gr.close(ctx)
	g.filesOf(ctx, root, "cni/flannel", "", []string{"/run/flannel/subnet.env"})
	g.filesOf(ctx, root, "cni/calico", "", []string{"/var/lib/calico/nodename", "/var/lib/calico/mtu"})
	g.stream(ctx, g.path("cni/state.ndjson"), func(enc *json.Encoder) error { return cniState(enc, root) })
	g.stream(ctx, g.path("cni/plugins.ndjson"), func(enc *json.Encoder) error { return cniPlugins(ctx, enc, root) })
	g.stream(ctx, g.path("cni/leases.ndjson"), func(enc *json.Encoder) error { return cniLeases(ctx, enc, root) })
	g.stream(ctx, g.path("cni/results.ndjson"), func(enc *json.Encoder) error { return cniResults(ctx, enc, root) })
}

// cniState says which of the well-known folders and sockets there are.
func cniState(enc *json.Encoder, root *inRoot) error {
	for _, name := range []string{"/etc/cni/net.d", "/opt/cni/bin", "/var/lib/cni/networks", "/var/lib/cni/results", "/run/flannel", "/var/lib/calico", "/run/calico",
		"/run/calico/bird.ctl", "/run/cilium", "/run/cilium/cilium.sock", "/sys/fs/bpf/tc", "/sys/fs/bpf/cilium", "/run/openvswitch/db.sock", "/run/antrea", "/run/multus"} {
		fd, err := root.open(name, unix.O_PATH)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		row := fileRow{Path: name}
		if unix.Fstat(fd, &st) == nil {
			row.Kind, row.Modified = fileKind(st.Mode), st.Mtim.Sec
		}
		unix.Close(fd)
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	return nil
}

func fileKind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "folder"
	case unix.S_IFSOCK:
		return "socket"
	}
	return "other"
}

// cniPlugins lists the programs that the runtime calls.
func cniPlugins(ctx context.Context, enc *json.Encoder, root *inRoot) error {
	names, cut, err := root.list("/opt/cni/bin", maxPlugins)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	left := int64(maxPluginBytes)
	for _, name := range names {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", errPartial, context.Cause(ctx))
		}
		f, st, err := root.file("/opt/cni/bin/" + name)
		if err != nil {
			continue // a folder
		}
		row := fileRow{Path: "/opt/cni/bin/" + name, Kind: "file", Bytes: st.Size, Mode: fmt.Sprintf("%04o", st.Mode&0o7777), Modified: st.Mtim.Sec}
		if st.Size <= left {
			h := sha256.New()
			n, err := io.Copy(h, io.LimitReader(f, st.Size))
			if left -= n; err == nil {
				row.SHA256 = hex.EncodeToString(h.Sum(nil))
			}
		}
		f.Close()
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	if cut {
		return fmt.Errorf("%w: more than %d programs", errPartial, maxPlugins)
	}
	return nil
}

// cniLeases reads the addresses that host-local has given out: a file each,
// with the container's id and the interface's name in it.
func cniLeases(ctx context.Context, enc *json.Encoder, root *inRoot) error {
	const top = "/var/lib/cni/networks"
	networks, _, err := root.list(top, maxNetworks)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	total := 0
	for _, network := range networks {
		names, _, err := root.list(top+"/"+network, maxLeases)
		if err != nil {
			continue // a file
		}
		for _, name := range names {
			if ctx.Err() != nil {
				return fmt.Errorf("%w: %w", errPartial, context.Cause(ctx))
			}
			text, _, err := root.read(top+"/"+network+"/"+name, 512)
			if err != nil {
				continue // given back
			}
			row, ok := parseLease(name, text)
			if !ok {
				continue
			}
			if total++; total > maxLeases {
				return fmt.Errorf("%w: more than %d addresses", errPartial, maxLeases)
			}
			row.Network = network
			if err := enc.Encode(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// cniResults reads what plugins said when they made each pod's interfaces.
func cniResults(ctx context.Context, enc *json.Encoder, root *inRoot) error {
	bad := 0
	err := eachResult(ctx, root, func(row *cniResult, err error) error {
		if err != nil {
			bad++
			return nil
		}
		return enc.Encode(row)
	})
	if err == nil && bad > 0 {
		err = fmt.Errorf("%w: %d results could not be read", errPartial, bad)
	}
	return err
}

func eachResult(ctx context.Context, root *inRoot, fn func(*cniResult, error) error) error {
	const dir = "/var/lib/cni/results"
	names, cut, err := root.list(dir, maxLeases)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", errPartial, context.Cause(ctx))
		}
		text, _, err := root.read(dir+"/"+name, maxResultFile)
		var row *cniResult
		if err == nil {
			row, err = parseResult(text)
		}
		if err := fn(row, err); err != nil {
			return err
		}
	}
	if cut {
		return fmt.Errorf("%w: more than %d results", errPartial, maxLeases)
	}
	return nil
}
