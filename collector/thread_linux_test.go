package collector

import (
	"runtime"
	"syscall"
	"testing"
)

// onFirstThread runs fn on the process's first thread: goroutines that keep
// their threads use the others up.
func onFirstThread(t *testing.T, fn func()) {
	t.Helper()
	release, first := make(chan struct{}), make(chan bool)
	defer close(release)
	for range 1000 {
		go func() {
			runtime.LockOSThread()
			if syscall.Gettid() == syscall.Getpid() {
				runtime.UnlockOSThread() // what fn starts may come to run here too
				fn()
				first <- true
				return
			}
			first <- false
			<-release
			runtime.UnlockOSThread()
		}()
		if <-first {
			return
		}
	}
	t.Fatal("the first thread of the process does not come up")
}

func TestOnOwnThread(t *testing.T) {
	for range 20 {
		onFirstThread(t, func() {
			ran := 0
			OnOwnThread(func() { ran = syscall.Gettid() })
			if ran == 0 || ran == syscall.Getpid() {
				t.Errorf("ran on thread %d of process %d", ran, syscall.Getpid())
			}
		})
	}
}
