package host

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inherit gives the child its spool and a process group of its own that
// dies with the parent.
func inherit(cmd *exec.Cmd, spool *os.File) (uintptr, error) {
	cmd.ExtraFiles = []*os.File{spool}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return 3, nil
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
