package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
)

const (
	maxCgroups     = 20_000
	maxCgroupDepth = 12
	sliceDepth     = 2 // cgroups of no pod are told down to here: /system.slice/kubelet.service
)

// cgroupRoots are where the controllers are mounted.
type cgroupRoots struct {
	v1 map[string]string // controller → folder
	v2 string            // with controllers of its own; else empty
}

// cgroups writes the cgroups of pods and containers, and the topmost others.
func (g *gatherer) cgroups(enc *json.Encoder) error {
	roots, note := findCgroups(g.o.ProcRoot)
	if roots.v2 == "" && len(roots.v1) == 0 {
		return fmt.Errorf("no cgroup file system found: %w", note)
	}
	version, dirs := 2, []string{roots.v2}
	if len(roots.v1) > 0 {
		version, dirs = 1, []string{roots.v1["cpu"], roots.v1["memory"], roots.v1["pids"]}
	}
	paths, cut := listCgroups(dirs)
	pods := false
	for _, path := range paths {
		row := cgroupRow{Path: path, Version: version}
		row.PodUID, row.ContainerID = parseCgroupPath(path)
		if row.PodUID == "" && row.ContainerID == "" && strings.Count(path, "/") > sliceDepth {
			continue
		}
		pods = pods || row.PodUID != ""
		if version == 1 {
			g.cgroupV1(&row, roots.v1)
		} else {
			g.cgroupV2(&row, roots.v2+path)
		}
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	if cut {
		return fmt.Errorf("%w: more than %d cgroups", errPartial, maxCgroups)
	}
	if len(g.o.Pods) > 0 && !pods {
		return fmt.Errorf("%w: no pod's cgroup is visible from here (%w)", errPartial, errors.Join(note, errNoPods))
	}
	return nil
}

var errNoPods = errors.New("none below the mounted cgroup root; does the agent run with hostPID and privileged?")

// findCgroups looks through the eyes of process 1, whose root shows the whole
// tree even when this process has a cgroup namespace of its own, then through
// its own. note says why the better way failed.
func findCgroups(procRoot string) (cgroupRoots, error) {
	var note error
	for _, c := range []struct{ mountinfo, base string }{
		{procRoot + "/1/mountinfo", procRoot + "/1/root"}, {procRoot + "/self/mountinfo", ""}} {
		text, err := os.ReadFile(c.mountinfo)
		if err != nil {
			note = errors.Join(note, err)
			continue
		}
		if _, err := os.Stat(c.base + "/"); err != nil {
			note = errors.Join(note, err)
			continue
		}
		roots := chooseRoots(parseCgroupMounts(text), c.base)
		if roots.v2 != "" || len(roots.v1) > 0 {
			return roots, note
		}
		note = errors.Join(note, fmt.Errorf("%s names no cgroup file system that can be read", c.mountinfo))
	}
	return cgroupRoots{}, note
}

// chooseRoots takes, for each controller, the mount that shows most of its tree.
func chooseRoots(mounts []cgroupMount, base string) cgroupRoots {
	sort.SliceStable(mounts, func(i, j int) bool { return len(mounts[i].root) < len(mounts[j].root) })
	roots := cgroupRoots{v1: map[string]string{}}
	for _, m := range mounts {
		dir := strings.TrimSuffix(base+m.point, "/")
		if _, err := os.ReadDir(dir); err != nil {
			continue
		}
		if m.version == 2 {
			controllers, _ := os.ReadFile(dir + "/cgroup.controllers")
			if roots.v2 == "" && strings.TrimSpace(string(controllers)) != "" { // of a hybrid there are none
				roots.v2 = dir
			}
			continue
		}
		for _, c := range m.controllers {
			switch c {
			case "cpu", "cpuacct", "memory", "pids", "blkio", "cpuset", "freezer":
				if roots.v1[c] == "" {
					roots.v1[c] = dir
				}
			}
		}
	}
	return roots
}

// listCgroups lists the paths below the roots, each once, sorted.
func listCgroups(roots []string) (paths []string, cut bool) {
	seen := map[string]bool{}
	var walk func(root, path string, depth int)
	walk = func(root, path string, depth int) {
		entries, err := os.ReadDir(root + path)
		if err != nil || depth > maxCgroupDepth {
			return // gone meanwhile
		}
		for _, e := range entries {
			if !e.IsDir() {
				continue
			}
			if len(seen) >= maxCgroups {
				cut = true
				return
			}
			sub := path + "/" + e.Name()
			seen[sub] = true
			walk(root, sub, depth+1)
		}
	}
	for _, root := range roots {
		if root != "" {
			walk(root, "", 0)
		}
	}
	for p := range seen {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	return paths, cut
}
