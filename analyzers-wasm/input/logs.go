package input

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// logSelector says whose lines a logs input has: NAME, or NAMESPACE/POD/CONTAINER.
type logSelector struct {
	name string // a container, a workload or a unit
	pod  Glob   // namespace, pod, container
}

// parseLogs reads a selector.
func parseLogs(s string) (logSelector, error) {
	g, err := ParseGlob(s)
	switch {
	case err != nil:
		return logSelector{}, fmt.Errorf("logs %q: %w", s, err)
	case strings.Contains(s, "**"):
		return logSelector{}, errors.New("logs: ** has no meaning here")
	case len(g) == 1:
		return logSelector{name: s}, nil
	case len(g) == 3:
		return logSelector{pod: g}, nil
	}
	return logSelector{}, fmt.Errorf("logs %q: write the name of a container, a workload or a unit, or NAMESPACE/POD/CONTAINER", s)
}

// logFile is what the path of a log says.
type logFile struct {
	node, unit                string
	namespace, pod, container string
	previous                  bool
}

// logOf reads the path of a log: cluster/logs/<namespace>/<pod>/<container>[.previous].log,
// the same below nodes/<node>/logs/pods, or nodes/<node>/logs/<unit>.log.
func logOf(p string) (logFile, bool) {
	segs := strings.Split(p, "/")
	name, ok := strings.CutSuffix(segs[len(segs)-1], ".log")
	if !ok || name == "" {
		return logFile{}, false
	}
	pod := func(f logFile, segs []string) (logFile, bool) {
		f.namespace, f.pod = segs[0], segs[1]
		f.container, f.previous = strings.CutSuffix(name, ".previous")
		return f, true
	}
	switch {
	case len(segs) == 5 && segs[0] == "cluster" && segs[1] == "logs":
		return pod(logFile{}, segs[2:])
	case len(segs) == 7 && segs[0] == "nodes" && segs[2] == "logs" && segs[3] == "pods":
		return pod(logFile{node: segs[1]}, segs[4:])
	case len(segs) == 4 && segs[0] == "nodes" && segs[2] == "logs":
		return logFile{node: segs[1], unit: name}, true
	}
	return logFile{}, false
}

// takes says whether the selector names the log.
func (s logSelector) takes(f logFile) bool {
	if s.pod != nil {
		return f.pod != "" && matchSegment(s.pod[0], f.namespace) && matchSegment(s.pod[1], f.pod) && matchSegment(s.pod[2], f.container)
	}
	if f.unit != "" {
		return matchSegment(s.name, f.unit)
	}
	return matchSegment(s.name, f.container) || slices.ContainsFunc(workloads(f.pod), func(w string) bool { return matchSegment(s.name, w) })
}

// Kubernetes makes names up of letters that make no words.
const (
	madeUp = "bcdfghjklmnpqrstvwxz2456789"
	digits = "0123456789"
)

// workloads gives the names that a pod's owner may have. Behind a DaemonSet's,
// a Job's or a ReplicaSet's stand five letters, behind a Deployment's also the
// ReplicaSet's hash, behind a CronJob's its Job's time; behind a StatefulSet's
// a number.
func workloads(pod string) []string {
	names := []string{pod}
	owner, ending := cutEnding(pod)
	if isOf(ending, madeUp, 5, 5) {
		names = append(names, owner)
		if above, hash := cutEnding(owner); isOf(hash, madeUp, 6, 10) || isOf(hash, digits, 8, 10) {
			names = append(names, above)
		}
	}
	if isOf(ending, digits, 1, 6) {
		names = append(names, owner)
	}
	return names
}

// cutEnding cuts a name at its last dash; of one without it there is no ending.
func cutEnding(name string) (stem, ending string) {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		return name[:i], name[i+1:]
	}
	return name, ""
}

func isOf(s, letters string, least, most int) bool {
	return len(s) >= least && len(s) <= most && strings.Trim(s, letters) == ""
}

// sureUnits are units of a node that are no containers: what befalls the logs
// of pods does not concern an input that names one.
func sureUnits() []string {
	return []string{"kernel", "kubelet", "containerd", "crio", "docker", "cri-docker", "k3s*", "rke2*", "k0s*", "snap.microk8s.*", "NetworkManager",
		"systemd-*", "firewalld", "chronyd", "chrony", "ntpd", "kern", "syslog", "messages", "daemon"}
}

// logGlobs names where the lines may stand, as far as this bundle can tell:
// what is missing there is missing from the input.
func (r *run) logGlobs(selector string) ([]Glob, error) {
	paths, err := logPaths(selector)
	if err != nil {
		return nil, err
	}
	unit := slices.ContainsFunc(sureUnits(), func(u string) bool { return matchSegment(u, selector) })
	var globs []Glob
	for _, p := range paths {
		g := Glob(strings.Split(p, "/"))
		switch {
		case strings.HasPrefix(p, clusterLogs):
			if unit || !r.has("cluster/") {
				continue
			}
		case strings.HasPrefix(p, hostLogs):
			if unit || r.has("cluster/") {
				continue
			}
		case !unit && !r.named(g): // another node's failure is no matter of a container's
			continue
		}
		globs = append(globs, g)
	}
	if len(globs) == 0 {
		globs = append(globs, strings.Split(paths[0], "/"))
	}
	return globs, nil
}

// named says whether the bundle has, or was to have, a file of that name.
func (r *run) named(g Glob) bool {
	is := func(p string) bool { return path.Ext(p) == ".log" && g.Match(p) }
	return slices.ContainsFunc(r.files, is) || slices.ContainsFunc(r.results.lines, func(l result) bool { return is(l.Path) })
}
