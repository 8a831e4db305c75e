//go:build !unix

package bundle

import "testing"

func reportCPU(*testing.B) func() { return func() {} }

func usage() (cpu, rss float64) { return 1, 0 }
