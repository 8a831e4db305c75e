// Package bundles carries the sample that `casefile demo` replays: a broken
// three-node cluster, recorded by samples/cluster/record-demo.sh.
//
//	demo/cluster.tar.zst   its objects and logs, as a bundle
//	demo/NODE.stream       what the agent of each node sent, byte for byte
//	demo/sample.json       the plans that these were answers to
package bundles

import (
	"embed"
	"io/fs"
)

//go:embed all:demo
var demo embed.FS

// Demo returns the folder demo.
func Demo() (fs.FS, error) { return fs.Sub(demo, "demo") }
