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

// limitSelf does nothing here: wall time and linear memory are the bounds.
func limitSelf(setup) error { return nil }
