package node

import (
	"os"
	"strings"
)

// value reads a small file of a cgroup; nil when it is not there.
func (g *gatherer) value(path string) []byte {
	text, _, err := readFile(path, g.buffer(maxSysctlFile))
	if err != nil {
		return nil
	}
	return append([]byte{}, text...)
}

func (g *gatherer) number(path string) int64 { return parseLimit(g.value(path)) }

func (g *gatherer) cgroupV1(row *cgroupRow, roots map[string]string) {
	at := func(controller string) (string, bool) {
		dir := roots[controller] + row.Path
		return dir + "/", existsBelow(dir, roots[controller])
	}
	if cpu, ok := at("cpu"); ok {
		row.CPU = g.cpuV1(cpu)
		if acct, ok := at("cpuacct"); ok {
			row.CPU.UsageUsec = g.number(acct+"cpuacct.usage") / 1000
			row.CPU.UserUsec, row.CPU.SystemUsec = g.number(acct+"cpuacct.usage_user")/1000, g.number(acct+"cpuacct.usage_sys")/1000
		}
	}
	if mem, ok := at("memory"); ok {
		row.Memory = g.memoryV1(mem)
	}
	if pids, ok := at("pids"); ok {
		row.Pids = g.pids(pids)
	}
	if dir, ok := at("blkio"); ok {
		row.IO = parseBlkio(g.value(dir+"blkio.throttle.io_service_bytes"), g.value(dir+"blkio.throttle.io_serviced"))
	}
	if dir, ok := at("cpuset"); ok {
		row.Cpuset = g.cpuset(dir+"cpuset.effective_cpus", dir+"cpuset.effective_mems")
	}
	if dir, ok := at("freezer"); ok {
		row.Frozen = strings.TrimSpace(string(g.value(dir+"freezer.state"))) == "FROZEN"
	}
}

func (g *gatherer) cpuV1(dir string) *cgroupCPU {
	stat := g.value(dir + "cpu.stat")
	return &cgroupCPU{QuotaUsec: g.number(dir + "cpu.cfs_quota_us"), PeriodUsec: g.number(dir + "cpu.cfs_period_us"),
		BurstMaxUsec: g.number(dir + "cpu.cfs_burst_us"), Shares: g.number(dir + "cpu.shares"),
		Periods: statValue(stat, "nr_periods"), Throttled: statValue(stat, "nr_throttled"), ThrottledUsec: statValue(stat, "throttled_time") / 1000,
		Bursts: statValue(stat, "nr_bursts"), BurstUsec: statValue(stat, "burst_time") / 1000}
}

func (g *gatherer) memoryV1(dir string) *cgroupMemory {
	oom := g.value(dir + "memory.oom_control")
	return &cgroupMemory{Current: g.number(dir + "memory.usage_in_bytes"), Peak: g.number(dir + "memory.max_usage_in_bytes"),
		Max: g.number(dir + "memory.limit_in_bytes"), High: g.number(dir + "memory.soft_limit_in_bytes"),
		Swap: g.number(dir + "memory.memsw.usage_in_bytes"), SwapMax: g.number(dir + "memory.memsw.limit_in_bytes"),
		Failcnt: g.number(dir + "memory.failcnt"), OOMKills: statValue(oom, "oom_kill"), UnderOOM: statValue(oom, "under_oom") > 0,
		Stat: parseStats(g.value(dir+"memory.stat"), memoryStats())}
}

func existsBelow(dir, root string) bool {
	if root == "" {
		return false
	}
	_, err := os.Stat(dir)
	return err == nil
}

func (g *gatherer) cgroupV2(row *cgroupRow, dir string) {
	dir += "/"
	if stat := g.value(dir + "cpu.stat"); stat != nil {
		c := &cgroupCPU{Periods: statValue(stat, "nr_periods"), Throttled: statValue(stat, "nr_throttled"),
			ThrottledUsec: statValue(stat, "throttled_usec"), UsageUsec: statValue(stat, "usage_usec"),
			UserUsec: statValue(stat, "user_usec"), SystemUsec: statValue(stat, "system_usec"),
			Bursts: statValue(stat, "nr_bursts"), BurstUsec: statValue(stat, "burst_usec"),
			BurstMaxUsec: g.number(dir + "cpu.max.burst"), Weight: g.number(dir + "cpu.weight")}
		c.QuotaUsec, c.PeriodUsec = parseCPUMax(g.value(dir + "cpu.max"))
		row.CPU = c
	}
	if cur := g.value(dir + "memory.current"); cur != nil {
		row.Memory = g.memoryV2(dir)
	}
	if cur := g.value(dir + "pids.current"); cur != nil {
		row.Pids = g.pids(dir)
	}
	row.IO = parseIOStat(g.value(dir + "io.stat"))
	row.Cpuset = g.cpuset(dir+"cpuset.cpus.effective", dir+"cpuset.mems.effective")
	row.Frozen = g.number(dir+"cgroup.freeze") == 1
	for _, kind := range []string{"cpu", "memory", "io", "irq"} {
		if p := parsePressure(g.value(dir + kind + ".pressure")); p != nil {
			if row.Pressure == nil {
				row.Pressure = map[string]*pressure{}
			}
			row.Pressure[kind] = p
		}
	}
}

func (g *gatherer) memoryV2(dir string) *cgroupMemory {
	m := &cgroupMemory{Current: g.number(dir + "memory.current"), Peak: g.number(dir + "memory.peak"), Max: g.number(dir + "memory.max"),
		High: g.number(dir + "memory.high"), Low: g.number(dir + "memory.low"), Min: g.number(dir + "memory.min"),
		Swap: g.number(dir + "memory.swap.current"), SwapMax: g.number(dir + "memory.swap.max"),
		Events: parseStats(g.value(dir+"memory.events"), nil), EventsLocal: parseStats(g.value(dir+"memory.events.local"), nil),
		Stat: parseStats(g.value(dir+"memory.stat"), memoryStats())}
	m.OOMKills, m.Failcnt = m.Events["oom_kill"], m.Events["max"]
	return m
}

func (g *gatherer) pids(dir string) *cgroupPids {
	return &cgroupPids{Current: g.number(dir + "pids.current"), Max: g.number(dir + "pids.max"), Refused: statValue(g.value(dir+"pids.events"), "max")}
}

func (g *gatherer) cpuset(cpus, mems string) *cgroupCpuset {
	c := cgroupCpuset{CPUs: strings.TrimSpace(string(g.value(cpus))), Mems: strings.TrimSpace(string(g.value(mems)))}
	if c == (cgroupCpuset{}) {
		return nil
	}
	return &c
}

// memoryStats are the keys of memory.stat that tell where memory is, in the
// words of version 2 and of version 1.
func memoryStats() map[string]bool {
	keys := map[string]bool{}
	for _, k := range []string{"anon", "file", "kernel", "kernel_stack", "pagetables", "sock", "shmem", "file_dirty", "file_writeback", "slab",
		"slab_reclaimable", "slab_unreclaimable", "inactive_file", "active_file", "pgfault", "pgmajfault", "workingset_refault_file", "pgscan", "pgsteal",
		"oom_kill", "cache", "rss", "mapped_file", "dirty", "writeback", "swap", "hierarchical_memory_limit", "total_cache", "total_rss",
		"total_inactive_file", "total_pgmajfault"} {
		keys[k] = true
	}
	return keys
}
