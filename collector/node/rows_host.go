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

// fileRow is a file of which only this is told.
type fileRow struct {
	Path     string `json:"path"`
	Kind     string `json:"kind,omitempty"` // file, folder, socket, other
	Bytes    int64  `json:"bytes,omitempty"`
	Mode     string `json:"mode,omitempty"`     // octal
	Modified int64  `json:"modified,omitempty"` // seconds since 1970
	SHA256   string `json:"sha256,omitempty"`
}

// leaseRow is an address that the host-local plugin has given out.
type leaseRow struct {
	Network     string `json:"network"`
	IP          string `json:"ip"`
	ContainerID string `json:"containerID"`
	Interface   string `json:"dev,omitempty"`
}

// cniResult is what plugins reported of a pod's interfaces.
type cniResult struct {
	Network      string         `json:"network"`
	ContainerID  string         `json:"containerID"`
	Dev          string         `json:"dev,omitempty"`
	NetnsPath    string         `json:"netnsPath,omitempty"`
	PodUID       string         `json:"podUID,omitempty"`
	PodNamespace string         `json:"podNamespace,omitempty"`
	PodName      string         `json:"podName,omitempty"`
	Interfaces   []cniInterface `json:"interfaces,omitempty"`
	IPs          []cniAddress   `json:"ips,omitempty"`
	Routes       []cniRoute     `json:"routes,omitempty"`
}

type cniInterface struct {
	Name    string `json:"name"`
	MAC     string `json:"mac,omitempty"`
	Sandbox string `json:"sandbox,omitempty"`
}

type cniAddress struct {
	Address   string `json:"address"`
	Gateway   string `json:"gateway,omitempty"`
	Interface *int   `json:"interface,omitempty"`
}

type cniRoute struct {
	Dst string `json:"dst"`
	GW  string `json:"gw,omitempty"`
}

// mountRow is a mount of process 1.
type mountRow struct {
	Point       string `json:"point"`
	Type        string `json:"type"`
	Source      string `json:"source,omitempty"`
	Device      string `json:"device,omitempty"`
	Root        string `json:"root,omitempty"` // of a bind mount: the folder within the file system
	Options     string `json:"options,omitempty"`
	Super       string `json:"superOptions,omitempty"`
	Propagation string `json:"propagation,omitempty"`
	PodUID      string `json:"podUID,omitempty"`
	Alike       int    `json:"alike,omitempty"` // mounts of this sort, of which only the first few are told
	Bytes       *usage `json:"bytes,omitempty"`
	Inodes      *usage `json:"inodes,omitempty"`
	Unasked     string `json:"unasked,omitempty"` // why its usage is not known
}

type usage struct {
	Total     uint64 `json:"total"`
	Free      uint64 `json:"free"`
	Available uint64 `json:"available"` // to others than root
}

// clockRow is clock.json: the clocks, read at once, and what steers them.
type clockRow struct {
	Realtime     int64         `json:"realtimeNsec"`
	Monotonic    int64         `json:"monotonicNsec"`
	MonotonicRaw int64         `json:"monotonicRawNsec"`
	Boottime     int64         `json:"boottimeNsec"`
	TAI          int64         `json:"taiNsec"`
	Suspended    float64       `json:"suspendedSeconds"` // since boot; kmsg times before a suspend are this much late
	Kernel       *adjtimexRow  `json:"adjtimex,omitempty"`
	Daemons      []clockDaemon `json:"daemons,omitempty"`
	Source       string        `json:"clocksource,omitempty"`
	Errors       []string      `json:"errors,omitempty"`
}

type adjtimexRow struct {
	State        string   `json:"state"` // ok, insert-leap-second, …, unsynchronized
	Synchronized bool     `json:"synchronized"`
	Status       []string `json:"status,omitempty"` // pll, unsync, nano …
	OffsetUsec   float64  `json:"offsetUsec"`
	FrequencyPPM float64  `json:"frequencyPPM"`
	MaxErrorUsec int64    `json:"maxErrorUsec"`
	EstErrorUsec int64    `json:"estErrorUsec"`
	TimeConstant int64    `json:"timeConstant"`
	TickUsec     int64    `json:"tickUsec"`
	TAIOffset    int      `json:"taiOffset"`
}

// clockDaemon is what a time daemon leaves behind while it runs.
type clockDaemon struct {
	Name     string `json:"name"`
	Path     string `json:"path"`
	Modified int64  `json:"modified,omitempty"` // seconds since 1970; of timesyncd, the last synchronisation
}

// bpfRow is a program, a map or a link in the kernel.
type bpfRow struct {
	Kind        string   `json:"kind"` // program, map, link
	ID          uint32   `json:"id"`
	Type        string   `json:"type,omitempty"`
	Name        string   `json:"objectName,omitempty"`
	Tag         string   `json:"tag,omitempty"`
	Loaded      float64  `json:"loaded,omitempty"` // seconds after boot
	UID         uint32   `json:"uid,omitempty"`
	Maps        []uint32 `json:"maps,omitempty"`
	Runs        uint64   `json:"runs,omitempty"` // with kernel.bpf_stats_enabled alone
	RuntimeNsec int64    `json:"runtimeNsec,omitempty"`
	Missed      uint64   `json:"missed,omitempty"` // runs within runs
	Bytes       uint64   `json:"bytes,omitempty"`
	KeySize     uint32   `json:"keySize,omitempty"`
	ValueSize   uint32   `json:"valueSize,omitempty"`
	MaxEntries  uint32   `json:"maxEntries,omitempty"`
	Flags       uint32   `json:"flags,omitempty"`
	LRU         bool     `json:"lru,omitempty"`     // a full one is normal
	Entries     *uint32  `json:"entries,omitempty"` // keys, counted one by one while others may write
	Uncounted   string   `json:"uncounted,omitempty"`
	Program     uint32   `json:"program,omitempty"` // of a link
	Ifindex     uint32   `json:"ifindex,omitempty"`
	Netns       uint64   `json:"netns,omitempty"`
	CgroupID    uint64   `json:"cgroupID,omitempty"`
	Attach      uint32   `json:"attach,omitempty"` // enum bpf_attach_type
	Tracepoint  string   `json:"tracepoint,omitempty"`
	Pinned      []string `json:"pinned,omitempty"`
}
