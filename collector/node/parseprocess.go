package node

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// tickUsec is the unit of times in /proc/PID/stat, the same on every machine.
const tickUsec = 10_000

// parseStat reads /proc/PID/stat; comm stands in parentheses and may hold
// any character, parentheses too.
func parseStat(text []byte, pageKB int64) (processRow, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return processRow{}, fmt.Errorf("stat: no command in %.40q", text)
	}
	f := strings.Fields(string(text[end+1:]))
	if len(f) < 22 {
		return processRow{}, fmt.Errorf("stat: %d fields", len(f))
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:open])))
	if err != nil {
		return processRow{}, fmt.Errorf("stat: %w", err)
	}
	number := func(field int) int64 { // as proc(5) counts them
		n, _ := strconv.ParseInt(f[field-3], 10, 64)
		return n
	}
	return processRow{PID: pid, PPID: int(number(4)), Comm: strings.ToValidUTF8(string(text[open+1:end]), "?"), State: f[0],
		MajorFaults: number(12), UserUsec: number(14) * tickUsec, SystemUsec: number(15) * tickUsec, Threads: int(number(20)),
		Started: float64(number(22)) / 100, RSSKB: number(24) * pageKB}, nil
}

// parseStatus adds what /proc/PID/status says.
func (row *processRow) parseStatus(text []byte) {
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		f := strings.Fields(value)
		if len(f) == 0 {
			continue
		}
		n, _ := strconv.ParseInt(f[0], 10, 64)
		switch key {
		case "Uid":
			if len(f) > 1 {
				row.UID, _ = strconv.Atoi(f[1])
			}
		case "VmSwap":
			row.SwapKB = n
		case "CapEff":
			if isHex(f[0]) {
				row.CapEff = f[0]
			}
		case "NoNewPrivs":
			row.NoNewPrivs = n == 1
		case "Seccomp":
			row.Seccomp = int(n)
		case "voluntary_ctxt_switches":
			row.Voluntary = n
		case "nonvoluntary_ctxt_switches":
			row.Involuntary = n
		}
	}
}

// parseLimits reads /proc/PID/limits and keeps those that programs run into.
func parseLimits(text []byte) map[string]*limit {
	limits := map[string]*limit{}
	for line := range bytes.Lines(text) {
		for _, l := range []struct{ title, name string }{{"Max open files", "nofile"}, {"Max processes", "nproc"}, {"Max locked memory", "memlock"},
			{"Max stack size", "stack"}, {"Max address space", "as"}, {"Max core file size", "core"}} {
			rest, ok := strings.CutPrefix(string(line), l.title)
			if f := strings.Fields(rest); ok && len(f) >= 2 {
				limits[l.name] = &limit{Soft: limitValue(f[0]), Hard: limitValue(f[1])}
			}
		}
	}
	if len(limits) == 0 {
		return nil
	}
	return limits
}

func limitValue(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil { // unlimited
		return -1
	}
	return n
}

// cgroupOf takes the longest path of a /proc/PID/cgroup.
func cgroupOf(text []byte) string {
	longest := ""
	for line := range bytes.Lines(text) {
		parts := strings.SplitN(strings.TrimRight(string(line), "\n"), ":", 3)
		if len(parts) == 3 && len(parts[2]) > len(longest) {
			longest = parts[2]
		}
	}
	if longest == "/" {
		return ""
	}
	return strings.ToValidUTF8(longest, "?")
}
