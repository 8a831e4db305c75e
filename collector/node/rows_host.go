package node

type cgroupRow struct {
	Path        string               `json:"path"`
	Version     int                  `json:"version"`
	PodUID      string               `json:"podUID,omitempty"`
	ContainerID string               `json:"containerID,omitempty"`
	CPU         *cgroupCPU           `json:"cpu,omitempty"`
	Memory      *cgroupMemory        `json:"memory,omitempty"`
	Pids        *cgroupPids          `json:"pids,omitempty"`
	IO          []cgroupIO           `json:"io,omitempty"`
	Cpuset      *cgroupCpuset        `json:"cpuset,omitempty"`
	Pressure    map[string]*pressure `json:"pressure,omitempty"` // cpu, memory, io, irq
	Frozen      bool                 `json:"frozen,omitempty"`
}

// No quota and no maximum are written as zero, that is, left out.
type cgroupCPU struct {
	QuotaUsec     int64 `json:"quotaUsec,omitempty"`
	PeriodUsec    int64 `json:"periodUsec,omitempty"`
	BurstMaxUsec  int64 `json:"burstMaxUsec,omitempty"`
	Weight        int64 `json:"weight,omitempty"` // version 2
	Shares        int64 `json:"shares,omitempty"` // version 1
	Periods       int64 `json:"periods,omitempty"`
	Throttled     int64 `json:"throttled,omitempty"`
	ThrottledUsec int64 `json:"throttledUsec,omitempty"`
	Bursts        int64 `json:"bursts,omitempty"`
	BurstUsec     int64 `json:"burstUsec,omitempty"`
	UsageUsec     int64 `json:"usageUsec,omitempty"`
	UserUsec      int64 `json:"userUsec,omitempty"`
	SystemUsec    int64 `json:"systemUsec,omitempty"`
}

type cgroupMemory struct {
	Current     int64            `json:"current,omitempty"` // bytes
	Peak        int64            `json:"peak,omitempty"`
	Max         int64            `json:"max,omitempty"`
	High        int64            `json:"high,omitempty"` // of version 1, the soft limit
	Low         int64            `json:"low,omitempty"`
	Min         int64            `json:"min,omitempty"`
	Swap        int64            `json:"swap,omitempty"` // of version 1, memory and swap together
	SwapMax     int64            `json:"swapMax,omitempty"`
	OOMKills    int64            `json:"oomKills,omitempty"`
	UnderOOM    bool             `json:"underOOM,omitempty"` // version 1
	Failcnt     int64            `json:"failcnt,omitempty"`  // times the limit was hit
	Events      map[string]int64 `json:"events,omitempty"`   // memory.events of version 2, with those below
	EventsLocal map[string]int64 `json:"eventsLocal,omitempty"`
	Stat        map[string]int64 `json:"stat,omitempty"` // a choice of memory.stat
}

type cgroupPids struct {
	Current int64 `json:"current,omitempty"`
	Max     int64 `json:"max,omitempty"`
	Refused int64 `json:"refused,omitempty"` // forks, at the limit
}

type cgroupIO struct {
	Device     string `json:"device"` // 8:0
	ReadBytes  int64  `json:"readBytes,omitempty"`
	WriteBytes int64  `json:"writeBytes,omitempty"`
	Reads      int64  `json:"reads,omitempty"`
	Writes     int64  `json:"writes,omitempty"`
}

type cgroupCpuset struct {
	CPUs string `json:"cpus,omitempty"` // 0-3,8
	Mems string `json:"mems,omitempty"`
}

// pressure is a file of pressure stall information.
type pressure struct {
	Some *pressureLine `json:"some,omitempty"`
	Full *pressureLine `json:"full,omitempty"`
}

type pressureLine struct {
	Avg10     float64 `json:"avg10"` // percent
	Avg60     float64 `json:"avg60"`
	Avg300    float64 `json:"avg300"`
	TotalUsec int64   `json:"totalUsec"`
}

// processRow is one process. Its counters have deltas between the samples.
type processRow struct {
	PID         int               `json:"pid"`
	PPID        int               `json:"ppid,omitempty"`
	Comm        string            `json:"comm"`
	Cmdline     string            `json:"cmdline,omitempty"`
	Netns       uint64            `json:"netns,omitempty"`
	PodUID      string            `json:"podUID,omitempty"`
	ContainerID string            `json:"containerID,omitempty"`
	State       string            `json:"state,omitempty"`
	Wchan       string            `json:"wchan,omitempty"`   // what one in state D waits for
	Started     float64           `json:"started,omitempty"` // seconds after boot
	UserUsec    int64             `json:"userUsec,omitempty"`
	SystemUsec  int64             `json:"systemUsec,omitempty"`
	MajorFaults int64             `json:"majorFaults,omitempty"`
	Threads     int               `json:"threads,omitempty"`
	FDs         int               `json:"fds,omitempty"`
	HighestFD   int               `json:"highestFD,omitempty"`
	RSSKB       int64             `json:"rssKB,omitempty"`
	SwapKB      int64             `json:"swapKB,omitempty"`
	UID         int               `json:"uid,omitempty"` // effective
	CapEff      string            `json:"capEff,omitempty"`
	NoNewPrivs  bool              `json:"noNewPrivs,omitempty"`
	Seccomp     int               `json:"seccomp,omitempty"`   // 1 strict, 2 filter
	Voluntary   int64             `json:"voluntary,omitempty"` // context switches
	Involuntary int64             `json:"involuntary,omitempty"`
	OOMScore    int               `json:"oomScore,omitempty"`
	OOMScoreAdj int               `json:"oomScoreAdj,omitempty"`
	Cgroup      string            `json:"cgroup,omitempty"`
	Limits      map[string]*limit `json:"limits,omitempty"` // nofile, nproc, memlock, core, stack, as
}

// limit is a resource limit; -1 is none.
type limit struct {
	Soft int64 `json:"soft"`
	Hard int64 `json:"hard"`
}
