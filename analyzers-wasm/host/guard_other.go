//go:build !linux

package host

import (
	"os"
	"time"
)

// resident memory is not watched here: wall time is the bound.
func resident(int) int64 { return 0 }

func cpuExhausted(*os.ProcessState, time.Duration) bool { return false }

func peakMemory(*os.ProcessState) int64 { return 0 }

// guardSelf does nothing here: wall time, fuel and linear memory are the bounds.
func guardSelf(setup) (lacks []string, err error) {
	return []string{"not Linux: a module's process is bounded by fuel, wall time and linear memory, not by the system"}, nil
}

func closeFiles() error { return nil }
