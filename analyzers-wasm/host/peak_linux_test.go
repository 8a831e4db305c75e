package host

import (
	"bytes"
	"fmt"
	"os"
	"testing"
)

// restartPeak makes the kernel forget the most that this process had resident,
// and gives what it has now.
func restartPeak(t *testing.T) int64 {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	return resident(os.Getpid())
}

// peakSelf gives the most that this process had resident since then.
func peakSelf(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
