//go:build !linux && !windows

package host

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

// inherit gives the child its two files and a process group of its own.
func inherit(cmd *exec.Cmd, module, spool *os.File) (m, s uintptr, err error) {
	cmd.ExtraFiles = []*os.File{module, spool}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return 3, 4, nil
}

func childEnv() []string { return []string{} }

func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	_ = p.Kill()
}

// resident memory is not watched here: wall time is the bound.
func resident(int) int64 { return 0 }

func cpuExhausted(*os.ProcessState, time.Duration) bool { return false }

// limitSelf does nothing here: wall time and linear memory are the bounds.
func limitSelf(setup) error { return nil }
