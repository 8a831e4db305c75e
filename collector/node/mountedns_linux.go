package node

import (
	"context"
	"path"
	"sort"
	"strings"
)

const (
	maxSandboxes   = 2000
	maxSandboxFile = 1 << 20
)

// addMounted adds the namespaces that no process is in, but that a runtime
// keeps by a mount: those of pods whose processes have all ended, too.
func (g *gatherer) addMounted(ctx context.Context, spaces []Netns) []Netns {
	text, _, err := readFile(g.o.ProcRoot+"/1/mountinfo", make([]byte, maxMountinfo))
	if err != nil {
		return spaces // mounts.ndjson says so
	}
	known := map[uint64]bool{}
	for _, ns := range spaces {
		known[ns.Inode] = true
	}
	var added []Netns
	for _, m := range parseMounts(text) {
		inode := parseNsLink(m.Root)
		if m.Type != "nsfs" || inode == 0 || known[inode] {
			continue
		}
		known[inode] = true
		added = append(added, Netns{Inode: inode, Path: m.Point, mounted: strings.TrimSuffix(g.o.Root, "/") + m.Point})
	}
	if len(added) == 0 {
		return spaces
	}
	g.attribute(ctx, added)
	sort.Slice(added, func(i, j int) bool { return added[i].Inode < added[j].Inode })
	return append(spaces, added...)
}

// attribute finds the pods of mounted namespaces in what the runtime and the
// CNI plugins have left on the disk.
func (g *gatherer) attribute(ctx context.Context, spaces []Netns) {
	root, err := openRoot(g.o.Root)
	if err != nil {
		return
	}
	defer root.close()
	byUID, byName := map[string]*Pod{}, map[string]*Pod{}
	for i, p := range g.o.Pods {
		byUID[p.UID], byName[p.Namespace+"/"+p.Name] = &g.o.Pods[i], &g.o.Pods[i]
	}
	found := sandboxes(ctx, root)
	for i := range spaces {
		ns := &spaces[i]
		s, ok := found[path.Base(ns.Path)]
		if !ok {
			continue
		}
		ns.PodUID, ns.PodNamespace, ns.PodName = s.podUID, s.podNamespace, s.podName
		pod := byUID[s.podUID]
		if pod == nil && s.podUID == "" { // a static pod has another uid there than here
			pod = byName[s.podNamespace+"/"+s.podName]
		}
		if pod != nil {
			ns.PodUID, ns.PodNamespace, ns.PodName = pod.UID, pod.Namespace, pod.Name
		}
	}
}

// sandboxes finds, by the last name of a namespace's path, the pod that it was
// made for.
func sandboxes(ctx context.Context, root *inRoot) map[string]sandbox {
	found := map[string]sandbox{}
	_ = eachResult(ctx, root, func(r *cniResult, err error) error { // its own file tells of errors
		if err == nil && r.NetnsPath != "" {
			found[path.Base(r.NetnsPath)] = sandbox{podUID: r.PodUID, podNamespace: r.PodNamespace, podName: r.PodName}
		}
		return nil
	})
	for _, dir := range []struct{ top, file string }{
		{"/run/containerd/io.containerd.runtime.v2.task/k8s.io", "config.json"},
		{"/run/containers/storage/overlay-containers", "userdata/config.json"},
	} {
		ids, _, err := root.list(dir.top, maxSandboxes)
		if err != nil {
			continue
		}
		for _, id := range ids {
			if ctx.Err() != nil {
				return found
			}
			text, cut, err := root.read(dir.top+"/"+id+"/"+dir.file, maxSandboxFile)
			if err != nil || cut {
				continue
			}
			if s, ok := parseSandbox(text); ok {
				found[path.Base(s.netns)] = s
			}
		}
	}
	return found
}
