package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	maxCmdline  = 4 << 10
	maxFDsNamed = 4096
)

// writeProcesses writes a row for each process that still runs.
func writeProcesses(ctx context.Context, enc *json.Encoder, procRoot string, procs []process) error {
	r := newProcessReader(procRoot)
	for _, p := range procs {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", errPartial, context.Cause(ctx))
		}
		row, ok := r.counters(p.pid)
		if !ok {
			continue // ended
		}
		row.Netns, row.PodUID, row.ContainerID = p.netns, p.podUID, p.containerID
		r.describe(&row)
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	return r.end()
}

// writeProcessCounters writes what has moved since, by pid and start.
func writeProcessCounters(ctx context.Context, enc *json.Encoder, procRoot string) error {
	pids, err := listPIDs(procRoot)
	if err != nil {
		return err
	}
	r := newProcessReader(procRoot)
	for _, pid := range pids {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", errPartial, context.Cause(ctx))
		}
		row, ok := r.counters(pid)
		if !ok {
			continue
		}
		row.PPID, row.UID, row.CapEff, row.NoNewPrivs, row.Seccomp = 0, 0, "", false, 0
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	return r.end()
}

type processReader struct {
	procRoot string
	pageKB   int64
	buf      []byte
	denied   int // processes of which not all may be read
}

func newProcessReader(procRoot string) *processReader {
	return &processReader{procRoot: procRoot, pageKB: int64(os.Getpagesize() / 1024), buf: make([]byte, 16<<10)}
}

func (r *processReader) end() error {
	if r.denied > 1 { // process 1 alone may be out of reach
		return fmt.Errorf("%w: the open files of %d processes may not be read (that needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH)", errPartial, r.denied)
	}
	return nil
}

func (r *processReader) dir(pid int) string { return r.procRoot + "/" + strconv.Itoa(pid) }

// counters reads what changes.
func (r *processReader) counters(pid int) (processRow, bool) {
	dir := r.dir(pid)
	text, _, err := readFile(dir+"/stat", r.buf)
	if err != nil {
		return processRow{}, false
	}
	row, err := parseStat(text, r.pageKB)
	if err != nil {
		return processRow{}, false
	}
	if text, _, err := readFile(dir+"/status", r.buf); err == nil {
		row.parseStatus(text)
	}
	if row.FDs, err = countFDs(dir + "/fd"); isDenied(err) {
		r.denied++
	}
	if strings.HasPrefix(row.State, "D") {
		if text, _, err := readFile(dir+"/wchan", r.buf); err == nil && string(text) != "0" {
			row.Wchan = plainText(text)
		}
	}
	return row, true
}

// describe reads what does not change, or seldom.
func (r *processReader) describe(row *processRow) {
	dir := r.dir(row.PID)
	if text, _, err := readFile(dir+"/cmdline", r.buf[:maxCmdline]); err == nil {
		args := bytes.ReplaceAll(bytes.TrimRight(text, "\x00"), []byte{0}, []byte{' '})
		row.Cmdline = strings.ToValidUTF8(string(args), "?")
	}
	if text, _, err := readFile(dir+"/limits", r.buf); err == nil {
		row.Limits = parseLimits(text)
	}
	row.OOMScore, row.OOMScoreAdj = r.number(dir+"/oom_score"), r.number(dir+"/oom_score_adj")
	if row.PodUID == "" {
		if text, _, err := readFile(dir+"/cgroup", r.buf); err == nil {
			row.Cgroup = cgroupOf(text)
		}
	}
	if row.FDs > 0 && row.FDs <= maxFDsNamed {
		var err error
		if row.HighestFD, err = highestFD(dir + "/fd"); isDenied(err) {
			r.denied++
		}
	}
}

func (r *processReader) number(path string) int {
	text, _, err := readFile(path, r.buf)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// countFDs counts open files: the size of the folder since Linux 6.2, its
// entries before.
func countFDs(dir string) (int, error) {
	if info, err := os.Stat(dir); err == nil && info.Size() > 0 {
		return int(info.Size()), nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	n := 0
	for {
		names, err := d.Readdirnames(fdsAtATime)
		n += len(names)
		if err != nil || len(names) == 0 {
			return n, nil
		}
	}
}

func highestFD(dir string) (int, error) {
	d, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	highest := 0
	names, err := d.Readdirnames(2 * maxFDsNamed)
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			highest = max(highest, n)
		}
	}
	return highest, err
}

func isDenied(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }
