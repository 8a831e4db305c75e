package node

import (
	"bytes"
	"path"
	"strings"
)

const maxMountOptions = 400

// parseMounts reads a mountinfo:
// 36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/sda rw,errors=continue.
func parseMounts(text []byte) []*mountRow {
	var list []*mountRow
	for line := range bytes.Lines(text) {
		front, back, ok := strings.Cut(strings.ToValidUTF8(strings.TrimRight(string(line), "\n"), "?"), " - ")
		head, tail := strings.Fields(front), strings.Fields(back)
		if !ok || len(head) < 6 || len(tail) < 2 {
			continue
		}
		m := &mountRow{Device: head[2], Root: mountPath(head[3]), Point: mountPath(head[4]), Options: head[5],
			Propagation: strings.Join(head[6:], ","), Type: tail[0], Source: mountPath(tail[1])}
		if len(tail) > 2 {
			m.Super = tail[2]
		}
		if len(m.Super) > maxMountOptions { // an overlay names all its layers
			m.Super = strings.ToValidUTF8(m.Super[:maxMountOptions], "") + "…"
		}
		if m.Root == "/" {
			m.Root = ""
		}
		m.PodUID = kubeletVolume(m.Point)
		list = append(list, m)
	}
	return list
}

func mountPath(s string) string { return strings.ToValidUTF8(unescapeMount(s), "?") }

// kubeletVolume finds the pod of /var/lib/kubelet/pods/UID/….
func kubeletVolume(point string) string {
	_, rest, ok := strings.Cut(point, "/kubelet/pods/")
	if !ok {
		return ""
	}
	uid, _, _ := strings.Cut(rest, "/")
	return podSegment("pod" + uid)
}

// manyAlike gives a name to mounts of which a node has one for each container,
// pod or namespace; empty for all others.
func manyAlike(m *mountRow) string {
	switch {
	case m.Type == "overlay":
		return "overlay"
	case m.Type == "nsfs":
		return "nsfs"
	case m.Type == "tmpfs" && strings.HasSuffix(m.Point, "/shm"):
		return "shm"
	case m.Type == "tmpfs" && m.PodUID != "":
		return "volume " + path.Base(path.Dir(m.Point)) // kubernetes.io~projected
	}
	return ""
}

// collapse keeps the first few of those that are alike, the first of which
// counts them.
func collapse(mounts []*mountRow) []*mountRow {
	const shown = 3
	first := map[string]*mountRow{}
	kept := mounts[:0:0]
	for _, m := range mounts {
		if kind := manyAlike(m); kind != "" {
			if first[kind] == nil {
				first[kind] = m
			}
			if first[kind].Alike++; first[kind].Alike > shown {
				continue
			}
		}
		kept = append(kept, m)
	}
	return kept
}

// mayHang says whether a file system waits for somebody else.
func mayHang(fstype string) bool {
	switch fstype {
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "lustre", "glusterfs", "gfs2", "ocfs2", "beegfs", "virtiofs", "autofs", "gpfs", "panfs", "davfs":
		return true
	}
	return fstype == "fuse" || strings.HasPrefix(fstype, "fuse.") || fstype == "fuseblk"
}

// hasSize says whether a file system holds files of people, rather than the
// kernel's own.
func hasSize(fstype string) bool {
	switch fstype {
	case "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "debugfs", "tracefs", "securityfs", "pstore", "bpf", "configfs", "fusectl",
		"efivarfs", "nsfs", "binfmt_misc", "rpc_pipefs", "nfsd", "selinuxfs", "hugetlbfs":
		return false
	}
	return true
}
