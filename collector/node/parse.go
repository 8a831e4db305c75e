package node

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parseCgroupPath finds the pod and container in a cgroup path, as the
// cgroupfs and systemd drivers of kubelet, containerd, CRI-O and Docker write
// them, also below other cgroups ("/../kubepods/…", kind). Empty where there
// is none; the id is 64 hex digits.
func parseCgroupPath(path string) (podUID, containerID string) {
	for seg := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == ':' }) {
		if uid := podSegment(seg); uid != "" {
			podUID, containerID = uid, "" // an id before it is that of an outer container
		} else if id := containerSegment(seg); id != "" {
			containerID = id
		}
	}
	return podUID, containerID
}

// podSegment reads pod<uid> and kubepods-burstable-pod<uid>.slice.
func podSegment(seg string) string {
	seg = strings.TrimSuffix(seg, ".slice")
	i := strings.LastIndex(seg, "pod")
	if i < 0 || i > 0 && seg[i-1] != '-' {
		return ""
	}
	uid := strings.ReplaceAll(seg[i+3:], "_", "-")
	if hex := strings.ReplaceAll(uid, "-", ""); len(hex) != 32 || !isHex(hex) || len(uid) != 32 && len(uid) != 36 {
		return ""
	}
	return uid
}

// containerSegment reads <id> and cri-containerd-<id>.scope.
func containerSegment(seg string) string {
	seg = strings.TrimSuffix(seg, ".scope")
	if len(seg) < 64 || strings.Contains(seg, "conmon-") { // CRI-O's monitor is not the container
		return ""
	}
	id := seg[len(seg)-64:]
	if !isHex(id) || len(seg) > 64 && seg[len(seg)-65] != '-' {
		return ""
	}
	return id
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// parseProcCgroup reads /proc/PID/cgroup (lines hierarchy:controllers:path)
// and takes the path that says most.
func parseProcCgroup(text []byte) (podUID, containerID string) {
	for line := range bytes.Lines(text) {
		parts := strings.SplitN(strings.TrimRight(string(line), "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		uid, id := parseCgroupPath(parts[2])
		if uid != "" && id != "" {
			return uid, id
		}
		if podUID == "" {
			podUID = uid
		}
		if containerID == "" {
			containerID = id
		}
	}
	return podUID, containerID
}

// cgroupMount is a cgroup file system of a mountinfo.
type cgroupMount struct {
	root, point string
	version     int
	controllers []string // version 1 only
}

// parseCgroupMounts reads /proc/PID/mountinfo:
// 31 23 0:28 /root /point opts [tags…] - fstype source superopts.
func parseCgroupMounts(text []byte) []cgroupMount {
	var mounts []cgroupMount
	for line := range bytes.Lines(text) {
		front, back, ok := strings.Cut(strings.TrimRight(string(line), "\n"), " - ")
		head, tail := strings.Fields(front), strings.Fields(back)
		if !ok || len(head) < 5 || len(tail) < 3 {
			continue
		}
		m := cgroupMount{root: unescapeMount(head[3]), point: unescapeMount(head[4])}
		switch tail[0] {
		case "cgroup":
			m.version, m.controllers = 1, strings.Split(tail[2], ",")
		case "cgroup2":
			m.version = 2
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescapeMount undoes the octal escapes of mountinfo (\040 for a space).
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// statValue finds "key value" in a flat keyed file such as cpu.stat.
func statValue(text []byte, key string) int64 {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(key))
		if ok && len(rest) > 0 && rest[0] == ' ' {
			return parseLimit(rest)
		}
	}
	return 0
}

// unlimited is the smallest number that a cgroup v1 writes for "no limit".
const unlimited = 1 << 62

// parseLimit reads one number; "max", -1, absurdly large ones and what is no
// number are 0, that is, no limit.
func parseLimit(text []byte) int64 {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil || n < 0 || n >= unlimited {
		return 0
	}
	return n
}

// parseCPUMax reads cpu.max of version 2: "max 100000" or "50000 100000".
func parseCPUMax(text []byte) (quota, period int64) {
	q, p, _ := bytes.Cut(bytes.TrimSpace(text), []byte(" "))
	return parseLimit(q), parseLimit(p)
}

// parseKmsg reads one record of /dev/kmsg: "prio,seq,usec,flags[,…];text",
// then lines of a dictionary, which are left out.
func parseKmsg(rec []byte) (kmsgRow, error) {
	head, text, ok := bytes.Cut(rec, []byte(";"))
	fields := strings.Split(string(head), ",")
	if !ok || len(fields) < 3 {
		return kmsgRow{}, fmt.Errorf("kmsg: no record: %.40q", rec)
	}
	prio, err1 := strconv.ParseUint(fields[0], 10, 16)
	seq, err2 := strconv.ParseUint(fields[1], 10, 64)
	usec, err3 := strconv.ParseInt(fields[2], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || usec < 0 {
		return kmsgRow{}, fmt.Errorf("kmsg: bad head: %.40q", head)
	}
	text, _, _ = bytes.Cut(text, []byte("\n"))
	return kmsgRow{Seq: seq, Priority: int(prio & 7), Facility: int(prio >> 3), MonotonicUsec: usec, Text: strings.ToValidUTF8(string(text), "?")}, nil
}

// parseNsLink reads the target of /proc/PID/ns/net: "net:[4026531840]".
func parseNsLink(s string) uint64 {
	s, ok := strings.CutPrefix(s, "net:[")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "]"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// parseSocketLink reads the target of /proc/PID/fd/N: "socket:[1234]".
func parseSocketLink(b []byte) (uint32, bool) {
	const open, shut = "socket:[", "]"
	if len(b) <= len(open)+len(shut) || string(b[:len(open)]) != open || b[len(b)-1] != shut[0] {
		return 0, false
	}
	var n uint64
	for _, c := range b[len(open) : len(b)-len(shut)] {
		if n = n*10 + uint64(c-'0'); c < '0' || c > '9' || n > math.MaxUint32 {
			return 0, false
		}
	}
	return uint32(n), true
}
