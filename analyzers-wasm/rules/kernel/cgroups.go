package kernel

import (
	"strings"
	"time"

	"github.com/casefile-io/casefile/sdk"
)

// Cgroup is a line of cgroups.ndjson.
type Cgroup struct {
	sdk.Place
	Path        string `json:"path"`
	PodUID      string `json:"podUID"`
	ContainerID string `json:"containerID"`
	CPU         struct {
		QuotaUsec     int64 `json:"quotaUsec"`
		PeriodUsec    int64 `json:"periodUsec"`
		Periods       int64 `json:"periods"`
		Throttled     int64 `json:"throttled"`
		ThrottledUsec int64 `json:"throttledUsec"`
		UsageUsec     int64 `json:"usageUsec"`
	} `json:"cpu"`
	Memory struct {
		Current  int64 `json:"current"`
		Max      int64 `json:"max"`
		OOMKills int64 `json:"oomKills"`
	} `json:"memory"`
}

// CgroupsInput is the declared input of cgroups.
func CgroupsInput() sdk.RowSource[Cgroup] {
	return sdk.Table[Cgroup]("cgroups", "nodes/*/*/cgroups.ndjson")
}

// CgroupPair is one cgroup in the first and the last sample that has it; Last
// is First when there is only one.
type CgroupPair struct {
	First, Last sdk.Row[Cgroup]
}

// Twice says whether the cgroup was read at two times.
func (p CgroupPair) Twice() bool { return p.First.V.Sample != p.Last.V.Sample }

// Cgroups pairs the samples of each cgroup, in the order of the rows.
func Cgroups(in *sdk.Input) []CgroupPair {
	return sdk.Memo(in, "kernel.Cgroups", func(in *sdk.Input) []CgroupPair {
		type key struct{ node, path string }
		var pairs []CgroupPair
		index := map[key]int{}
		for c, at := range CgroupsInput().Rows(in) {
			row := sdk.Row[Cgroup]{V: c, At: at}
			i, ok := index[key{c.Node, c.Path}]
			if !ok {
				index[key{c.Node, c.Path}] = len(pairs)
				pairs = append(pairs, CgroupPair{row, row})
				continue
			}
			if c.Sample < pairs[i].First.V.Sample {
				pairs[i].First = row
			}
			if c.Sample > pairs[i].Last.V.Sample {
				pairs[i].Last = row
			}
		}
		return pairs
	})
}

// Kmsg is a line of kmsg.ndjson.
type Kmsg struct {
	sdk.Place
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// KmsgInput is the declared input of the kernel's log.
func KmsgInput() sdk.RowSource[Kmsg] { return sdk.Table[Kmsg]("kmsg", "nodes/*/kmsg.ndjson") }

// OOMKill is one kill of the kernel's out-of-memory handler.
type OOMKill struct {
	Node        string
	Time        time.Time
	PodUID      string
	ContainerID string
	Task        string
	PID         string
	NodeWide    bool    // the machine ran out of memory, not the cgroup
	At          []int64 // rows that tell of it
}

// OOMKills reads the kernel's log for kills in pods. The line "oom-kill:"
// names the cgroup; the line "Killed process" that follows it is cited too.
func OOMKills(in *sdk.Input) []OOMKill {
	return sdk.Memo(in, "kernel.OOMKills", func(in *sdk.Input) []OOMKill {
		var kills []OOMKill
		for k, at := range KmsgInput().RowsHaving(in, "ill") {
			if kill, ok := ParseOOMKill(k.Text); ok {
				kill.Node, kill.Time, kill.At = k.Node, k.Time, []int64{at}
				kills = append(kills, kill)
				continue
			}
			if n := len(kills) - 1; n >= 0 && kills[n].Node == k.Node && len(kills[n].At) == 1 &&
				strings.Contains(k.Text, "Killed process "+kills[n].PID+" ") {
				kills[n].At = append(kills[n].At, at)
			}
		}
		return kills
	})
}

// ParseOOMKill reads a line like
//
//	oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=…,oom_memcg=/kubepods/pod…,task_memcg=/kubepods/pod…/…,task=java,pid=42,uid=0
//
// and says whether it is one about a pod's cgroup.
func ParseOOMKill(text string) (OOMKill, bool) {
	_, rest, ok := strings.Cut(text, "oom-kill:")
	if !ok {
		return OOMKill{}, false
	}
	fields := map[string]string{}
	for _, f := range strings.Split(rest, ",") {
		if k, v, ok := strings.Cut(f, "="); ok {
			fields[k] = v
		}
	}
	path := fields["task_memcg"]
	kill := OOMKill{Task: fields["task"], PID: fields["pid"], NodeWide: fields["constraint"] != "CONSTRAINT_MEMCG"}
	kill.PodUID, kill.ContainerID = cgroupIDs(path)
	return kill, kill.PID != "" && (kill.ContainerID != "" || kill.PodUID != "")
}

// cgroupIDs finds the pod's uid and the container's id in the path of a
// cgroup, as cgroupfs (…/pod<uid>/<id>) and systemd (…-pod<uid with _>.slice/
// cri-containerd-<id>.scope) write it.
func cgroupIDs(path string) (pod, container string) {
	for _, part := range strings.Split(path, "/") {
		part = strings.TrimSuffix(strings.TrimSuffix(part, ".slice"), ".scope")
		if i := strings.LastIndex(part, "pod"); i >= 0 && isHex(part[i+3:], 32) {
			pod = strings.ReplaceAll(part[i+3:], "_", "-")
		}
		if id := part[strings.LastIndexAny(part, "-:")+1:]; isHex(id, 64) {
			container = id
		}
	}
	return pod, container
}

// isHex says whether s is n hexadecimal digits, dashes and underscores aside.
func isHex(s string, n int) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f':
			n--
		case c != '-' && c != '_':
			return false
		}
	}
	return n == 0
}
