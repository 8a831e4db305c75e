package host

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// inherit gives the child its two files, by handle.
func inherit(cmd *exec.Cmd, module, spool *os.File) (m, s uintptr, err error) {
	handles := []syscall.Handle{syscall.Handle(module.Fd()), syscall.Handle(spool.Fd())}
	for _, h := range handles {
		if err := windows.SetHandleInformation(windows.Handle(h), windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
			return 0, 0, err
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{AdditionalInheritedHandles: handles, CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
	return uintptr(handles[0]), uintptr(handles[1]), nil
}

// childEnv holds the one variable without which a process does not start here.
func childEnv() []string { return []string{"SYSTEMROOT=" + os.Getenv("SYSTEMROOT")} }

func killGroup(p *os.Process) { _ = p.Kill() }
