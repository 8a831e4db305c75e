package node

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/casefile-io/casefile/collector"
)

const (
	maxConfig   = 1 << 20
	maxCPUInfo  = 256 << 10 // some hundred CPUs, alike
	maxSysFiles = 4000
)

// hostSample reads what is one per machine rather than per namespace: numbers
// in each sample, what stays as it is in the first.
func (g *gatherer) hostSample(ctx context.Context, prefix string, again bool) {
	g.hostProc(ctx, prefix+"proc", again)
	g.stream(ctx, prefix+"cgroups.ndjson", g.cgroups)
	g.clock(prefix + "clock.json")
	if again {
		g.rawFiles(ctx, prefix+"proc/sys", g.o.ProcRoot+"/sys", hostGauges())
		g.sysFiles(ctx, prefix+"sys", sysNumbers())
		return
	}
	g.hostSysctls(ctx, prefix+"proc/sys")
	g.sysFiles(ctx, prefix+"sys", append(sysNumbers(), sysSettings()...))
}

// hostFiles are read in each sample.
func hostFiles() []string {
	return []string{"buddyinfo", "diskstats", "interrupts", "loadavg", "locks", "meminfo", "pagetypeinfo",
		"pressure/cpu", "pressure/io", "pressure/irq", "pressure/memory", "schedstat", "slabinfo", "softirqs", "stat", "swaps",
		"uptime", "vmstat", "zoneinfo"}
}

// hostGauges are the numbers among the sysctls of the machine.
func hostGauges() []string {
	return []string{"fs/aio-nr", "fs/dentry-state", "fs/file-nr", "fs/inode-nr", "fs/inode-state", "kernel/ns_last_pid",
		"kernel/pty/nr", "kernel/random/entropy_avail", "kernel/tainted"}
}

// hostProc reads the files of /proc itself.
func (g *gatherer) hostProc(ctx context.Context, path string, again bool) {
	gr := g.group(path)
	for _, name := range hostFiles() {
		if ctx.Err() == nil {
			gr.add(name, g.o.ProcRoot+"/"+name, maxRawFile)
		}
	}
	if !again && ctx.Err() == nil {
		for _, name := range []string{"cmdline", "consoles", "cpuinfo", "devices", "filesystems", "version"} {
			gr.add(name, g.o.ProcRoot+"/"+name, maxCPUInfo)
		}
		gr.addText("modules", maxRawFile, func(buf []byte) ([]byte, bool, error) {
			text, cut, err := readFile(g.o.ProcRoot+"/modules", buf)
			return hideAddresses(text), cut, err
		})
		gr.addText("config.txt", maxConfig, func(buf []byte) ([]byte, bool, error) { return readGzip(g.o.ProcRoot+"/config.gz", buf) })
	}
	gr.close(ctx)
}

// hideAddresses blanks the last column of /proc/modules, which shows to root
// where the kernel lies.
func hideAddresses(modules []byte) []byte {
	out := make([]byte, 0, len(modules))
	for line := range bytes.Lines(modules) {
		if i := bytes.Index(line, []byte(" 0x")); i >= 0 {
			end := i + 3
			for end < len(line) && isHex(string(line[end:end+1])) {
				end++
			}
			out = append(append(out, line[:i]...), " 0x0"...)
			line = line[end:]
		}
		out = append(out, line...)
	}
	return out
}

func readGzip(path string, buf []byte) ([]byte, bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	n, err := io.ReadFull(z, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return buf[:n], false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return buf[:n], true, nil
}

// hostSysctls walks the settings that are not of a network namespace.
func (g *gatherer) hostSysctls(ctx context.Context, path string) {
	for _, dir := range []string{"debug", "fs", "kernel", "user", "vm"} {
		if _, err := os.Stat(g.o.ProcRoot + "/sys/" + dir); err == nil {
			g.sysctls(ctx, path+"/"+dir, g.o.ProcRoot+"/sys/"+dir, false)
		}
	}
}

// sysNumbers are patterns of files below /sys that count.
func sysNumbers() []string {
	return []string{
		"devices/system/cpu/cpu*/thermal_throttle/*_throttle_*",
		"devices/system/cpu/cpu*/cpufreq/scaling_cur_freq",
		"devices/system/node/node*/numastat",
		"kernel/mm/hugepages/*/*hugepages",
	}
}

// sysSettings are patterns of files below /sys that say what the machine is.
func sysSettings() []string {
	return []string{
		"class/dmi/id/sys_vendor", "class/dmi/id/product_name", "class/dmi/id/bios_version",
		"devices/system/clocksource/clocksource*/*_clocksource",
		"devices/system/cpu/*", "devices/system/cpu/smt/*", "devices/system/cpu/vulnerabilities/*",
		"devices/system/cpu/cpu*/cpufreq/scaling_governor", "devices/system/cpu/cpu*/cpufreq/*_freq",
		"devices/system/cpu/cpu[0-9]*/microcode/version",
		"devices/system/node/*", "devices/system/node/node*/cpulist", "devices/system/node/node*/distance", "devices/system/node/node*/meminfo",
		"block/*/queue/scheduler", "block/*/queue/rotational", "block/*/size",
		"kernel/mm/transparent_hugepage/*", "kernel/mm/ksm/run", "kernel/security/lsm",
		"module/nf_conntrack/parameters/*", "module/br_netfilter/parameters/*",
	}
}

// sysFiles stores the regular files of /sys that the patterns name.
func (g *gatherer) sysFiles(ctx context.Context, path string, patterns []string) {
	if !g.o.Only.WantsBelow(path) {
		return
	}
	gr := g.group(path)
	seen := map[string]bool{}
	for _, pattern := range patterns {
		names, _ := filepath.Glob(g.sys() + "/" + pattern) // fails for bad patterns alone
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil || seen[name] || !info.Mode().IsRegular() || info.Mode().Perm()&0o444 == 0 || ctx.Err() != nil {
				continue
			}
			if seen[name] = true; len(seen) > maxSysFiles {
				g.record(path, collector.StatusPartial, fmt.Sprintf("more than %d files", maxSysFiles), gr.bytes, time.Now())
				return
			}
			gr.add(strings.TrimPrefix(name, g.sys()+"/"), name, maxSysctlFile)
		}
	}
	gr.close(ctx)
}

func (g *gatherer) sys() string {
	if g.o.SysRoot != "" {
		return g.o.SysRoot
	}
	return "/sys"
}
