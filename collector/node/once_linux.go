package node

import (
	"context"
	"encoding/json"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

const maxConfigFile = 256 << 10

// once reads what is told once of a machine.
func (g *gatherer) once(ctx context.Context, procs []process) {
	g.stream(ctx, g.path("processes.ndjson"), func(enc *json.Encoder) error { return writeProcesses(ctx, enc, g.o.ProcRoot, procs) })
	g.stream(ctx, g.path("mounts.ndjson"), func(enc *json.Encoder) error { return g.mounts(ctx, enc) })
	g.stream(ctx, g.path("bpf.ndjson"), func(enc *json.Encoder) error { return g.bpf(ctx, enc) })
	g.podFiles(ctx, procs)
	root, err := openRoot(g.o.Root)
	if err != nil {
		g.recordErr(g.path("etc"), err, 0, g.now(0).Wall)
		return
	}
	stuck := g.stuck
	g.machineFiles(ctx, root)
	g.cniFiles(ctx, root)
	g.stream(ctx, g.path("certificates.ndjson"), func(enc *json.Encoder) error { return g.certificates(ctx, enc, root) })
	if g.stuck == stuck {
		root.close() // else still in use
	}
}

// machineFiles stores configuration of the machine, below its own path.
func (g *gatherer) machineFiles(ctx context.Context, root *inRoot) {
	etc := []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/os-release", "/etc/gai.conf", "/etc/sysctl.conf",
		"/etc/chrony.conf", "/etc/chrony/chrony.conf", "/etc/systemd/timesyncd.conf", "/etc/systemd/resolved.conf"}
	etc = append(etc, root.match("/etc/sysctl.d", ".conf")...)
	etc = append(etc, root.match("/etc/modules-load.d", ".conf")...)
	g.filesOf(ctx, root, "etc", "/etc", etc)
	g.filesOf(ctx, root, "run", "/run", []string{"/run/systemd/resolve/resolv.conf", "/run/systemd/resolve/stub-resolv.conf"})
	kubelet := []string{"/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet",
		"/etc/kubernetes/kubelet/kubelet-config.json", "/etc/kubernetes/kubelet-config.yaml"}
	g.filesOf(ctx, root, "kubelet", "", kubelet)
	runtime := append([]string{"/etc/containerd/config.toml", "/etc/crio/crio.conf", "/etc/docker/daemon.json"}, root.match("/etc/crio/crio.conf.d", "", ".conf")...)
	g.runtimeFiles(ctx, root, runtime)
	if release := kernelRelease(); release != "" {
		g.filesOf(ctx, root, "boot", "/boot", []string{"/boot/config-" + release})
	}
}

// runtimeFiles stores those of the container runtime, without the logins for
// registries: base64 under a name as plain as auth.
func (g *gatherer) runtimeFiles(ctx context.Context, root *inRoot, names []string) {
	gr := g.group(g.path("runtime"))
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		gr.addText(strings.TrimPrefix(name, "/etc/"), maxConfigFile, func([]byte) ([]byte, bool, error) {
			text, cut, err := gr.readFrom(root, name, maxConfigFile)
			return hideLogins(text), cut, err
		})
	}
	gr.close(ctx)
}

// filesOf stores the named files below a folder of the bundle, at their path
// below trim, or, if that is empty, by their name alone.
func (g *gatherer) filesOf(ctx context.Context, root *inRoot, folder, trim string, names []string) {
	gr := g.group(g.path(folder))
	for _, name := range names {
		if ctx.Err() != nil {
			break
		}
		to := path.Base(name)
		if trim != "" {
			to = strings.TrimPrefix(strings.TrimPrefix(name, trim), "/")
		}
		gr.addFrom(root, to, name, maxConfigFile)
	}
	gr.close(ctx)
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
