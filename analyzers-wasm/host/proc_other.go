//go:build !linux && !windows

package host

import (
	"os"
	"os/exec"
	"syscall"
)

// inherit gives the child its spool and a process group of its own.
func inherit(cmd *exec.Cmd, spool *os.File) (uintptr, error) {
	cmd.ExtraFiles = []*os.File{spool}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return 3, nil
}

func childEnv() []string { return []string{} }

func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	_ = p.Kill()
}
