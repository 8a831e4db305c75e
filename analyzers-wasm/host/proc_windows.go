package host

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// inherit gives the child its spool, by handle.
func inherit(cmd *exec.Cmd, spool *os.File) (uintptr, error) {
	h := syscall.Handle(spool.Fd())
	if err := windows.SetHandleInformation(windows.Handle(h), windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
		return 0, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{AdditionalInheritedHandles: []syscall.Handle{h}, CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
	return uintptr(h), nil
}

// childEnv holds the one variable without which a process does not start here.
func childEnv() []string { return []string{"SYSTEMROOT=" + os.Getenv("SYSTEMROOT")} }

func killGroup(p *os.Process) { _ = p.Kill() }
