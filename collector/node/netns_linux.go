package node

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	maxProcesses = 200_000
	keptPIDs     = 8 // per namespace, in case the first ends
)

var errGone = errors.New("the namespace's processes have ended")

// process is one process and where it belongs.
type process struct {
	pid                 int
	netns               uint64
	podUID, containerID string
	denied              bool // netns may not be read
}

// Namespaces lists the network namespaces that have processes, the host's
// first, with the pods and containers that they belong to.
func Namespaces(procRoot string, pods []Pod) ([]Netns, error) {
	if procRoot == "" {
		procRoot = "/proc"
	}
	procs, err := scanProcesses(procRoot)
	if err != nil {
		return nil, classify(err)
	}
	own, err := hostNamespace(procRoot)
	if own == 0 {
		return nil, classify(err)
	}
	return groupNamespaces(procs, own, pods), nil
}

// hostNamespace is process 1's, or this process's own (with the reason) when
// that is not readable; 0 when neither is.
func hostNamespace(procRoot string) (uint64, error) {
	link, err := os.Readlink(procRoot + "/1/ns/net")
	if err == nil {
		return parseNsLink(link), nil
	}
	link, own := os.Readlink(procRoot + "/thread-self/ns/net")
	if own != nil {
		return 0, own
	}
	return parseNsLink(link), err
}

// scanProcesses reads the namespace and cgroup of every process. Those that
// end meanwhile, or may not be read, have zero fields.
func scanProcesses(procRoot string) ([]process, error) {
	pids, err := listPIDs(procRoot)
	if err != nil {
		return nil, err
	}
	procs := make([]process, 0, len(pids))
	buf := make([]byte, 16<<10)
	for _, pid := range pids {
		dir := procRoot + "/" + strconv.Itoa(pid)
		p := process{pid: pid}
		link, err := os.Readlink(dir + "/ns/net")
		p.netns, p.denied = parseNsLink(link), errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
		if text, _, err := readFile(dir+"/cgroup", buf); err == nil {
			p.podUID, p.containerID = parseProcCgroup(text)
		}
		procs = append(procs, p)
	}
	return procs, nil
}

func listPIDs(procRoot string) ([]int, error) {
	d, err := os.Open(procRoot)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 0 && len(pids) < maxProcesses {
			pids = append(pids, pid)
		}
	}
	sort.Ints(pids)
	return pids, nil
}

// LocalPods finds the pods that run on this machine without asking the API
// server. It returns what it could read.
func LocalPods() []Pod {
	procs, err := scanProcesses("/proc")
	if err != nil {
		return nil
	}
	return running(procs, podsIn("/"))
}

// running leaves out the pods that have no process.
func running(procs []process, pods []Pod) []Pod {
	seen := map[string]bool{}
	for _, p := range procs {
		seen[p.podUID], seen[p.containerID] = true, true
	}
	return slices.DeleteFunc(slices.Clone(pods), func(p Pod) bool {
		for id := range p.Containers {
			if seen[id] {
				return false
			}
		}
		return !seen[p.UID]
	})
}

// groupNamespaces sorts processes into namespaces and finds their pods, by
// container id first: the cgroups of static pods carry another uid than the
// API server does.
func groupNamespaces(procs []process, host uint64, pods []Pod) []Netns {
	byContainer, byUID := map[string]*Pod{}, map[string]*Pod{}
	for i := range pods {
		byUID[pods[i].UID] = &pods[i]
		for id := range pods[i].Containers {
			byContainer[id] = &pods[i]
		}
	}
	spaces := map[uint64]*Netns{host: {Inode: host, Host: true, PID: os.Getpid()}}
	for _, p := range procs {
		if p.netns == 0 {
			continue
		}
		ns := spaces[p.netns]
		if ns == nil {
			ns = &Netns{Inode: p.netns}
			spaces[p.netns] = ns
		}
		if len(ns.pids) < keptPIDs {
			ns.pids = append(ns.pids, p.pid)
			ns.PID = ns.pids[0]
		}
		if !ns.Host {
			ns.assign(p, byContainer, byUID)
		}
	}
	list := make([]Netns, 0, len(spaces))
	for _, ns := range spaces {
		sort.Strings(ns.Containers)
		list = append(list, *ns)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Host != list[j].Host {
			return list[i].Host
		}
		return list[i].Inode < list[j].Inode
	})
	return list
}

// assign adds what process p says of the namespace that it is in. One that
// several pods share, such as a nested node's, belongs to none of them.
func (ns *Netns) assign(p process, byContainer, byUID map[string]*Pod) {
	if p.containerID != "" {
		known := false
		for _, id := range ns.Containers {
			known = known || id == p.containerID
		}
		if !known {
			ns.Containers = append(ns.Containers, p.containerID)
		}
	}
	if ns.uid == "" {
		ns.uid = p.podUID
	}
	if ns.shared = ns.shared || p.podUID != "" && p.podUID != ns.uid; ns.shared {
		ns.PodUID, ns.PodNamespace, ns.PodName = "", "", ""
		return
	}
	pod := byContainer[p.containerID]
	if pod == nil {
		pod = byUID[p.podUID]
	}
	switch {
	case pod != nil:
		ns.PodUID, ns.PodNamespace, ns.PodName = pod.UID, pod.Namespace, pod.Name
	case ns.PodUID == "":
		ns.PodUID = p.podUID
	}
}

// enter moves the calling thread, which must be locked, into ns.
func enter(procRoot string, ns Netns) error {
	if link, err := os.Readlink(procRoot + "/thread-self/ns/net"); err == nil && parseNsLink(link) == ns.Inode {
		return nil
	}
	last := fmt.Errorf("%w (namespace %d)", errGone, ns.Inode)
	var ways []string
	for _, pid := range ns.pids {
		ways = append(ways, procRoot+"/"+strconv.Itoa(pid)+"/ns/net")
	}
	if ns.mounted != "" {
		ways = append(ways, ns.mounted)
	}
	for _, way := range ways {
		fd, err := unix.Open(way, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) {
				last = fmt.Errorf("open the network namespace %s: %w", way, err)
			}
			continue
		}
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil && st.Ino != ns.Inode {
			unix.Close(fd) // the number went to another process, the name to another mount
			continue
		}
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
		}
		unix.Close(fd)
		if err == nil {
			return nil
		}
		last = fmt.Errorf("enter the network namespace %s: %w", way, err)
	}
	return last
}
