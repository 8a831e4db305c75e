//go:build !linux && !windows

package host

import (
	"os"
	"os/exec"
	"syscall"
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
