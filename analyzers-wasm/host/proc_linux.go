package host

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inherit gives the child its two files and a process group of its own that
// dies with the parent.
func inherit(cmd *exec.Cmd, module, spool *os.File) (m, s uintptr, err error) {
	cmd.ExtraFiles = []*os.File{module, spool}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return 3, 4, nil
}

func childEnv() []string { return []string{} }

// killGroup ends the child and whatever it may have started.
func killGroup(p *os.Process) {
	_ = unix.Kill(-p.Pid, unix.SIGKILL)
	_ = p.Kill()
}

// resident gives the resident bytes of a process, 0 when it is gone.
func resident(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// cpuExhausted says whether RLIMIT_CPU ended the process.
func cpuExhausted(s *os.ProcessState, limit time.Duration) bool {
	ws, ok := s.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() {
		return false
	}
	return ws.Signal() == syscall.SIGXCPU || ws.Signal() == syscall.SIGKILL && s.UserTime()+s.SystemTime() >= limit*9/10
}

// peakMemory is the most bytes of an ended process that were resident at once.
func peakMemory(s *os.ProcessState) int64 {
	if r, ok := s.SysUsage().(*syscall.Rusage); ok {
		return r.Maxrss << 10
	}
	return 0
}

// limitSelf is called by the child before it reads anything of a module.
func limitSelf(s setup) error {
	data := uint64(s.MemoryMiB+childMiB+dataSlackMiB) << 20
	for _, l := range []struct {
		name  string
		which int
		value uint64
	}{
		{"RLIMIT_DATA", unix.RLIMIT_DATA, data},
		{"RLIMIT_CPU", unix.RLIMIT_CPU, s.CPUSeconds},
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0},
		{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE, 0},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE, 32},
	} {
		var old unix.Rlimit
		if err := unix.Getrlimit(l.which, &old); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		value := min(l.value, old.Max)
		if err := unix.Setrlimit(l.which, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("not dumpable: %w", err)
	}
	return nil
}
