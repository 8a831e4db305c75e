package collector

import (
	"runtime"
	"syscall"
)

// OnOwnThread runs fn on a thread that may enter other namespaces: never
// unlocked, it ends with its goroutine. The process's first thread cannot end,
// and what it did would show in /proc/PID for ever, so that it only waits here.
func OnOwnThread(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() {
			OnOwnThread(fn)
			runtime.UnlockOSThread()
			return
		}
		fn()
	}()
	<-done
}
