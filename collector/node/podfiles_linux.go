package node

import (
	"context"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/casefile-io/casefile/collector"
)

const (
	maxPodFile    = 64 << 10
	maxPodFolders = 2000
)

// podFiles stores, for each container, the files that decide how its processes
// resolve names, and the limits of its first process. The container may be
// hostile: nothing that it made is followed out of its root or waited for.
func (g *gatherer) podFiles(ctx context.Context, procs []process) {
	names := g.containerNames()
	seen := map[string]bool{}
	for _, p := range procs {
		if ctx.Err() != nil {
			return
		}
		if p.podUID == "" || p.containerID == "" || seen[p.containerID] || len(seen) >= maxPodFolders {
			continue
		}
		seen[p.containerID] = true
		c, known := names[p.containerID]
		if !known { // the sandbox, or a container that the API server does not tell of
			c = container{p.podUID, p.containerID[:12]}
		}
		g.containerFiles(g.path("pods/"+c.podUID+"/"+c.name), p.pid)
	}
}

type container struct{ podUID, name string }

func (g *gatherer) containerNames() map[string]container {
	names := map[string]container{}
	for _, p := range g.o.Pods {
		for id, name := range p.Containers {
			names[id] = container{p.UID, name}
		}
	}
	return names
}

func (g *gatherer) containerFiles(path string, pid int) {
	if !g.o.Only.WantsBelow(path) {
		return
	}
	dir := g.o.ProcRoot + "/" + strconv.Itoa(pid)
	gr := g.group(path)
	gr.add("limits", dir+"/limits", maxSysctlFile)
	root, err := openRoot(dir + "/root")
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH):
		g.record(path, collector.StatusSkipped, "the container's first process has ended", gr.bytes, gr.start)
		return
	case err != nil:
		gr.failed++
		g.recordErr(path+"/etc", err, 0, gr.start)
	default:
		stuck := g.stuck
		for _, name := range []string{"etc/resolv.conf", "etc/hosts", "etc/nsswitch.conf"} {
			if g.stuck == stuck {
				gr.addFrom(root, name, name, maxPodFile)
			}
		}
		if g.stuck == stuck {
			root.close() // else still in use
		}
	}
	gr.close(context.Background())
}

// addFrom stores a file of a root whose file system may not answer.
func (gr *group) addFrom(root *inRoot, name, source string, limit int) {
	gr.addText(name, limit, func([]byte) ([]byte, bool, error) { return gr.readFrom(root, source, limit) })
}

func (gr *group) readFrom(root *inRoot, source string, limit int) ([]byte, bool, error) {
	type content struct {
		text []byte
		cut  bool
	}
	c, err := patiently(gr.g, func() (c content, err error) {
		c.text, c.cut, err = root.read(source, limit)
		return c, err
	})
	return c.text, c.cut, err
}
