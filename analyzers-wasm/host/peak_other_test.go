//go:build !linux

package host

import "testing"

func restartPeak(*testing.T) int64 { return 0 }
func peakSelf(*testing.T) int64    { return 0 }
